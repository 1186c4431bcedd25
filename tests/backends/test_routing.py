# A worker of one of two applications on a socket, and the other application, which the test plays.

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack

import pytest

from bigtop.backends.native.app_queues import PATIENCE, Arrival, ProxiedAddresses
from bigtop.backends.native.timeouts import LAST_REQUEST, SECOND
from bigtop.backends.serve_options import BalancerPolicy, ServeOptions
from bigtop.http.declarations import Route
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, SeatState
from tests.support.backend_server import BackendServer, Steps, eventually, in_time
from tests.support.wire import Client, request

ROUTES = [(Route("", ""), 0), (Route("", "/api"), 1)]
APPS = {
    "wsgi": "tests.apps.wsgi_basic:app",
    "gevent": "tests.apps.wsgi_basic:app",
    "asgi": "tests.apps.asgi_basic:app",
}
ALL = pytest.mark.parametrize("backend", APPS)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nneighbour"
FOREIGN = request("/api/x?y")


def server(backend: str, options: ServeOptions | None = None) -> BackendServer:
    return BackendServer(APPS[backend], options, backend=backend, routes=ROUTES)


def arrival(subject: BackendServer) -> Arrival:
    taken: list[Arrival] = []

    def came() -> bool:
        if (one := subject.neighbour.take()) is not None:
            taken.append(one)
        return bool(taken)

    eventually(came, what="a connection is handed over")
    return taken[0]


def answered(subject: BackendServer) -> Arrival:
    """Take a connection as the neighbour, and answer it."""
    came = arrival(subject)
    came.socket.settimeout(30)
    came.socket.sendall(ANSWER)
    return came


