# Environs and the start_response state machine, against PEP 3333 and its two referees (wsgiref, WebTest).

from __future__ import annotations

import contextlib
import gc
import io
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webtest import lint

from bigtop.errors import ConfigError
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.engine import Engine
from bigtop.http.interfaces.wsgi import (
    Address,
    Environ,
    Environs,
    Exchange,
    FileWrapper,
    Peer,
    RequestIds,
    environ,
    worker_environ,
)
from bigtop.http.limits import Limits
from bigtop.http.messages import Fields, Request
from bigtop.http.response import ResponseError, Stamps

LOCAL = ("127.0.0.1", 8000)
CLIENT = ("192.0.2.7", 50123)
WORKER = worker_environ(io.StringIO(), multithread=False, multiprocess=True)


def parse(data: bytes) -> Request:
    engine = Engine(Limits())
    request = engine.feed(data)[0]
    assert isinstance(request, Request)
    return request


def peer(client: Address = CLIENT, server: Address = LOCAL, scheme: str = "http", trusted: str = "") -> Peer:
    return Peer(
        Environs(WORKER), server, client, Forwarding(Trust(trusted.split()), ["for", "proto"]), scheme
    )


def env_of(*lines: str, connection: Peer | None = None, body: bytes = b"", method: str = "GET") -> Environ:
    """Return the environ of a request for the target in the first line, with the others as header."""
    target, *fields = lines
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *fields, "", ""]).encode("latin-1")
    return environ(parse(head), connection or peer(), io.BytesIO(body), len(body))


# ---- environ


def test_a_whole_environ() -> None:
    body = io.BytesIO(b"abc")
    request = parse(
        b"POST /a%20b/%C3%A9?x=%20&y HTTP/1.1\r\nHost: a:8000\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 3\r\nX-One: 1\r\n\r\n"
    )
    env = environ(request, peer(), body, 3)
    errors = env.pop("wsgi.errors")
    assert errors is WORKER["wsgi.errors"]
    assert env.pop("wsgi.input") is body
    assert env == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xc3\xa9",
        "QUERY_STRING": "x=%20&y",
        "RAW_URI": "/a%20b/%C3%A9?x=%20&y",
        "REQUEST_URI": "/a%20b/%C3%A9?x=%20&y",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "bigtop",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50123",
        "HTTP_HOST": "a:8000",
        "HTTP_X_ONE": "1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


@pytest.mark.parametrize("header", [[], [(b"Host", b"a"), (b"Content-Length", b"0")]])
def test_every_place_that_is_kept_free_for_a_request_is_filled(header: list[tuple[bytes, bytes]]) -> None:
    free = worker_environ(io.StringIO(), multithread=False, multiprocess=True, hints=True)
    places = {key: object() for key, value in free.items() if value in ("", None)}
    del places["SCRIPT_NAME"]  # always empty, and set by whoever mounts an application
    assert len(places) == 7
    peer = Peer(
        Environs(free | places), ("127.0.0.1", 80), ("127.0.0.1", 5), Forwarding(Trust([]), []), "http"
    )
    request = Request("GET", b"/", Fields(header, {}))
    left = {key for key, value in environ(request, peer, io.BytesIO()).items() if value is places.get(key)}
    assert left == {"wsgi.early_hints"}  # which Call.run() sets


def test_requests_of_a_connection_do_not_share_an_environ() -> None:
    connection = peer()
    first = env_of("/", "X: 1", connection=connection)
    first["mine"] = 1
    second = env_of("/", connection=connection)
    assert "mine" not in second
    assert "HTTP_X" not in second


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/%2Fa%2f", "//a/", ""),
        ("/%zz%", "/%zz%", ""),
        ("/a+b", "/a+b", ""),
        ("//b/c", "//b/c", ""),
        ("/%00%0A", "/\0\n", ""),
        ("http://b/p%20q?r", "/p q", "r"),
        ("http://b?r", "/", "r"),
        ("HTTP://b", "/", ""),
    ],
)
def test_targets(target: str, path: str, query: str) -> None:
    env = env_of(target)
    assert (env["PATH_INFO"], env["QUERY_STRING"], env["RAW_URI"]) == (path, query, target)


def test_the_server_as_a_whole_has_no_path() -> None:
    assert env_of("*", method="OPTIONS")["PATH_INFO"] == ""


def test_the_host_of_an_absolute_target() -> None:
    assert env_of("http://b:81/")["HTTP_HOST"] == "b:81"


def test_repeated_fields_are_joined() -> None:
    env = env_of("/", "X: 1", "Cookie: a=1", "x: 2", "cookie: b=2", "X: 3", "Accept: a", "Accept: b")
    assert env["HTTP_X"] == "1,2,3"
    assert env["HTTP_COOKIE"] == "a=1; b=2"
    assert env["HTTP_ACCEPT"] == "a,b"


