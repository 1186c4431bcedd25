# Peers for HTTP/2 tests: frames by hand, and a client of hyperium's h2 that talks to our connection.

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from struct import pack

import h2.config
import h2.connection
import h2.events

from bigtop.http.h2 import response_heads
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.events import StreamData, StreamEvent, StreamRefused, StreamRequest, StreamReset
from bigtop.http.h2.frames import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.response_heads import field
from bigtop.http.limits import Limits
from bigtop.http.policy import Policy
from bigtop.http.response import head_of, stamp

SECOND = 1_000_000_000
STAMP = stamp("bigtop", time.time())
Pairs = list[tuple[bytes, bytes]]

GET: Pairs = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/"),
    (b":authority", b"a.example"),
]
POST: Pairs = [(b":method", b"POST"), *GET[1:]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame, right or wrong."""
    return pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def block(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a header block of literals, which no table is needed for."""
    return b"".join(field(name, value) for name, value in pairs)


def request(stream: int, pairs: Pairs = GET, *, ends: bool = True, more: Pairs | None = None) -> bytes:
    """Return HEADERS."""
    flags = END_HEADERS | (END_STREAM if ends else 0)
    return frame(HEADERS, flags, stream, block([*pairs, *(more or [])]))


OPENING = PREFACE + frame(SETTINGS)


def connection(
    limits: Limits | None = None,
    h2: Http2Limits | None = None,
    policy: Policy | None = None,
    *,
    websockets: bool = False,
    opened: bool = True,
) -> Http2Connection:
    """Return a server's side; the preface and SETTINGS of a client were fed to it if it is `opened`."""
    made = Http2Connection(limits or Limits(), h2 or Http2Limits(), policy, websockets=websockets, now=SECOND)
    if opened:
        made.feed(OPENING, SECOND)
        made.output(1 << 20)
    return made


def frames_of(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield kind, flags, stream and payload of each frame."""
    while data:
        size = int.from_bytes(data[:3], "big")
        yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]
        data = data[9 + size :]


def answer(server: Http2Connection, found: StreamRequest, body: bytes = b"", status: str = "200 OK") -> None:
    """Answer a request whole, and release it."""
    head, framing = response_heads.frame(head_of(status, []), found.request, STAMP, len(body))
    server.head(found.stream, head, ends=framing.left == 0)
    if framing.left:
        server.write(found.stream, framing.whole(body), ends=True)
    server.release(found.stream)


class Client:
    """h2 in the role of a browser, and the server that it talks to."""

    def __init__(self, server: Http2Connection | None = None, **settings: int) -> None:
        self.server = connection(opened=False) if server is None else server
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.now = SECOND
        self.h2.initiate_connection()

    def send(self, cut: Callable[[bytes], Iterable[bytes]] = lambda data: [data]) -> list[StreamEvent]:
        """Have the server read what h2 has to send."""
        found: list[StreamEvent] = []
        for piece in cut(self.h2.data_to_send()):
            found += self.server.feed(piece, self.now)
        return found

    def receive(self, most: int = 1 << 16) -> list[h2.events.Event]:
        """Have h2 read what the server has to send, all of it."""
        found: list[h2.events.Event] = []
        while data := self.server.output(most):
            found += self.h2.receive_data(data)
        return found


def told(events: list[StreamEvent]) -> list[tuple[object, ...]]:
    """Return events so that they can be compared; the pieces of a body as one."""
    made: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, StreamRequest):
            request = event.request
            made.append(
                ("request", event.stream, request.method, request.target, request.headers, request.ended)
            )
        elif isinstance(event, StreamData):
            if made and made[-1][:2] == ("data", event.stream):
                made[-1] = ("data", event.stream, made[-1][2] + event.data)  # type: ignore[operator]
            else:
                made.append(("data", event.stream, event.data))
        elif isinstance(event, StreamReset):
            made.append(("reset", event.stream, event.code))
        elif isinstance(event, StreamRefused):
            made.append(("refused", event.stream, event.error.status, event.is_open))
        else:
            made.append(("ended", event.stream))
    return made
