# The PROXY protocol: both versions, every cut, and what is neither.

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.clients.proxyprotocol import LONGEST_1, SIGNATURE, Address, Header, ProxiedEngine, parse
from bigtop.http.engine import Phase
from bigtop.http.limits import Limits
from bigtop.http.messages import Request

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def v2(
    command: int = 0x21, family: int = 0x11, addresses: bytes = b"", tlvs: bytes = b"", length: int = -1
) -> bytes:
    rest = addresses + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length < 0 else length) + rest


IP4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 56324, 443)
IP6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 1, 65535)
)
FOUR: tuple[Address, Address] = (("192.0.2.1", 56324), ("198.51.100.2", 443))
SIX: tuple[Address, Address] = (("2001:db8::1", 1), ("2001:db8::2", 65535))

GOOD = [
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", FOUR),
    ("v1", b"PROXY TCP6 2001:db8::1 2001:db8:0::2 1 65535\r\n", SIX),
    ("v1", b"PROXY UNKNOWN\r\n", None),
    ("v1", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    ("v2", v2(addresses=IP4), FOUR),
    ("v2", v2(family=0x21, addresses=IP6), SIX),
    ("v2", v2(addresses=IP4, tlvs=b"\x03\x00\x04abcd"), FOUR),
    ("v2", v2(command=0x20, family=0), None),  # LOCAL
    ("v2", v2(command=0x20, addresses=IP4), None),
    ("v2", v2(family=0, addresses=b"whatever"), None),
    ("v2", v2(family=0x12, addresses=IP4), None),  # UDP
    ("v2", v2(family=0x31, addresses=bytes(216)), None),  # unix
]

BAD = [
    ("auto", GET),
    ("auto", b"\r\n" + GET),
    ("v2", GOOD[0][1]),
    ("v1", v2(addresses=IP4)),
    ("v1", b"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
    ("v1", b"PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"),
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"),
    ("v1", b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n"),
    ("v1", b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
    ("v1", b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"),
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"),
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"),
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n"),
    ("v1", b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"),
    ("v1", b"PROXY UNKNOWNER\r\n"),
    ("v1", b"PROXY UNKNOWN " + b"x" * LONGEST_1 + b"\r\n"),
    ("v2", v2(command=0x11, addresses=IP4)),
    ("v2", v2(command=0x22, addresses=IP4)),
    ("v2", v2(addresses=IP4[:-1])),
    ("v2", v2(family=0x21, addresses=IP4)),
    ("v2", v2(length=5000)),
    ("v2", SIGNATURE[:-1] + b"x" + bytes(20)),
]


@pytest.mark.parametrize(("version", "data", "ends"), GOOD)
def test_headers(version: str, data: bytes, ends: tuple[Address, Address] | None) -> None:
    expected = Header(len(data), *(ends or (None, None)))
    for known in (version, "auto"):
        assert parse(data, known) == expected
        assert parse(data + GET, known) == expected
        for size in range(len(data)):
            assert parse(data[:size], known) is None


@pytest.mark.parametrize(("version", "data"), BAD)
def test_what_is_no_header(version: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(data, version)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: SIGNATURE + tail)))
def test_any_bytes_are_a_header_an_error_or_too_few(data: bytes) -> None:
    try:
        header = parse(data, "auto")
    except ProtocolError:
        return
    assert header is None or 0 < header.size <= len(data)


@pytest.mark.parametrize(("version", "data", "ends"), GOOD)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_engine_behind_a_header(
    version: str, data: bytes, ends: tuple[Address, Address] | None, size: int
) -> None:
    learnt: list[tuple[Address, Address]] = []
    engine = ProxiedEngine(
        Limits(), version, lambda source, destination: learnt.append((source, destination))
    )
    stream = data + GET + GET
    events = [event for at in range(0, len(stream), size) for event in engine.feed(stream[at : at + size])]
    assert [type(event) for event in events] == [Request, Request]
    assert learnt == ([ends] if ends else [])


def test_a_header_that_is_missing_closes() -> None:
    engine = ProxiedEngine(Limits(), "auto", lambda _source, _destination: None)
    assert engine.feed(GET) == []
    assert engine.error is not None
    assert engine.error.status == 400
    assert engine.phase is Phase.CLOSED
    assert engine.feed(GET) == []


def test_a_header_that_comes_slowly_is_a_head_that_comes_slowly() -> None:
    engine = ProxiedEngine(Limits(), "auto", lambda _source, _destination: None)
    assert engine.phase is Phase.IDLE
    engine.feed(b"PRO")
    assert engine.phase is Phase.HEAD
    engine.feed(GOOD[0][1][3:])
    assert engine.phase is Phase.IDLE
