# What goes out of an HTTP/2 connection, and in which order: windows, priorities, turns, ends.

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.http.h2 import response_heads
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.error_codes import CANCEL, INTERNAL_ERROR, NO_ERROR
from bigtop.http.h2.events import StreamRequest
from bigtop.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY_UPDATE,
    RST_STREAM,
    WINDOW_UPDATE,
)
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.response_heads import field
from bigtop.http.h2.streams.backlog import Backlog
from bigtop.http.h2.streams.priority import Priority, read_priority
from tests.http.h2.corpus import data, number, rst, setting, window
from tests.http.h2.peers import GET, POST, SECOND, Client, connection, frame, frames_of, request, told

OK = field(b":status", b"200")
ALL = 1 << 24


def asked(*streams: tuple[int, bytes], opened: int = 0) -> Http2Connection:
    """Return a connection with a request for each stream, with that priority, b"" for none."""
    server = connection()
    for n, priority in streams:
        server.feed(request(n, more=[(b"priority", priority)] if priority else None), SECOND)
        server.head(n, OK)
    if opened:
        server.feed(window(0, opened) + b"".join(window(n, opened) for n, _ in streams), SECOND)
    server.output(ALL)
    return server


def turns(server: Http2Connection, most: int = ALL) -> list[tuple[int, int]]:
    """Return stream and size of each DATA frame."""
    return [(n, len(body)) for kind, _, n, body in frames_of(server.output(most)) if kind == DATA]


# ---- order


def test_control_frames_go_first_then_heads_then_bodies() -> None:
    server = asked((1, b""), (3, b""))
    server.write(1, b"one")
    server.head(3, OK)
    server.feed(frame(PING, 0, 0, b"12345678"), SECOND)
    assert [kind for kind, *_ in frames_of(server.output(ALL))] == [PING, HEADERS, DATA]


def test_streams_take_turns() -> None:
    server = asked((1, b""), (3, b"u=3, i"), opened=1 << 20)
    for n in (1, 3):
        server.write(n, bytes(40_000))
    assert turns(server) == [(1, 16384), (3, 16384), (1, 16384), (3, 16384), (1, 7232), (3, 7232)]


def test_what_is_urgent_goes_first() -> None:
    server = asked((1, b"u=5, i"), (3, b"u=1, i"), (5, b"u=0"), opened=1 << 20)
    for n in (1, 3, 5):
        server.write(n, bytes(20_000))
    assert [n for n, _ in turns(server)] == [5, 5, 3, 3, 1, 1]


def test_what_is_not_incremental_goes_one_after_the_other() -> None:
    server = asked((1, b"u=3"), (3, b"u=3"), opened=1 << 20)
    for n in (1, 3):
        server.write(n, bytes(20_000))
    assert [n for n, _ in turns(server)] == [1, 1, 3, 3]


def test_a_priority_can_change() -> None:
    server = asked((1, b""), (3, b""), opened=1 << 20)
    for n in (1, 3):
        server.write(n, bytes(20_000))
    server.feed(frame(PRIORITY_UPDATE, 0, 0, number(3) + b"u=0"), SECOND)
    assert [n for n, _ in turns(server)] == [3, 3, 1, 1]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"", Priority(3, False)),
        (b"u=0", Priority(0, False)),
        (b"u=7, i", Priority(7, True)),
        (b"i, u=2", Priority(2, True)),
        (b"u=5;x=y,i=?1", Priority(5, True)),
        (b"i=?0", Priority(3, False)),
        (b"u=8", Priority(3, False)),
        (b"u=-1, z, \xff, i", Priority(3, True)),
    ],
)
def test_priorities_are_read(text: bytes, wanted: Priority) -> None:
    assert read_priority(text) == wanted


# ---- windows


def test_no_more_goes_out_than_the_window_of_a_stream() -> None:
    server = connection()
    server.feed(setting(4, 10) + request(1), SECOND)
    server.head(1, OK)
    server.write(1, b"a" * 25, ends=True)
    assert turns(server) == [(1, 10)]
    assert (server.has_output, server.waiting(1)) == (False, 15)
    server.feed(window(1, 3), SECOND)
    assert server.has_output
    assert turns(server) == [(1, 3)]
    server.feed(window(1, 100), SECOND)
    assert list(frames_of(server.output(ALL))) == [(DATA, END_STREAM, 1, b"a" * 12)]


