# Whole sites with each backend: load while workers are replaced, Flask, and Django.

from __future__ import annotations

import errno
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.sync.client import connect
from webtest import TestApp as WebClient

from bigtop.backends import registry
from bigtop.control.client.client import Client as Commands
from bigtop.errors import ConfigError
from bigtop.ipc.scoreboard import Word
from tests.backends.test_conformance import INSTALLED, features
from tests.integration.test_django_example import EXAMPLE, installed
from tests.support.load import Failure, Load
from tests.support.site import Site, until
from tests.support.stack import Stack
from tests.support.wire import Client, request

OTHERS = [name for name in INSTALLED if name not in ("wsgi", "asgi")]


def app(backend: str) -> str:
    return f"tests.apps.conformance:{features(backend).interface}"


@pytest.mark.case("A1")
@pytest.mark.parametrize("backend", OTHERS)
def test_workers_that_end_under_load_lose_no_request(backend: str) -> None:
    """At the end of their share of requests, in a reload, and because there are to be fewer."""
    share = ("--max-requests", "150")
    with Site(app(backend), "--backend", backend, "--workers", "2", *share) as site:
        with Load(site.port, 4) as load:
            until(lambda: len(load.workers) > 2, "an answer of a successor")
            before = set(load.workers)
            site.send(signal.SIGHUP)
            site.wait_for("every worker is of generation 2 now", timeout=60)
            until(lambda: load.workers - before, "an answer of a new worker")
            site.send(signal.SIGTTOU)
            site.wait_for("1 worker from now on")
            until(lambda: len(site.workers()) == 1 or len(load.workers) > 8, "the end of the other one")
            after = load.answered
            until(lambda: load.answered > after + 50, "more answers")
        assert _lost(load, backend) == []
        assert "does nothing about" not in site.log(), "nothing was asked for"
        assert "cut off" not in site.log()
        assert site.stop() == 0
        assert site.is_gone()


def _lost(load: Load, backend: str) -> list[Failure]:
    """Return the requests without an answer, but those that met the end of a server which does not say so."""
    return [one for one in load.failures if features(backend).says_goodbye or _is_amid(one)]


def _is_amid(failure: Failure) -> bool:
    """Whether a connection ended in the middle of an answer, instead of between two requests."""
    return not any(word in failure.error for word in ("0 bytes read", "ConnectionReset", "BrokenPipe"))


def _lose_nothing(
    port: int, backend: str, stop: Callable[[], object], go_on: Callable[[], object] | None = None
) -> None:
    """Stop in the middle of everything: a large answer, a call, requests behind these, or in the queue. With
    `go_on` the socket stays open, and so does the queue for those who come after that."""
    address = ("127.0.0.1", port)
    with ExitStack() as clients:
        reading = clients.enter_context(Client(address, 30, receive_buffer=4096))
        calling, *waiting = (clients.enter_context(Client(address, 30)) for _ in range(6))
        reading.send(request("/big" if features(backend).large else "/stream", "Connection: close"))
        until(reading.is_answered, "the answer to begin")
        calling.send(request("/sleep/0.3", "Connection: close"))
        for client in waiting:
            client.send(request("/hello", "Connection: close"))
        stop()
        if go_on is None and features(backend).interruptible:  # the others hear that when their call is over
            until(lambda: _refuses(address), "the port to be closed")
        assert len(reading.answer().body) in (4 << 20, 50_000)
        assert calling.answer().body == b"slept"
        if go_on is not None:
            go_on()
        assert [client.answer().body for client in waiting] == [b"hello\n"] * len(waiting)


