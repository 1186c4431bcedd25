# The control channel of a program: who hears through it what happens.
#
# Rule: what answers commands is imported when the first client comes, and not before.

from __future__ import annotations

from collections.abc import Sequence
from socket import socket
from typing import TYPE_CHECKING

from bigtop.control.server import binding
from bigtop.control.server.binding import Places
from bigtop.control.server.endpoint_security import OWNER_ONLY, EndpointSecurity
from bigtop.control.server.standby import Standby
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.streams.formats import Chunk

if TYPE_CHECKING:
    from bigtop.control.server.server import ControlServer
    from bigtop.launch.controlled import Controlled, Program

logger = get_logger("bigtop.supervisor")


class Channel:
    """Of `program`; open() says for whom. Event loop only.

    Until it is opened, and where there is none, nobody hears anything.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._security = OWNER_ONLY
        self.places: Places | None = None
        self._standby: Standby | None = None
        self._control: Controlled | None = None
        self._server: ControlServer | None = None

    def open(self, endpoint: str, pubsub: str, security: EndpointSecurity = OWNER_ONLY) -> None:
        """Let clients in. Raises ConfigError and BindError; close() is to be called all the same."""
        self._security = security
        self.places = binding.bind(endpoint, pubsub, security)
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
