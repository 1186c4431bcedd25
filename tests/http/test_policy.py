# Which requests are let through, and which of their fields applications for WSGI and for ASGI are shown: the
# same.

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.declarations import FIELDS, MAPS
from bigtop.http.engine import Engine
from bigtop.http.interfaces import scope as asgi
from bigtop.http.interfaces import wsgi
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.http.paths.paths import root_of
from bigtop.http.requestid import RequestIds
from tests.apps.shown import mounted, told, told_of

PROXY, STRANGER = ("10.0.0.1", 5000), ("203.0.113.9", 5000)
SERVER = ("192.0.2.1", 80)


def forwarding(**options: Any) -> Forwarding:
    return Forwarding(Trust(["10.0.0.0/8"]), options.pop("believed", ("for", "proto")), **options)


def read(
    lines: Sequence[bytes], rules: Forwarding, client: Any = PROXY, first: bytes = b"GET /"
) -> Request | ProtocolError:
    engine = Engine(Limits(), policy=rules.policy(client[0]))
    events = engine.feed(b"\r\n".join([first + b" HTTP/1.1", b"Host: test", *lines, b"", b""]))
    if engine.error is not None:
        return engine.error
    (request,) = events
    assert isinstance(request, Request)
    return request


def by_wsgi(request: Request, rules: Forwarding, client: Any, root: str = "") -> dict[str, str]:
    worker = wsgi.worker_environ(
        io.StringIO(), multithread=False, multiprocess=True, script_name=root_of(root).latin
    )
    peer = wsgi.Peer(wsgi.Environs(worker), SERVER, client, rules, "http")
    return told(wsgi.environ(request, peer, io.BytesIO(), ids=RequestIds("x")))


def scope_of(request: Request, rules: Forwarding, client: Any, root: str = "") -> dict[str, Any]:
    peer = asgi.Peers(rules, root_of(root), RequestIds("x")).peer(SERVER, client)
    given = asgi.shown_of(request, peer.policy)
    return asgi.http_scope(request, given, peer, {}, given.request_id or peer.ids.new_bytes())


def shown(*lines: bytes, client: Any = PROXY, root: str = "", **options: Any) -> dict[str, str]:
    """Return what applications are shown; all three kinds have to agree."""
    rules = forwarding(**options)
    request = read(lines, rules, client)
    assert isinstance(request, Request)
    made = by_wsgi(request, rules, client, root)
    scope = scope_of(request, rules, client, root)
    unlike = {"RAW_URI"}  # with ASGI the path has the root in it, whether or not a proxy took it off
    for other in (told_of(scope), told(mounted._environ_of(scope, io.BytesIO(), 0))):
        assert {key: other.get(key) for key in made.keys() - unlike} == {
            key: made[key] for key in made.keys() - unlike
        }
        assert other.keys() == made.keys()
    return made


NAMES = st.sampled_from(
    [
        *("X-Forwarded-For", "x_forwarded_for", "X-Forwarded-Proto", "X_Forwarded-Proto", "X-Forwarded-Ssl"),
        *("X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Anything", "Forwarded", "X-Real-IP"),
        *("SSL-Client-Verify", "ssl_client_s_dn", "X-SSL-Client-Cert"),
        *("X_Real_IP", "X-Request-ID", "x_request_id", "SCRIPT_NAME", "Script-Name", "PATH_INFO"),
        *("access_token", "Content_Type", "Content-Type", "Content_Length", "Cookie", "Accept", "_", "a_-b"),
    ]
)
VALUES = st.sampled_from(
    [
        *("https", "http", "wss", "on", "ssl", "1.2.3.4", "1.2.3.4, 10.0.0.2", "for=1.2.3.4;proto=https"),
        *('for="1.2.3.4', "example.org", "444", "/foo", "foo", "/", "", "a b", "\xff", "4f-a"),
    ]
)
LINES = st.lists(
    st.builds(lambda name, value: f"{name}: {value}".encode("latin-1"), NAMES, VALUES), max_size=8
)


