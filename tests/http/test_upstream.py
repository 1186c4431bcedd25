# Answers of other servers, read without I/O: against h11, in every cut; heads for them; what may be repeated.

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.head import parse
from bigtop.http.messages import END, Request
from bigtop.http.upstream.relayed_websocket import GOODBYE, Frames, RelayedWebSocket
from bigtop.http.upstream.request_head import climbs, id_of, mapped, path_of, request_head
from bigtop.http.upstream.response_reader import (
    OVER,
    SWITCHED,
    ResponseEvent,
    ResponseHead,
    ResponseReader,
    switching,
)
from bigtop.http.upstream.upstream_exchange import MOST_HELD, Loss, UpstreamExchange

ROUTE = ProxyRoute("/a/", "192.0.2.1", 8000, "", "")

# ---- reading


class Read:
    """What an answer was read as, or why it is none."""

    def __init__(self, data: bytes, cuts: list[int], method: str = "GET", *, ends: bool = False) -> None:
        self.reader = ResponseReader(method)
        self.events: list[ResponseEvent] = []
        self.error = ""
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        try:
            for begin, end in pairwise(places):
                self.events += self.reader.feed(data[begin:end])
            if ends:
                self.events += self.reader.end()
        except ProtocolError as error:
            self.error = f"{error.status}: {error}"

    @property
    def heads(self) -> list[ResponseHead]:
        return [event for event in self.events if isinstance(event, ResponseHead)]

    @property
    def body(self) -> bytes:
        return b"".join(event for event in self.events if isinstance(event, bytes))