def test_no_more_goes_out_than_the_window_of_the_connection() -> None:
    server = asked((1, b""), (3, b""))
    for n in (1, 3):
        server.write(n, bytes(60_000))
    assert sum(size for _, size in turns(server)) == 65535
    assert not server.has_output
    server.feed(window(0, 1000), SECOND)
    assert sum(size for _, size in turns(server)) == 1000


def test_a_shut_window_holds_up_no_other_stream() -> None:
    server = asked((1, b"u=0"), (3, b""), opened=1 << 20)
    server.feed(setting(4, 0) + window(0, 1), SECOND)  # both are shut by as much as they were first open
    server.write(1, bytes((1 << 20) + 100))
    server.write(3, b"hello")
    assert (3, 5) in turns(server)
    assert server.waiting(1) == 100


def test_settings_change_the_windows_of_streams_below_nothing() -> None:
    server = connection()
    server.feed(setting(4, 3) + request(1), SECOND)
    server.head(1, OK)
    server.write(1, b"abcdef")
    assert turns(server) == [(1, 3)]
    server.feed(setting(4, 1), SECOND)  # -2 now
    server.feed(window(1, 2), SECOND)
    assert turns(server) == []
    server.feed(window(1, 1), SECOND)
    assert turns(server) == [(1, 1)]
    server.feed(setting(4, 2), SECOND)
    assert turns(server) == [(1, 1)]


def test_a_window_that_shuts_while_a_stream_waits_for_its_turn() -> None:
    server = asked((1, b""), (3, b""))
    for n in (1, 3):
        server.write(n, b"hello")
    server.feed(setting(4, 0), SECOND)
    assert not server.has_output or turns(server) == []
    server.feed(window(3, 2), SECOND)
    assert turns(server) == [(3, 2)]
    assert (server.waiting(1), server.waiting(3)) == (5, 3)


def test_the_end_of_a_body_needs_no_window() -> None:
    server = connection()
    server.feed(setting(4, 2) + request(1), SECOND)
    server.head(1, OK)
    server.write(1, b"ab")
    server.output(ALL)
    server.write(1, b"", ends=True)
    assert list(frames_of(server.output(ALL))) == [(DATA, END_STREAM, 1, b"")]


def test_output_is_given_out_in_portions() -> None:
    server = asked((1, b""), opened=1 << 20)
    server.write(1, bytes(100_000))
    sizes = []
    while found := server.output(20_000):
        sizes.append(len(found))
    assert sizes == [2 * (16384 + 9)] * 3 + [100_000 - 6 * 16384 + 9]


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 40), max_size=8),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=20),
    at=st.integers(0, 5),
)
def test_a_backlog_gives_what_was_put(pieces: list[int], cuts: list[int], at: int) -> None:
    backlog, put, got = Backlog(), b"", b""
    for n, size in enumerate(pieces):
        piece = bytes((len(put) + each) % 251 for each in range(size))
        backlog.put(piece)
        put += piece
        if n == at and backlog.size > 3:
            got += backlog.cut(3)
    for size in cuts:
        size = min(size, backlog.size)
        if size:
            got += backlog.cut(size)
    assert put.startswith(got)
    assert backlog.size == len(put) - len(got)


# ---- room for files


def test_room_is_what_would_go_out_now() -> None:
    server = connection()
    server.feed(setting(4, 1000) + request(1), SECOND)
    server.head(1, OK)
    assert server.room(1) == 1000
    server.write(1, bytes(400))
    assert server.room(1) == 600
    server.write(1, bytes(600))
    assert server.room(1) == 0
    server.output(ALL)
    assert server.room(1) == 0
    server.feed(window(1, 1 << 20) + window(0, 1 << 20), SECOND)
    assert server.room(1) == 65536
    assert server.room(99) == 0


def test_there_is_no_room_beside_what_goes_first() -> None:
    server = asked((1, b"u=0"), (3, b"u=3"), (5, b"u=7"))
    server.write(1, bytes(60_000))
    server.write(5, bytes(60_000))
    assert server.room(3) == 65535 - 60_000


