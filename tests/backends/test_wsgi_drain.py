# How a worker ends: what it has accepted is answered, and nothing waits for longer than it was given.

from __future__ import annotations

import threading
import time

import pytest

from bigtop.backends.base import ServeOptions
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import Client, Closed, request

APP = "tests.apps.wsgi_basic:app"


def test_a_worker_with_nothing_to_do_leaves_at_once() -> None:
    with BackendServer(APP) as server:
        began = time.monotonic()
        server.drain(30)
        assert server.wait() == 0
        assert time.monotonic() - began < 1


def test_a_worker_whose_supervisor_vanished_leaves() -> None:
    with BackendServer(APP) as server:
        server.vanish()
        assert server.wait() == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_a_running_call_is_finished_and_said_to_be_the_last(threads: int) -> None:
    with BackendServer(APP, ServeOptions(threads=threads)) as server, server.connect() as client:
        client.send(request("/sleep/0.5"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(30)
        answer = client.answer()
        assert (answer.body, answer["Connection"]) == (b"slept", "close")
        assert client.at_end()
        client.close()
        assert server.wait() == 0


def test_requests_that_wait_for_a_slot_are_answered() -> None:
    with BackendServer(APP) as server:
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            client.get("/")
        for client in clients:
            client.send(request("/sleep/0.1"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(30)
        for client in clients:
            assert client.answer().body == b"slept"
            client.close()
        assert server.wait() == 0


def test_a_request_that_is_half_here_is_answered() -> None:
    with BackendServer(APP) as server, server.connect() as head, server.connect() as body:
        head.send(b"GET / HTTP/1.1\r\nHost: t")
        body.send(request("/echo", "Content-Length: 4", method="POST") + b"bo")
        eventually(lambda: server.word(Word.BYTES_IN) > 60)
        server.drain(30)
        time.sleep(0.1)  # the drain is under way when the rest comes
        head.send(b"est\r\n\r\n")
        body.send(b"dy")
        for client in (head, body):
            answer = client.answer()
            assert (answer.status, answer["Connection"]) == (200, "close")
            client.close()
        assert server.wait() == 0


def test_an_idle_connection_gets_one_more_answer() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        client.get("/")
        server.drain(30)
        time.sleep(0.2)  # the drain is under way
        answer = client.get("/")
        assert (answer.status, answer["Connection"]) == (200, "close")
        assert client.at_end()


def test_a_silent_connection_does_not_keep_the_worker() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        client.get("/")
        began = time.monotonic()
        server.drain(30)
        assert client.at_end()
        assert server.wait() == 0
        assert time.monotonic() - began < 6


def test_the_rest_of_a_large_answer_goes_out() -> None:
    with (
        BackendServer(APP, send_buffer=65536) as server,
        Client(server.address, receive_buffer=65536) as client,
    ):
        client.send(request("/stream?n=20&size=1000000"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(30)
        assert len(client.answer().body) == 20_000_000
        client.close()
        assert server.wait() == 0


@pytest.mark.parametrize("grace", [0, 0.5])
def test_nothing_lasts_longer_than_the_grace(grace: float) -> None:
    with BackendServer(APP) as server, server.connect() as client:
        client.send(request("/sleep/20"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        began = time.monotonic()
        server.drain(grace)
        server.wait()
        assert grace <= time.monotonic() - began < grace + 2.5
        with pytest.raises((Closed, ConnectionError)):
            client.answer()


def test_a_second_drain_can_only_be_more_urgent() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        client.send(request("/sleep/20"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(30)
        began = time.monotonic()
        server.drain(0)
        server.wait()
        assert time.monotonic() - began < 3


def test_new_clients_are_left_to_the_next_generation() -> None:
    with BackendServer(APP) as server, server.connect() as old:
        old.send(request("/sleep/0.5"))
        eventually(lambda: server.word(Word.BUSY) == 1)
        server.drain(30)
        time.sleep(0.1)  # the drain is under way
        with server.connect() as new:
            new.send(request("/"))
            assert old.answer().body == b"slept"
            old.close()
            assert server.wait() == 0
        assert server.word(Word.ACCEPTED) == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_fifty_busy_clients_lose_nothing(threads: int) -> None:
    """They ask on and on, on kept connections, while the worker drains; each must be told that it ends."""
    with BackendServer(APP, ServeOptions(threads=threads)) as server:
        failures: list[str] = []
        answered = [0]

        def ask(number: int) -> None:
            with server.connect() as client:
                try:
                    while True:
                        answer = client.get("/" if number % 5 else "/sleep/0.01")
                        assert answer.status == 200
                        answered[0] += 1
                        if answer["Connection"] == "close":
                            assert client.at_end()
                            return
                except (AssertionError, Closed, OSError) as error:
                    failures.append(f"client {number}: {error!r}")

        threads_ = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads_:
            thread.start()
        eventually(lambda: server.word(Word.REQUESTS) > 500 and server.word(Seat.CONNECTIONS) == 50)
        server.drain(30)
        for thread in threads_:
            thread.join()
        assert not failures
        assert server.wait() == 0
        assert answered[0] == server.word(Word.REQUESTS)
