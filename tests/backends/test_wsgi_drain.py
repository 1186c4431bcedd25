# How a worker ends: what it has accepted is answered, and nothing waits for longer than it was given.

from __future__ import annotations

import threading
import time

import pytest

from bigtop.backends.native.timeouts import LAST_REQUEST
from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.scoreboard import RequestPhase, Word
from bigtop.ipc.seats import Seat
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.wire import Client, Closed, request

APP = "tests.apps.wsgi_basic:app"


def test_a_worker_with_nothing_to_do_leaves_at_once() -> None:
    with BackendServer(APP) as server:
        server.drain(600)
        assert server.wait() == 0


def test_a_worker_whose_supervisor_vanished_leaves() -> None:
    with BackendServer(APP) as server:
        server.vanish()
        assert server.wait() == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_a_running_call_is_finished_and_said_to_be_the_last(threads: int) -> None:
    with BackendServer(APP, ServeOptions(threads=threads)) as server, server.connect() as client:
        gate = server.hold(client)
        server.drain()
        gate.open()
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
        gate = server.hold(clients[0])
        for client in clients[1:]:
            client.send(request("/sleep/0.01"))
        eventually(lambda: server.word(Word.WAITING) == 4)
        server.drain()
        gate.open()
        for client in clients:
            assert client.answer().body == b"slept"
            client.close()
        assert server.wait() == 0


def test_a_request_that_is_half_here_is_answered() -> None:
    with BackendServer(APP) as server, server.connect() as head, server.connect() as body:
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


def test_an_idle_connection_gets_one_more_answer() -> None:
    def ask(step: Steps) -> None:
        with BackendServer(APP) as server, server.connect() as client:
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
    with BackendServer(APP) as server, server.connect() as client:
        client.get("/")
        server.drain(600)
        assert client.at_end()
        assert server.wait() == 0


def test_the_rest_of_a_large_answer_goes_out() -> None:
    with (
        BackendServer(APP, send_buffer=65536) as server,
        Client(server.address, receive_buffer=65536) as client,
    ):
        client.send(request("/stream?n=20&size=1000000"))
        eventually(lambda: any(one.phase is RequestPhase.WRITING for one in server.scoreboard.running()))
        server.drain()
        assert len(client.answer().body) == 20_000_000
        client.close()
        assert server.wait() == 0


@pytest.mark.parametrize("grace", [0, 0.5])
def test_nothing_lasts_longer_than_the_grace(grace: float) -> None:
    with BackendServer(APP) as server, server.connect() as client:
        server.hold(client)
        began = time.monotonic()
        server.drain(grace)
        server.wait()
        assert time.monotonic() - began >= grace
        with pytest.raises((Closed, ConnectionError)):
            client.answer()


def test_a_second_drain_can_only_be_more_urgent() -> None:
    with BackendServer(APP) as server, server.connect() as client:
        server.hold(client)
        server.drain(600)
        server.drain(0)
        server.wait()


def test_new_clients_are_left_to_the_next_generation() -> None:
    # With one thread it would let nobody in, drain or not, while that is busy.
    with BackendServer(APP, ServeOptions(threads=2)) as server, server.connect() as old:
        gate = server.hold(old)
        eventually(lambda: server.word(Seat.OPEN) == 1)
        server.drain()
        eventually(lambda: server.word(Seat.OPEN) == 0)
        with server.connect() as new:
            new.send(request("/"))
            gate.open()
            assert old.answer().body == b"slept"
            old.close()
            assert server.wait() == 0
        assert server.word(Word.ACCEPTED) == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_fifty_busy_clients_lose_nothing(threads: int) -> None:
    """They ask on and on, on kept connections, while the worker drains; each must be told that it ends."""
    with BackendServer(APP, ServeOptions(threads=threads)) as server:
        failures: list[str] = []
        answered: list[int] = []

        def ask(number: int) -> None:
            before = asked = time.monotonic()
            with server.connect() as client:
                try:
                    while True:
                        client.send(request("/" if number % 5 else "/sleep/0.01"))
                        before, asked = asked, time.monotonic()
                        answer = client.answer()
                        assert answer.status == 200
                        answered.append(number)
                        if answer["Connection"] == "close":
                            assert client.at_end()
                            return
                except (AssertionError, Closed, OSError) as error:
                    if asked - before < LAST_REQUEST:  # who was kept from asking for longer proves nothing
                        failures.append(f"client {number}: {error!r}")

        threads_ = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads_:
            thread.start()
        eventually(lambda: server.word(Word.REQUESTS) > 500 and server.word(Seat.CONNECTIONS) == 50)
        server.drain()
        for thread in threads_:
            thread.join()
        assert not failures
        assert server.wait() == 0
        assert len(answered) == server.word(Word.REQUESTS)