@pytest.mark.case("E7")
@pytest.mark.case("A11")
@settings(max_examples=400, deadline=None)
@example([b"X-Forwarded-For: 1.2.3.4"], PROXY, "drop", (), ["for"], "")
@given(
    LINES,
    st.sampled_from([PROXY, STRANGER]),
    st.sampled_from(MAPS),
    st.sampled_from([(), ("SCRIPT_NAME", "PATH_INFO"), ("access_token",), ("*",)]),
    st.lists(st.sampled_from(list(FIELDS)), unique=True),
    st.sampled_from(["", "/foo"]),
)
def test_both_native_servers_hand_the_same_fields_to_their_applications(
    lines: list[bytes], client: Any, header_map: str, forwarder: Any, believed: Any, root: str
) -> None:
    options = {"header_map": header_map, "forwarder": forwarder, "believed": believed}
    if isinstance(read(lines, forwarding(**options), client), Request):
        made = shown(*lines, client=client, root=root, **options)
        if client is STRANGER:
            assert not [key for key in made if key.startswith("HTTP_X_FORWARDED_")]
            assert not made.keys() & {"HTTP_FORWARDED", "HTTP_X_REAL_IP"}
            assert made["HTTP_X_REQUEST_ID"].startswith("x-")
            assert (made["wsgi.url_scheme"], made["SCRIPT_NAME"]) == ("http", root)


@pytest.mark.case("A11")
@pytest.mark.parametrize(
    ("client", "header_map", "forwarder", "reaches"),
    [
        (PROXY, "drop", (), False),
        (PROXY, "drop", ("ACCESS_TOKEN",), True),
        (PROXY, "drop", ("*",), True),
        (PROXY, "dangerous", (), True),
        (STRANGER, "drop", ("access_token",), False),
        (STRANGER, "drop", ("*",), False),
        (STRANGER, "dangerous", (), True),
    ],
)
def test_names_with_an_underscore(client: Any, header_map: str, forwarder: Any, reaches: bool) -> None:
    made = shown(b"access_token: abc", client=client, header_map=header_map, forwarder=forwarder)
    assert made.get("HTTP_ACCESS_TOKEN") == ("abc" if reaches else None)


@pytest.mark.case("A11")
@pytest.mark.parametrize(("client", "passes"), [(PROXY, True), (STRANGER, False)])
def test_they_can_be_refused(client: Any, passes: bool) -> None:
    rules = forwarding(header_map="refuse", forwarder=("access_token",))
    made = read([b"access_token: abc"], rules, client)
    assert isinstance(made, Request) == passes
    refused = read([b"a: b", b"other_name: abc"], rules, client)
    assert isinstance(refused, ProtocolError)
    assert (refused.status, "other_name" in str(refused)) == (400, True)


@pytest.mark.case("E7")
def test_a_stranger_cannot_spell_it_in_another_way() -> None:
    lines = [b"x_forwarded_proto: https", b"X_Real-IP: 1.2.3.4", b"X_REQUEST_ID: 4f", b"SCRIPT_NAME: /evil"]
    made = shown(*lines, client=STRANGER, header_map="dangerous")
    assert made.keys() & {"HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP"} == set()
    assert (made["SCRIPT_NAME"], made["HTTP_SCRIPT_NAME"]) == ("", "/evil")
    assert made["HTTP_X_REQUEST_ID"] != "4f"


def test_a_length_with_an_underscore_is_no_length() -> None:
    made = shown(b"Content_Length: 5", b"Content_Type: a", header_map="dangerous")
    assert made["HTTP_CONTENT_LENGTH"] == "5"
    assert "CONTENT_TYPE" not in made


def test_names_of_ones_own_for_the_scheme_are_dropped_from_strangers() -> None:
    options: dict[str, Any] = {"secure": [("CloudFront-Forwarded-Proto", "https")]}
    line = b"CloudFront-Forwarded-Proto: https"
    assert shown(line, **options)["wsgi.url_scheme"] == "https"
    assert "HTTP_CLOUDFRONT_FORWARDED_PROTO" not in shown(line, client=STRANGER, **options)


@pytest.mark.case("A11")
@pytest.mark.case("A10")
@pytest.mark.parametrize(
    ("value", "script"),
    [(b"/foo", "/foo"), (b"/foo/", "/foo"), (b"foo", "/mine"), (b"", "/mine"), (b"/", "/mine")],
)
def test_a_proxy_says_where_the_application_is_mounted(value: bytes, script: str) -> None:
    assert shown(b"SCRIPT_NAME: " + value, root="/mine")["SCRIPT_NAME"] == script


