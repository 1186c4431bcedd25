# The response cache of the native servers: what is kept, for whom, and who waits for whom.

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from bigtop.backends.native.cache import response_cache
from bigtop.backends.serve_options import AnswerPolicy, PathOptions, ServeOptions
from bigtop.record import replace
from tests.support.backend_server import BackendServer, eventually
from tests.support.decoding import decoded
from tests.support.http2_client import Http2Client
from tests.support.wire import Answer, Client, Closed, request

KINDS = {"wsgi": "wsgi", "gevent": "wsgi", "asgi": "asgi"}
MINUTE = "Cache-Control:max-age=60"
PUBLIC = "Cache-Control:public, max-age=60"
_numbers = count()


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[BackendServer]:
    options = ServeOptions(
        threads=8 if request.param == "wsgi" else 1,
        answers=AnswerPolicy(cache=1 << 20, accel_headers=True),
    )
    gzip = replace(options.answers, compress=("gzip",), add_headers=(("X-Added", "1"),))
    paths = {
        "/off/": replace(options, answers=AnswerPolicy()),
        "/cookies/": replace(options, answers=AnswerPolicy(cache=1 << 20, cache_cookies=("session",))),
        "/gzip/": replace(options, answers=gzip),
    }
    options = replace(options, paths=tuple(PathOptions(path, own) for path, own in paths.items()))
    app = f"tests.apps.cacheable:{KINDS[request.param]}"
    with BackendServer(app, options, backend=request.param) as server:
        yield server


@pytest.fixture
def client(server: BackendServer) -> Iterator[Client]:
    with server.connect() as client:
        yield client


def url(*fields: str, under: str = "/", **how: object) -> str:
    """Return a URL that nobody has asked for, and whose answer has these fields."""
    query = urlencode([*(("h", field) for field in fields), *how.items()])
    return f"{under}{next(_numbers)}?{query}"


def body(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    return found


def number(answer: Answer) -> int:
    """Return which call an answer comes from."""
    return int(body(answer)["n"])


def is_kept(client: Client, target: str, *headers: str) -> bool:
    return [number(client.get(target, *headers)) for _ in range(2)] == [1, 1]


# ---- what is kept


@pytest.mark.parametrize("how", [{}, {"pieces": 1}, {"pieces": 1, "measured": 1}, {"status": "404"}])
def test_an_answer_is_given_again(client: Client, how: dict[str, object]) -> None:
    target = url(MINUTE, "X-Name:value", "Content-Type:text/plain", **how)
    first, second = client.get(target), client.get(target)
    assert first["Cache-Status"] == "bigtop; fwd=uri-miss; stored"
    assert first["Age"] is None
    assert (second.status, second.body) == (first.status, first.body)
    assert (second["X-Name"], second["Content-Type"]) == ("value", "text/plain")
    assert second["Content-Length"] == str(len(first.body))
    assert second["Age"] in ("0", "1", "2", "3")
    assert str(second["Cache-Status"]).startswith("bigtop; hit; ttl=")
    head = client.get(target, method="HEAD")
    assert (head.status, head["Content-Length"], head["X-Name"]) == (
        first.status,
        str(len(first.body)),
        "value",
    )
    assert number(client.get(target)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (MINUTE, "Set-Cookie:a=b"),
        ("Cache-Control:public, s-maxage=60", "Set-Cookie:a=b"),
        ("Cache-Control:private, max-age=60",),
        ("Cache-Control:no-store",),
        ("Cache-Control:no-cache, max-age=60",),
        ("Cache-Control:max-age=0",),
        (MINUTE, "Vary:*"),
        (MINUTE, "Content-Range:bytes 0-1/5"),
        (MINUTE, "X-Accel-Expires:0"),
        ("X-Accel-Expires:60", "Set-Cookie:a=b"),
    ],
)
def test_some_answers_are_never_kept(client: Client, fields: tuple[str, ...]) -> None:
    target = url(*fields)
    assert [number(client.get(target)) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "how", [{"status": "500"}, {"status": "302,200"}, {"status": "206"}, {"status": "503"}]
)
def test_some_statuses_are_never_kept(client: Client, how: dict[str, object]) -> None:
    assert is_kept(client, url(MINUTE, **how)) == (how["status"] == "302,200")


