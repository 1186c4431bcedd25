# Heads, framing and errors of responses.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.answers.own_pages import Page
from bigtop.http.engine import Engine
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.http.response import (
    CONTINUE,
    Framing,
    Head,
    ResponseError,
    Stamp,
    Stamps,
    error_page,
    head_of,
    refusal,
    stamp,
)

STAMP = Stamp(b"Server: bigtop\r\n", b"Date: now\r\n")
ADDED = b"Server: bigtop\r\nDate: now\r\n"


def request(method: str = "GET", version: str = "1.1", keep_alive: bool = True) -> Request:
    made = Request()
    made.method, made.version, made.keep_alive = method, version, keep_alive
    return made


def answer(
    asked: Request, status: str, headers: list[tuple[str, str]], *pieces: bytes
) -> tuple[list[bytes], bytes, Framing]:
    """Return the lines of the head, the body as it is on the wire, and the framing."""
    head, framing = Head(status, headers).frame(asked, STAMP)
    assert head.endswith(b"\r\n\r\n")
    body = b"".join(framing.encode(piece) for piece in pieces) + framing.end()
    return head[:-4].split(b"\r\n"), body, framing


# ---- framing


def test_with_a_length() -> None:
    lines, body, framing = answer(request(), "200 OK", [("X", "y"), ("content-length", "5")], b"he", b"llo")
    assert lines == [b"HTTP/1.1 200 OK", b"X: y", b"Server: bigtop", b"Date: now", b"Content-Length: 5"]
    assert body == b"hello"
    assert (framing.keep_alive, framing.sent, framing.fault) == (True, 5, "")


def test_without_a_length_in_chunks() -> None:
    lines, body, framing = answer(request(), "200 OK", [], b"hello", b"", b"x" * 17)
    assert lines[-1] == b"Transfer-Encoding: chunked"
    assert body == b"5\r\nhello\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    assert (framing.keep_alive, framing.sent) == (True, 22)


def test_without_a_length_for_1_0_the_connection_ends_the_body() -> None:
    lines, body, framing = answer(request(version="1.0"), "200 OK", [], b"hello")
    assert lines[-1] == b"Connection: close"
    assert body == b"hello"
    assert not framing.keep_alive


def test_a_length_known_late_is_announced() -> None:
    head, framing = Head("200 OK", []).frame(request(), STAMP, 5)
    assert b"\r\nContent-Length: 5\r\n" in head
    assert not framing.chunked


def test_a_length_given_by_the_application_goes_before_a_known_one() -> None:
    head, _ = Head("200 OK", [("Content-Length", "7")]).frame(request(), STAMP, 5)
    assert b"\r\nContent-Length: 7\r\n" in head


@pytest.mark.parametrize(
    ("version", "keep_alive", "last"),
    [
        ("1.1", True, b"Content-Length: 0"),
        ("1.1", False, b"Connection: close"),
        ("1.0", True, b"Connection: keep-alive"),
        ("1.0", False, b"Connection: close"),
    ],
)
def test_the_connection(version: str, keep_alive: bool, last: bytes) -> None:
    asked = request(version=version, keep_alive=keep_alive)
    lines, _, framing = answer(asked, "200 OK", [("Content-Length", "0")])
    assert lines[-1] == last
    assert framing.keep_alive == keep_alive


@pytest.mark.parametrize(
    ("method", "status", "headers", "kept"),
    [
        ("HEAD", "200 OK", [("Content-Length", "5")], b"Content-Length: 5"),
        ("HEAD", "200 OK", [], None),
        ("GET", "204 No Content", [("Content-Length", "5")], None),
        ("GET", "304 Not Modified", [("Content-Length", "5")], b"Content-Length: 5"),
        ("GET", "304 Not Modified", [], None),
    ],
)
@pytest.mark.parametrize("known", [None, 5])
def test_responses_without_a_body(
    method: str, status: str, headers: list[tuple[str, str]], kept: bytes | None, known: int | None
) -> None:
    head, framing = Head(status, headers).frame(request(method), STAMP, known)
    lines = [line for line in head.split(b"\r\n") if line.startswith((b"Content-Length", b"Transfer"))]
    assert lines == ([kept] if kept else [])
    assert framing.encode(b"hello") + framing.end() == b""
    assert (framing.keep_alive, framing.sent, framing.fault) == (True, 0, "")


def test_an_informational_status_ends_the_connection() -> None:
    lines, body, framing = answer(request(), "101 Switching Protocols", [("Content-Length", "5")], b"hello")
    assert lines[-1] == b"Connection: close"
    assert body == b""
    assert not framing.keep_alive


