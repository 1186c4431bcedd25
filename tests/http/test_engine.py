# The engine: the corpus in every cut, the limits byte for byte, upgrades, fuzz, and a second opinion (h11).

from __future__ import annotations

import gc
import re
import weakref
from types import GetSetDescriptorType, MemberDescriptorType

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.engine import Engine, Phase
from bigtop.http.head import _names, known_headers, known_lines
from bigtop.http.limits import Limits
from bigtop.http.memo import KEPT, LONGEST, LONGEST_NAME, MOST_FIELDS, remember
from bigtop.http.messages import END, Request
from tests.http.cases import Case, Outcome, read_corpus, run

VALID = read_corpus("valid")
INVALID = read_corpus("invalid")
EVERY = pytest.mark.parametrize("case", VALID + INVALID, ids=lambda case: case.name)
LONG = 2000  # cutting longer cases at each byte would take minutes
GOOD = b"GET /good HTTP/1.1\r\nHost: good\r\n\r\n"


def whole(case: Case) -> Outcome:
    return run([case.data])


def cuts(data: bytes) -> range:
    return range(1, len(data), 1 if len(data) < LONG else len(data) // 40)


def head(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1")


def the_request(data: bytes, limits: Limits = Limits()) -> Request:  # noqa: B008 - frozen
    engine = Engine(limits)
    first = engine.feed(data)[0]
    assert engine.error is None
    assert isinstance(first, Request)
    return first


def test_the_corpus_is_there() -> None:
    assert len(VALID) >= 100
    assert len(INVALID) >= 200


@EVERY
def test_whole(case: Case) -> None:
    outcome = whole(case)
    expected = [line if not case.statuses else line.split(" b'")[0] for line in case.requests]
    if case.statuses:
        assert outcome.status in case.statuses
        # An error may come before the body of the last request is complete: only its head is promised.
        assert [line[: len(want)] for line, want in zip(outcome.requests, expected, strict=True)] == expected
    else:
        assert outcome.status == 0
        assert outcome.requests == expected
    for index, lines in case.headers.items():
        pairs = [f"{name.decode()}: {value.decode('latin-1')}" for name, value in outcome.headers[index]]
        assert pairs == lines


@EVERY
def test_cut_in_two_at_every_byte(case: Case) -> None:
    outcome = whole(case)
    for at in cuts(case.data):
        assert run([case.data[:at], case.data[at:]]) == outcome, at


@EVERY
def test_byte_by_byte(case: Case) -> None:
    pieces = [case.data[at : at + 1] for at in range(len(case.data))]
    assert run(pieces) == whole(case)


@EVERY
def test_behind_a_good_request(case: Case) -> None:
    outcome, alone = run([GOOD + case.data]), whole(case)
    assert outcome.requests == ["GET /good 1.1 keep", *alone.requests]
    assert outcome.status == alone.status


@pytest.mark.parametrize("case", [case for case in VALID if case.keeps], ids=lambda case: case.name)
def test_before_a_good_request(case: Case) -> None:
    outcome = run([case.data + GOOD])
    assert outcome.requests == [*whole(case).requests, "GET /good 1.1 keep"]
    assert outcome.status == 0


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_nothing_is_parsed_after_an_error(case: Case) -> None:
    engine = Engine(Limits())
    engine.feed(case.data)
    assert engine.phase is Phase.CLOSED
    assert engine.feed(GOOD) == []


# What servers for Python get wrong in the field; 100-continue and bodies for HEAD are in test_response.
PROBES = (
    "length-and-coding", "two-lengths", "length-plus", "coding-unknown", "host-missing", "bare-lf",
    "obs-fold", "space-before-colon", "nul-in-value", "chunk-extension-lf", "field-too-long",
)  # fmt: skip


@pytest.mark.parametrize("name", PROBES)
def test_probes_are_refused_and_close(name: str) -> None:
    (case,) = [case for case in INVALID if case.name == name]
    engine = Engine(Limits())
    engine.feed(case.data)
    assert engine.error is not None
    assert engine.error.status in (400, 431, 501)
    assert engine.phase is Phase.CLOSED


# Request lines that some servers put up with, behind everything that can lie in front of them.
LOOSE = [
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / RTSP/1.0\r\n\r\n",
]


@pytest.mark.parametrize("case", [case for case in VALID if case.keeps], ids=lambda case: case.name)
def test_loose_request_lines_are_found_behind_anything(case: Case) -> None:
    for loose in LOOSE:
        data = case.data + loose
        assert run([data]).status == 400
        assert run([data[at : at + 1] for at in range(len(data))]).status == 400


@pytest.mark.parametrize("before", [b"", b"\n", b"\r\n", b"\r\n\r", b"\r\n\r\n"])
@pytest.mark.parametrize("body", [b"\r\nxyz", b"\r\n\r\nx", b"\nabcd", b"GET /"])
def test_empty_lines_do_not_move_where_a_body_ends(before: bytes, body: bytes) -> None:
    post = head("POST /a HTTP/1.1", "Host: a", "Content-Length: 5")
    outcome = run([before, post, body + GOOD])
    assert outcome.requests == [f"POST /a 1.1 keep {body!r}", "GET /good 1.1 keep"]
    assert run([before + post + body, GOOD]) == outcome
    assert run([before, post + body + GOOD]) == outcome


@pytest.mark.case("E19")
def test_so_many_empty_lines_and_no_more() -> None:
    for cut in (1, 2, 3, 64, 1000):
        for count, status in ((32, 0), (33, 400)):
            data = GOOD + b"\r\n" * count + GOOD
            assert run([data[at : at + cut] for at in range(0, len(data), cut)]).status == status, (
                cut,
                count,
            )


def test_three_pipelined_requests_are_three() -> None:
    assert run([GOOD * 3]).requests == ["GET /good 1.1 keep"] * 3


# ---- where the connection stands


def test_phases() -> None:
    engine = Engine(Limits())
    seen = []
    for piece in (
        b"\r\n",
        b"P",
        b"OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
        b"a",
        b"b",
        GOOD + b"G",
    ):
        engine.feed(piece)
        seen.append(engine.phase.value)
    assert seen == ["idle", "head", "body", "body", "idle", "head"]


def test_a_close_ends_the_connection() -> None:
    engine = Engine(Limits())
    engine.feed(head("GET / HTTP/1.1", "Host: a", "Connection: close"))
    assert engine.phase is Phase.CLOSED
    assert engine.feed(GOOD) == []
    assert engine.error is None


def test_pieces_of_a_body_are_given_at_once() -> None:
    engine = Engine(Limits())
    engine.feed(head("POST / HTTP/1.1", "Host: a", "Content-Length: 6"))
    assert engine.feed(b"abc") == [b"abc"]
    assert engine.feed(b"def") == [b"def", END]


@pytest.mark.parametrize("framing", ["Content-Length: 60000", "Transfer-Encoding: chunked"])
def test_large_pieces_of_a_body_are_not_copied(framing: str) -> None:
    engine, body = Engine(Limits()), b"x" * 60_000
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode()
    with_head = head + (b"ea60\r\n" if "chunked" in framing else b"") + body[:20_000]
    alone = body[20_000:]
    (_, first), (second,) = engine.feed(with_head), engine.feed(alone[:30_000])
    third = engine.feed(alone[30_000:])[0]
    assert isinstance(first, memoryview)
    assert first.obj is with_head
    assert isinstance(second, bytes)
    assert b"".join([first, second, third]) == body


def test_a_read_that_is_all_body_is_the_piece() -> None:
    engine, data = Engine(Limits()), b"x" * 30_000
    engine.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
    (piece,) = engine.feed(data)
    assert piece is data


def test_small_pieces_of_a_body_are_copied_and_keep_nothing_else() -> None:
    engine = Engine(Limits())
    _, piece, _ = engine.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
    assert isinstance(piece, bytes)


def test_facts_of_the_framing() -> None:
    none = the_request(GOOD)
    assert (none.content_length, none.chunked, none.ended) == (0, False, True)
    sized = the_request(head("POST / HTTP/1.1", "Host: a", "Content-Length: 6"))
    assert (sized.content_length, sized.chunked, sized.ended) == (6, False, False)
    chunked = the_request(head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"))
    assert (chunked.content_length, chunked.chunked, chunked.ended) == (None, True, False)


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_feeding_while_an_exception_is_handled(case: Case) -> None:
    try:
        raise KeyError
    except KeyError:
        outcome = run([case.data])
        closing = run([head("GET / HTTP/1.1", "Host: a", "Connection: close")])
    assert outcome == whole(case)
    assert closing.status == 0


def test_a_closed_connection_leaves_no_garbage() -> None:
    gc.disable()
    try:

        class Watched(Limits):  # an engine cannot be watched, but it is the only one to hold these
            __slots__ = ("__weakref__",)

        for data in (GOOD, b"GET / HTTP/1.1\r\n\r\n", head("GET / HTTP/1.1", "Host: a", "Connection: close")):
            limits = Watched()
            watch = weakref.ref(limits)
            engine = Engine(limits)
            engine.feed(data)
            del engine, limits
            assert watch() is None
    finally:
        gc.enable()


def test_only_short_heads_are_remembered() -> None:
    for size, kept in ((LONGEST // 2, True), (LONGEST * 2, False)):
        data = head("GET /remembered HTTP/1.1", "Host: a", "X: " + "y" * size)
        the_request(data)
        assert (data.partition(b"\r\n")[2] in known_headers) is kept


@pytest.mark.parametrize(("count", "kept"), [(MOST_FIELDS, True), (MOST_FIELDS + 1, False), (300, False)])
def test_a_header_of_many_fields_is_not_remembered(count: int, kept: bool) -> None:
    data = head("GET / HTTP/1.1", "Host: many", *[f"{number:x}:" for number in range(count - 1)])
    assert len(data) < LONGEST
    Engine(Limits()).feed(data)
    assert (data.partition(b"\r\n")[2] in known_headers) is kept


def test_a_long_field_name_is_not_remembered() -> None:
    names = ["n" * LONGEST_NAME, "n" * (LONGEST_NAME + 1)]
    known_headers.clear()
    _names.clear()
    the_request(head("GET / HTTP/1.1", "Host: a", *[f"{name}: x" for name in names]))
    assert [name.encode() in _names for name in names] == [True, False]


def test_so_many_are_remembered_and_no_more() -> None:
    known: dict[int, int] = {}
    for number in range(3 * KEPT):
        remember(known, number, -number)
        assert known[number] == -number
        assert len(known) <= KEPT


# Heads as clients and attackers may put them together. Most of these lines and line ends are good.
STARTS = """GET / HTTP/1.1|GET / HTTP/1.1|POST /a HTTP/1.1|GET /b HTTP/1.0|GET http://u/c HTTP/1.1
OPTIONS * HTTP/1.1|GET /\t HTTP/1.1|GET /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx HTTP/1.1|GET / HTTP/2.0
GET /|\x16\x03|"""
GOOD_FIELDS = """X: y|X:|X_Y: z|X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy|Content-Length: 3|Transfer-Encoding: chunked
Connection: close|Connection: keep-alive, upgrade|Upgrade: websocket|Expect: 100-continue"""
OTHER_FIELDS = "Host: a|Host: a b|X: \0|: x|no colon| X: y|Content-Length: x"
good, other = (st.sampled_from(re.split(r"[|\n]", fields)) for fields in (GOOD_FIELDS, OTHER_FIELDS))
MESSAGES = st.tuples(
    st.sampled_from(["", "", "", "\r\n", "\r\n\r\n", "\n"]),
    st.sampled_from(re.split(r"[|\n]", STARTS)),
    st.lists(good, max_size=3).map(lambda fields: ["Host: a", *fields]) | st.lists(good | other, max_size=4),
    st.sampled_from([*["\r\n"] * 9, "\n"]),
    st.sampled_from(["", "", "abc", "3\r\nabc\r\n0\r\n\r\n"]),
)
BOUNDS = (Limits(), Limits(fields=2), Limits(request_line=40, field_size=30, head=100, body=2))


# What a compiled class has for each of its slots is of the other kind, and it has no list of them.
SLOTS = [
    name
    for name, kind in vars(Request).items()
    if isinstance(kind, (MemberDescriptorType, GetSetDescriptorType)) and not name.startswith("_")
]


def forget() -> None:
    for known in (known_headers, known_lines, _names):
        known.clear()


def reading(pieces: list[bytes], limits: Limits) -> object:
    """Everything that an engine says of these bytes."""
    engine = Engine(limits, {b"websocket"})
    events = [event for piece in pieces for event in engine.feed(piece)]
    slots = [name for name in SLOTS if name != "fields"]
    said = [
        [getattr(event, name) for name in slots] if isinstance(event, Request) else event for event in events
    ]
    # What was spent on a request that is refused, nobody asks.
    spent = engine.spent if engine.error is None else 0
    return said, engine.phase, spent, str(engine.error), engine.take_rest()


@given(st.lists(MESSAGES, min_size=1, max_size=2))
@settings(deadline=None, max_examples=200)
def test_what_is_known_already_is_read_as_if_it_were_new(
    messages: list[tuple[str, str, list[str], str, str]],
) -> None:
    data = b"".join(
        (before + end.join([line, *fields, "", ""]) + body).encode("latin-1")
        for before, line, fields, end, body in messages
    )
    ways = [[data], *([data[:at], data[at:]] for at in range(1, len(data)))]
    fresh = []
    for limits in BOUNDS:
        for pieces in ways:
            forget()
            fresh.append(reading(pieces, limits))
    # From here on all is known that can be, also what only the other engine accepts.
    for limits in BOUNDS:
        for _before, line, fields, end, _body in messages:
            reading([end.join([line, *fields, "", ""]).encode("latin-1")], limits)
        reading([data], limits)
    assert [reading(pieces, limits) for limits in BOUNDS for pieces in ways] == fresh


# ---- limits

SMALL = Limits(request_line=40, fields=3, field_size=30, head=100, body=10)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET /" + "x" * 26 + " HTTP/1.1", "Host: a"], 0),  # 40 bytes
        (["GET /" + "x" * 27 + " HTTP/1.1", "Host: a"], 414),
        (["GET / HTTP/1.1", "Host: a", "X: y", "X: y"], 0),
        (["GET / HTTP/1.1", "Host: a", "X: y", "X: y", "X: y"], 431),
        (["GET / HTTP/1.1", "Host: a", "X: " + "y" * 27], 0),
        (["GET / HTTP/1.1", "Host: a", "X: " + "y" * 28], 431),
        (["GET / HTTP/1.1", "Host: " + "a" * 24, "X: " + "y" * 27, "Z: " + "z" * 18], 431),
        (["POST / HTTP/1.1", "Host: a", "Content-Length: 10"], 0),
        (["POST / HTTP/1.1", "Host: a", "Content-Length: 11"], 413),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_limits_to_the_byte(lines: list[str], status: int, size: int) -> None:
    data = head(*lines)
    assert run([data[at : at + size] for at in range(0, len(data), size)], SMALL).status == status


@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        (b"GET /", b"x", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX", b"y", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX:", b" ", 431),
        (b"GET ", b" ", 414),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n", 431),
    ],
)
def test_an_endless_head_ends_at_the_limit(start: bytes, more: bytes, status: int) -> None:
    limits = Limits(request_line=500, head=1000)
    engine = Engine(limits)
    engine.feed(start)
    sent = 0
    while engine.error is None:
        engine.feed(more)
        sent += len(more)
        assert sent <= limits.head + len(more)
    assert engine.error.status == status


def test_a_limit_is_not_reached_by_others_bytes() -> None:
    """A head that begins behind a long body in the same feed is counted from its own beginning."""
    engine = Engine(Limits(head=200))
    body = b"x" * 10_000
    engine.feed(head("POST / HTTP/1.1", "Host: a", "Content-Length: 10000") + body + b"GET / HTTP/1.1\r\n")
    assert engine.phase is Phase.HEAD
    engine.feed(b"Host: a\r\n")
    assert [type(event) for event in engine.feed(b"\r\n")] == [Request]


CHUNKED = head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_chunked_bodies_are_counted(size: int) -> None:
    fits = CHUNKED + b"5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n"
    over = CHUNKED + b"5\r\nabcde\r\n6\r\nabcdef\r\n0\r\n\r\n"
    limits = Limits(body=10)
    assert run([fits[at : at + size] for at in range(0, len(fits), size)], limits).status == 0
    assert run([over[at : at + size] for at in range(0, len(over), size)], limits).status == 413


def test_no_limit_for_bodies() -> None:
    request = the_request(head("POST / HTTP/1.1", "Host: a", "Content-Length: 99999999999"), Limits(body=0))
    assert request.content_length == 99999999999


@pytest.mark.parametrize("flood", [b"1;" + b"x" * 500 + b"\r\na\r\n", b"1;", b"0\r\nX: y\r\n"])
def test_floods_of_chunk_framing_end(flood: bytes) -> None:
    limits = Limits(head=4000)
    engine = Engine(limits)
    engine.feed(CHUNKED)
    engine.feed(flood)
    sent = 0
    while engine.error is None:
        piece = flood if flood.endswith(b"a\r\n") else b"z" if flood == b"1;" else b"X: y\r\n"
        engine.feed(piece)
        sent += len(piece)
        assert sent < 3 * limits.head
    assert engine.error.status == 400


def test_small_chunks_save_up_nothing_for_a_line_without_end() -> None:
    engine = Engine(Limits(head=4000))
    engine.feed(CHUNKED)
    engine.feed(b"1\r\na\r\n" * 10_000)
    assert engine.error is None
    engine.feed(b"1;" + b"x" * 4100)
    assert engine.error is not None
    assert engine.error.status == 400


def test_many_small_chunks_are_no_flood() -> None:
    engine = Engine(Limits(head=4000))
    engine.feed(CHUNKED)
    for _ in range(20_000):
        engine.feed(b"1\r\na\r\n")
    assert engine.feed(b"0\r\n\r\n") == [END]


# ---- upgrades

UPGRADE = head("GET /chat HTTP/1.1", "Host: a", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket")


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_upgrade_that_is_taken(size: int) -> None:
    engine = Engine(Limits(), {b"websocket"})
    data = UPGRADE + b"\x81\x05GET /"
    events = [event for at in range(0, len(data), size) for event in engine.feed(data[at : at + size])]
    assert [event.upgrade for event in events if isinstance(event, Request)] == [b"WebSocket"]
    assert engine.phase is Phase.UPGRADED
    assert engine.error is None
    assert engine.take_rest() == b"\x81\x05GET /"
    assert engine.take_rest() == b""
    assert engine.feed(b"more") == []
    assert engine.take_rest() == b"more"


@pytest.mark.parametrize(
    "lines",
    [
        ["GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: h2c"],
        ["GET / HTTP/1.1", "Host: a", "Upgrade: websocket"],
        ["GET / HTTP/1.0", "Connection: Upgrade, keep-alive", "Upgrade: websocket"],
        ["GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 1"],
    ],
)
def test_upgrades_that_are_not_taken(lines: list[str]) -> None:
    engine = Engine(Limits(), {b"websocket"})
    body = b"x" if "Content-Length: 1" in lines else b""
    requests = [event for event in engine.feed(head(*lines) + body + GOOD) if isinstance(event, Request)]
    assert [request.target for request in requests] == [b"/", b"/good"]
    assert requests[0].upgrade is None


def test_a_thousand_declined_upgrades_in_one_piece() -> None:
    """Each needs a fresh parser; that must be a loop and not a recursion."""
    assert len(run([UPGRADE * 2000]).requests) == 2000


def test_limits_hold_behind_a_declined_upgrade() -> None:
    upgrade = [
        "POST / HTTP/1.1",
        "Host: a",
        "Connection: Upgrade",
        "Upgrade: h2c",
        "Transfer-Encoding: chunked",
    ]
    assert run([head(*upgrade) + b"ff\r\n" + b"x" * 255], Limits(body=100)).status == 413
    assert (
        run([head(*upgrade) + b"0\r\n\r\n" + head("GET / HTTP/1.1", "Host: a", "X: " + "y" * 9000)]).status
        == 431
    )


# ---- whatever comes

FRAGMENTS = [
    b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"PRI * HTTP/2.0\r\n\r\n", b"SETUP / RTSP/1.0\r\n",
    b"/", b"*", b"http://a/", b"#", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n",
    b"Host: a\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"\r\n", b"\n", b"\r", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n",
    b" ", b":", b"\0", b"\xff",
]  # fmt: skip

noise = st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=20)


@given(data=noise, sizes=SIZES)
@settings(max_examples=500)
def test_any_bytes_give_the_same_however_they_are_cut(data: bytes, sizes: list[int]) -> None:
    assert run(cut(data, sizes)) == run([data])


@given(data=noise)
@settings(max_examples=300)
def test_any_bytes_give_events_or_an_error(data: bytes) -> None:
    engine = Engine(Limits(), {b"websocket"})
    engine.feed(data)
    assert engine.error is None or isinstance(engine.error, ProtocolError)
    assert (engine.error is not None) <= (engine.phase is Phase.CLOSED)


# ---- a second opinion

# Where h11 is the stricter one: no empty line, no byte after a close, none above 0x7f in a target.
STRICTER = {
    "chunked-close", "data-after-close", "garbage-after-close", "empty-line-between", "empty-lines-before",
    "target-raw-bytes",
}  # fmt: skip

# Where h11 is the more patient one.
MORE_PATIENT = {
    # It waits for the rest of a line that we refuse at its first byte.
    "body-too-short-a-length",
    # It does not look into targets, hosts and methods, and leaves versions and expectations to its user.
    "absolute-form-ftp", "absolute-form-user", "connect", "star-get", "target-word", "target-fragment",
    "host-bad-port", "host-latin-1", "host-list", "host-path", "host-space", "host-user",
    "method-33", "version-1.2", "version-2.0", "expect-unknown",
    "absolute-form-bad-host", "absolute-form-comma", "absolute-form-empty-host", "target-authority-get",
    "host-fragment", "host-ipv6-open", "host-port-long", "host-question", "host-quote", "host-slash",
    "host-two-colons", "smuggle-expect-obfuscated", "smuggle-expect-twice", "method-too-long",
    # It allows what RFC 9112 leaves to the server: LF for CRLF, folded lines, a length beside a coding ...
    "bare-lf", "bare-lf-in-head", "lf-ends-head", "obs-fold", "obs-fold-tab", "two-equal-lengths",
    "length-list", "length-and-coding", "coding-and-length", "coding-1.0", "control-in-value",
    "delete-in-value", "chunk-space", "trailer-content-length",
    "host-folded", "lf-cr", "lf-lf-ends-head", "smuggle-0-cl-folded-length", "smuggle-cl-te", "te-folded",
    "te-and-length-in-1.0", "te-behind-bare-lf", "te-in-1.0-keep-alive", "te-tab-behind",
    "upgrade-length-and-coding", "value-escape", "trailer-bare-lf", "trailer-connection", "trailer-folded",
    "trailer-host", "trailer-lf-ends", "trailer-transfer-encoding",
    # It does not look into chunk extensions.
    "chunk-extension-control", "chunk-extension-cr", "chunk-extension-empty", "chunk-extension-nul",
    "chunk-extension-quoted-open", "chunk-size-64-bits", "length-wraps",
    # Its numbers have no end, and its user sets the limits.
    "chunk-overflow", "length-overflow", "length-too-long", "field-too-long", "field-over-limit",
    "head-too-long", "too-many-fields", "target-too-long",
}  # fmt: skip


def h11_accepts(data: bytes) -> bool:
    """Whether h11, as a server that answers everything, finds nothing wrong."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    server.receive_data(data)
    try:
        while True:
            event = server.next_event()
            if event is h11.NEED_DATA:
                return True
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                if server.our_state is not h11.SEND_RESPONSE and server.our_state is not h11.SEND_BODY:
                    return True
                server.send(h11.Response(status_code=400, headers=[("Content-Length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                    return True
                server.start_next_cycle()
    except h11.RemoteProtocolError:
        return False


Message = tuple[str, str, bytes]  # method, target, body


def ours(data: bytes) -> list[Message] | None:
    """Return the complete requests in `data`; None for an error."""
    engine = Engine(Limits())
    found: list[Message] = []
    complete = True
    for event in engine.feed(data):
        if isinstance(event, Request):
            found.append((event.method, event.target.decode("latin-1"), b""))
            complete = event.ended
        elif event is not END:
            method, target, body = found[-1]
            found[-1] = (method, target, body + event)
        else:
            complete = True
    if engine.error is not None:
        return None
    return found if complete else found[:-1]


def theirs(data: bytes) -> list[Message] | None:
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    server.receive_data(data)
    found: list[Message] = []
    method, target, body = "", "", b""
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                method, target, body = event.method.decode(), event.target.decode("latin-1"), b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append((method, target, body))
                server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                    return found
                server.start_next_cycle()
            else:
                return found
    except h11.RemoteProtocolError:
        return None


HEADS = st.sampled_from(
    [b"GET /1 HTTP/1.1\r\nHost: a\r\n", b"POST /2 HTTP/1.1\r\nHost: a\r\n", b"PUT /3 HTTP/1.1\r\nhost:b\r\n",
     b"GET /4 HTTP/1.0\r\n", b"GET http://c/5 HTTP/1.1\r\nHost: c\r\n"]
)  # fmt: skip
FIELDS = st.sampled_from(
    [b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"content-length:5 \r\n", b"Content-Length: 05\r\n",
     b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:CHUNKED\r\n", b"Transfer-Encoding: x\r\n",
     b"Transfer-Encoding: chunked\t\r\n", b"X: y\r\n", b"X: y\n", b" y\r\n", b"X:\r\n",
     b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Content_Length: 3\r\n"]
)  # fmt: skip
BODIES = st.sampled_from(
    [b"", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"5;x=y\r\nhello\r\n",
     b"5\nhello\r\n", b"5 \r\nhello\r\n", b"5\r\nhello\n", b"\r\n"]
)  # fmt: skip
MESSAGES = st.tuples(HEADS, st.lists(FIELDS, max_size=3), st.lists(BODIES, max_size=3)).map(
    lambda parts: parts[0] + b"".join(parts[1]) + b"\r\n" + b"".join(parts[2])
)


EMPTY = st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n"])


@given(parts=st.lists(st.one_of(MESSAGES, EMPTY), max_size=6), sizes=SIZES)
@settings(max_examples=500)
def test_messages_mean_the_same_however_they_are_cut(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    outcome = run([data])
    assert run(parts) == outcome
    assert run(cut(data, sizes)) == outcome


@given(st.lists(MESSAGES, min_size=1, max_size=3).map(b"".join))
@settings(max_examples=1000)
def test_what_h11_accepts_too_means_the_same_to_both(data: bytes) -> None:
    mine, other = ours(data), theirs(data)
    if mine is not None and other is not None:
        assert mine == other


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
def test_h11_accepts_what_we_accept(case: Case) -> None:
    assert h11_accepts(case.data) == (case.name not in STRICTER)


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_h11_refuses_what_we_refuse(case: Case) -> None:
    assert h11_accepts(case.data) == (case.name in MORE_PATIENT)