def test_names_that_could_pass_for_others_are_dropped() -> None:
    env = env_of("/", "X_Real_Thing: evil", "X-Real-Thing: good", "Content_Length: 5", "_: x", "A_: x")
    assert env["HTTP_X_REAL_THING"] == "good"
    assert "CONTENT_LENGTH" not in env
    assert [key for key in env if "evil" in str(env[key])] == []


def test_more_names_than_are_remembered() -> None:
    for number in range(3000):
        assert env_of("/", f"X-{number}: y")[f"HTTP_X_{number}"] == "y"


def test_a_chunked_body_gets_its_length() -> None:
    env = env_of("/", "Transfer-Encoding: chunked", method="POST", body=b"abcd")
    assert env["CONTENT_LENGTH"] == "4"
    assert "HTTP_TRANSFER_ENCODING" not in env


def test_no_body_has_no_length() -> None:
    assert "CONTENT_LENGTH" not in env_of("/")


def test_unix_sockets() -> None:
    env = env_of("/", connection=peer(client="", server="/run/site.sock"))
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"]) == ("", "")
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("localhost", "80")
    assert env_of("/", connection=peer(None, b"\0name", "https"))["SERVER_PORT"] == "443"


def test_ipv6() -> None:
    env = env_of("/", connection=peer(("2001:db8::1", 5000, 0, 0), ("::1", 80, 0, 0)))
    assert (env["REMOTE_ADDR"], env["REMOTE_PORT"], env["SERVER_NAME"]) == ("2001:db8::1", "5000", "::1")


@pytest.mark.parametrize(
    ("client", "trusted", "proto", "scheme"),
    [
        (CLIENT, "", "https", "http"),
        (CLIENT, "192.0.2.8 10.0.0.0/8", "https", "http"),
        (CLIENT, "192.0.2.7", "https", "https"),
        (CLIENT, "192.0.2.0/24", "https", "https"),
        (CLIENT, "*", "https", "https"),
        (CLIENT, "*", "http", "http"),
        (CLIENT, "*", "gopher", "http"),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7", "https", "https"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::/10", "https", "https"),
        ("", "", "https", "https"),
    ],
)
def test_a_forwarded_scheme(client: Address, trusted: str, proto: str, scheme: str) -> None:
    env = env_of("/", f"X-Forwarded-Proto: {proto}", connection=peer(client, trusted=trusted))
    assert env["wsgi.url_scheme"] == scheme


CLAIMS = [
    "X-Forwarded-For: 203.0.113.9",
    "x-forwarded-proto: https",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /evil",
    "Forwarded: for=203.0.113.9",
    "X-Real-IP: 203.0.113.9",
    "X-Request-ID: 1",
]


def test_of_strangers_nothing_is_left_that_only_proxies_say() -> None:
    made, plain = env_of("/", *CLAIMS, "X-Other: x"), env_of("/", "X-Other: x")
    del made["wsgi.input"], plain["wsgi.input"]
    assert made == plain


def test_of_trusted_peers_everything_is_passed_on_and_some_is_believed() -> None:
    env = env_of("/", *CLAIMS, connection=peer(CLIENT, trusted="192.0.2.7"))
    assert (env["REMOTE_ADDR"], env["wsgi.url_scheme"], env["HTTP_HOST"]) == ("203.0.113.9", "https", "a")
    assert env["HTTP_X_FORWARDED_HOST"] == "evil"
    assert env["HTTP_FORWARDED"] == "for=203.0.113.9"
    assert env["SERVER_PORT"] == "8000"


def test_host_and_port_where_proxies_set_them() -> None:
    forwarding = Forwarding(Trust(["*"]), ["host", "port"])
    connection = Peer(Environs(WORKER), LOCAL, CLIENT, forwarding, "http")
    env = env_of("/", "X-Forwarded-Host: example.org", "X-Forwarded-Port: 444", connection=connection)
    assert (env["HTTP_HOST"], env["SERVER_PORT"], env["REMOTE_ADDR"]) == ("example.org", "444", CLIENT[0])


@pytest.mark.parametrize(
    ("trusted", "given", "made"),
    [
        ("*", "", "id-0"),
        ("*", "X-Request-ID: 4f-a:b/c=", "4f-a:b/c="),
        ("*", "X-Request-ID: a b", "id-0"),
        ("*", 'X-Request-ID: "', "id-0"),
        ("*", "X-Request-ID: " + "x" * 129, "id-0"),
        ("", "X-Request-ID: 4f", "id-0"),
    ],
)
def test_request_ids(trusted: str, given: str, made: str) -> None:
    head = "\r\n".join(["GET / HTTP/1.1", "Host: a", *filter(None, [given]), "", ""]).encode()
    env = environ(parse(head), peer(CLIENT, trusted=trusted), io.BytesIO(), 0, RequestIds("id"))
    assert env["HTTP_X_REQUEST_ID"] == made