def test_a_body_that_is_cut_short_is_not_kept(server: BackendServer) -> None:
    target = url(MINUTE, cut=1)
    for _ in range(2):
        with server.connect() as client:
            client.send(request(target))
            with pytest.raises(Closed):
                client.answer()


def test_an_answer_too_large_is_not_kept_and_is_whole(client: Client) -> None:
    for how in ({}, {"pieces": 1}):
        assert is_kept(client, url(MINUTE, size=50_000, **how))
        target = url(MINUTE, size=200_000, **how)
        answers = [client.get(target) for _ in range(2)]
        assert [number(answer) for answer in answers] == [1, 2]
        assert len(answers[0].body) > 200_000


def test_x_accel_expires_says_how_long(client: Client) -> None:
    target = url("X-Accel-Expires:60", "Cache-Control:max-age=0")
    assert is_kept(client, target)
    assert client.get(target)["X-Accel-Expires"] is None


# ---- requests


def test_other_methods_pass_and_what_they_change_is_forgotten(client: Client) -> None:
    target = url(MINUTE)
    assert is_kept(client, target)
    answer = client.post(target, b"")
    assert (answer["Cache-Status"], number(answer)) == ("bigtop; fwd=method", 2)
    assert number(client.get(target)) == 3
    assert number(client.get(target, method="OPTIONS")) == 4
    assert number(client.get(target)) == 3
    failing = url(MINUTE, status="200,400")
    assert is_kept(client, failing)
    assert client.post(failing, b"").status == 400
    assert number(client.get(failing)) == 1


@pytest.mark.parametrize("field", ["Range: bytes=0-1", "X-Original-URL: /x", "Cache-Control: no-store"])
def test_some_requests_pass(client: Client, field: str) -> None:
    target = url(MINUTE)
    assert is_kept(client, target)
    answer = client.get(target, field)
    assert (answer["Cache-Status"], number(answer)) == ("bigtop; fwd=request", 2)
    assert number(client.get(target)) == 1


def test_a_reload_does_not_pass(client: Client) -> None:
    assert is_kept(client, url(MINUTE), "Cache-Control: no-cache", "Pragma: no-cache")


def test_hosts_and_schemes_are_told_apart(client: Client) -> None:
    target = url(MINUTE)

    def asked(*fields: str) -> int:
        client.send("\r\n".join([f"GET {target} HTTP/1.1", *fields, "", ""]).encode())
        return number(client.answer())

    assert [asked(f"Host: {host}") for host in ("a.example", "b.example", "A.example")] == [1, 2, 1]
    assert asked("Host: a.example", "X-Forwarded-Proto: https") == 3
    assert asked("Host: a.example", "X-Forwarded-Host: evil") == 4
    assert asked("Host: a.example") == 1


def test_who_says_who_asks_gets_what_is_public_only(client: Client) -> None:
    for secret in ("Cookie: session=1", "Authorization: Basic eDp5"):
        target = url(MINUTE)
        assert number(client.get(target, secret)) == 1
        assert number(client.get(target, secret)) == 2
        assert number(client.get(target)) == 3, "nothing of these was kept"
        assert number(client.get(target)) == 3
        answer = client.get(target, secret)
        assert (number(answer), answer["Cache-Status"]) == (4, "bigtop; fwd=bypass")
        public = url(PUBLIC)
        assert number(client.get(public, secret)) == 1
        assert number(client.get(public)) == 1
        assert number(client.get(public, secret)) == 1
        assert is_kept(client, url("Cache-Control:s-maxage=60"), secret)


