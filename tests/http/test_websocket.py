# Sessions say what wsproto alone says of the same bytes, however these are cut.

from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.speedups import apply_mask
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage

from bigtop.http.websocket import Closed, Deflate, Event, Session, negotiate, unmask, unmask_slowly
from bigtop.http.websocket import Pong as OurPong

KEY = b"\x37\xfa\x21\x3d"
LIMIT = 1 << 20


def frame(first: int, payload: bytes, *, size: bytes | None = None, masked: bool = True) -> bytes:
    """Return a client's frame; `size` in its place for one that is not as it should be."""
    length = len(payload)
    if size is None:
        if length < 126:
            size = bytes([length])
        else:
            size = (
                b"\x7e" + length.to_bytes(2, "big") if length < 65536 else b"\x7f" + length.to_bytes(8, "big")
            )
    if not masked:
        return bytes([first]) + size + payload
    return bytes([first, size[0] | 0x80]) + size[1:] + KEY + unmask_slowly(payload, KEY)


TEXT, BINARY, PING, PONG, CLOSE = 0x81, 0x82, 0x89, 0x8A, 0x88
FRAMES = {
    "text": frame(TEXT, b"hello"),
    "empty": frame(TEXT, b""),
    "letters": frame(TEXT, "grüße, 世界 🐎".encode()),
    "binary": frame(BINARY, bytes(range(256))),
    "long": frame(TEXT, b"x" * 70_000),
    "shorter": frame(BINARY, b"x" * 125),
    "longer": frame(BINARY, b"x" * 126),
    "begin": frame(0x01, b"he\xc3"),
    "middle": frame(0x00, b"\xbc"),
    "end": frame(0x80, b"lo"),
    "ping": frame(PING, b"ping"),
    "pong": frame(PONG, b""),
    "close": frame(CLOSE, b"\x03\xe8bye"),
    "no-text": frame(TEXT, b"a\xff"),
    "half-a-letter": frame(TEXT, b"a\xc3"),
    "unmasked": frame(TEXT, b"hello", masked=False),
    "unmasked-long": frame(TEXT, b"x" * 200, masked=False),
    "wasteful": frame(TEXT, b"hello", size=b"\x7e\0\5"),
    "more-wasteful": frame(TEXT, b"hello", size=b"\x7f" + (5).to_bytes(8, "big")),
    "reserved": frame(TEXT | 0x40, b"hello"),
    "unknown": frame(0x83, b"hello"),
}


def reference(data: bytes) -> list[Event]:
    """Return what wsproto alone makes of `data`."""
    connection = Connection(ConnectionType.SERVER)
    found: list[Event] = []
    pieces: list[str] | list[bytes] = []
    connection.receive_data(data)
    for event in connection.events():
        if isinstance(event, Message):
            pieces.append(event.data)
            if event.message_finished:
                found.append(("" if isinstance(event, TextMessage) else b"").join(pieces))  # type: ignore[arg-type]
                pieces = []
        elif isinstance(event, CloseConnection):
            found.append(closed(event.code, event.reason or ""))
        elif isinstance(event, Pong):
            found.append(OurPong(bytes(event.payload)))
        else:
            assert isinstance(event, Ping | BytesMessage)
    return found


def closed(code: int, reason: str) -> Closed:
    """What exactly was wrong with letters depends on how they were cut."""
    return Closed(code, reason if code == 1000 else "")


def heard(data: bytes, cuts: list[int]) -> list[Event]:
    session = Session(LIMIT)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found = [event for start, end in pairwise(edges) for event in session.feed(data[start:end])]
    return [closed(event.code, event.reason) if isinstance(event, Closed) else event for event in found]


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("before", ["", "text", "begin", "ping"])
def test_each_frame_after_others(before: str, name: str) -> None:
    data = (FRAMES[before] if before else b"") + FRAMES[name]
    assert heard(data, []) == reference(data)
    cuts = range(1, len(data)) if len(data) < 500 else (1, 2, 7, 20, len(data) - 1)
    for cut in cuts:
        assert heard(data, [cut]) == reference(data)


@given(st.lists(st.sampled_from(sorted(FRAMES)), max_size=8), st.lists(st.integers(0, 1 << 20), max_size=6))
def test_frames_in_any_order_and_in_any_pieces(names: list[str], cuts: list[int]) -> None:
    data = b"".join(FRAMES[name] for name in names)
    assert heard(data, cuts) == reference(data)


@pytest.mark.parametrize("cut", range(40))
def test_messages_that_are_compressed_and_such_that_are_not(cut: int) -> None:
    squeeze = zlib.compressobj(wbits=-15)
    squeezed = [
        (squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4] for text in (b"one" * 9, b"two" * 9)
    ]
    data = frame(TEXT | 0x40, squeezed[0]) + FRAMES["text"] + frame(TEXT | 0x40, squeezed[1])
    deflate, _ = negotiate([Deflate.name], LIMIT)
    session = Session(LIMIT, deflate)
    assert session.feed(data[:cut]) + session.feed(data[cut:]) == ["one" * 9, "hello", "two" * 9]


@pytest.mark.parametrize("size", [125, 126, 5000])
def test_the_limit_is_that_of_a_message(size: int) -> None:
    data = frame(BINARY, bytes(size))
    assert Session(size).feed(data) == [bytes(size)]
    assert Session(size - 1).feed(data) == [Closed(1009, "the message is too long")]


def test_what_comes_behind_our_close_is_for_nobody() -> None:
    session = Session(LIMIT)
    session.close(1000)
    assert session.feed(FRAMES["text"] + FRAMES["ping"] + FRAMES["begin"]) == []
    assert session.feed(FRAMES["middle"] + FRAMES["end"] + FRAMES["close"]) == [Closed(1000, "bye")]
    assert session.out == b""


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_both_ways_to_unmask_are_one(data: bytes, key: bytes) -> None:
    assert unmask is apply_mask, "it is among what tests need"
    assert unmask_slowly(data, key) == unmask(data, key)
