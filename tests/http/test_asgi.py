# Scopes and answers without a server.

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.engine import Engine
from bigtop.http.interfaces.asgi import Answer, status_line
from bigtop.http.interfaces.scope import Peer, Scope, http_scope, shown_of, websocket_scope
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.http.response import ResponseError, Stamps, stamp

STAMP = stamp("", 0)
START = {"type": "http.response.start", "status": 200}
BELIEVED = ("for", "proto", "host", "port")
BODY = "http.response.body"


def parsed(target: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> Request:
    lines = [method + b" " + target + b" HTTP/" + version, b"Host: h", *fields, b"", b""]
    request = Engine(Limits()).feed(b"\r\n".join(lines))[0]
    assert isinstance(request, Request)
    return request


def peer(client: Any = ("192.0.2.1", 5), trusted: str = "10.0.0.0/8") -> Peer:
    return Peer(("198.51.100.1", 80), client, Forwarding(Trust([trusted]), BELIEVED), "http")


def scope_of(request: Request, one: Peer, state: dict[str, Any] | None = None) -> Scope:
    return http_scope(request, shown_of(request, one.policy), one, state or {}, b"4f")


def answer(request: Request | None = None, **start: Any) -> Answer:
    made = Answer(request or parsed(), Stamps("", lambda: 0.0))
    made.start({**START, **start})
    return made


# ---- scopes


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        (b"/a%20b?c=%20", "/a b", b"/a%20b", b"c=%20"),
        (b"/%C3%A9%2F", "/é/", b"/%C3%A9%2F", b""),
        (b"/%FF", "/\ufffd", b"/%FF", b""),
        (b"/?", "/", b"/", b""),
        (b"http://h/x?y", "/x", b"/x", b"y"),
        (b"http://h", "/", b"/", b""),
    ],
)
def test_paths(target: bytes, path: str, raw: bytes, query: bytes) -> None:
    scope = scope_of(parsed(target), peer())
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (b"1.1.1.1", ("1.1.1.1", 0)),
        (b"6.6.6.6, 1.1.1.1, 10.1.1.1", ("1.1.1.1", 0)),
        (b"10.1.1.1", ("10.1.1.1", 0)),
        (b"unknown", ("10.0.0.9", 5)),
        (b"1.1.1.1, unknown, 10.1.1.1", ("10.1.1.1", 0)),
    ],
)
def test_who_is_behind_the_proxies(chain: bytes, client: tuple[str, int]) -> None:
    scope = scope_of(parsed(b"/", b"X-Forwarded-For: " + chain), peer(("10.0.0.9", 5)))
    assert scope["client"] == client


def test_everybody_trusted_means_the_first() -> None:
    scope = scope_of(parsed(b"/", b"X-Forwarded-For: 6.6.6.6, 1.1.1.1"), peer(trusted="*"))
    assert scope["client"] == ("6.6.6.6", 0)


def test_what_the_client_asked_for() -> None:
    fields = (b"X-Forwarded-Host: a.example", b"X-Forwarded-Port: 8443", b"Accept: */*")
    scope = scope_of(parsed(b"/", *fields), peer(("10.0.0.9", 5)))
    assert (b"host", b"a.example") in scope["headers"]
    assert (b"host", b"h") not in scope["headers"]
    assert (b"accept", b"*/*") in scope["headers"]
    assert scope["server"] == ("198.51.100.1", 8443)
    assert scope["client"] == ("10.0.0.9", 5)


def test_each_request_has_a_state_of_its_own() -> None:
    state: dict[str, Any] = {"a": []}
    first, second = (scope_of(parsed(), peer(), state)["state"] for _ in range(2))
    first["b"] = 1
    assert second == {"a": []}
    assert first["a"] is second["a"]


def test_a_websocket_scope() -> None:
    request = parsed(b"/", b"X-Forwarded-Proto: https")
    proxy = peer(("10.0.0.9", 5))
    scope = websocket_scope(request, shown_of(request, proxy.policy), proxy, {}, b"4f", ["chat"])
    assert (scope["type"], scope["scheme"], scope["subprotocols"]) == ("websocket", "wss", ["chat"])
    assert "method" not in scope
    assert scope["extensions"] == {"websocket.http.response": {}}


