# Connection to a statsd server: datagrams, which nobody answers.
#
# Rules: whatever is wrong with the address, or the server, is said in one line, once, and stops nothing. A
# host is looked up beside the event loop, in a thread that nobody waits for at the end.

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Any, Final

from bigtop.emission import Address, shown
from bigtop.log import logger as get_logger
from bigtop.stats.beside import beside
from bigtop.system.files import unixpaths

logger = get_logger("bigtop")

_AGAIN: Final = 2.0  # seconds until the next try


class StatsdClient:
    """Event loop only. Sends from the moment on when open() has succeeded."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._trouble: str | None = "not tried yet"  # what the log was told last; None: that it goes well

    async def keep_open(self) -> None:
        """Open it, and again whenever there was trouble."""
        while True:
            if self._socket is None:
                try:
                    self._socket = await _connected(self._address)
                except OSError as error:
                    self._tell(error)
            await asyncio.sleep(_AGAIN)

    def send(self, packets: Iterable[bytes]) -> None:
        """Send them, as far as that can be done now: what cannot is lost."""
        if self._socket is None:
            return
        try:
            for packet in packets:
                self._send(self._socket, packet)
        except BlockingIOError as error:  # the server does not keep up
            self._tell(error)
        except OSError as error:
            self._tell(error)
            self._socket.close()
            self._socket = None
        else:
            if self._trouble is not None:
                logger.info("figures are sent to statsd at %s", shown(self._address))
                self._trouble = None

    def _send(self, connection: socket.socket, packet: bytes) -> None:
        try:
            connection.send(packet)
        except ConnectionRefusedError:  # of a packet before this one: this one was not tried
            if isinstance(self._address, tuple):
                with contextlib.suppress(ConnectionRefusedError):
                    connection.send(packet)
            raise

    def _tell(self, error: OSError) -> None:
        trouble = error.strerror or str(error)
        if trouble != self._trouble:
            logger.warning("figures do not reach statsd at %s: %s", shown(self._address), trouble)
            self._trouble = trouble


async def _connected(address: Address) -> socket.socket:
    """Return a socket that sends there. OSError where that is not to be had."""
    if isinstance(address, str):
        # The name of an abstract socket begins with a zero, for which @ stands.
        return _connect(socket.AF_UNIX, f"\0{address[1:]}" if unixpaths.is_abstract(address) else address)
    error = OSError("there is no such host")
    for family, _kind, _protocol, _name, place in await _looked_up(*address):
        try:
            return _connect(family, place)
        except OSError as wrong:
            error = wrong
    raise error


def _connect(family: int, place: Any) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(place)
    except OSError:
        connection.close()
        raise
    return connection


async def _looked_up(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        return await beside(lambda: [*socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)], "statsd")
    except UnicodeError:  # such as "a..b"
        raise OSError("no name of a host") from None
