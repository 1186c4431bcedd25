# Limits of HTTP/2: how much of everything that only HTTP/2 has a client may use.
#
# What both versions have is in http/limits.py and means the same here: `head` is a header block as it comes
# (before it is decoded), and the most that it may be decoded, with 32 bytes for each field; `fields`,
# `field_size` and `request_line` (the path) are those of one request; `body`; `body_timeout`, `body_rate`,
# `send_timeout` and `send_rate` hold for a stream; `header_timeout` for the preface, the first SETTINGS and
# a head in pieces; `keep_alive` for a connection without streams.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.frames import FIRST_WINDOW, MOST_WINDOW
from bigtop.record import Record

# Frames of one client that are looked at before others have their turn (Http2Connection.feed), where a head
# counts as eight: a millisecond or two. One recv(2) brings up to 6,500 of them.
FRAMES_AT_ONCE: Final = 128


class Http2Limits(Record):
    """Sizes are bytes, times are seconds; each figure names its precedents."""

    # Open at a time; a stream that was reset counts until its call is over. nginx: 128, gunicorn: 100; fewer
    # than 64 make browsers wait (varnish#3996). Beyond it: REFUSED_STREAM, which is safe to retry.
    streams: int = 100
    # Streams that the client resets, or has reset by what it sends, in `period`. Rapid reset
    # (CVE-2023-44487), MadeYouReset (CVE-2025-8671). gunicorn: 200 in 10 s; nghttp2: 1000, and 33 a second.
    resets: int = 200
    # SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA and frames of no known type in `period`;
    # WINDOW_UPDATE only beyond what the answers' bytes give cause for. gunicorn: 1000 in 10 s.
    control_frames: int = 1000
    # DATA of fewer than 64 bytes in `period`, but the last of a body and that of WebSockets, whose messages
    # are as small: a client that sends its bodies by the byte costs 100 times what others cost. Tomcat:
    # overheadDataThreshold, where some hundred of fewer than 1024 bytes are enough.
    small_data: int = 10_000
    period: float = 10.0
    # Frames of one header block. h2: 64; a block of 64 KiB takes 4. CONTINUATION flood (CVE-2024-27316).
    header_frames: int = 16
    # Of frames with answers to SETTINGS and PING, resets and credit that the client does not read, before
    # nothing more of it is read. Twisted (GHSA-32gv-6cf3-53h6).
    unsent: int = 65536
    # What a client may send of one body, and of all together, before the application took any of it; of all
    # as much as of one, if that is more. nginx: 64k; h2o: 256k, 16m; curl's own: 10m.
    stream_window: int = 262_144
    window: int = 1 << 20
    # Requests of a connection, and its age, before it ends in peace. nginx: 1000 and 1 h; clients that take
    # GOAWAY badly: async-http#245. The age is up to a tenth less, so that not all come back at once.
    requests: int = 10_000
    age: float = 3600.0

    def __post_init__(self) -> None:
        for name, size in (("stream_window", self.stream_window), ("window", self.window)):
            if not FIRST_WINDOW <= size <= MOST_WINDOW:  # a client may send so much before it heard of us
                raise ValueError(f"{name} is {size}: wanted {FIRST_WINDOW} to {MOST_WINDOW}")

    @property
    def window_of_all(self) -> int:
        return max(self.window, self.stream_window)
