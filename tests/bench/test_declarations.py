# Every declaration can be turned into what it stands for; a misspelt one is found here, not in a long run.

from pathlib import Path

import pytest

from bench import peers, runner, scenarios, workshop
from bench.peers import PEERS, Peer, UnknownNameError
from bench.scenarios import APPS, PLAIN, SCENARIOS, Request, Scenario, frame
from bench.server import commands
from bigtop.http.websocket import Session


def test_names_and_sets_are_chosen_once_in_the_order_given() -> None:
    assert [p.name for p in peers.select("c-epoll,quick")] == [
        "c-epoll",
        "bigtop",
        "gunicorn-sync",
        "gunicorn-gthread",
        "gunicorn-gevent",
    ]
    assert [s.name for s in scenarios.select("quick")] == ["hello", "django-page"]


@pytest.mark.parametrize("names", ["nobody", "quick,nobody", "", ","])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(names: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        peers.select(names)
    if "nobody" in names:
        assert "'nobody'" in str(caught.value)
        assert "gunicorn-sync" in str(caught.value)


def test_an_earlier_bigtop_is_measured_behind_the_one_that_is(tmp_path: Path) -> None:
    chosen = peers.with_earlier(peers.select("bigtop,bigtop-pure,gunicorn-sync"), "abc123")
    assert [peer.name for peer in chosen] == ["bigtop", "bigtop@abc123", "bigtop-pure", "gunicorn-sync"]
    assert [workshop.bigtop_of(peer) for peer in chosen] == [
        workshop.INSTALLED,
        workshop.COMMITS / "abc123" / "installed",
        workshop.ROOT,
        workshop.ROOT,
    ]
    ((program, *words),) = commands(chosen[1], SCENARIOS["hello"], 8123, tmp_path, tmp_path)
    assert [program, *words[:4]] == [str(workshop.python()), "-P", "-m", "bigtop", "serve"]


def test_sets_name_only_what_exists() -> None:
    assert set().union(*peers.SETS.values()) <= set(peers.BY_NAME)
    assert set().union(*scenarios.SETS.values()) <= set(SCENARIOS)


@pytest.mark.parametrize("peer", [p for p in PEERS if p.interface != "floor"], ids=lambda p: p.name)
def test_commands_of_a_peer_are_complete(peer: Peer, tmp_path: Path) -> None:
    started = commands(peer, SCENARIOS["hello"], 8123, tmp_path, tmp_path)
    words = [word for command in started for word in command]
    target = "bench.apps.hello_asgi:app" if peer.interface == "asgi" else "bench.apps.hello:app"
    written = " ".join([*words, *(file.read_text() for file in tmp_path.iterdir())])
    assert target in written or peer.name == "nginx-static"
    assert not any("$" in word for word in words)
    assert "8123" in written


@pytest.mark.parametrize("peer", PEERS, ids=lambda p: p.name)
def test_sources_of_a_peer_exist(peer: Peer) -> None:
    assert all((workshop.BENCH / source).is_file() for source in peer.sources)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda s: s.name)
def test_a_scenario_is_sound(scenario: Scenario) -> None:
    assert scenario.app in APPS
    assert sum(request.share for request in scenario.requests) == pytest.approx(1)
    assert 0 < scenario.connections <= 1000
    assert scenario.rate is None or (scenario.pipeline == 1 and not scenario.burst)
    assert not (scenario.burst and scenario.starts)
    assert not scenario.floor or all(request.method == "GET" for request in scenario.requests)
    assert APPS[scenario.app].wsgi or APPS[scenario.app].asgi


def test_an_application_without_wsgi_is_for_asgi_servers_only() -> None:
    fitting = {peer.interface for peer in PEERS if runner.fits(peer, SCENARIOS["websocket"])}
    assert fitting == {"asgi"}


@pytest.mark.parametrize("size", [1, 125, 126, 65535])
def test_a_message_is_a_masked_frame(size: int) -> None:
    data = frame(size)
    assert Session(size).feed(data) == ["x" * size]
    assert b"x" * 4 not in data


def test_a_message_is_never_empty_or_huge() -> None:
    for size in (0, 65536):
        with pytest.raises(ValueError, match="1 to 65535"):
            frame(size)


def test_a_request_becomes_bytes() -> None:
    assert Request("/x").encode() == b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n"
    head, _, body = Request("/u", method="POST", body_bytes=3).encode().partition(b"\r\n\r\n")
    assert b"Content-Length: 3" in head
    assert body == b"xxx"


def test_the_two_hello_requests_have_as_many_headers_as_they_say() -> None:
    assert len(PLAIN) == 2
    assert len(scenarios.BROWSER) == 17


def test_a_path_with_spaces_stays_one_word() -> None:
    assert workshop.words("$python -m x '$app z'", {"python": "/a b/python", "app": "q"}) == [
        "/a b/python",
        "-m",
        "x",
        "q z",
    ]


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("uvicorn[standard]>=1", "uvicorn"), ("Django>=5.2,<6", "django"), ("zope.event", "zope-event")],
)
def test_requirements_are_compared_by_normalised_name(requirement: str, name: str) -> None:
    assert workshop.package_name(requirement) == name


def test_of_a_long_complaint_the_error_is_kept() -> None:
    assert workshop.reason("a\nfatal error: ev.h: No such file\nhint: read the log\n").startswith(
        "fatal error"
    )
    assert workshop.reason("one\ntwo\n") == "two"
    assert workshop.reason("") == "nothing said"
    assert len(workshop.reason("x" * 9999)) == workshop.LONGEST_REASON


def test_servers_see_nothing_of_the_callers_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "9")
    env = workshop.environment(APPS["django-site"], tmp_path, [("EXTRA", "1")])
    assert "WEB_CONCURRENCY" not in env
    assert env["DJANGO_DATA"] == str(tmp_path)
    assert env["EXTRA"] == "1"
    assert env["PYTHONPATH"].endswith("examples/django_site")
