# Discovery by multicast, as Circus has it: who sends a datagram to the group is told the control endpoint.
#
# Rule: nobody can be flooded by way of us. UDP senders are easily forged, so answers go to the networks that
# are allowed only, a few in a second in all, and are hardly longer than what was asked.

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import struct
from typing import Final

from bigtop.http.clients.forwarded import Trust
from bigtop.log import logger as get_logger

log = get_logger("bigtop")

RATE: Final = 10  # answers per second, and at once
_BATCH: Final = 50  # datagrams looked at before everybody else on the loop gets a turn


class Bucket:
    """Allows `rate` per second, and as many at once. Times are seconds, from any clock that goes forward."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._filled = 0.0

    def take(self, now: float) -> bool:
        self._left = min(float(self._rate), self._left + (now - self._filled) * self._rate)
        self._filled = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Discovery:
    """Answers on the running event loop from construction to close(). `group` is udp://ADDRESS:PORT.

    Where the group cannot be joined there is a warning and no discovery: nothing depends on it.
    """

    def __init__(self, group: str, endpoint: str, allowed: tuple[str, ...]) -> None:
        self._answer = json.dumps({"endpoint": endpoint}).encode()
        self._allowed = Trust(allowed)
        self._bucket = Bucket(RATE)
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        try:
            self._socket = _joined(group)
        except (OSError, ValueError) as error:
            log.warning("multicast_endpoint %s: no discovery: %s", group, error)
        else:
            self._loop.add_reader(self._socket, self._read, self._socket)

    def close(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self, asked: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                _, sender = asked.recvfrom(1)  # what is said does not matter
            except OSError:  # there is no more, or an error that an earlier answer met
                return
            if sender[0] in self._allowed and self._bucket.take(self._loop.time()):
                with contextlib.suppress(OSError):
                    asked.sendto(self._answer, sender)


def _joined(group: str) -> socket.socket:
    host, _, port = group.removeprefix("udp://").rpartition(":")
    address = ipaddress.IPv4Address(host)
    with contextlib.ExitStack() as undo:
        joined = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        # Several supervisors of one machine may answer; each gets a copy of what is sent to the group.
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        joined.setblocking(False)
        joined.bind(("0.0.0.0", int(port)))  # noqa: S104 - a group has no address of its own to bind
        if address.is_multicast:
            request = struct.pack("4s4s", address.packed, socket.inet_aton("0.0.0.0"))  # noqa: S104
            joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        undo.pop_all()
    return joined