def test_a_stream_that_waits_for_its_own_window_takes_no_room() -> None:
    server = connection()
    server.feed(setting(4, 0) + request(1) + setting(4, 100) + request(3) + setting(4, 0), SECOND)
    server.feed(window(3, 100), SECOND)
    for n in (1, 3):
        server.head(n, OK)
    server.write(1, bytes(50_000))
    assert server.room(3) == 100


# ---- heads


def test_a_long_head_goes_on_in_continuation() -> None:
    server = asked()
    server.feed(request(1), SECOND)
    server.head(1, OK + field(b"x", b"y" * 40_000), ends=True)
    found = [(kind, flags, len(payload)) for kind, flags, _, payload in frames_of(server.output(ALL))]
    assert [part[:2] for part in found] == [
        (HEADERS, END_STREAM),
        (CONTINUATION, 0),
        (CONTINUATION, END_HEADERS),
    ]
    assert max(size for *_, size in found) == 16384


def test_early_hints_and_trailers_arrive() -> None:
    client = Client()
    client.h2.send_headers(1, GET, end_stream=True)
    (event,) = client.send()
    assert isinstance(event, StreamRequest)
    server = client.server
    server.interim(1, response_heads.CONTINUE)
    server.interim(1, response_heads.early_hints([("Link", "</a.css>; rel=preload")]))
    server.head(1, OK)
    server.write(1, b"body")
    server.trailers(1, response_heads.trailers([("Grpc-Status", "0"), ("Connection", "close")]))
    kinds = [type(found).__name__ for found in client.receive()]
    wanted = ["InformationalResponseReceived"] * 2 + ["ResponseReceived", "DataReceived", "TrailersReceived"]
    assert [kind for kind in kinds if kind in wanted] == wanted
    assert kinds[-1] == "StreamEnded"


def test_nobody_is_asked_to_go_on_when_the_answer_has_begun() -> None:
    server = asked((1, b""))
    server.output(ALL)
    server.interim(1, response_heads.CONTINUE)
    assert not server.has_output


@pytest.mark.parametrize("waits", [True, False])
def test_trailers_go_behind_the_body(waits: bool) -> None:
    server = asked((1, b""))
    server.write(1, b"body")
    if not waits:
        server.output(ALL)
    server.trailers(1, field(b"x", b"y"))
    found = list(frames_of(server.output(ALL)))
    assert [(kind, flags) for kind, flags, *_ in found][-1] == (HEADERS, END_HEADERS | END_STREAM)
    assert [kind for kind, *_ in found] == ([DATA, HEADERS] if waits else [HEADERS])


# ---- ends


@pytest.mark.parametrize("ends", [True, False])
def test_a_websocket_that_was_answered_to_its_end_is_over_for_the_client_too(ends: bool) -> None:
    server = connection(websockets=True)
    connect = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
    server.feed(request(1, connect, ends=False), SECOND)
    server.head(1, OK, ends=True)
    server.output(ALL)
    if ends:
        server.feed(frame(DATA, END_STREAM, 1), SECOND)
    server.release(1)
    found = [(kind, payload) for kind, _, _, payload in frames_of(server.output(ALL))]
    assert found == ([] if ends else [(RST_STREAM, NO_ERROR.to_bytes(4, "big"))])


def test_an_answer_before_the_end_of_the_request() -> None:
    server = connection()
    server.feed(request(1, POST, ends=False), SECOND)
    server.head(1, OK)
    server.write(1, b"no", ends=True)
    server.release(1)
    found = list(frames_of(server.output(ALL)))
    assert [kind for kind, *_ in found] == [HEADERS, DATA, RST_STREAM]
    assert found[-1][3] == number(NO_ERROR)
    assert (
        told(server.feed(data(1, b"late") + request(1, [(b"x", b"y")]) + window(1, 1) + rst(1), SECOND)) == []
    )
    assert (server.error, server.output(ALL)) == (None, b"")


def test_an_answer_without_an_end_is_reset() -> None:
    server = asked((1, b""))
    server.write(1, b"half")
    server.release(1)
    assert list(frames_of(server.output(ALL))) == [(RST_STREAM, 0, 1, number(INTERNAL_ERROR))]