def test_cookies_that_matter(client: Client) -> None:
    target = url(MINUTE, under="/cookies/")
    assert number(client.get(target, "Cookie: _ga=1")) == 1
    assert number(client.get(target, "Cookie: _ga=2; other=3")) == 1
    assert number(client.get(target)) == 1
    assert number(client.get(target, "Cookie: session=a; _ga=1")) == 2
    assert number(client.get(target, "Cookie: _ga=2; session=a")) == 2
    assert number(client.get(target, "Cookie: session=b")) == 3
    assert number(client.get(target)) == 1


def test_answers_vary(client: Client) -> None:
    target = url(MINUTE, "Vary:Accept-Language")
    languages = ("de", "en", "de", "en", "DE")
    assert [number(client.get(target, f"Accept-Language: {one}")) for one in languages] == [1, 2, 1, 2, 1]
    assert number(client.get(target)) == 3
    assert client.get(target, "Accept-Language: fr")["Cache-Status"] == "bigtop; fwd=vary-miss; stored"


def test_a_client_that_has_it_is_told_so(client: Client) -> None:
    target = url(MINUTE, etag="v1")
    first = client.get(target, 'If-None-Match: "v1"')
    assert (first.status, body(first)["seen"]) == (200, {}), "the cache wants all of it"
    known = client.get(target, 'If-None-Match: W/"v1"')
    assert (known.status, known["ETag"], known["Age"] is not None) == (304, '"v1"', True)
    assert client.get(target, 'If-None-Match: "v2"').status == 200


def test_what_is_kept_passes_the_other_filters_each_time(client: Client) -> None:
    target = url(MINUTE, "Content-Type:text/plain", "X-Accel-Charset:utf-8", under="/gzip/", size=5000)
    for accept, coding in (("gzip", "gzip"), ("br", None), ("gzip", "gzip"), ("br", None)):
        answer = client.get(target, f"Accept-Encoding: {accept}")
        assert (answer["Content-Encoding"], answer["X-Added"], answer["Vary"]) == (
            coding,
            "1",
            "Accept-Encoding",
        )
        plain = decoded("gzip", answer.body) if coding else answer.body
        assert json.loads(plain)["n"] == 1
        assert len(plain) > 5000


def test_only_what_is_cached(client: Client) -> None:
    target = url(MINUTE)
    assert client.get(target, "Cache-Control: only-if-cached").status == 504
    client.get(target)
    assert number(client.get(target, "Cache-Control: only-if-cached")) == 1


def test_a_path_may_be_left_out(client: Client) -> None:
    target = url(MINUTE, under="/off/")
    answer = client.get(target)
    assert (answer["Cache-Status"], number(client.get(target))) == (None, 2)


# ---- answers that grow old


def test_a_stale_answer_is_given_and_made_anew_behind_it(client: Client) -> None:
    target = url("Cache-Control:max-age=0, stale-while-revalidate=60")
    assert number(client.get(target)) == 1
    answer = client.get(target)
    assert number(answer) == 1
    assert answer["Cache-Status"] == "bigtop; hit; ttl=-1" or answer["Cache-Status"] == "bigtop; hit; ttl=0"
    eventually(lambda: number(client.get(target)) > 1, what="it was made anew")


def test_while_one_makes_it_anew_the_others_get_the_stale_one(server: BackendServer) -> None:
    gate = server.gate("")
    fields = ("Cache-Control:max-age=0, stale-while-revalidate=60",)
    target = url(*fields, gate=gate.path, after=1, etag="v1")
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(4)]
        assert number(clients[0].get(target)) == 1
        assert number(clients[0].get(target)) == 1
        eventually(lambda: gate.entered() == 1, what="it is made anew")
        for client in clients[1:]:
            assert number(client.get(target)) == 1
        assert gate.entered() == 1
        gate.open()