@pytest.mark.case("A9")
@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        ([b"X-Forwarded-Proto: wss"], "https"),
        ([b"X-Forwarded-Proto: WSS"], "https"),
        ([b"X-Forwarded-Proto: ws"], "http"),
        ([b"X-Forwarded-Proto: http, wss"], "https"),
        ([b"X-Forwarded-Ssl: on"], "https"),
        ([b"X-Forwarded-Ssl: off"], "http"),
        ([b"X-Forwarded-Protocol: ssl"], "https"),
        ([b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: on", b"X-Forwarded-Protocol: ssl"], "https"),
        ([b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl:"], "https"),
        ([b"X-Forwarded-Proto: http", b"X-Forwarded-Ssl: off"], "http"),
    ],
)
def test_schemes(lines: list[bytes], scheme: str) -> None:
    assert shown(*lines)["wsgi.url_scheme"] == scheme
    assert shown(*lines, client=STRANGER)["wsgi.url_scheme"] == "http"
    assert shown(*lines, believed=("for",))["wsgi.url_scheme"] == "http"


@pytest.mark.case("A9")
@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off"],
        [b"X-Forwarded-Proto: http", b"X-Forwarded-Ssl: on"],
        [b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http"],
        [b"X-Forwarded-Protocol: ssl", b"X-Forwarded-Proto: gopher"],
    ],
)
def test_schemes_that_contradict_each_other(lines: list[bytes]) -> None:
    refused = read(lines, forwarding())
    assert isinstance(refused, ProtocolError)
    assert refused.status == 400
    assert isinstance(read(lines, forwarding()), ProtocolError), "also when the header is known"
    assert isinstance(read(lines, forwarding(), STRANGER), Request), "what does not count does not contradict"
    assert isinstance(read(lines, forwarding(believed=["for"])), Request)


@pytest.mark.case("A18")
def test_only_some_methods() -> None:
    rules = forwarding(methods=["GET", "BAN"])
    assert isinstance(read([], rules, first=b"BAN /"), Request)
    refused = read([], rules, first=b"POST /")
    assert isinstance(refused, ProtocolError)
    assert (refused.status, refused.fields) == (405, (("Allow", "BAN, GET"),))


@pytest.mark.case("A10")
@pytest.mark.parametrize(
    ("root", "target", "script", "path"),
    [
        ("/foo", b"/foo/bar", "/foo", "/bar"),
        ("/foo", b"/bar", "/foo", "/bar"),
        ("/foo", b"/foo", "/foo", ""),
        ("/foo", b"/foo/", "/foo", "/"),
        ("/foo", b"/foobar", "/foo", "/foobar"),
        ("/foo", b"/f%6Fo/b%61r", "/foo", "/bar"),
        ("/foo/", b"/foo/bar", "/foo", "/bar"),
        ("/", b"/foo/bar", "", "/foo/bar"),
        ("/f%C3%B6", b"/f\xc3\xb6/x", "/f\xc3\xb6", "/x"),
        ("/f\xf6", b"/f%C3%B6/x", "/f\xc3\xb6", "/x"),
        ("/a%20b", b"/a%20b/x?y", "/a b", "/x"),
        ("/foo", b"http://test/foo/bar", "/foo", "/bar"),
    ],
)
def test_where_an_application_is_mounted(root: str, target: bytes, script: str, path: str) -> None:
    rules = forwarding()
    request = read([], rules, first=b"GET " + target)
    assert isinstance(request, Request)
    made = by_wsgi(request, rules, PROXY, root.rstrip("/"))
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == (script, path)
    scope = scope_of(request, rules, PROXY, root.rstrip("/"))
    assert (told_of(scope)["SCRIPT_NAME"], told_of(scope)["PATH_INFO"]) == (script, path)
    assert scope["path"].startswith(scope["root_path"])
    inner = told(mounted._environ_of(scope, io.BytesIO(), 0))
    assert (inner["SCRIPT_NAME"], inner["PATH_INFO"]) == (script, path)
