# HTTP/2 against hyperium's h2, which is the client of some tests and the other server of the rest: random
# requests in every cut arrive as they were meant, random frames mean the same or are the same error.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.http.h2.events import (
    StreamData,
    StreamEnded,
    StreamEvent,
    StreamRefused,
    StreamRequest,
    StreamReset,
)
from bigtop.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from bigtop.http.h2.limits import Http2Limits
from tests.http.h2.corpus import number, setting, window
from tests.http.h2.peers import (
    GET,
    POST,
    SECOND,
    Client,
    Pairs,
    answer,
    block,
    connection,
    frame,
    frames_of,
    told,
)

# ---- as a client

NAMES = st.sampled_from([b"accept", b"cookie", b"x-one", b"x-two", b"user-agent", b"priority", b"te-two"])
TEXT = st.binary(max_size=30).map(lambda text: bytes(byte % 94 + 33 for byte in text))
PATHS = st.sampled_from([b"/", b"/a/b?c=d", b"/%20", b"/" + b"long/" * 50])
BODIES = st.lists(st.integers(0, 20_000), max_size=3)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([b"GET", b"POST"]), PATHS, st.lists(st.tuples(NAMES, TEXT), max_size=6), BODIES
    ),
    min_size=1,
    max_size=4,
)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at, which = 0, 0
    while at < len(data):
        size = sizes[which % len(sizes)]
        yield data[at : at + size]
        at += size
        which += 1