def test_a_stale_answer_is_confirmed(client: Client) -> None:
    target = url("Cache-Control:max-age=0, stale-while-revalidate=60, public", etag="v1")
    assert number(client.get(target)) == 1
    for _ in range(3):
        assert number(client.get(target)) == 1
    over = url("Cache-Control:max-age=1", etag="v1")
    assert number(client.get(over)) == 1
    eventually(lambda: "fwd-status=304" in str(client.get(over)["Cache-Status"]), what="it was asked again")
    assert number(client.get(over)) == 1
    assert client.get(over, 'If-None-Match: "v1"').status == 304


def test_where_the_application_fails_the_old_answer_is_given(client: Client) -> None:
    target = url("Cache-Control:max-age=0, stale-while-revalidate=1, stale-if-error=600", status="200,503")
    assert number(client.get(target)) == 1

    def is_over() -> bool:  # the time in which it is given and made anew
        answer = client.get(target)
        assert (answer.status, number(answer)) == (200, 1)
        return "stale-if-error" in str(answer["Cache-Status"])

    eventually(is_over, what="it is given because of an error")


# ---- many at once


def herd(server: BackendServer, target: str, many: int, *, inside: int = 1) -> list[Answer]:
    """Ask for the same many times, and let the application answer when all have asked."""
    gate = server.gate("")
    target += f"&gate={gate.path}"
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(many)]
        clients[0].send(request(target))
        eventually(lambda: gate.entered() == 1, what="the first is inside the application")
        for client in clients[1:]:
            client.send(request(target))
        eventually(lambda: gate.entered() == inside, what="those that do not wait are, too")
        gate.open()
        return [client.answer() for client in clients]


def test_one_fills_and_the_others_wait(server: BackendServer) -> None:
    answers = herd(server, url(MINUTE), 6)
    assert [number(answer) for answer in answers] == [1] * 6
    assert {str(answer["Cache-Status"]).partition(" ttl")[0] for answer in answers} <= {
        "bigtop; fwd=uri-miss; stored", "bigtop; fwd=uri-miss; collapsed", "bigtop; hit;"
    }  # fmt: skip


def test_nobody_waits_for_what_is_not_kept_for_long(server: BackendServer) -> None:
    """The first tells the others that it is none, and these go on side by side."""
    answers = herd(server, url("Cache-Control:private"), 6)
    assert sorted(number(answer) for answer in answers) == [1, 2, 3, 4, 5, 6]


def test_nobody_waits_for_those_that_say_who_they_are(server: BackendServer) -> None:
    gate = server.gate("")
    target = url(MINUTE, gate=gate.path)
    with server.connect() as one, server.connect() as other:
        one.send(request(target, "Cookie: a=b"))
        eventually(lambda: gate.entered() == 1)
        other.send(request(target))
        eventually(lambda: gate.entered() == 2)
        gate.open()
        assert {number(one.answer()), number(other.answer())} == {1, 2}


def test_a_call_that_fails_holds_nobody_up(server: BackendServer) -> None:
    answers = herd(server, url(MINUTE, fail=1), 4)
    assert [answer.status for answer in answers] == [500] * 4


def test_streams_of_http2(server: BackendServer) -> None:
    target = url(MINUTE, etag="v1")
    with Http2Client(server.address) as client:
        for _ in range(3):
            answer = client.get(target)
            assert (answer.status, json.loads(answer.body)["n"]) == (200, 1)
        assert answer.header("cache-status").startswith("bigtop; hit")
        assert client.get(target, headers=[("if-none-match", '"v1"')]).status == 304
        stale = url("Cache-Control:max-age=0, stale-while-revalidate=60")
        assert [json.loads(client.get(stale).body)["n"] for _ in range(2)] == [1, 1]
        eventually(lambda: json.loads(client.get(stale).body)["n"] > 1)


def test_patience_is_that_of_nginx() -> None:
    assert response_cache.PATIENCE == 5_000_000_000
