# The control channel of a program: who hears through it what happens.
#
# Rule: what answers commands is imported when the first client comes, and not before.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
    from bigtop.launch.controlled import Controlled, Program

logger = get_logger("bigtop.supervisor")

_FOLLOWERS_COME = 2.0  # seconds in which they connect again
_LOOK = 0.02


class ChannelState(Record):
    """Where clients come, for a supervisor that goes on there."""

    commands: Descriptor
    events: Descriptor
    endpoint: str
    pubsub_endpoint: str
    followers: int = 0  # of outputs


class Channel:
    """Of `program`; open() says for whom, unless it goes on where it was `before`. Event loop only.

    Until it is opened, and where there is none, nobody hears anything.
    """

    def __init__(self, program: Program, before: ChannelState | None = None) -> None:
        self._before = before
        self._program = program
        self._security = OWNER_ONLY
        self.places: Places | None = None
        self._standby: Standby | None = None
        self._control: Controlled | None = None
        self._server: ControlServer | None = None
        self._waits: asyncio.Task[None] | None = None

    def open(self, endpoint: str, pubsub: str, security: EndpointSecurity = OWNER_ONLY) -> None:
        """Let clients in. Raises ConfigError and BindError; close() is to be called all the same."""
        if (before := self._before) is not None:
            listeners = socket(fileno=before.commands.number), socket(fileno=before.events.number)
            self._open(Places(*listeners, before.endpoint, before.pubsub_endpoint), security)
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
            from bigtop.launch.controlled import Controlled

            self._control = Controlled(self._program, self.places.endpoint, self.places.pubsub_endpoint)
            self._server = ControlServer(self._control, self.places, self._security)
        except Exception as error:  # too few descriptors; or another Bigtop was installed in our place
            logger.error("control channel: a client is sent away: %s: %s", type(error).__name__, error)
            return False
        self._standby = None
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
        return ChannelState(*at, places.endpoint, places.pubsub_endpoint, self._followers)

    @property
    def _followers(self) -> int:
        return 0 if self._server is None else self._server.publisher.followers

    def await_followers(self) -> None:
        """Leave outputs unread until as many follow them as before, for a while."""
        if self._before is not None and self._before.followers:
            self._waits = asyncio.create_task(self._await_followers(self._before.followers, hold_back()))

    async def _await_followers(self, count: int, release: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _FOLLOWERS_COME
        while self._followers < count and loop.time() < until:
            await asyncio.sleep(_LOOK)
        release()

    async def close(self) -> None:
        if self._standby is not None:
            self._standby.close()
        if self._control is not None:
            self._control.figures.close()
        if self._server is not None:
            await self._server.close()

    # ---- what is told

    def announce(self, status: str) -> None:
        """Tell the status of the program itself: starting, active, stopping."""
        if self._server is not None:
            self._server.publisher.announce(status)

    def publish(self, name: str, notice: messages.Notice) -> None:
        """Tell what happened to the watcher `name`."""
        if self._server is not None:
            self._server.publish(name, notice)

    def pass_on(self, chunk: Chunk) -> None:
        """Publish output for those who follow it; costs nothing while nobody does."""
        if self._server is not None and self._server.publisher.wants_output(chunk.watcher):
            for line in chunk.split():
                self._server.publisher.output(chunk.watcher, chunk.facts(line))
