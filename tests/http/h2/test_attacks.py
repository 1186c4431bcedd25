# Attacks on HTTP/2, each by itself: what a client may do so often and no more, and what we hold meanwhile.

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from bigtop.errors import ProtocolError
from bigtop.http.engine import Phase
from bigtop.http.h2 import request_fields, request_heads
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.error_codes import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    NO_ERROR,
    REFUSED_STREAM,
)
from bigtop.http.h2.events import StreamData, StreamEvent, StreamRefused, StreamRequest, StreamReset
from bigtop.http.h2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    RST_STREAM,
    SETTINGS,
)
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.response_heads import field
from bigtop.http.limits import Limits
from bigtop.http.memo import KEPT
from tests.http.h2.corpus import data, number, rst, setting, window
from tests.http.h2.peers import GET, POST, SECOND, answer, block, connection, frame, frames_of, request, told

Attack = Callable[[int], bytes]


def code_of(server: Http2Connection) -> int | None:
    return None if server.error is None else server.error.code


def until_it_ends(server: Http2Connection) -> Iterator[int]:
    """Yield numbers of streams until the connection has an error, or it is clear that it will have none."""
    for n in range(1, 5000, 2):
        yield n
        if server.error is not None:
            return


# ---- resets


def rapid_reset(n: int) -> bytes:
    return request(n) + rst(n)


def made_you_reset_by_window(n: int) -> bytes:
    return request(n, POST, ends=False) + window(n, 0)


def made_you_reset_by_overflow(n: int) -> bytes:
    return request(n, POST, ends=False) + window(n, (1 << 31) - 1)


def made_you_reset_by_length(n: int) -> bytes:
    return request(n, POST, ends=False, more=[(b"content-length", b"1")]) + data(n, b"ab")


def made_you_reset_behind_the_end(n: int) -> bytes:
    return request(n) + data(n, b"x")


def made_you_reset_by_a_second_head(n: int) -> bytes:
    return request(n) + request(n)


def made_you_reset_by_a_head(n: int) -> bytes:
    return request(n, [*GET, (b"Upper", b"case")])


RESETS = [
    rapid_reset,
    made_you_reset_by_window,
    made_you_reset_by_overflow,
    made_you_reset_by_length,
    made_you_reset_behind_the_end,
    made_you_reset_by_a_second_head,
    made_you_reset_by_a_head,
]


@pytest.mark.parametrize("attack", RESETS)
def test_resets_of_both_sides_are_counted(attack: Attack) -> None:
    server = connection()
    for n in until_it_ends(server):
        for event in server.feed(attack(n), SECOND):
            if isinstance(event, StreamRequest):
                server.release(n)
        server.output(1 << 20)
    assert (n, code_of(server)) == (2 * 200 + 1, ENHANCE_YOUR_CALM)


def test_resets_are_earned_again_with_time() -> None:
    server, now = connection(), SECOND
    for n in range(1, 2000, 2):
        now += SECOND // 20
        server.feed(rapid_reset(n), now)
        server.release(n)
        server.output(1 << 20)
    assert server.error is None


def test_streams_beyond_the_limit_are_refused_and_counted() -> None:
    server = connection(h2=Http2Limits(streams=3, resets=10))
    server.feed(b"".join(request(n) for n in (1, 3, 5)), SECOND)
    for n in range(7, 27, 2):
        assert server.feed(request(n), SECOND) == []
    assert server.output(1 << 16) == b"".join(rst(n, REFUSED_STREAM) for n in range(7, 27, 2))
    server.feed(request(27), SECOND)
    assert code_of(server) == ENHANCE_YOUR_CALM


def test_a_stream_that_was_reset_counts_until_its_call_is_over() -> None:
    server = connection(h2=Http2Limits(streams=2))
    server.feed(rapid_reset(1) + rapid_reset(3), SECOND)
    assert told(server.feed(request(5), SECOND)) == []
    assert rst(5, REFUSED_STREAM) in server.output(1 << 16)
    server.release(1)
    assert [event[:2] for event in told(server.feed(request(7), SECOND))] == [("request", 7)]


# ---- frames that bring nothing


def ping(_n: int) -> bytes:
    return frame(PING, 0, 0, b"12345678")


def ping_answer(_n: int) -> bytes:
    return frame(PING, 1, 0, b"12345678")


def empty_settings(_n: int) -> bytes:
    return frame(SETTINGS)


def settings_that_swing(n: int) -> bytes:
    return setting(4, n)


def priority(n: int) -> bytes:
    return frame(PRIORITY, 0, n, number(0) + b"\0")