def pair(subject: BackendServer) -> tuple[Client, socket.socket]:
    """Return a client of the worker's address, and the server's end, which the worker does not know."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client(listener.getsockname())
        accepted, _ = listener.accept()
    return client, accepted


# ---- what leaves


@ALL
def test_a_foreign_request_leaves_with_its_bytes(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client:
        subject.serve_neighbour()
        assert client.get("/").status == 200
        client.send(FOREIGN)
        came = answered(subject)
        assert (came.data, came.proxied) == (FOREIGN, None)
        assert client.answer().body == b"neighbour"
        eventually(lambda: subject.word(Seat.CONNECTIONS) == 0)
        # What comes then is not heard here any more.
        client.send(request("/next"))
        assert came.socket.recv(65536) == request("/next")
        came.socket.close()


@ALL
def test_a_first_request_and_one_in_pieces(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client:
        subject.serve_neighbour()
        upload = request("/api", "Content-Length: 100", "Expect: 100-continue", method="POST")
        for cut in range(0, len(upload), 20):
            client.send(upload[cut : cut + 20])
            eventually(lambda cut=cut: subject.word(Word.BYTES_IN) >= min(cut + 20, len(upload)))  # type: ignore[misc]
        came = arrival(subject)
        assert came.data == upload
        with came.socket:  # nobody has invited the client to go on
            came.socket.sendall(ANSWER)
            assert client.answer().status == 200


@ALL
def test_answers_stay_in_order(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client:
        subject.serve_neighbour()
        client.send(request("/") + request("/nowhere") + FOREIGN + request("/"))
        came = answered(subject)
        assert came.data == FOREIGN + request("/")
        assert [client.answer().status for _ in range(3)] == [200, 404, 200]
        came.socket.close()


@ALL
def test_it_leaves_when_the_client_has_taken_what_came_before(backend: str) -> None:
    big = 8_000_000
    with server(backend) as subject, Client(subject.address, receive_buffer=4096) as client:
        subject.serve_neighbour()
        body = os.urandom(big)
        client.send(request("/echo", f"Content-Length: {big}", method="POST") + body + FOREIGN)
        eventually(lambda: subject.word(Word.BYTES_IN) > big)
        assert subject.neighbour.take() is None
        assert client.answer().body == body
        came = answered(subject)
        assert came.data == FOREIGN
        assert client.answer().body == b"neighbour"
        came.socket.close()


@pytest.mark.parametrize("backend", ["wsgi"])
def test_a_worker_whose_slots_are_taken_hands_over_all_the_same(backend: str) -> None:
    with (
        BackendServer(APPS[backend], backend=backend, routes=ROUTES, siblings=1) as subject,
        subject.connect() as slow,
        subject.connect() as client,
    ):
        subject.serve_neighbour()
        client.get("/")
        subject.play(SeatState.READY)
        subject.hold(slow)
        eventually(lambda: subject.word(Seat.OPEN) == 0)
        client.send(FOREIGN)
        came = answered(subject)
        assert subject.word(Word.BUSY) == 1
        assert came.data == FOREIGN
        assert client.answer().body == b"neighbour"
        came.socket.close()


@ALL
def test_a_draining_worker_hands_over(backend: str) -> None:
    def ask(step: Steps) -> None:
        with server(backend) as subject, subject.connect() as client:
            subject.serve_neighbour()
            client.get("/")
            step()
            subject.drain()
            client.send(FOREIGN)
            step()
            answered(subject).socket.close()
            assert client.answer().body == b"neighbour"
            assert subject.wait() == 0

    in_time(LAST_REQUEST, ask)


@ALL
def test_what_a_balancer_said_travels(backend: str) -> None:
    options = ServeOptions(balancers=BalancerPolicy("v1"))
    with server(backend, options) as subject, subject.connect() as client:
        subject.serve_neighbour()
        client.send(b"PROXY TCP4 203.0.113.9 198.51.100.2 56324 443\r\n" + FOREIGN)
        came = answered(subject)
        assert came == Arrival(
            came.socket, FOREIGN, ProxiedAddresses(("203.0.113.9", 56324), ("198.51.100.2", 443))
        )
        assert client.answer().body == b"neighbour"
        came.socket.close()


@ALL
def test_a_worker_says_again_that_it_is_there(backend: str) -> None:
    """A sibling that was taken over may have written otherwise, and then nobody hands anything over."""
    with server(backend) as subject:
        seat = subject.seats.words(0)
        eventually(lambda: seat[Seat.STATE] == SeatState.READY)
        seat[Seat.STATE] = SeatState.EMPTY
        eventually(lambda: seat[Seat.STATE] == SeatState.READY)


# ---- what cannot leave yet


@ALL
def test_it_waits_for_an_application_that_starts(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client, subject.connect() as other:
        client.send(FOREIGN)
        other.send(request("/"))
        assert other.answer().status == 200
        assert subject.neighbour.take() is None
        subject.serve_neighbour()
        answered(subject).socket.close()
        assert client.answer().body == b"neighbour"


def test_an_application_that_does_not_come_is_told() -> None:
    with ExitStack() as opened:
        pairs = []
        for backend in APPS:  # at once, for the patience of each is long
            subject = opened.enter_context(server(backend))
            pairs.append((subject, opened.enter_context(subject.connect(PATIENCE // SECOND + 30))))
        for _subject, client in pairs:
            client.send(FOREIGN + request("/"))
        for subject, client in pairs:
            answer = client.answer()
            assert (answer.status, answer["Connection"]) == (503, "close")
            assert b"not running" in answer.body
            assert client.at_end()
            eventually(lambda subject=subject: subject.word(Seat.CONNECTIONS) == 0)  # type: ignore[misc]


@ALL
def test_more_than_the_queue_holds(backend: str) -> None:
    with server(backend) as subject:
        subject.serve_neighbour()
        clients = [subject.connect(30) for _ in range(300)]
        try:
            for client in clients:
                client.send(FOREIGN + b"x" * 5000)
            eventually(lambda: 0 < subject.word(Seat.CONNECTIONS) < 290, what="the queue is full")
            for _ in clients:
                answered(subject).socket.close()
            for client in clients:
                assert client.answer().body == b"neighbour"
            eventually(lambda: subject.word(Seat.CONNECTIONS) == 0)
        finally:
            for client in clients:
                client.close()


@ALL
def test_what_was_left_behind_is_taken_back(backend: str) -> None:
    with server(backend) as subject:
        client, accepted = pair(subject)
        with client, accepted:
            assert subject.neighbour.send(1, accepted, FOREIGN, None)  # and whoever should take it is gone
            eventually(lambda: subject.word(Seat.CONNECTIONS) == 1, what="it is found")
            subject.serve_neighbour()
            answered(subject).socket.close()
            assert client.answer().body == b"neighbour"


# ---- what comes


@ALL
def test_what_comes_is_answered_and_stays(backend: str) -> None:
    with server(backend) as subject:
        client, accepted = pair(subject)
        with client:
            with accepted:
                client.send(request("/echo", "Content-Length: 6", method="POST") + b"abc")
                assert subject.neighbour.send(0, accepted, accepted.recv(65536), None)
            client.send(b"def")
            assert client.answer().body == b"abcdef"
            assert client.get("/").status == 200
            assert subject.word(Seat.CONNECTIONS) == 1
            eventually(lambda: subject.word(Word.REQUESTS) == 2)


@ALL
def test_who_owns_the_request_invites_its_body(backend: str) -> None:
    with server(backend) as subject:
        client, accepted = pair(subject)
        with client:
            with accepted:
                head = request("/echo", "Content-Length: 3", "Expect: 100-continue", method="POST")
                assert subject.neighbour.send(0, accepted, head, None)
            assert client.answer().status == 100
            client.send(b"abc")
            assert client.answer().body == b"abc"


@ALL
def test_a_client_that_left_on_the_way(backend: str) -> None:
    with server(backend) as subject, subject.connect() as other:
        client, accepted = pair(subject)
        client.close()
        with accepted:
            assert subject.neighbour.send(0, accepted, request("/"), None)
        eventually(lambda: subject.word(Word.REQUESTS) == 1)
        assert other.get("/").status == 200


@ALL
def test_a_balancers_client_is_known_to_the_owner(backend: str) -> None:
    options = ServeOptions(balancers=BalancerPolicy("v1"))
    with server(backend, options) as subject:
        client, accepted = pair(subject)
        with client:
            with accepted:
                proxied = ProxiedAddresses(("203.0.113.9", 56324), ("198.51.100.2", 443))
                path = "/scope" if backend == "asgi" else "/environ"
                assert subject.neighbour.send(0, accepted, request(path), proxied)
            told = json.loads(client.answer().body)
            if backend == "asgi":
                assert (told["client"], told["server"]) == (["203.0.113.9", 56324], ["198.51.100.2", 443])
            else:
                assert (told["REMOTE_ADDR"], told["SERVER_PORT"]) == ("203.0.113.9", "443")
            # No other header is expected, and it goes on with it to where it came from.
            subject.serve_neighbour()
            client.send(FOREIGN)
            came = answered(subject)
            assert came.proxied == proxied
            came.socket.close()


@ALL
def test_the_last_worker_takes_what_waits_before_it_leaves(backend: str) -> None:
    with server(backend) as subject:
        clients = []
        for _ in range(20):
            client, accepted = pair(subject)
            clients.append(client)
            with accepted:
                assert subject.neighbour.send(0, accepted, request("/"), None)
        subject.drain()
        for client in clients:
            with client:
                assert client.answer().status == 200
        assert subject.wait() == 0