# ---- answers


def test_a_whole_body_has_its_length_announced() -> None:
    data = answer(headers=[(b"x-a", b"1")]).body({"type": BODY, "body": b"body"})
    assert data.startswith(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n")
    assert data.endswith(b"Content-Length: 4\r\n\r\nbody")


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_pieces_make_up_the_body(pieces: list[bytes]) -> None:
    made = answer()
    data = b"".join(made.body({"type": BODY, "body": piece, "more_body": True}) for piece in pieces)
    data += made.body({"type": BODY})
    assert made.complete
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"chunked" in head:
        rest, body = rest, b""
        while size := int(rest[: (at := rest.index(b"\r\n"))], 16):
            body += rest[at + 2 : at + 2 + size]
            rest = rest[at + 4 + size :]
        assert rest == b"0\r\n\r\n"
    else:
        body = rest
    assert body == b"".join(pieces)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("length", [None, b"4", b"8", b"9"])
@pytest.mark.parametrize("sizes", [(8,), (3, 5), (8, 8), (0, 8)])
def test_a_body_that_is_not_copied_is_framed_like_others(
    sizes: tuple[int, ...], length: bytes | None, method: bytes
) -> None:
    fields = [(b"content-length", length)] if length else []
    copied, uncopied = (answer(parsed(method=method), headers=fields) for _ in range(2))
    for number, size in enumerate(sizes):
        piece = b"x" * size
        message = {"type": BODY, "body": piece, "more_body": number < len(sizes) - 1}
        assert b"".join(uncopied.large_body(message, piece)) == copied.body(message)
    assert copied.framing is not None
    assert uncopied.framing is not None
    for name in ("fault", "sent", "keep_alive", "left"):
        assert getattr(uncopied.framing, name) == getattr(copied.framing, name)


def test_headers_may_be_lists_and_are_not_taken_for_others() -> None:
    for value in (b"1", b"2", b"1"):
        for pair in ([b"x-a", value], (b"x-a", value)):
            assert b"x-a: " + value in answer(headers=[pair]).body({"type": BODY})


@pytest.mark.parametrize(
    "start",
    [
        {"headers": [(b"x", b"a\r\nb: c")]},
        {"headers": [(b"x\n", b"a")]},
        {"headers": [("x", b"a")]},
        {"headers": [(b"x", "a")]},
        {"headers": [(b"content-length", b"-1")]},
        {"status": "200 OK"},
        {"status": 99},
    ],
)
def test_what_http_cannot_carry_is_refused(start: dict[str, Any]) -> None:
    with pytest.raises((ResponseError, TypeError, AttributeError)):
        answer(**start)


def test_messages_out_of_order_are_refused() -> None:
    empty = Answer(parsed(), Stamps("", lambda: 0.0))
    with pytest.raises(RuntimeError, match="before the start"):
        empty.body({"type": BODY})
    made = answer()
    with pytest.raises(RuntimeError, match="second time"):
        made.start(START)
    made.body({"type": BODY})
    with pytest.raises(RuntimeError, match="after the body was complete"):
        made.body({"type": BODY})
    with pytest.raises(RuntimeError, match=r"after http\.response\.start"):
        made.early_hint({"type": "http.response.early_hint", "links": []})


def test_status_lines() -> None:
    assert (status_line(404), status_line(299)) == ("404 Not Found", "299")


@given(st.binary(max_size=300))
def test_a_session_survives_anything(data: bytes) -> None:
    from bigtop.http.websocket import Closed, Deflate, Session

    for deflate in (None, Deflate(1000)):
        session = Session(1000, deflate)
        events = [event for at in range(0, len(data), 7) for event in session.feed(data[at : at + 7])]
        assert [isinstance(event, Closed) for event in events].count(True) == session.over
        assert not session.over or isinstance(events[-1], Closed)