def priority_update(n: int) -> bytes:
    return frame(PRIORITY_UPDATE, 0, 0, number(n) + b"u=1")


def unknown(_n: int) -> bytes:
    return frame(0x77)


def goaway(_n: int) -> bytes:
    return frame(GOAWAY, 0, 0, number(0) * 2)


def useless_window(_n: int) -> bytes:
    return window(0, 1)


def window_of_a_stream_that_is_over(_n: int) -> bytes:
    return window(1, 1)


def empty_data(_n: int) -> bytes:
    return data(3)


def padded_empty_data(_n: int) -> bytes:
    return data(3, b"\x01\0", 8)


def reset_again(_n: int) -> bytes:
    return rst(1)


def empty_data_of_a_stream_that_we_ended(_n: int) -> bytes:
    return data(5)


NOTHING = [
    *(ping, ping_answer, empty_settings, settings_that_swing, priority, priority_update, unknown, goaway),
    *(useless_window, window_of_a_stream_that_is_over, empty_data, padded_empty_data, reset_again),
    empty_data_of_a_stream_that_we_ended,
]


@pytest.mark.parametrize("attack", NOTHING)
def test_frames_that_bring_nothing_are_counted(attack: Attack) -> None:
    server = connection()
    begin = request(1) + request(3, POST, ends=False) + request(5, POST, ends=False)
    for event in server.feed(begin, SECOND):
        if isinstance(event, StreamRequest) and event.stream != 3:
            answer(server, event)
    server.output(1 << 16)
    for n in until_it_ends(server):
        server.feed(attack(n), SECOND)
        server.output(1 << 16)
    assert code_of(server) == ENHANCE_YOUR_CALM
    assert 990 <= n // 2 <= 1000 + 16 + 4  # some WINDOW_UPDATEs are free


@pytest.mark.parametrize("attack", NOTHING)
def test_a_few_of_them_are_nothing_bad(attack: Attack) -> None:
    server, now = connection(), SECOND
    begin = request(1) + request(3, POST, ends=False) + request(5, POST, ends=False)
    for event in server.feed(begin, SECOND):
        if isinstance(event, StreamRequest) and event.stream != 3:
            answer(server, event)
    for n in range(1, 4000, 2):
        now += SECOND // 90
        server.feed(attack(n), now)
        server.output(1 << 16)
    assert server.error is None


def tiny(server: Http2Connection, pieces: int, piece: bytes, now: int = SECOND) -> None:
    """Have a body come in so many pieces, as it is taken."""
    for _ in range(pieces):
        server.feed(data(1, piece), now)
        server.taken(1, len(piece))
        server.output(1 << 16)


def test_bodies_by_the_byte_are_counted() -> None:
    server = connection()
    server.feed(request(1, POST, ends=False), SECOND)
    tiny(server, 10_000, b"x")
    assert server.error is None
    tiny(server, 1, b"x" * 64)
    assert server.error is None
    tiny(server, 1, b"x" * 63)
    assert code_of(server) == ENHANCE_YOUR_CALM


def test_padding_makes_a_piece_no_larger() -> None:
    server = connection(h2=Http2Limits(small_data=1))
    server.feed(request(1, POST, ends=False) + data(1, b"\x80x" + bytes(128), PADDED), SECOND)
    assert server.error is None
    server.feed(data(1, b"\x80x" + bytes(128), PADDED), SECOND)
    assert code_of(server) == ENHANCE_YOUR_CALM


def test_small_pieces_now_and_then_and_at_the_end_of_bodies_are_free() -> None:
    server, now = connection(h2=Http2Limits(small_data=10)), SECOND
    server.feed(request(1, POST, ends=False), SECOND)
    for _ in range(200):
        now += SECOND
        tiny(server, 1, b"x", now)
    for n in range(3, 103, 2):
        server.feed(request(n, POST, ends=False) + data(n, b"x", END_STREAM), now)
        server.release(n)
        server.output(1 << 16)
    assert server.error is None


def test_messages_of_websockets_are_small() -> None:
    pairs = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")]
    server = connection(h2=Http2Limits(small_data=10), websockets=True)
    assert server.feed(request(1, pairs, ends=False), SECOND)
    tiny(server, 100, b"x")
    assert server.error is None


# ---- other clients wait