def test_a_wrong_peer_to_trust() -> None:
    with pytest.raises(ConfigError, match="'proxy' does not appear to be an IPv4 or IPv6 network"):
        Trust(["127.0.0.1", "proxy"])


header_text = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=9
)
names = st.text(st.sampled_from("aZ-_9.x"), min_size=1, max_size=9)


@given(
    fields=st.lists(st.tuples(names, header_text), max_size=8),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
@settings(max_examples=200)
def test_environs_please_both_referees(fields: list[tuple[str, str]], method: str) -> None:
    kept = [f"X{name}: {value}" for name, value in fields]
    env = env_of("/caf%C3%A9?q", *kept, method=method)
    assert all(type(value) is str for key, value in env.items() if "." not in key)

    def app(env: Environ, start_response: Any) -> list[bytes]:
        env["wsgi.input"].read(0)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    for referee in (validator, lint.middleware):
        exchange = Exchange(parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), STAMPS, Wire())
        result = referee(app)(dict(env), exchange.start_response)
        answer = b"".join(exchange.data(piece) for piece in result) + exchange.finish()
        result.close()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


# ---- file wrapper


class Closable(io.BytesIO):
    pass


def test_file_wrapper() -> None:
    file = Closable(b"abcdefg")
    wrapper = FileWrapper(file, 3)
    assert list(wrapper) == [b"abc", b"def", b"g"]
    wrapper.close()
    assert file.closed


def test_file_wrapper_of_what_cannot_be_closed() -> None:
    class Reader:
        def read(self, size: int) -> bytes:
            return b""

    wrapper = FileWrapper(Reader())
    assert list(wrapper) == []
    wrapper.close()


# ---- the exchange

STAMPS = Stamps("", lambda: 0.0)


def dateless(data: bytes) -> bytes:
    assert data.count(STAMPS.now().date) == 1
    return data.replace(STAMPS.now().date, b"")


START = Callable[..., Callable[[bytes], None]]


class Wire:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, data: bytes) -> None:
        assert data
        self.sent += data