def test_what_was_written_goes_out_behind_release() -> None:
    server = connection(h2=Http2Limits(streams=1))
    server.feed(setting(4, 3) + request(1), SECOND)
    server.head(1, OK)
    server.write(1, b"abcdef", ends=True)
    server.release(1)
    assert turns(server) == [(1, 3)]
    assert told(server.feed(request(3), SECOND)) == []  # the place is taken
    server.feed(window(1, 3), SECOND)
    assert turns(server) == [(1, 3)]
    assert [event[0] for event in told(server.feed(request(5), SECOND))] == ["request"]


def test_nothing_goes_out_of_a_stream_that_was_reset() -> None:
    server = asked((1, b""), (3, b""))
    for n in (1, 3):
        server.head(n, OK)
        server.write(n, b"body")
    server.reset(1, CANCEL)
    server.feed(rst(3), SECOND)
    assert list(frames_of(server.output(ALL))) == [(RST_STREAM, 0, 1, number(CANCEL))]
    for n in (1, 3, 99):
        server.head(n, OK)
        server.write(n, b"more", ends=True)
        server.trailers(n, OK)
        server.taken(n, 1)
        server.reset(n, CANCEL)
        server.release(n)
        assert (server.waiting(n), server.room(n)) == (0, 0)
    assert server.output(ALL) == b""


def test_nothing_goes_out_behind_the_end() -> None:
    server = asked((1, b""))
    server.write(1, b"all", ends=True)
    server.write(1, b"more")
    server.trailers(1, OK)
    server.head(1, OK)
    assert list(frames_of(server.output(ALL))) == [(DATA, END_STREAM, 1, b"all")]


# ---- credit


def test_credit_is_given_back_when_half_a_window_was_taken() -> None:
    server = connection(h2=Http2Limits(stream_window=80_000, window=120_000))
    server.feed(request(1, POST, ends=False), SECOND)
    server.feed(b"".join(data(1, bytes(13_000)) for _ in range(5)), SECOND)
    server.taken(1, 39_999)
    assert server.output(ALL) == b""
    server.taken(1, 1)
    assert server.output(ALL) == window(1, 40_000)
    server.taken(1, 1 << 30)  # no more than there is
    assert server.output(ALL) == window(0, 65_000)


def test_credit_for_what_nobody_took_comes_back_when_the_call_is_over() -> None:
    server = connection(h2=Http2Limits(stream_window=80_000, window=80_000))
    server.feed(setting(4, 0) + request(1, POST, ends=False), SECOND)
    server.feed(b"".join(data(1, bytes(13_000)) for _ in range(5)), SECOND)
    server.head(1, OK)
    server.write(1, b"waits for the window", ends=True)
    server.output(ALL)
    server.release(1)
    assert server.output(ALL) == window(0, 65_000)


def test_no_credit_for_a_body_that_is_all_here() -> None:
    server = connection(h2=Http2Limits(stream_window=80_000))
    server.feed(request(1, POST, ends=False, more=[(b"content-length", b"65000")]), SECOND)
    server.feed(b"".join(data(1, bytes(13_000)) for _ in range(5)), SECOND)
    server.taken(1, 65_000)
    assert server.output(ALL) == b""


def test_the_credit_of_all_streams_comes_back_whatever_becomes_of_them() -> None:
    server = connection(h2=Http2Limits(stream_window=80_000, window=100_000, resets=10_000))
    given = 100_000
    for n in range(1, 200, 2):
        pieces = b"".join(data(n, b"\x05" + bytes(10_000) + bytes(5), 8) for _ in range(3))
        given -= 3 * 10_006
        assert given >= 0
        ends = [b"", rst(n), data(n, b"", 1), window(n, 0), request(n, [(b"x", b"y")])][n % 5]
        server.feed(request(n, POST, ends=False) + pieces + ends, SECOND)
        if n % 3:
            server.taken(n, 12_345)
        server.release(n)
        for kind, _, stream, payload in frames_of(server.output(ALL)):
            if kind == WINDOW_UPDATE and stream == 0:
                given += int.from_bytes(payload, "big")
        assert server.error is None
    assert given >= 50_000


def test_frames_of_a_client_are_followed_by_what_they_ask_for() -> None:
    """Each pair of portions is as long as asked, whatever there is."""
    server = asked((1, b""), (3, b""), opened=1 << 20)
    for n in (1, 3):
        server.write(n, bytes(200_000), ends=True)
    sizes = []
    while found := server.output(50_000):
        sizes.append(len(found))
    assert all(first == second for first, second in list(pairwise(sizes))[:-1])