@pytest.mark.parametrize(
    ("one", "at_once"), [(ping(1), 16), (data(1, b"x"), 16), (request(1), 2), (data(1), 16)]
)
def test_no_more_is_looked_at_at_once_than_was_asked_for(one: bytes, at_once: int) -> None:
    server = connection()
    server.feed(request(1, POST, ends=False), SECOND)
    looks, before = 0, len(one) * 50
    server.feed(one * 50, SECOND, 16)
    while server.has_more:
        left = len(server._receiver._rest)
        assert before - left == at_once * len(one)
        before = left
        server.feed(b"", SECOND, 16)
        looks += 1
    assert looks == (50 - 1) // at_once


def test_what_is_given_up_at_once_is_never_begun() -> None:
    server = connection()
    found = server.feed(b"".join(rapid_reset(n) for n in range(1, 100, 2)), SECOND, 16)
    assert server.has_more
    assert [event[0] for event in told(found)] == ["request", "reset"] * 2


def test_what_is_left_of_a_connection_that_failed_is_dropped() -> None:
    server = connection()
    server.feed(data(0, b"x") + ping(1) * 50, SECOND, 1)
    assert server.error is not None
    assert not server.has_more


def test_credit_for_what_was_sent_is_free() -> None:
    server = connection()
    (event,) = server.feed(request(1) + window(1, 1 << 30) + window(0, 1 << 30), SECOND)
    assert isinstance(event, StreamRequest)
    server.head(1, field(b":status", b"200"))
    for _ in range(3000):
        server.write(1, bytes(16384))
        server.output(1 << 20)
        server.feed(window(1, 16384) + window(0, 16384), SECOND)
    assert server.error is None


def test_a_window_that_opens_by_a_byte_is_not() -> None:
    """CVE-2019-9511: each byte of credit is a frame of a byte to us."""
    server = connection()
    server.feed(setting(4, 0) + request(1), SECOND)
    server.head(1, field(b":status", b"200"))
    server.write(1, bytes(5000))
    sent = 0
    for _ in until_it_ends(server):
        server.feed(window(1, 1), SECOND)
        sent += len(server.output(1 << 16)) > 9
    assert code_of(server) == ENHANCE_YOUR_CALM
    assert sent < 1030


def test_answers_to_control_frames_that_nobody_reads() -> None:
    server, now, fed = connection(h2=Http2Limits(unsent=2000)), SECOND, 0
    while not server.is_choked and fed < 1000:
        now += SECOND
        server.feed(frame(PING, 0, 0, b"12345678"), now)
        fed += 1
    assert fed == 2000 // 17 + 1
    assert len(server.output(1)) == fed * 17
    assert not server.is_choked


# ---- heads


def test_a_head_in_too_many_frames() -> None:
    server = connection()
    server.feed(frame(HEADERS, END_STREAM, 1, block(GET)), SECOND)
    for _ in range(15):
        server.feed(frame(CONTINUATION, 0, 1), SECOND)
        assert server.phase is Phase.HEAD
    server.feed(frame(CONTINUATION, 0, 1), SECOND)
    assert code_of(server) == ENHANCE_YOUR_CALM


def test_a_head_that_is_too_long_before_it_is_decoded() -> None:
    server = connection(Limits(head=20000))
    server.feed(frame(HEADERS, END_STREAM, 1, block(GET)), SECOND)
    server.feed(frame(CONTINUATION, 0, 1, bytes(16384)), SECOND)
    assert server.error is None
    server.feed(frame(CONTINUATION, 0, 1, bytes(16384)), SECOND)
    assert code_of(server) == ENHANCE_YOUR_CALM


def refused(events: list[StreamEvent]) -> ProtocolError:
    (event,) = events
    assert isinstance(event, StreamRefused)
    assert event.is_open
    return event.error


def bomb(n: int, times: int) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, n, block(GET) + b"\xbe" * times)


def test_a_bomb_of_indexes() -> None:
    server = connection()
    head = block(GET) + b"\x40\x01a\x7f\x81\x1e" + b"x" * (0x7F + 1 + 0x1E * 128)
    server.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, head), SECOND)
    server.release(1)
    server.output(1 << 16)
    tracemalloc.start()
    error = refused(server.feed(bomb(3, 16000), SECOND))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (error.status, str(error).partition(" bytes")[0]) == (
        431,
        "the header fields are longer than 65536",
    )
    assert peak < 100_000
    # The table is still the same on both sides.
    assert [event[:2] for event in told(server.feed(bomb(5, 2), SECOND))] == [("request", 5)]


