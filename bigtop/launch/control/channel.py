# The control channel of a program: who hears through it what happens.
#
# Rule: what answers commands is imported when the first client comes, and not before.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from socket import socket
from typing import TYPE_CHECKING

from bigtop.control.server import binding
from bigtop.control.server.binding import Places
from bigtop.control.server.endpoint_security import OWNER_ONLY, EndpointSecurity
from bigtop.control.server.standby import Standby
from bigtop.ipc.snapshot import Descriptor
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.reader import hold_back

if TYPE_CHECKING:
    from bigtop.control.server.server import ControlServer
    from bigtop.launch.control.controlled import Controlled, Program

logger = get_logger("bigtop.supervisor")

_THEY_COME = 5.0  # seconds in which subscribers connect again
_LOOK = 0.02
_STAYS = "%s: %s takes a restart; after this upgrade the control channel is where it was, on %s and %s"

_STAYS_OWNED = "after this upgrade the files of the control channel are whose they were"


class ChannelState(Record):
    """Where clients come, for a supervisor that goes on there."""

    commands: Descriptor
    events: Descriptor
    endpoint: str
    pubsub_endpoint: str
    followers: int = 0  # of outputs
    subscribed: int = 0  # to anything, those included
    asked: tuple[str, ...] = ()  # for where, at the start
    owner: str | None = None  # likewise: for whose it is
    waiting: tuple[tuple[bytes, bytes], ...] = ()  # events that nobody was told of yet: topics and payloads