def test_a_body_that_is_too_long_is_cut() -> None:
    _, body, framing = answer(request(), "200 OK", [("Content-Length", "5")], b"hel", b"lo, world", b"!")
    assert body == b"hello"
    assert (framing.keep_alive, framing.sent) == (True, 5)
    assert "longer than its Content-Length" in framing.fault


def test_a_body_that_is_too_short_closes() -> None:
    _, body, framing = answer(request(), "200 OK", [("Content-Length", "5")], b"hel")
    assert body == b"hel"
    assert not framing.keep_alive
    assert framing.fault == "the body is 2 bytes shorter than its Content-Length"


@pytest.mark.parametrize(("length", "sent"), [(None, 8), (5, 5), (9, 8)])
def test_bytes_that_pass_by(length: int | None, sent: int) -> None:
    framing = Framing(keep_alive=True, silent=False, chunked=False, length=length)
    assert framing.skip(8) == sent == framing.sent
    framing.end()
    assert framing.keep_alive == (length != 9)


def test_bytes_that_pass_by_a_response_without_body() -> None:
    assert Framing(keep_alive=True, silent=True, chunked=False, length=8).skip(8) == 0


# ---- what is written


def test_fields_are_written_in_order_and_spelling() -> None:
    lines, _, _ = answer(
        request(), "200 OK", [("b", "2"), ("Set-Cookie", "x"), ("Set-Cookie", "y\tz"), ("A", "")]
    )
    assert lines[1:5] == [b"b: 2", b"Set-Cookie: x", b"Set-Cookie: y\tz", b"A: "]


def test_latin_1_is_written_as_it_is() -> None:
    lines, _, _ = answer(request(), "200 Gr\xfc\xdfe", [("X", "caf\xe9")])
    assert lines[:2] == [b"HTTP/1.1 200 Gr\xfc\xdfe", b"X: caf\xe9"]


def test_the_applications_own_date_and_server() -> None:
    lines, _, _ = answer(request(), "200 OK", [("Date", "then"), ("SERVER", "mine"), ("Content-Length", "0")])
    assert lines == [b"HTTP/1.1 200 OK", b"Date: then", b"SERVER: mine", b"Content-Length: 0"]


def test_a_status_without_a_reason_gets_its_space() -> None:
    assert answer(request(), "299", [])[0][0] == b"HTTP/1.1 299 "


@pytest.mark.parametrize(
    "status", ["", "20 OK", "2000 OK", "200OK", "abc OK", "099 Low", " 200 OK", "\u0662\u0660\u0660 OK"]
)
def test_a_bad_status(status: str) -> None:
    with pytest.raises(ResponseError, match="wanted three digits"):
        Head(status, [])


@pytest.mark.parametrize(
    "bad", ["\r", "\n", "\r\n", "\0", "\r\nX: y", "\x01", "\x7f", "\u20ac", "\u010d\u010a"]
)
def test_no_response_splitting(bad: str) -> None:
    for status, headers in (
        ("200 O" + bad + "K", []),
        ("200 OK", [("X", "y"), ("Z", "a" + bad + "b")]),
        ("200 OK", [("X", "y" + bad)]),
        ("200 OK", [("X", bad + "y")]),
        ("200 OK", [("X" + bad, "y")]),
        ("200 OK", [("Content-Length", "5" + bad)]),
    ):
        with pytest.raises(ResponseError):
            Head(status, headers)


def test_the_error_names_the_field() -> None:
    with pytest.raises(ResponseError, match="'Z' has control"):
        Head("200 OK", [("X", "y"), ("Z", "a\nb")])


@pytest.mark.parametrize("name", ["", " X", "X ", "X:", "X Y", "X\t", "(X)", "caf\xe9"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ResponseError, match="cannot have"):
        Head("200 OK", [(name, "y")])


@pytest.mark.parametrize(
    "name",
    ["Connection", "keep-alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Trailers",
     "TRANSFER-ENCODING", "Upgrade"],
)  # fmt: skip
def test_hop_by_hop_fields_belong_to_the_server(name: str) -> None:
    head = Head("200 OK", [("X", "a"), (name, "chunked"), ("Y", "b")])
    assert head.lines == b"HTTP/1.1 200 OK\r\nX: a\r\nY: b\r\n"
    assert (head.dropped, head.closes) == ((name,), False)


def test_a_close_is_granted() -> None:
    head = Head("200 OK", [("Connection", "Close")])
    assert (head.lines, head.dropped, head.closes) == (b"HTTP/1.1 200 OK\r\n", (), True)


@pytest.mark.parametrize("value", ["", "+5", "-5", "5, 5", "0x5", "5.0", "\xb2", "1_0"])
def test_bad_lengths(value: str) -> None:
    with pytest.raises(ResponseError, match="wanted a number"):
        Head("200 OK", [("Content-Length", value)])


def test_two_lengths() -> None:
    with pytest.raises(ResponseError, match="given twice"):
        Head("200 OK", [("Content-Length", "5"), ("content-length", "5")])


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (b"200 OK", []),
        (200, []),
        ("200 OK", [(b"X", "y")]),
        ("200 OK", [("X", b"y")]),
        ("200 OK", [("X", 5)]),
        ("200 OK", [("Content-Length", 5)]),
    ],
)
def test_only_str(status: object, headers: list[tuple[object, object]]) -> None:
    with pytest.raises(TypeError, match="not str"):
        Head(status, headers)  # type: ignore[arg-type]