def test_a_bomb_that_is_sent_again_and_again() -> None:
    """Each of them is answered; what is read of it costs no more than what it is on the wire."""
    server = connection()
    head = block(GET) + b"\x40\x01a\x01b"
    server.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, head), SECOND)
    for n in range(3, 100, 2):
        assert refused(server.feed(bomb(n, 16000), SECOND)).status == 431
        server.release(n)
        server.output(1 << 16)


def test_fields_are_counted_while_they_are_decoded() -> None:
    server = connection(Limits(fields=10))
    many = [(b"x%d" % n, b"y") for n in range(9)]
    assert [event[0] for event in told(server.feed(request(1, more=many), SECOND))] == ["request"]
    for more in ([(b"z", b"z")], [(b"z", b"z")] * 500):
        assert (
            refused(server.feed(request(server._requests.streams.last + 2, more=many + more), SECOND)).status
            == 431
        )


def test_crumbs_of_cookies_are_one_field_and_all_of_their_bytes() -> None:
    server = connection(Limits(fields=10))
    crumbs = [(b"cookie", b"a%d=1" % n) for n in range(200)]
    (event,) = server.feed(request(1, more=crumbs), SECOND)
    assert isinstance(event, StreamRequest)
    assert event.request.headers[1] == (b"cookie", b"; ".join(value for _, value in crumbs))
    error = refused(server.feed(request(3, more=[(b"cookie", b"a=1")] * 1600), SECOND))
    assert (error.status, "longer than 65536 bytes" in str(error)) == (431, True)


def test_empty_crumbs_count_too() -> None:
    """Envoy's bomb (CVE-2026-47774): each is a byte on the wire, and 32 to us."""
    server = connection()
    head = block(GET) + b"\x60\x00"
    server.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, head), SECOND)
    assert refused(server.feed(bomb(3, 10000), SECOND)).status == 431


def test_a_field_and_a_path_that_are_too_long() -> None:
    server = connection(Limits(field_size=100, request_line=50))
    assert refused(server.feed(request(1, more=[(b"x", b"y" * 98)]), SECOND)).status == 431
    assert refused(server.feed(request(3, more=[(b"cookie", b"y" * 60)] * 2), SECOND)).status == 431
    path = [(b":path", b"/" + b"x" * 37)]
    pairs = [pair for pair in GET if pair[0] != b":path"]
    assert refused(server.feed(request(5, pairs, more=path), SECOND)).status == 414
    assert told(server.feed(request(7, pairs, more=[(b":path", path[0][1][:-1])]), SECOND))[0][0] == "request"


def test_tables_of_strangers_take_little_memory() -> None:
    def attack() -> None:
        for n in range(100):
            server = connection()
            fields = []
            for each in range(40):
                name = b"%d-%d" % (n, each)
                fields.append(b"\x40" + bytes([len(name)]) + name + b"\x20" + b"v" * 32)
            server.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET) + b"".join(fields)), SECOND)

    request_heads._blocks.clear()
    request_fields._known.clear()
    tracemalloc.start()
    attack()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(request_heads._blocks) == 100
    assert size / 100 * KEPT < 8 << 20


# ---- bodies and answers that are held


def test_a_body_of_unknown_length_that_is_too_long() -> None:
    server = connection(Limits(body=1000))
    events = server.feed(request(1, POST, ends=False) + data(1, bytes(600)) + data(1, bytes(600)), SECOND)
    assert [event[0] for event in told(events)] == ["request", "data", "refused"]
    assert refused(events[-1:]).status == 413
    assert told(server.feed(data(1, bytes(600)), SECOND)) == []


def test_a_body_whose_length_is_too_long() -> None:
    server = connection(Limits(body=1000))
    more = [(b"content-length", b"1001")]
    assert refused(server.feed(request(1, POST, ends=False, more=more), SECOND)).status == 413


def test_no_more_is_held_than_the_windows_allow() -> None:
    server = connection(h2=Http2Limits(stream_window=65535, window=100_000))
    server.feed(request(1, POST, ends=False) + request(3, POST, ends=False), SECOND)
    for _ in range(3):
        server.feed(data(1, bytes(16384)), SECOND)
    assert told(server.feed(data(1, bytes(16384)), SECOND)) == [("reset", 1, FLOW_CONTROL_ERROR)]
    for _ in range(7):
        server.feed(data(3, bytes(15000)), SECOND)
        if server.error is not None:
            break
    assert code_of(server) in (None, FLOW_CONTROL_ERROR)
    other = connection(h2=Http2Limits(stream_window=65535, window=65535))
    other.feed(request(1, POST, ends=False) + request(3, POST, ends=False), SECOND)
    for n in (1, 3, 1, 3):
        other.feed(data(n, bytes(16384)), SECOND)
    assert code_of(other) == FLOW_CONTROL_ERROR


