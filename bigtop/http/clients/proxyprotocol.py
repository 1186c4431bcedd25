# The PROXY protocol, versions 1 and 2: a balancer says, in front of the first request, who its client is.
#
# Rule 1: it is read where it is expected, and must be there then: whoever could leave it out could also forge
# it. Rule 2: no I/O; ProxiedEngine is an engine that eats the header before the first byte of HTTP.
#
# https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable, Container
from typing import Final, NamedTuple

from bigtop.errors import ProtocolError
from bigtop.http.engine import HEAD, IDLE
from bigtop.http.limits import Limits
from bigtop.http.messages import Event
from bigtop.http.paths.routes import RoutedEngine, Routes
from bigtop.http.policy import Policy

Address = tuple[str, int]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
LONGEST_1: Final = 107  # bytes of version 1, its line end included
LONGEST_2: Final = 4096  # of version 2 we take; addresses need 36, certificates and the like some hundreds

_LINE: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})"
)
_HEAD: Final = struct.Struct("!12sBBH")  # signature, version and command, family and protocol, length
_ADDRESSES: Final = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}  # TCP over IPv4, IPv6


class Header(NamedTuple):
    """What the header said; no addresses when the balancer speaks for itself or of no TCP."""

    size: int  # bytes
    source: Address | None = None
    destination: Address | None = None


def parse(data: bytes, version: str) -> Header | None:
    """Read the header at the beginning of `data`; None when more bytes are needed.

    `version` is "v1", "v2" or "auto" for either. Raises ProtocolError for anything that is not one.
    """
    if version != "v1" and SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _parse_2(data) if len(data) >= _HEAD.size else None
    if version != "v2" and b"PROXY ".startswith(data[:6]):
        return _parse_1(data)
    raise ProtocolError(400, "a PROXY protocol header was expected")


def _parse_1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, LONGEST_1)
    if end < 0:
        if len(data) >= LONGEST_1:
            raise ProtocolError(400, "the PROXY line does not end")
        return None
    line = data[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Header(end + 2)
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "the PROXY line is malformed")
    source, destination = (_address(match[n], int(match[1])) for n in (2, 3))
    ports = int(match[4]), int(match[5])
    if max(ports) > 65535:
        raise ProtocolError(400, "the PROXY line names a port that cannot be")
    return Header(end + 2, (source, ports[0]), (destination, ports[1]))


def _address(text: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise ProtocolError(400, "the PROXY line names an address that cannot be")
    return str(address)


def _parse_2(data: bytes) -> Header | None:
    _, command, family, length = _HEAD.unpack_from(data)
    size = _HEAD.size + length
    if command not in (0x20, 0x21):
        raise ProtocolError(400, "the PROXY header has an unknown version or command")
    if size > LONGEST_2:
        raise ProtocolError(400, f"the PROXY header is longer than {LONGEST_2} bytes")
    if len(data) < size:
        return None
    layout = _ADDRESSES.get(family)
    if command == 0x20 or layout is None:  # LOCAL, a health check for one; or unix, UDP, unknown
        return Header(size)
    if length < layout.size:
        raise ProtocolError(400, "the PROXY header is too short for its addresses")
    source, destination, *ports = layout.unpack_from(data, _HEAD.size)
    ends = [str(ipaddress.ip_address(packed)) for packed in (source, destination)]
    return Header(size, (ends[0], ports[0]), (ends[1], ports[1]))


class ProxiedEngine(RoutedEngine):
    """An engine for connections from a balancer; calls `learn(source, destination)` when it has said them."""

    __slots__ = ("_held", "_learn", "_version")

    def __init__(
        self,
        limits: Limits,
        version: str,
        learn: Callable[[Address, Address], None],
        upgrades: Container[bytes] = (),
        routes: Routes | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(limits, upgrades, routes, policy)
        self._version = version
        self._learn: Callable[[Address, Address], None] | None = learn  # None: the header was read
        self._held = b""

    def feed(self, data: bytes) -> list[Event]:
        learn = self._learn
        if learn is None or self.error is not None:
            return super().feed(data)
        held, self._held = self._held + data, b""
        try:
            header = parse(held, self._version)
        except ProtocolError as error:
            self._fail(ProtocolError(error.status, str(error)))
            return []
        if header is None:
            self._held = held
            self.phase = HEAD
            return []
        self.phase = IDLE
        self._learn = None  # it refers to whoever owns this engine
        if header.source is not None and header.destination is not None:
            learn(header.source, header.destination)
        return super().feed(held[header.size :])
