# How an ASGI worker begins and ends: lifespan, open requests, streams and WebSockets.

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bigtop.backends.native.farewells import Farewells, farewells
from bigtop.backends.native.timeouts import LAST_REQUEST, NEVER, SECOND
from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, SeatState
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.procfs import has_ended
from tests.support.site import Site, until
from tests.support.wire import Client, request

APP = "tests.apps.asgi_basic:app"
OPTIONS = [ServeOptions(loop="uvloop"), ServeOptions(loop="asyncio")]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.loop)
def test_a_worker_with_nothing_to_do_shuts_down_at_once(options: ServeOptions) -> None:
    with BackendServer(APP, options, backend="asgi") as server:
        server.drain(600)
        assert server.wait() == 0
        assert "shut down" in server.log()


def test_a_worker_whose_supervisor_vanished_leaves() -> None:
    with BackendServer(APP, backend="asgi") as server:
        server.vanish()
        assert server.wait() == 0
        assert "shut down" in server.log()


@pytest.mark.parametrize("view", ["/held", "/held-thread"])
def test_a_running_call_is_finished_and_said_to_be_the_last(view: str) -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as client:
        gate = server.hold(client, view=view)
        server.drain()
        gate.open()
        answer = client.answer()
        assert (answer.body, answer["Connection"]) == (b"slept", "close")
        assert client.at_end()
        client.close()
        assert server.wait() == 0


def test_idle_connections_go_to_a_sibling() -> None:
    with BackendServer(APP, backend="asgi", siblings=1) as server, server.connect() as client:
        client.get("/")
        server.play(SeatState.READY)
        server.drain()
        eventually(lambda: (moved := server.sibling.take_own()) is not None and not moved.close())
        assert server.wait() == 0


def test_new_connections_go_to_a_sibling_that_has_fewer() -> None:
    with BackendServer(APP, backend="asgi", siblings=1) as server, server.connect() as first:
        first.get("/")
        server.play(SeatState.READY)
        with server.connect():
            eventually(lambda: (moved := server.sibling.take_own()) is not None and not moved.close())
        server.play(SeatState.READY, is_open=False)
        with server.connect() as third:
            assert third.get("/").status == 200


def test_who_comes_from_a_sibling_is_served_until_the_end() -> None:
    def ask(step: Steps) -> None:
        with BackendServer(APP, backend="asgi", siblings=1) as server:
            with socket.create_connection(server.address):
                eventually(lambda: server.word(Seat.CONNECTIONS) == 1)
                ours, theirs = _pair()
                with ours:
                    assert server.sibling.send(0, theirs)
                    theirs.close()
                    eventually(lambda: server.word(Seat.CONNECTIONS) == 2)
                    step()
                    server.drain()
                    ours.sendall(request("/"))
                    step()
                    assert b"Connection: close" in ours.recv(4096)
            assert server.wait() == 0

    in_time(LAST_REQUEST, ask)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Return a connected pair of TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


def test_background_work_is_finished() -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as client:
        gate = server.gate("/background")
        assert client.get(gate.target).body == b"first"
        server.drain()
        client.close()
        gate.open()
        assert server.wait() == 0
        assert "background done" in server.log()


def test_requests_that_are_half_here_are_answered() -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as head, server.connect() as body:
        head.send(b"GET / HTTP/1.1\r\nHost: t")
        body.send(request("/echo", "Content-Length: 4", method="POST") + b"bo")
        eventually(lambda: server.word(Word.BYTES_IN) > 60)
        server.drain()
        head.send(b"est\r\n\r\n")
        body.send(b"dy")
        for client in (head, body):
            answer = client.answer()
            assert (answer.status, answer["Connection"]) == (200, "close")
            client.close()
        assert server.wait() == 0


def test_new_clients_are_left_to_the_next_generation() -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as old:
        gate = server.hold(old)
        server.drain()
        eventually(lambda: server.word(Seat.OPEN) == 0)
        with server.connect() as new:
            new.send(request("/"))
            gate.open()
            assert old.answer().body == b"slept"
            old.close()
            assert server.wait() == 0
        assert server.word(Word.ACCEPTED) == 1


def test_an_idle_connection_gets_one_more_answer() -> None:
    def ask(step: Steps) -> None:
        with BackendServer(APP, backend="asgi") as server, server.connect() as client:
            client.get("/")
            step()
            server.drain()
            client.send(request("/"))
            step()
            answer = client.answer()
            assert (answer.status, answer["Connection"]) == (200, "close")
            assert client.at_end()

    in_time(LAST_REQUEST, ask)


def test_a_silent_connection_does_not_keep_the_worker() -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as client:
        client.get("/")
        server.drain(600)
        assert server.wait() == 0