def stalled(server: Http2Connection, until: int) -> tuple[int, list[StreamEvent]]:
    """Look at a connection once a second; return when something happened, and what."""
    for second in range(2, until):
        events = server.expire(second * SECOND)
        if events or server.error is not None:
            return second, events
    return until, []


def test_a_stream_whose_window_stays_shut_is_reset() -> None:
    server = connection(Limits(send_timeout=60, send_rate=0))
    server.feed(setting(4, 0) + request(1) + request(3), SECOND)
    for n in (1, 3):
        server.head(n, field(b":status", b"200"))
        server.write(n, b"hello", ends=True)
    server.release(3)  # nobody else looks at that one any more
    second, events = stalled(server, 100)
    assert 60 <= second <= 64
    assert told(events) == [("reset", 1, CANCEL)]
    sent = list(frames_of(server.output(1 << 16)))
    assert [stream for kind, _, stream, _ in sent if kind == RST_STREAM] == [1, 3]
    assert server.error is None


def test_a_stream_that_drips_is_reset() -> None:
    server = connection(Limits(send_rate=240))
    server.feed(setting(4, 0) + request(1), SECOND)
    server.head(1, field(b":status", b"200"))
    server.write(1, bytes(10_000))
    for second in range(2, 100):
        if events := server.expire(second * SECOND):
            break
        server.feed(window(1, 50), second * SECOND)
        server.output(1 << 16)
    assert told(events) == [("reset", 1, CANCEL)]
    assert 6 <= second <= 12


def test_a_connection_whose_window_stays_shut_ends() -> None:
    server = connection(Limits(send_timeout=60, send_rate=0))
    server.feed(request(1) + request(3), SECOND)
    for n in (1, 3):
        server.head(n, field(b":status", b"200"))
        server.write(n, bytes(60_000), ends=True)
    server.output(1 << 20)
    second, events = stalled(server, 100)
    assert 60 <= second <= 64
    assert code_of(server) == NO_ERROR
    assert [event[:2] for event in told(events)] in ([("reset", 3)], [("reset", 1), ("reset", 3)])
    assert server.is_over


def test_who_takes_what_it_gets_is_not_slow() -> None:
    server = connection()
    server.feed(request(1), SECOND)
    server.head(1, field(b":status", b"200"))
    for second in range(2, 200):
        server.write(1, bytes(60_000))
        server.output(1 << 20)
        server.feed(window(1, 60_000) + window(0, 60_000), second * SECOND)
        server.output(1 << 20)
        assert server.expire(second * SECOND) == []
    assert server.error is None


def test_who_waits_for_the_application_is_not_slow() -> None:
    server = connection()
    server.feed(request(1) + request(3, POST, ends=False) + data(3, b"x", END_STREAM), SECOND)
    assert stalled(server, 400) == (400, [])


def test_a_body_that_does_not_come() -> None:
    server = connection(Limits(body_timeout=60, body_rate=0))
    server.feed(request(1, POST, ends=False) + data(1, b"x"), SECOND)
    second, events = stalled(server, 100)
    assert 60 <= second <= 64
    assert refused(events).status == 408


def test_a_body_that_drips() -> None:
    server = connection()
    server.feed(request(1, POST, ends=False), SECOND)
    for second in range(2, 100):
        if events := server.expire(second * SECOND):
            break
        server.feed(data(1, bytes(10)), second * SECOND)
    assert refused(events).status == 408
    assert 6 <= second <= 10


def test_an_answer_that_began_is_not_timed_by_the_body() -> None:
    server = connection()
    server.feed(request(1, POST, ends=False), SECOND)
    server.head(1, field(b":status", b"200"))
    assert stalled(server, 200) == (200, [])


def test_kept_events_are_those_of_the_last_bytes() -> None:
    server = connection()
    assert [type(event) for event in server.feed(request(1, POST, ends=False) + data(1, b"x"), SECOND)] == [
        StreamRequest,
        StreamData,
    ]
    assert [type(event) for event in server.feed(rst(1), SECOND)] == [StreamReset]
    assert server.feed(b"", SECOND) == []


def test_memory_of_an_idle_connection() -> None:
    kept = []
    tracemalloc.start()
    for _ in range(200):
        server = connection()
        (event,) = server.feed(request(1), SECOND)
        assert isinstance(event, StreamRequest)
        answer(server, event, b"hello")
        server.output(1 << 16)
        kept.append(server)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 200 < 6000