def _refuses(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == errno.ECONNREFUSED


@pytest.mark.case("A1")
@pytest.mark.parametrize("backend", INSTALLED)
def test_a_site_that_stops_answers_what_it_has_and_refuses_the_rest(backend: str) -> None:
    with Site(app(backend), "--backend", backend, "--workers", "1") as site:
        _lose_nothing(site.port, backend, lambda: site.send(signal.SIGTERM))
        assert site.wait() == 0
        assert "cut off" not in site.log()


@pytest.mark.case("A1")
@pytest.mark.parametrize("backend", ["waitress", "uvicorn"])
def test_so_does_one_that_a_program_serves(backend: str) -> None:
    _require(backend)
    site = Site(app(backend))
    code = "import bigtop, sys; sys.exit(bigtop.serve({!r}, bind='127.0.0.1:0', workers=1, backend={!r}))"
    site.command = [sys.executable, "-c", code.format(app(backend), backend)]
    with site:
        _lose_nothing(site.port, backend, lambda: site.send(signal.SIGTERM))
        assert site.wait() == 0
        assert "cut off" not in site.log()


@pytest.mark.case("A1")
@pytest.mark.parametrize("backend", ["waitress", "uvicorn"])
def test_so_does_one_of_a_file_whatever_command_ends_its_workers(backend: str) -> None:
    _require(backend)
    text = f'''
        [socket.web]
        host = "127.0.0.1"
        port = 0
        [app.web]
        app = "{app(backend)}"
        backend = "{backend}"
        sockets = ["web"]
        workers = 3
    '''
    with Stack(text) as stack:
        stack.wait_for("web: started")
        with Commands(stack.endpoint, timeout=60.0) as commands:
            port = commands.call("listsockets")["sockets"][0]["port"]
            with Load(port, 4) as load:
                until(lambda: load.answered > 50, "answers")
                commands.call("decr", name="web", waiting=True)
                assert len(stack.workers()) == 2
                commands.call("set", name="web", options={"numprocesses": 1}, waiting=True)
                assert len(stack.workers()) == 1
                after = load.answered
                until(lambda: load.answered > after + 50, "more answers")
        assert _lost(load, backend) == []
        _lose_nothing(port, backend, lambda: stack.ctl("stop", "web"), lambda: stack.ctl("start", "web"))
        _lose_nothing(port, backend, lambda: stack.send(signal.SIGTERM), lambda: None)
        assert stack.wait() == 0
        assert "cut off" not in stack.log()


@pytest.mark.parametrize("backend", [name for name in OTHERS if features(name).interface == "wsgi"])
def test_flask(backend: str) -> None:
    pytest.importorskip("flask")
    with Site("tests.apps.flask_site:app", "-k", backend) as site:
        assert site.get("/hello/world") == "Hello, world!"
        assert site.get("/form?a=%C3%A9") == "é"
        assert site.stop() == 0


@pytest.mark.parametrize("backend", OTHERS)
def test_django(backend: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = f"mysite.{features(backend).interface}:application"
    environ = {"DJANGO_DATA": str(installed(tmp_path / "data", tmp_path_factory))}
    with Site(target, "-k", backend, "--chdir", str(EXAMPLE), "--timeout", "60", env=environ) as site:
        client = WebClient(f"http://localhost:{site.port}", lint=False)  # h11 sends no reason phrase
        form = client.get("/guestbook/").form
        form["name"], form["message"] = backend, "Ünïcödé <b>"
        page = form.submit()
        assert page.status_int == 302
        assert backend in page.follow().text
        client.post("/guestbook/", {"name": "Eve", "message": "no token"}, status=403)
        assert [client.get("/visits/").json["visits"] for _ in range(3)] == [1, 2, 3]
        assert site.stop() == 0


@pytest.mark.parametrize("preload", ["on", "off"])
def test_gevent_patches_before_the_application_is_imported(preload: str) -> None:
    _require("gevent")
    with Site("tests.apps.gevent_site:app", "-k", "gevent", "--preload", preload) as site:
        assert site.get("/patched") == "True"
        # Each of the calls waits for all others; again and again on the same connections.
        with ExitStack() as opened:
            clients = [opened.enter_context(Client(("127.0.0.1", site.port), 30)) for _ in range(8)]
            for _ in range(5):
                for client in clients:
                    client.send(request("/meet"))
                assert sorted(client.answer().body for client in clients) == [b"%d" % n for n in range(8)]
        assert site.stop() == 0


def test_gevent_leaves_the_library_alone_when_asked_to() -> None:
    _require("gevent")
    with Site("tests.apps.gevent_site:app", "-k", "gevent", "--no-monkey") as site:
        assert site.get("/patched") == "False"


def test_a_blocked_hub_is_reported() -> None:
    _require("gevent")
    with (
        Site("tests.apps.gevent_site:app", "-k", "gevent") as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        client.send(request("/compute"))
        site.wait_for("appears to be blocked")


def test_with_gevent_the_time_limit_is_the_hubs() -> None:
    _require("gevent")
    with Site("tests.apps.gevent_site:app", "-k", "gevent", "--workers", "1", "--timeout", "1") as site:
        assert site.get("/wait") == "waited"
        assert "stuck" not in site.log()
        with pytest.raises(OSError):
            site.get("/compute", timeout=60)
        site.wait_for("its event loop stands still")
        assert site.get("/patched") == "True"


@pytest.mark.parametrize("backend", ["asgi", "gevent"])
def test_an_event_loop_says_that_it_turns_well_before_anybody_asks(backend: str) -> None:
    _require(backend)
    with (
        Site(app(backend), "-k", backend, "--workers", "1", "--timeout", "1") as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        client.send(request("/sleep/60"))
        words = site.scoreboard[0].words
        beats = [words[Word.BEAT]]

        def are_close() -> bool:
            if beats[-1] != words[Word.BEAT]:
                beats.append(words[Word.BEAT])
            gaps = [(after - before) / 1e9 for before, after in pairwise(beats[-4:])]
            return len(gaps) == 3 and all(0.05 < gap < 0.9 for gap in gaps)

        until(are_close, "several beats, each well within a second of the one before")
        assert "stuck" not in site.log()


def test_websockets_on_gevent() -> None:
    _require("gevent")
    pytest.importorskip("flask_sock")
    with Site("tests.apps.sock_site:app", "-k", "gevent", "--workers", "1", "--timeout", "1") as site:
        with connect(f"ws://127.0.0.1:{site.port}/echo") as client:
            client.send("a word")
            assert client.recv(10) == "a word"
            assert site.get("/")  # others are served beside it
            client.send("enough")
            with pytest.raises(ConnectionClosedOK):
                client.recv(10)
        # A worker that drains does not wait for those that have no end.
        with connect(f"ws://127.0.0.1:{site.port}/echo") as client:
            client.send("another")
            assert client.recv(10) == "another"
            assert site.stop() == 0
            with pytest.raises(ConnectionClosed):
                client.recv(10)


@pytest.mark.parametrize(
    ("worker_class", "line"),
    [
        ("sync", "worker class 'sync': backend 'wsgi' does that here"),
        ("gthread", "worker class 'gthread': backend 'wsgi' does that here; give --threads as well"),
    ],
)
def test_gunicorns_names_are_understood(worker_class: str, line: str) -> None:
    with Site("tests.apps.site:app", "-k", worker_class) as site:
        assert line in site.log()
        assert site.get() == "ok"


def test_the_choice_of_a_backend_is_explained() -> None:
    with Site("tests.apps.site:app") as site:
        site.wait_for("wsgi, since the application speaks WSGI")


def _require(backend: str) -> None:
    try:
        registry.load(backend)
    except ConfigError as error:
        pytest.skip(str(error))