def by_h11(data: bytes, method: str) -> tuple[int, bytes, bool] | None:
    """Return status, body and whether the answer is whole, as h11 has them; None where it is none."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while True:
            match connection.next_event():
                case h11.Response(status_code=code):
                    status = code
                case h11.Data(data=piece):
                    body += piece
                case h11.EndOfMessage():
                    return status, body, True
                case h11.ConnectionClosed() | h11.NEED_DATA | h11.PAUSED:
                    return status, body, False
    except h11.RemoteProtocolError:
        return (status, body, False) if status else None


FIELDS = st.sampled_from(
    [
        *(b"Content-Length: 5", b"Content-Length: 0", b"content-length: 05", b"Content-Length: 5, 5"),
        *(
            b"Content-Length: +5",
            b"Content-Length:",
            b"Transfer-Encoding: chunked",
            b"X: y",
            b"X : y",
            b" X: y",
        ),
        *(b"Transfer-Encoding: identity", b"Connection: close", b"Connection: X", b"X: a\rb", b"X: \x00"),
        *(b"Set-Cookie: a=b; Path=/", b"X", b": y", b"Content-Type: text/html", b"Keep-Alive: 5"),
    ]
)
LINES = st.sampled_from(
    [
        *(
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 ",
            b"HTTP/1.0 200 OK",
            b"HTTP/1.1 204 No Content",
        ),
        *(b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404 \xe9", b"HTTP/1.1 2000 OK", b"HTTP/1.1  200 OK"),
        *(b"HTTP/2.0 200 OK", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", b"http/1.1 200 OK"),
    ]
)
BODIES = st.sampled_from(
    [
        *(
            b"",
            b"hello",
            b"hel",
            b"hello more",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n",
        ),
        *(
            b"5\nhello\n0\n\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"0\r\n\r\n",
            b"5\r\nhel",
        ),
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    LINES,
    st.lists(FIELDS, max_size=4),
    BODIES,
    st.sampled_from(["GET", "HEAD"]),
    st.lists(st.integers(0, 200)),
)
def test_what_is_accepted_means_what_it_means_to_h11(
    line: bytes, fields: list[bytes], body: bytes, method: str, cuts: list[int]
) -> None:
    data = b"\r\n".join([line, *fields, b"", body])
    whole, cut = Read(data, [], method, ends=True), Read(data, cuts, method, ends=True)
    assert (cut.error, cut.reader.phase, cut.reader.keeps) == (
        whole.error,
        whole.reader.phase,
        whole.reader.keeps,
    )
    if whole.error:
        assert whole.error.startswith("502: ")
        return
    assert [head.status for head in cut.heads] == [head.status for head in whole.heads]
    assert cut.body == whole.body
    known = by_h11(data, method)
    assert known is not None, "we are at least as strict"
    status, text, is_whole = known
    assert is_whole
    assert (whole.heads[-1].code, whole.body) == (status, text)
    assert whole.events[-1] is END


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400)))
def test_garbage_is_refused_or_waited_for(data: bytes, cuts: list[int]) -> None:
    whole, cut = Read(data, []), Read(data, cuts)
    assert bool(whole.error) == bool(cut.error)
    assert whole.heads == [] == cut.heads or data.startswith(b"HTTP/1.")


def test_a_body_in_pieces() -> None:
    reader = ResponseReader("GET")
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")[1:] == [b"ab"]
    assert reader.feed(b"cd") == [b"cd", END]
    assert reader.phase is OVER
    assert reader.keeps
    assert reader.feed(b"more") == []
    assert not reader.keeps


def test_large_chunks() -> None:
    body, reader = b"x" * 40_000, ResponseReader("GET")
    events = reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9c40\r\n" + body)
    assert events[1:] == [body]
    assert reader.feed(b"\r\n0\r\n\r\n") == [END]


@pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_what_is_announced_behind_an_answer_without_a_body_is_no_other_answer(field: bytes) -> None:
    reader = Read(b"HTTP/1.1 204 No Content\r\n" + field + b"\r\n\r\n", []).reader
    assert reader.phase is OVER
    assert not reader.keeps
    assert Read(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", []).reader.keeps


def test_fields_of_the_connection_stay_here() -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close, X-Hop, Set-Cookie\r\nX-Hop: 1\r\n"
        b"Keep-Alive: 5\r\n"
        b"Set-Cookie: a\r\nset-cookie: b\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
    )
    head = Read(data, []).heads[0]
    assert head.headers == [("Set-Cookie", "a"), ("set-cookie", "b")]
    assert head.chunked
    assert not head.keeps


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "not one number"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "and a Transfer-Encoding",
        ),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "not just chunked"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "longer than"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "longer than"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 257 + b"\r\n", "more than 256 fields"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 33, "on the way"),
        (b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "not asked for"),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", "chunks is broken"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    assert reason in Read(data, []).error
    assert reason in Read(data, list(range(0, len(data), 7))).error


def test_the_end_of_the_connection() -> None:
    assert "before it answered" in Read(b"", [], ends=True).error
    assert "before it answered" in Read(b"HTTP/1.1 200 OK\r\n", [], ends=True).error
    assert "in the middle" in Read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", [], ends=True).error
    assert Read(b"HTTP/1.1 200 OK\r\n\r\na", [], ends=True).events[1:] == [b"a", END]


def test_a_switch() -> None:
    reader = ResponseReader("GET", b"WebSocket")
    head = reader.feed(
        b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: x\r\n\r\nrest"
    )[0]
    assert isinstance(head, ResponseHead)
    assert reader.phase is SWITCHED
    assert reader.take_rest() == b"rest"
    assert switching(head) == (
        b"HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


# ---- WebSockets that are passed on


def frame(first: int, size: int, mask: bytes = b"") -> bytes:
    """Return a frame that holds `size` bytes."""
    low, long = size, b""
    if size > 65535:
        low, long = 127, size.to_bytes(8, "big")
    elif size > 125:
        low, long = 126, size.to_bytes(2, "big")
    return bytes([first, low | (0x80 if mask else 0)]) + long + mask + bytes(size)


SIZES = st.lists(st.sampled_from([0, 1, 125, 126, 300, 65535, 65536]), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.booleans(), st.lists(st.integers(0, 70_000)))
def test_frames_end_where_they_end(sizes: list[int], is_masked: bool, cuts: list[int]) -> None:
    whole = [frame(0x82, size, b"mask" if is_masked else b"") for size in sizes]
    text = b"".join(whole)
    ends = {len(b"".join(whole[:count])) for count in range(len(whole) + 1)}
    frames, places = Frames(), sorted({0, *(min(cut, len(text)) for cut in cuts)})
    for begin, end in pairwise(places):
        assert frames.feed(text[begin:end]) == end - begin
        assert frames.is_between == (end in ends)
    rest = text[places[-1] :]
    if rest and not frames.is_between:
        found = places[-1] + frames.feed(rest, stops=True)
        assert found == min(end for end in ends if end > places[-1])
        assert frames.is_between


def test_a_goodbye_stands_between_two_frames() -> None:
    relayed = RelayedWebSocket()
    assert relayed.to_client(b"\x81\x03o") == (b"\x81\x03o", False)
    assert relayed.to_server(frame(0x81, 2, b"mask")) == frame(0x81, 2, b"mask")
    assert not relayed.part()
    assert relayed.to_client(b"n") == (b"n", False)
    assert relayed.to_client(b"e\x81\x01") == (b"e" + GOODBYE, True)
    assert len(relayed.farewell(b"mask")) == 8
    relayed.to_server(b"\x81")
    assert relayed.farewell(b"mask") == b""


def test_nobody_says_goodbye_twice() -> None:
    relayed = RelayedWebSocket()
    relayed.to_client(frame(0x88, 2))
    relayed.to_server(frame(0x88, 2, b"mask"))
    assert relayed.part()
    assert relayed.to_client(b"") == (b"", True)
    assert relayed.farewell(b"mask") == b""


# ---- heads of requests


def asked(*fields: bytes, line: bytes = b"GET /a/b HTTP/1.1") -> Request:
    return parse([line, b"Host: example.org", *fields])


def told(
    request: Request,
    *,
    trusted: bool = False,
    client: object = ("192.0.2.9", 5),
    believed: tuple[str, ...] = ("for", "proto", "host"),
) -> list[bytes]:
    forwarding = Forwarding(Trust(["*"] if trusted else ["198.51.100.1"]), believed)
    peer = BasePeer(client, forwarding, "https")  # type: ignore[arg-type]
    head = request_head(request, peer, ROUTE, id_of(request, peer) or b"new")
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def test_a_stranger_says_nothing_of_other_clients() -> None:
    spoofed = (
        *(b"X-Forwarded-For: 10.0.0.1", b"Forwarded: for=10.0.0.1", b"X-Real-IP: 10.0.0.1"),
        *(b"X-Forwarded-Proto: http", b"X-Forwarded-Host: evil", b"X-Request-ID: mine", b"X_Real_IP: 1"),
    )
    assert told(asked(*spoofed))[1:] == [
        b"Host: example.org",
        b"X-Forwarded-Proto: https",
        b'Forwarded: for=192.0.2.9;proto=https;host="example.org"',
        b"X-Forwarded-For: 192.0.2.9",
        b"X-Real-IP: 192.0.2.9",
        b"X-Forwarded-Host: example.org",
        b"X-Request-ID: new",
    ]


def test_a_proxy_is_believed_and_the_list_goes_on() -> None:
    lines = told(
        asked(b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: http", b"X-Request-ID: its"), trusted=True
    )
    assert b"X-Forwarded-For: 10.0.0.1, 192.0.2.9" in lines
    assert b"X-Real-IP: 10.0.0.1" in lines
    assert b"X-Forwarded-Proto: http" in lines
    assert b"X-Request-ID: its" in lines


@pytest.mark.parametrize(
    ("believed", "hops", "elements"),
    [
        (("for",), b"10.0.0.1, 192.0.2.9", b"for=192.0.2.9"),
        (("forwarded",), b"192.0.2.9", b"for=10.0.0.2, for=192.0.2.9"),
        ((), b"192.0.2.9", b"for=192.0.2.9"),
    ],
)
def test_lists_that_the_proxy_does_not_write_may_be_a_clients(
    believed: tuple[str, ...], hops: bytes, elements: bytes
) -> None:
    forged = asked(b"X-Forwarded-For: 10.0.0.1", b"Forwarded: for=10.0.0.2")
    lines = told(forged, trusted=True, believed=believed)
    assert b"X-Forwarded-For: " + hops in lines
    assert b"Forwarded: " + elements + b';proto=https;host="example.org"' in lines


def test_addresses_of_other_kinds() -> None:
    assert b'Forwarded: for="[2001:db8::1]";proto=https;host="example.org"' in told(
        asked(), client=("2001:db8::1", 1)
    )
    assert b'Forwarded: for=unknown;proto=https;host="example.org"' in told(asked(), client="")


@pytest.mark.parametrize(
    ("line", "fields", "framing"),
    [
        (b"GET /a/ HTTP/1.1", (), b""),
        (b"POST /a/ HTTP/1.1", (), b"Content-Length: 0"),
        (b"POST /a/ HTTP/1.1", (b"Content-Length: 007",), b"Content-Length: 7"),
        (b"POST /a/ HTTP/1.1", (b"Transfer-Encoding: Chunked",), b"Transfer-Encoding: chunked"),
    ],
)
def test_framing_is_written_anew(line: bytes, fields: tuple[bytes, ...], framing: bytes) -> None:
    lines = told(asked(*fields, line=line))
    found = [one for one in lines if one.lower().startswith((b"content-length", b"transfer-encoding"))]
    assert found == ([framing] if framing else [])


def test_connection_names_fields_that_stay_but_not_any() -> None:
    lines = told(asked(b"Connection: X-A, Cookie, Host", b"X-A: 1", b"Cookie: c"))
    assert b"X-A: 1" not in lines
    assert b"Cookie: c" in lines
    assert b"Host: example.org" in lines


def test_paths() -> None:
    assert path_of(b"http://host?q") == b"/?q"
    assert path_of(b"http://host/a?http://b/c") == b"/a?http://b/c"
    based = ProxyRoute("/a/", "h", 80, "", "/base/")
    assert mapped(b"/a/b?c", based) == b"/base/b?c"
    assert mapped(b"/a/", ProxyRoute("/a/", "h", 80, "", "/")) == b"/"
    assert mapped(b"/a/b", ROUTE) == b"/a/b"
    assert path_of(b"/%61%2F%7e%2D%41%5f%5B%5b%c3?%61") == b"/a%2F~-A_%5B%5b%c3?%61"
    for path in (
        b"/a/..;x",
        b"/a/.;/b",
        b"/a/%2e%2e%3bx/b",
        b"/a/..",
        b"/a/.",
        b"/a/%2E./b",
        b"/a/%2e%2e%2fb",
        b"/a/..\\b",
        b"/a/%2e%2e%5cb?q",
    ):
        assert climbs(path)
    for path in (b"/a/b", b"/a/..b", b"/a/b?x=/../", b"/a/%20", b"/a/..."):
        assert not climbs(path)


# ---- what may be repeated


def exchange(method: str = "GET", length: int = 0) -> UpstreamExchange:
    fields = (b"Content-Length: %d" % length,) if length else ()
    return UpstreamExchange(asked(*fields, line=b"%s /a/ HTTP/1.1" % method.encode()), b"HEAD")


def test_before_the_first_byte_of_what_may_be_repeated() -> None:
    one = exchange("PUT", 4)
    assert one.body(b"ab") == b"ab"
    assert one.begin() == b"HEADab"
    one.opened()
    assert one.body(b"cd") == b"cd"
    assert one.end_body() == b""
    assert one.lost(was_used=False) is Loss.ANSWER
    assert one.lost(was_used=True) is Loss.RETRY
    assert one.begin() == b"HEADabcd"
    one.opened()
    assert one.lost(was_used=True) is Loss.ANSWER, "twice at most"


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_as_long_as_nothing_is_connected_all_of_it_is_kept(method: str) -> None:
    one = exchange(method, MOST_HELD + 6)
    for _ in range(3):
        one.begin()
        one.body(b"ab")
    assert one.begin() == b"HEADababab"
    one.opened()
    one.body(bytes(MOST_HELD))
    one.end_body()
    assert one.lost(was_used=True) is Loss.ANSWER, "what was sent is not here any more"


def test_not_behind_the_first_byte() -> None:
    one = exchange()
    one.begin()
    one.opened()
    assert one.feed(b"H") == []
    assert one.lost(was_used=True) is Loss.ANSWER
    one.feed(b"TTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
    assert one.lost(was_used=True) is Loss.BREAK


def test_not_what_cannot_be_repeated() -> None:
    one = exchange("POST", 4)
    one.begin()
    one.opened()
    assert not one.is_repeatable
    assert one.lost(was_used=True) is Loss.ANSWER


def test_not_what_is_not_here_any_more() -> None:
    one = exchange("PUT", MOST_HELD + 1)
    one.begin()
    one.opened()
    one.body(bytes(MOST_HELD))
    assert one.lost(was_used=True) is Loss.RETRY
    one.body(b"x")
    assert one.lost(was_used=True) is Loss.ANSWER


def test_a_body_waits_for_a_connection() -> None:
    one = exchange("PUT", MOST_HELD + 2)
    one.body(bytes(MOST_HELD + 1))
    assert one.waits
    assert len(one.begin()) == MOST_HELD + 5
    one.opened()
    assert not one.waits


def test_a_connection_is_good_for_another_request_when_both_sides_are_done() -> None:
    one = exchange("POST", 2)
    one.begin()
    one.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert one.is_over
    assert not one.is_reusable
    one.body(b"ab")
    one.end_body()
    assert one.is_reusable