def test_nothing_lasts_longer_than_the_grace() -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as client:
        client.send(request("/sleep/600"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(0.5)
        assert server.wait() == 0
        assert "shut down" in server.log()


def test_a_second_drain_can_only_be_more_urgent() -> None:
    with BackendServer(APP, backend="asgi") as server, server.connect() as client:
        client.send(request("/sleep/600"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(600)
        server.drain(0.1)
        assert server.wait() == 0


def test_websockets_are_told_to_come_again() -> None:
    with BackendServer(APP, backend="asgi") as server:
        host, port = server.address
        with connect(f"ws://{host}:{port}/echo", proxy=None, open_timeout=60) as socket:
            socket.send("hello")
            assert socket.recv(timeout=30) == "hello"
            server.drain()
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=30)
            assert socket.close_code == 1012
        assert server.wait() == 0


def test_many_websockets_are_told_one_after_the_other() -> None:
    with BackendServer(APP, backend="asgi") as server, ExitStack() as opened:
        host, port = server.address
        sockets = [
            opened.enter_context(connect(f"ws://{host}:{port}/echo", proxy=None, open_timeout=60))
            for _ in range(20)
        ]
        server.drain()
        for socket in sockets:
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=30)
        assert {socket.close_code for socket in sockets} == {1012}
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("count", "grace", "last"),
    [
        (1, 30.0, 0.0),
        (11, 30.0, 0.05),
        (2001, 30.0, 10.0),
        (9001, 30.0, 15.0),
        (101, 0.2, 0.1),
        (9, 0.0, 0.0),
    ],
)
def test_who_is_told_last_still_has_half_of_the_time(count: int, grace: float, last: float) -> None:
    turns = list(itertools.islice(farewells(count, grace), count))
    assert turns[0] == 0.0
    assert turns == sorted(turns)
    assert turns[-1] == pytest.approx(last, rel=0.01)


def test_each_is_asked_once_when_its_turn_has_come() -> None:
    asked: Farewells[str] = Farewells()
    assert (asked.due, asked.take(10)) == (NEVER, [])
    asked.begin("abcd", 1000, grace=60.0)
    assert asked.take(1000) == ["a"]
    assert asked.due == 1000 + SECOND // 200
    assert asked.take(asked.due - 1) == []
    assert asked.take(asked.due) == ["b"]
    asked.hurry(2000, grace=0.0)
    assert asked.due == 2000
    assert asked.take(2000) == ["c", "d"]
    assert asked.due == NEVER


def test_a_start_that_fails_is_a_failed_boot_with_its_reason() -> None:
    command = [sys.executable, "-m", "bigtop", "serve", APP, "--bind", "127.0.0.1:0"]
    ended = subprocess.run(
        command, env={**os.environ, "TEST_STARTUP": "fails"}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    assert "the application failed to start: the database is away" in ended.stdout + ended.stderr


def test_a_start_that_never_ends_does_not_outlive_the_supervisor() -> None:
    site = Site(APP, env={"TEST_STARTUP": "hangs"})
    with ExitStack() as stack:
        stack.push(site)  # ended by it, but not waited for
        site.start()
        site.wait_for("starting up")
        [worker] = site.workers()
        site.send(signal.SIGKILL)
        until(lambda: has_ended(worker), "the worker's end")


def test_lifespan_off_and_on() -> None:
    off = ServeOptions(lifespan="off")
    with BackendServer(APP, off, backend="asgi") as server, server.connect() as client:
        assert b'"state": null' in client.get("/scope").body
    with BackendServer("tests.apps.asgi_plain:app", backend="asgi") as server, server.connect() as client:
        assert client.get("/").body == b"plain"
    server = BackendServer("tests.apps.asgi_plain:app", ServeOptions(lifespan="on"), backend="asgi")
    with pytest.raises(AssertionError, match="lifespan ended before it was started"), server:
        pass


@pytest.mark.parametrize(
    ("loop", "hidden", "said"),
    [
        ("auto", False, "uvloop.Loop"),
        ("auto", True, "_UnixSelectorEventLoop"),
        ("asyncio", False, "_UnixSelectorEventLoop"),
        ("uvloop", True, "--loop uvloop needs uvloop: pip install"),
    ],
)
def test_which_loop_it_is(loop: str, hidden: bool, said: str) -> None:
    """`hidden`: uvloop is not installed, as far as Python knows."""
    code = (
        f"import sys; {hidden} and sys.modules.update(uvloop=None)\n"
        f"from bigtop.backends.asgi.loop.loops import new_loop\nprint(new_loop({loop!r}, 0))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert said in ended.stdout + ended.stderr


def test_a_loop_that_stands_still_is_reported_and_replaced() -> None:
    with Site(APP, "--timeout", "1") as site:
        assert site.get("/sleep/3.5", timeout=30) == "slept"  # waiting is no standing still
        assert "stuck" not in site.log()
        with Client(("127.0.0.1", site.port)) as client:
            client.send(request("/block/60"))
            site.wait_for("is stuck: its event loop stands still")
            site.wait_for(" in block")
        assert site.get("/pid", timeout=30).isdigit()