text = st.text(st.characters(max_codepoint=0x110), max_size=12)


@given(status=text, headers=st.lists(st.tuples(text, text), max_size=4))
def test_a_head_is_refused_or_has_exactly_its_lines(status: str, headers: list[tuple[str, str]]) -> None:
    try:
        head = Head("200 " + status, headers)
    except ResponseError:
        return
    lines = head.frame(request(), STAMP, 0)[0].split(b"\r\n")
    fields = [(name, value) for name, value in headers if name.lower() != "content-length"]
    assert lines[: len(fields) + 1] == [
        f"HTTP/1.1 200 {status}".encode("latin-1"),
        *(f"{name}: {value}".encode("latin-1") for name, value in fields),
    ]
    assert b"\n" not in b"".join(lines)


# ---- the server's own words


def test_a_stamp_is_made_once_a_second_also_by_a_clock_that_is_set_back() -> None:
    times = iter([100.0, 100.9, 101.0, 99.5, 99.0])
    stamps = Stamps("bigtop", lambda: next(times))
    made = [stamps.now() for _ in range(5)]
    assert made[0] is made[1]
    assert made[3] is made[4]
    assert [one.date[-10:-6] for one in made] == [b"1:40", b"1:40", b"1:41", b"1:39", b"1:39"]


def test_stamp() -> None:
    assert stamp("bigtop", 784111777.9) == (
        b"Server: bigtop\r\n",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        None,
    )
    assert stamp("", 0.0) == (b"", b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", None)


def test_error_response() -> None:
    assert refusal(ProtocolError(431, "too long"), STAMP) == (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
        b"Content-Length: 45\r\nConnection: close\r\n" + ADDED + b"\r\n"
        b"431 Request Header Fields Too Large\ntoo long\n"
    )
    assert error_page(500, "", STAMP, "HEAD")[0].endswith(ADDED + b"\r\n")
    pages = {431: Page("text/html", b"<p>")}
    assert refusal(ProtocolError(431, "too long"), STAMP._replace(pages=pages)) == (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/html\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n" + ADDED + b"\r\n<p>"
    )


def test_every_error_of_the_engine_can_be_answered() -> None:
    for status in (400, 408, 413, 414, 417, 431, 500, 501, 503, 505):
        assert refusal(ProtocolError(status, "\u20ac"), STAMP).startswith(b"HTTP/1.1 %d " % status)


def test_continue_is_a_whole_response() -> None:
    engine = Engine(Limits())
    asked = engine.feed(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")[0]
    assert isinstance(asked, Request)
    assert asked.expects_continue
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


# ---- heads that are remembered


def test_a_head_is_made_once() -> None:
    fields = [("X-A", "1"), ("X-B", "2")]
    known = head_of("200 OK", fields)
    assert head_of("200 OK", list(fields)) is known
    others = [head_of("200 Fine", fields), head_of("200 OK", fields[::-1]), head_of("200 OK", fields[:1])]
    assert len({head.lines for head in (known, *others)}) == 4


@pytest.mark.parametrize("fields", [[("X", 5)], [["X", 5]], [5]], ids=str)
def test_a_wrong_head_is_wrong_each_time(fields: list[tuple[str, str]]) -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            head_of("200 OK", fields)


def test_pairs_may_be_lists() -> None:
    assert head_of("200 OK", [["X", "y"]]).lines == head_of("200 OK", [("X", "y")]).lines


def test_what_is_remembered_is_bounded() -> None:
    long = [("X-Long", "x" * 10_000)]
    assert head_of("200 OK", long) is not head_of("200 OK", long)
    known = head_of("200 OK", [])
    for number in range(1000):
        head_of("200 OK", [("X-Number", str(number))])
    assert head_of("200 OK", []) is not known
