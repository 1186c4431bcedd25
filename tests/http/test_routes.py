# Whose request it is, and where an engine comes to rest before one that is somebody else's.

from __future__ import annotations

import pytest

from bigtop.errors import ProtocolError
from bigtop.http.clients.proxyprotocol import ProxiedEngine
from bigtop.http.declarations import Route
from bigtop.http.engine import Engine, Phase
from bigtop.http.limits import Limits
from bigtop.http.messages import Event, Request
from bigtop.http.paths.routes import RoutedEngine, Routes

TABLE = [
    (Route("", ""), 0),
    (Route("", "/api"), 1),
    (Route("", "/api/v2"), 2),
    (Route("api.example.org", ""), 3),
    (Route("api.example.org", "/api"), 4),
    (Route("[::1]", ""), 5),
]


def get(target: str, *fields: str, host: str = "test") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode("latin-1")


def request(data: bytes) -> Request:
    (made,) = Engine(Limits()).feed(data)
    assert isinstance(made, Request)
    return made


@pytest.mark.parametrize(
    ("target", "host", "owner"),
    [
        ("/", "test", 0),
        ("/api", "test", 1),
        ("/api/", "test", 1),
        ("/api?x=/api/v2", "test", 1),
        ("/apiary", "test", 0),
        ("/Api", "test", 0),
        ("/%61pi", "test", 1),
        ("/api%2Fv2/x", "test", 2),
        ("/api/v2", "test", 2),
        ("/api/v20", "test", 1),
        ("//api", "test", 0),
        ("/", "api.example.org", 3),
        ("/", "API.example.org.", 3),
        ("/", "api.example.org:8000", 3),
        ("/api/v2", "api.example.org", 4),
        ("http://api.example.org/api", "test", 4),
        ("http://test", "api.example.org", 0),
        ("/", "[::1]", 5),
        ("/", "[::1]:80", 5),
        ("/", "xapi.example.org", 0),
        ("/", "", 0),
    ],
)
def test_owner(target: str, host: str, owner: int) -> None:
    routes = Routes(TABLE, 0)
    for _ in range(2):  # what is remembered is the same
        assert routes.owner(request(get(target, host=host))) == owner


def test_a_long_target_and_one_without_a_path() -> None:
    routes = Routes(TABLE, 0)
    assert routes.owner(request(get("/api/" + "x" * 4000))) == 1
    assert routes.owner(request(b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n")) == 0
    assert routes.owner(request(b"GET /api HTTP/1.0\r\n\r\n")) == 1


def test_what_nobody_answers() -> None:
    routes = Routes([(Route("", "/api"), 0), (Route("example.org", ""), 1)], 0)
    assert routes.owner(request(get("/", host="example.org"))) == 1
    with pytest.raises(ProtocolError) as caught:
        routes.owner(request(get("/other")))
    assert caught.value.status == 404
    engine = RoutedEngine(Limits(), routes=routes)
    assert len(engine.feed(get("/api") + get("/other"))) == 1
    assert engine.error is not None


# ---- the engine

OURS = get("/") + b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabcde"
FOREIGN = b"POST /api HTTP/1.1\r\nhost:  test\r\nContent-Length: 10\r\n\r\n01234"
MORE = b"56789" + get("/") + get("/api")


def engine(limits: Limits = Limits()) -> RoutedEngine:  # noqa: B008 - frozen
    return RoutedEngine(limits, [b"websocket"], Routes(TABLE, 0))


def fed(subject: Engine, pieces: list[bytes]) -> tuple[list[str], bytes]:
    """Feed until the engine rests; return what was ours, and the bytes that were not used."""
    events: list[Event] = []
    for index, piece in enumerate(pieces):
        events += subject.feed(piece)
        if subject.phase is Phase.ELSEWHERE:
            rest = subject.take_rest() + b"".join(pieces[index + 1 :])
            return [_shown(event) for event in events], rest
    raise AssertionError("it never rested")


def _shown(event: Event) -> str:
    return event.method if isinstance(event, Request) else str(event)


@pytest.mark.parametrize("before", [b"", OURS, b"\r\n", OURS + b"\r\n"])
def test_it_rests_before_a_foreign_request_in_every_cut(before: bytes) -> None:
    data = before + FOREIGN + MORE
    whole = fed(engine(), [data])
    assert whole[1] == FOREIGN + MORE
    for at in range(1, len(data)):
        ours, rest = fed(engine(), [data[:at], data[at:]])
        assert rest == FOREIGN + MORE, at
        assert "".join(ours).count("POST") == "".join(whole[0]).count("POST")
    assert fed(engine(), [data[at : at + 1] for at in range(len(data))])[1] == FOREIGN + MORE


def test_what_comes_behind_stays_with_it() -> None:
    subject = engine()
    subject.feed(FOREIGN)
    assert subject.owner == 1
    assert subject.feed(MORE) == []
    assert subject.take_rest() == FOREIGN + MORE


def test_the_owner_reads_the_same_request() -> None:
    subject = engine()
    subject.feed(FOREIGN)
    theirs = RoutedEngine(Limits(), routes=Routes(TABLE, 1))
    first, *body = theirs.feed(subject.take_rest() + MORE)
    assert isinstance(first, Request)
    assert (first.method, first.target, b"".join(piece for piece in body if isinstance(piece, bytes))) == (
        "POST",
        b"/api",
        b"0123456789",
    )
    assert theirs.phase is Phase.ELSEWHERE
    assert theirs.take_rest() == get("/") + get("/api")


def test_limits_of_bodies_are_the_owners() -> None:
    small = engine(Limits(body=5))
    assert small.feed(FOREIGN) == []
    assert small.phase is Phase.ELSEWHERE
    small = engine(Limits(body=5))
    small.feed(FOREIGN.replace(b"/api", b"/"))
    assert small.error is not None
    assert small.error.status == 413


def test_an_upgrade_is_routed_first() -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    subject = engine()
    assert subject.feed(get("/api", *upgrade)) == []
    assert subject.phase is Phase.ELSEWHERE
    subject = engine()
    subject.feed(get("/", *upgrade))
    assert subject.phase is Phase.UPGRADED


def test_a_foreign_request_that_is_wrong_is_refused_here() -> None:
    subject = engine()
    subject.feed(b"GET /api HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert subject.error is not None
    assert subject.error.status == 400


def test_looking_feeds_nothing() -> None:
    subject = engine()
    assert subject.is_foreign(FOREIGN)
    assert not subject.is_foreign(OURS + FOREIGN)
    assert not subject.is_foreign(FOREIGN[:10])
    assert not subject.is_foreign(b"\0")
    assert subject.phase is Phase.IDLE
    assert len(subject.feed(get("/"))) == 1


def test_behind_a_proxy_header() -> None:
    said: list[object] = []
    subject = ProxiedEngine(
        Limits(), "v1", lambda source, destination: said.append(source), (), Routes(TABLE, 0)
    )
    assert subject.feed(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + FOREIGN) == []
    assert said == [("192.0.2.1", 1)]
    assert (subject.phase, subject.owner, subject.take_rest()) == (Phase.ELSEWHERE, 1, FOREIGN)
