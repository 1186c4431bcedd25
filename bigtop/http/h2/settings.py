# SETTINGS of HTTP/2 (RFC 9113, 6.5): what we offer, and what of a client's concerns us.

from __future__ import annotations

from struct import Struct
from typing import Final

from bigtop.http.h2.error_codes import FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, Http2Error
from bigtop.http.h2.frames import FIRST_WINDOW, MOST_PAYLOAD, MOST_WINDOW, SETTINGS, frame, window_update
from bigtop.http.h2.limits import Http2Limits

_HEADER_TABLE_SIZE: Final = 0x1
_ENABLE_PUSH: Final = 0x2
_MAX_CONCURRENT_STREAMS: Final = 0x3
_INITIAL_WINDOW_SIZE: Final = 0x4
_MAX_FRAME_SIZE: Final = 0x5
_MAX_HEADER_LIST_SIZE: Final = 0x6
_ENABLE_CONNECT_PROTOCOL: Final = 0x8  # RFC 8441
_NO_RFC7540_PRIORITIES: Final = 0x9  # RFC 9218

_SWITCHES: Final = (_ENABLE_PUSH, _ENABLE_CONNECT_PROTOCOL, _NO_RFC7540_PRIORITIES)
_setting = Struct(">HI").pack
_MOST_FRAME: Final = (1 << 24) - 1


def offer(limits: Http2Limits, head: int, *, websockets: bool) -> bytes:
    """Return our first frames. `head` is how long a decoded head may be."""
    settings = [
        _setting(_MAX_CONCURRENT_STREAMS, limits.streams),
        _setting(_INITIAL_WINDOW_SIZE, limits.stream_window),
        _setting(_MAX_HEADER_LIST_SIZE, head),
        _setting(_NO_RFC7540_PRIORITIES, 1),
    ]
    if websockets:
        settings.append(_setting(_ENABLE_CONNECT_PROTOCOL, 1))
    more = limits.window_of_all - FIRST_WINDOW
    return frame(SETTINGS, 0, 0, b"".join(settings)) + (window_update(0, more) if more > 0 else b"")


def initial_window(payload: bytes, now: int) -> int:
    """Check a client's SETTINGS; return the initial window of streams that they ask for, `now` if none.

    Of the others none concerns us: we index nothing, push nothing, send no frame larger than all must take.
    """
    if len(payload) % 6:
        raise Http2Error(FRAME_SIZE_ERROR, "the length of SETTINGS is no multiple of 6")
    for at in range(0, len(payload), 6):
        name = payload[at] << 8 | payload[at + 1]
        value = int.from_bytes(payload[at + 2 : at + 6], "big")
        if name == _INITIAL_WINDOW_SIZE:
            if value > MOST_WINDOW:
                raise Http2Error(FLOW_CONTROL_ERROR, f"an initial window of {value} bytes is too large")
            now = value
        elif name == _MAX_FRAME_SIZE:
            if not MOST_PAYLOAD <= value <= _MOST_FRAME:
                raise Http2Error(PROTOCOL_ERROR, f"no frame may be as large as {value} bytes")
        elif name in _SWITCHES and value > 1:
            raise Http2Error(PROTOCOL_ERROR, f"setting {name} is 0 or 1, not {value}")
    return now