class Channel:
    """Of `program`; open() says for whom, unless it goes on where it was `before`. Event loop only.

    Until it is opened, and where there is none, nobody hears anything.
    """

    def __init__(self, program: Program, before: ChannelState | None = None) -> None:
        self._before = before
        self._program = program
        self._security = OWNER_ONLY
        self._asked: tuple[str, ...] = ()
        self.places: Places | None = None
        self._standby: Standby | None = None
        self._control: Controlled | None = None
        self._server: ControlServer | None = None
        self._waits: set[asyncio.Task[None]] = set()
        self._held: list[tuple[bytes, bytes]] | None = None  # events, while they wait

    def open(
        self, endpoint: str, pubsub: str, security: EndpointSecurity = OWNER_ONLY, asked_by: str = ""
    ) -> None:
        """Let clients in; `asked_by` is the flag, or what of a file, that says where. Raises ConfigError and
        BindError; close() is to be called all the same."""
        self._asked = (endpoint, pubsub)
        if (before := self._before) is not None:
            if before.asked and before.asked != self._asked:
                where = " and ".join(new for new in dict.fromkeys(self._asked) if new not in before.asked)
                logger.warning(_STAYS, asked_by, where, before.endpoint, before.pubsub_endpoint)
                self._asked = before.asked
            files = [one for one in (before.endpoint, before.pubsub_endpoint) if one.startswith("ipc://")]
            if before.owner != security.owner and before.asked and files:
                logger.warning("endpoint_owner: what changed there takes a restart; %s", _STAYS_OWNED)
                security = replace(security, owner=before.owner)
            listeners = socket(fileno=before.commands.number), socket(fileno=before.events.number)
            self._open(Places(*listeners, before.endpoint, before.pubsub_endpoint), security)
            if before.subscribed:  # they connect again first
                self._held = [*before.waiting]
                self._announce_upgrade()
                self._await(lambda: self._subscribed >= before.subscribed, self.release)
        else:
            self._open(binding.bind(endpoint, pubsub, security), security)

    def _open(self, places: Places, security: EndpointSecurity) -> None:
        self._security = security
        self.places = places
        self._standby = Standby(self.places, self._serve)

    def allow(self, role: str) -> None:
        """Let those who come without a key do what `role` may, from now on."""
        self._security = replace(self._security, role=role)
        if self._server is not None:
            self._server.allow(role)

    def _serve(self, clients: Sequence[socket], listeners: Sequence[socket]) -> bool:
        """Answer from now on; False if that cannot be."""
        assert self.places is not None
        try:
            from bigtop.control.server.server import ControlServer
            from bigtop.launch.control.controlled import Controlled

            self._control = Controlled(self._program, self.places.endpoint, self.places.pubsub_endpoint)
            self._server = ControlServer(self._control, self.places, self._security)
        except Exception as error:  # too few descriptors; or another Bigtop was installed in our place
            logger.error("control channel: a client is sent away: %s: %s", type(error).__name__, error)
            return False
        self._standby = None
        self._program.upgrade.hear.add(self._announce_upgrade)
        self._program.upgrade.channels.add(self)
        self._server.admit(clients, listeners)
        return True

    @property
    def endpoint(self) -> str | None:
        """Where commands come in, if they do."""
        return None if self.places is None else self.places.endpoint

    def held(self) -> ChannelState | None:
        """Return where it is; who is connected comes again."""
        places = self.places
        if places is None:
            return None
        at = Descriptor(places.commands.fileno()), Descriptor(places.events.fileno())
        subscriptions = self._followers, self._subscribed
        asked = self._asked, self._security.owner
        held = tuple(self._held or ())
        return ChannelState(*at, places.endpoint, places.pubsub_endpoint, *subscriptions, *asked, held)

    @property
    def _followers(self) -> int:
        return 0 if self._server is None else self._server.publisher.followers

    @property
    def _subscribed(self) -> int:
        return 0 if self._server is None else self._server.publisher.subscribed

    def await_followers(self) -> None:
        """Leave outputs unread until as many follow them as before, for a while."""
        if (before := self._before) is not None and before.followers:
            release = hold_back()
            self._await(lambda: self._followers >= before.followers, release)

    def _announce_upgrade(self) -> None:
        Channel.announce(self, *self._program.upgrade.event())

    def _await(self, they_are_here: Callable[[], bool], then: Callable[[], None]) -> None:
        task = asyncio.create_task(_wait(they_are_here, then))
        self._waits.add(task)
        task.add_done_callback(self._waits.discard)

    async def close(self) -> None:
        if self._standby is not None:
            self._standby.close()
        if self._control is not None:
            self._control.figures.close()
        if self._server is not None:
            self._program.upgrade.hear.discard(self._announce_upgrade)
            self._program.upgrade.channels.discard(self)
            await self._server.close()

    # ---- what is told

    def announce(self, status: str, facts: Mapping[str, object] | None = None) -> None:
        """Tell what becomes of the program itself: starting, upgraded, stopping."""
        if self._held is not None:
            from bigtop.control import events  # which others need in the server alone

            self._held.append(events.announcement(status, facts or {}, time.time()))
        elif self._server is not None:
            self._server.publisher.announce(status, facts or {})

    def publish(self, name: str, notice: messages.Notice) -> None:
        """Tell what happened to the watcher `name`."""
        if self._held is not None:
            from bigtop.control import events  # likewise

            self._held.append(events.message(name, notice, time.time()))
        elif self._server is not None:
            self._server.publish(name, notice)

    def hold(self) -> None:
        """Have events wait: what is told now might not reach anybody any more."""
        self._held = [] if self._held is None else self._held

    def release(self) -> None:
        """Tell what waits, and what happens from now on at once."""
        waiting, self._held = self._held, None
        for message in waiting or ():
            if self._server is not None:
                self._server.publisher.pass_on(message)

    def pass_on(self, chunk: Chunk) -> None:
        """Publish output for those who follow it; costs nothing while nobody does."""
        if self._server is not None and self._server.publisher.wants_output(chunk.watcher):
            for line in chunk.split():
                self._server.publisher.output(chunk.watcher, chunk.facts(line))


async def _wait(condition: Callable[[], bool], then: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + _THEY_COME
    while not condition() and loop.time() < until:
        await asyncio.sleep(_LOOK)
    then()