def exchange(method: str = "GET", version: str = "1.1") -> tuple[Exchange, Wire]:
    request = parse(f"{method} / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    wire = Wire()
    return Exchange(request, STAMPS, wire), wire


def answer(
    app: Callable[[Environ, START], Iterable[bytes]], method: str = "GET", version: str = "1.1"
) -> bytes:
    """Do what a server does with an exchange."""
    it, wire = exchange(method, version)
    result = app({}, it.start_response)
    if isinstance(result, list) and len(result) == 1:
        return dateless(wire.sent + it.whole(result[0]))
    for piece in result:
        wire.sent += it.data(piece)
    return dateless(wire.sent + it.finish())


def test_pieces_go_in_chunks() -> None:
    def app(env: Environ, start_response: START) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"he"
        yield b""
        yield b"llo"

    assert (
        answer(app)
        == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    assert answer(app, version="1.0") == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
    assert answer(app, "HEAD") == b"HTTP/1.1 200 OK\r\n\r\n"


def test_one_piece_gets_its_length() -> None:
    def app(env: Environ, start_response: START) -> list[bytes]:
        start_response("200 OK", [])
        return [b"hello"]

    assert answer(app) == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert answer(app, "HEAD") == b"HTTP/1.1 200 OK\r\n\r\n"


def test_the_parts_of_an_answer_are_not_copied() -> None:
    piece = b"x" * 100
    for method, body in (("GET", piece), ("HEAD", b"")):
        it, _ = exchange(method)
        it.start_response("200 OK", [("Content-Length", "100")])
        head, sent = it.parts(piece)
        assert dateless(head) == b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        assert sent == body
        assert method == "HEAD" or sent is piece


@pytest.mark.parametrize("result", [[], [b""], [b"", b""]])
def test_no_body_gets_length_zero(result: list[bytes]) -> None:
    def app(env: Environ, start_response: START) -> list[bytes]:
        start_response("200 OK", [])
        return result

    assert answer(app) == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_the_head_waits_for_the_first_byte() -> None:
    it, _ = exchange()
    it.start_response("200 OK", [])
    assert it.data(b"") == b""
    assert it.framing is None
    it.start_response("404 Not Found", [], (ValueError, ValueError(), None))
    assert it.data(b"x").startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert it.status == 404


def test_write() -> None:
    it, wire = exchange()
    write = it.start_response("200 OK", [("Content-Length", "6")])
    write(b"")
    assert wire.sent == b""
    write(b"abc")
    assert dateless(wire.sent) == b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"
    assert it.whole(b"def") + it.finish() == b"def"


def test_write_before_an_iterable_of_one_piece() -> None:
    it, wire = exchange()
    it.start_response("200 OK", [])(b"abc")
    assert wire.sent.endswith(b"3\r\nabc\r\n")
    assert it.whole(b"d") == b"1\r\nd\r\n0\r\n\r\n"


def test_a_file() -> None:
    it, _ = exchange()
    it.start_response("200 OK", [])
    head, size = it.file(7)
    assert (dateless(head), size) == (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 7)
    assert it.finish() == b""
    it, _ = exchange("HEAD")
    it.start_response("200 OK", [("Content-Length", "7")])
    head, size = it.file(7)
    assert (dateless(head), size) == (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 0)


def test_a_second_call_needs_exc_info() -> None:
    it, _ = exchange()
    it.start_response("200 OK", [])
    with pytest.raises(AssertionError, match="second time without exc_info"):
        it.start_response("200 OK", [])


def test_exc_info_replaces_what_is_not_sent() -> None:
    it, _ = exchange()
    it.start_response("200 OK", [("X", "y")])
    try:
        raise KeyError("lost")
    except KeyError:
        it.start_response("500 Oops", [("Z", "z")], sys.exc_info())  # type: ignore[arg-type]
    assert it.headers == [("Z", "z")]
    assert dateless(it.whole(b"")) == b"HTTP/1.1 500 Oops\r\nZ: z\r\nContent-Length: 0\r\n\r\n"


def test_exc_info_is_raised_when_it_is_too_late() -> None:
    it, _ = exchange()
    it.start_response("200 OK", [])
    it.data(b"x")
    error = KeyError("lost")
    try:
        raise error
    except KeyError:
        with pytest.raises(KeyError) as caught:
            it.start_response("500 Oops", [], sys.exc_info())  # type: ignore[arg-type]
    assert caught.value is error
    assert [entry.name for entry in caught.traceback][-1] == "test_exc_info_is_raised_when_it_is_too_late"
    assert it.status == 200


def test_exc_info_leaves_no_garbage() -> None:
    class LostError(Exception):
        pass

    def late() -> weakref.ref[LostError]:
        it, _ = exchange()
        it.start_response("200 OK", [])
        it.data(b"x")
        try:
            raise LostError
        except LostError as error:
            watch = weakref.ref(error)
            with contextlib.suppress(LostError):
                it.start_response("500 Oops", [], (LostError, error, error.__traceback__))
        return watch

    gc.disable()
    try:
        assert late()() is None
    finally:
        gc.enable()


def test_exc_info_at_the_first_call() -> None:
    it, _ = exchange()
    it.start_response("500 Oops", [], (KeyError, KeyError(), None))
    assert it.whole(b"x").startswith(b"HTTP/1.1 500 Oops\r\n")


def test_a_refused_head_can_be_replaced() -> None:
    it, _ = exchange()
    with pytest.raises(ResponseError, match="cannot have"):
        it.start_response("200 OK", [("a b", "c")])
    it.start_response("500 Oops", [])
    assert it.whole(b"").startswith(b"HTTP/1.1 500 Oops\r\n")


def test_without_start_response() -> None:
    it, _ = exchange()
    for call in (lambda: it.data(b"x"), lambda: it.data(b""), lambda: it.whole(b"x"), it.finish):
        with pytest.raises(AssertionError, match="before it called start_response"):
            call()


@pytest.mark.parametrize("piece", ["text", 5, None, bytearray(b"x")])
def test_bodies_are_bytes(piece: Any) -> None:
    it, _ = exchange()
    write = it.start_response("200 OK", [])
    for call in (it.data, it.whole, write):
        with pytest.raises(TypeError, match=f"has a {type(piece).__name__}; PEP 3333 wants bytes"):
            call(piece)


@pytest.mark.parametrize("headers", [(("X", "y"),), {"X": "y"}, None, iter(())])
def test_headers_are_a_list(headers: Any) -> None:
    it, _ = exchange()
    with pytest.raises(TypeError, match="not list"):
        it.start_response("200 OK", headers)


def test_early_hints_and_write_lead_nowhere_when_the_request_is_over() -> None:
    it, wire = exchange()
    write = it.start_response("200 OK", [])
    it.wire = None
    with pytest.raises(AssertionError, match="a request that is over"):
        it.early_hints([("Link", "</a.css>")])
    with pytest.raises(AssertionError, match="a request that is over"):
        write(b"late")
    assert wire.sent == b""
