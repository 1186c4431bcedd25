# Frames of HTTP/2 (RFC 9113, 4 and 6): the numbers, and the bytes of those that we send.

from __future__ import annotations

from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
PRIORITY_UPDATE: Final = 0x10  # RFC 9218

# Flags.
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEAD_SIZE: Final = 9  # bytes before the payload
# The smallest that a client may ask for, and what we allow it: streams take turns with every frame.
MOST_PAYLOAD: Final = 16384
MOST_WINDOW: Final = (1 << 31) - 1
LAST_STREAM: Final = (1 << 31) - 1
FIRST_WINDOW: Final = 65535  # before anybody said anything

_head = Struct(">IBI").pack
_number = Struct(">IBII").pack
_goaway = Struct(">IBIII").pack


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _head(len(payload) << 8 | kind, flags, stream) + payload


def frame_head(kind: int, flags: int, stream: int, size: int) -> bytes:
    """Return what stands before a payload of so many bytes."""
    return _head(size << 8 | kind, flags, stream)


def headers(stream: int, block: bytes, flags: int) -> bytes:
    """Return the frames of a header block; `flags` are 0 or END_STREAM."""
    if len(block) <= MOST_PAYLOAD:
        return _head(len(block) << 8 | HEADERS, flags | END_HEADERS, stream) + block
    frames = [frame(HEADERS, flags, stream, block[:MOST_PAYLOAD])]
    for at in range(MOST_PAYLOAD, len(block), MOST_PAYLOAD):
        last = END_HEADERS if at + MOST_PAYLOAD >= len(block) else 0
        frames.append(frame(CONTINUATION, last, stream, block[at : at + MOST_PAYLOAD]))
    return b"".join(frames)


def rst_stream(stream: int, code: int) -> bytes:
    return _number(4 << 8 | RST_STREAM, 0, stream, code)


def window_update(stream: int, size: int) -> bytes:
    return _number(4 << 8 | WINDOW_UPDATE, 0, stream, size)


def goaway(last: int, code: int, reason: str = "") -> bytes:
    text = reason.encode()[:256]
    return _goaway(8 + len(text) << 8 | GOAWAY, 0, 0, last, code) + text