def joined(fields: Pairs) -> Pairs:
    """Return fields with the crumbs of a cookie as one, at the place of the first."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    made: Pairs = []
    for name, value in fields:
        if name != b"cookie":
            made.append((name, value))
        elif crumbs:
            made.append((name, b"; ".join(crumbs)))
            crumbs = []
    return made


@settings(max_examples=80, deadline=None)
@given(
    requests=REQUESTS,
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
    padding=st.integers(0, 20),
)
def test_requests_arrive_as_they_were_meant(
    requests: list[tuple[bytes, bytes, Pairs, list[int]]], sizes: list[int], padding: int
) -> None:
    client = Client()
    found = client.send()
    client.receive()
    wanted: list[tuple[object, ...]] = []
    for n, (method, path, fields, body) in enumerate(requests):
        stream = 2 * n + 1
        pseudo = [
            (b":method", method),
            (b":path", path),
            (b":scheme", b"https"),
            (b":authority", b"a.example"),
        ]
        client.h2.send_headers(stream, [*pseudo, *fields], end_stream=not body)
        headers = [(b"host", b"a.example"), *joined(fields)]
        wanted.append(("request", stream, method.decode(), path, headers, not body))
        for at, size in enumerate(body):
            for begin in range(0, size, 10_000):
                client.h2.send_data(stream, bytes(min(10_000, size - begin)), pad_length=padding or None)
            if at == len(body) - 1:
                client.h2.end_stream(stream)
        if body:
            if sum(body):
                wanted.append(("data", stream, bytes(sum(body))))
            wanted.append(("ended", stream))
        for event in client.send(lambda data: cut(data, sizes)):
            found.append(event)
            if isinstance(event, StreamData):
                client.server.taken(event.stream, len(event.data))
        client.receive()
    assert told(found) == wanted
    assert client.server.error is None


@settings(max_examples=60, deadline=None)
@given(
    bodies=st.lists(st.integers(0, 70_000), min_size=1, max_size=5),
    most=st.integers(1, 50_000),
    initial=st.integers(2000, 70_000),
)
def test_answers_arrive_as_they_were_meant(bodies: list[int], most: int, initial: int) -> None:
    client = Client()
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: initial})
    wanted, got, ended = {}, {}, []
    for n, size in enumerate(bodies):
        client.h2.send_headers(2 * n + 1, GET, end_stream=True)
        wanted[2 * n + 1] = bytes(byte % 251 for byte in range(n, n + size))
    for event in client.send():
        if isinstance(event, StreamRequest):
            answer(client.server, event, wanted[event.stream])
    while events := client.receive(most):
        for found in events:
            if isinstance(found, h2.events.DataReceived):
                got[found.stream_id] = got.get(found.stream_id, b"") + found.data
                client.h2.acknowledge_received_data(found.flow_controlled_length, found.stream_id)
            elif isinstance(found, h2.events.StreamEnded):
                ended.append(found.stream_id)
        client.send()
    assert sorted(ended) == sorted(wanted)
    assert {stream: got.get(stream, b"") for stream in wanted} == wanted
    assert (client.server.error, client.server.has_output) == (None, False)


# ---- as another server

STREAMS = st.sampled_from([0, 1, 1, 1, 3, 3, 5, 2, 7])
PAYLOADS = st.binary(max_size=12)
UNRESERVED = PAYLOADS.map(
    lambda some: bytes([some[0] & 0x7F]) + some[1:] if some else b""
)  # h2 minds that bit
TRAILERS: Pairs = [(b"x", b"y")]
BLOCKS = st.sampled_from(
    [
        block(GET),
        block(GET),
        block(POST),
        block(TRAILERS),
        block([*GET, (b"x", b"\x40")]),
        b"\x82\x84\x87",
        b"\xbe",
    ]
)
FRAMES = st.one_of(
    st.tuples(st.sampled_from([4, 5, 5, 1, 0, 12, 13]), STREAMS, BLOCKS).map(
        lambda some: frame(HEADERS, some[0], some[1], (b"\0" if some[0] & PADDED else b"") + some[2])
    ),
    st.tuples(st.sampled_from([0, 0, END_STREAM, PADDED]), STREAMS, PAYLOADS).map(
        lambda some: frame(DATA, some[0], some[1], some[2])
    ),
    st.tuples(STREAMS, st.sampled_from([0, 1, 1000, (1 << 31) - 1])).map(lambda some: window(*some)),
    st.tuples(STREAMS).map(lambda some: frame(RST_STREAM, 0, some[0], number(8))),
    st.tuples(st.integers(1, 9), st.sampled_from([0, 1, 2, 16384, 1 << 24, 1 << 31])).map(
        lambda some: setting(*some)
    ),
    st.tuples(st.sampled_from([0, 1]), STREAMS).map(lambda some: frame(PING, some[0], some[1], b"12345678")),
    st.tuples(
        st.sampled_from(
            [PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, 0x55]
        ),
        st.sampled_from([0, 1, END_HEADERS]),
        STREAMS,
        UNRESERVED,
    ).map(lambda some: frame(*some)),
)


class Other:
    """h2 as a server. `events` are told as ours are; `code` is the error of the connection."""

    def __init__(self) -> None:
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self.h2.local_settings.initial_window_size = 262_144
        self.h2.initiate_connection()
        self.events: list[tuple[object, ...]] = []
        self.failed = False

    def feed(self, data: bytes) -> None:
        try:
            found = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.failed = True
            return
        for event in found:
            if isinstance(event, h2.events.RequestReceived):
                self.events.append(("request", event.stream_id))
            elif isinstance(event, h2.events.DataReceived) and event.data:
                self.events.append(("data", event.stream_id, event.data))
            elif isinstance(event, h2.events.StreamEnded):
                self.events.append(("ended", event.stream_id))
            elif isinstance(event, h2.events.StreamReset):
                self.events.append(("reset", event.stream_id))


def ours(events: Iterable[StreamEvent]) -> list[tuple[object, ...]]:
    made: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, StreamRequest):
            made.append(("request", event.stream))
            if event.request.ended:
                made.append(("ended", event.stream))
        elif isinstance(event, StreamData):
            made.append(("data", event.stream, event.data))
        elif isinstance(event, StreamEnded):
            made.append(("ended", event.stream))
        elif isinstance(event, StreamReset):
            made.append(("reset", event.stream))
        elif isinstance(event, StreamRefused):
            made.append(("refused", event.stream))
    return made


@settings(max_examples=300, deadline=None, derandomize=True)  # not ours alone is tried
@given(frames=st.lists(FRAMES, max_size=8))
def test_random_frames_mean_the_same_or_are_errors_of_both(frames: list[bytes]) -> None:
    """h2 ends the connection where we may end a stream; so its error is an end, or a reset, of ours. And we
    refuse more than it does: that is where the comparison ends."""
    server, other = connection(), Other()
    other.feed(PREFACE + frame(SETTINGS))
    for data in frames:
        before = len(other.events)
        other.feed(data)
        found = ours(server.feed(data, SECOND))
        sent = {kind for kind, *_ in frames_of(server.output(1 << 20))}
        if sent & {RST_STREAM, GOAWAY} or any(kind == "refused" for kind, *_ in found):
            return
        assert not other.failed
        assert found == other.events[before:]


@settings(max_examples=150, deadline=None)
@given(frames=st.lists(FRAMES, max_size=10), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_no_cut_changes_what_random_frames_mean(frames: list[bytes], sizes: list[int]) -> None:
    data = b"".join(frames)
    outcomes = []
    for pieces in ([data], list(cut(data, sizes)), [data[at : at + 1] for at in range(len(data))]):
        server = connection()
        events: list[StreamEvent] = []
        for piece in pieces:
            events += server.feed(piece, SECOND)
        error = None if server.error is None else (server.error.code, str(server.error))
        outcomes.append((told(events), error, server.output(1 << 20), server.phase))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), opened=st.booleans(), now=st.integers(0, 1 << 40))
def test_noise_is_an_error_or_nothing(data: bytes, opened: bool, now: int) -> None:
    server = connection(opened=opened)
    for event in server.feed(data, SECOND + now):
        if isinstance(event, StreamRequest):
            answer(server, event, b"hello")
    server.output(1 << 20)
    server.expire(SECOND + now)
    assert server.error is None or server.is_over


# A whole life: what an owner does and what a client does, in any order, leaves nothing behind.
STEPS = st.lists(
    st.one_of(
        FRAMES.map(lambda data: ("feed", data)),
        st.tuples(st.sampled_from(["head", "ends", "write", "last", "trailers", "reset", "release", "taken"]),
                  st.sampled_from([1, 3, 5])),
        st.sampled_from([("output", 1), ("output", 1 << 20), ("expire", 0), ("drain", 0)]),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_in_whatever_order_nothing_is_left(steps: list[tuple[str, object]]) -> None:
    server, now, calls = connection(h2=Http2Limits(streams=2)), SECOND, set[object]()
    head = block([(b":status", b"200")])
    acts: dict[str, Callable[[int], object]] = {
        "head": lambda n: server.head(n, head),
        "ends": lambda n: server.head(n, head, ends=True),
        "write": lambda n: server.write(n, b"x" * 30),
        "last": lambda n: server.write(n, b"x" * 30, ends=True),
        "trailers": lambda n: server.trailers(n, head),
        "reset": lambda n: server.reset(n, 8),
        "release": server.release,
        "taken": lambda n: server.taken(n, 7),
        "output": server.output,
        "drain": lambda _: server.drain(now),
    }
    for what, which in steps:
        now += SECOND // 3
        events: list[StreamEvent] = []
        if isinstance(which, bytes):
            events = server.feed(which, now)
        elif what == "expire":
            events = server.expire(now)
        elif isinstance(which, int):
            acts[what](which)
        if what == "release":
            calls.discard(which)
        for event in events:
            if isinstance(event, StreamRequest) or (isinstance(event, StreamRefused) and event.is_open):
                calls.add(event.stream)
    server.output(1 << 20)
    server.feed(frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + window(0, 1 << 30), now)
    for n in calls:
        assert isinstance(n, int)
        server.release(n)
    server.output(1 << 20)
    if server.error is None:
        assert server._requests.streams.open == {}
        assert not server.has_output
        assert server._requests.credit.left + server._requests.credit._owed == Http2Limits().window
