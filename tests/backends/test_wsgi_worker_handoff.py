# One worker and a sibling that the test plays: which connections leave when, and which are taken over.

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bigtop.backends.native.handlers.handler_chain import Chain
from bigtop.backends.native.transport.transport import PlainTransport
from bigtop.backends.native.transport.write_buffer import patient
from bigtop.backends.serve_options import ServeOptions
from bigtop.backends.wsgi.connections.connection import Connection, ProxiedConnection
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.executors.thread_executor import ThreadExecutor
from bigtop.backends.wsgi.websockets.relay import Task
from bigtop.backends.wsgi.websockets.upgraded import Means, SpokenSocket, Upgrades
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.engine import Engine
from bigtop.http.interfaces.wsgi import Environs, Peer
from bigtop.http.limits import Limits
from bigtop.ipc import handoff, seats
from bigtop.ipc.scoreboard import Slot, Word
from bigtop.ipc.seats import Seat, Seats, SeatState
from tests.support.backend_server import BackendServer, eventually
from tests.support.gate import Gate
from tests.support.wire import Client, request

APP = "tests.apps.wsgi_basic:app"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsibling"


def _never(run: Callable[[], None]) -> Task:
    raise AssertionError("nothing is to run beside a call")


def _wait_for(take: Callable[[], socket.socket | None]) -> socket.socket:
    taken: list[socket.socket] = []

    def arrived() -> bool:
        if (client := take()) is not None:
            taken.append(client)
        return bool(taken)

    eventually(arrived, what="a connection is handed over")
    return taken[0]


def _answer(client: socket.socket) -> bytes:
    """Read the request that the worker left unread, and answer it in its place."""
    with client:
        client.settimeout(30)
        text = client.recv(65536)
        client.sendall(ANSWER)
    return text


def _make_busy(server: BackendServer, client: Client) -> Gate:
    """Return the gate of its only call."""
    gate = server.hold(client)
    eventually(lambda: server.word(Seat.OPEN) == 0)
    return gate


# ---- no slot is free


def test_a_new_request_leaves_a_busy_worker_unread() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow, server.connect() as quick:
        quick.get("/")
        server.play(SeatState.READY)
        gate = _make_busy(server, slow)
        quick.send(request("/moved"))
        taken = _wait_for(server.sibling.take)
        before = server.cpu()
        time.sleep(0.3)  # the subject: does it still hear of what it gave away
        assert server.cpu() - before < 0.15
        assert _answer(taken) == request("/moved")
        assert quick.answer().body == b"sibling"
        assert server.word(Word.HANDED_OFF) == 1
        gate.open()
        assert slow.answer().body == b"slept"


def test_it_comes_back_when_nobody_took_it() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow, server.connect() as quick:
        quick.get("/")
        server.play(SeatState.READY)
        gate = _make_busy(server, slow)
        quick.send(request("/"))
        eventually(lambda: server.word(Seat.CONNECTIONS) == 1, what="it is in the queue")
        gate.open()
        assert quick.answer().body == b"Hello World\n"
        assert slow.answer().body == b"slept"


def test_a_worker_without_company_keeps_its_connections() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow, server.connect() as quick:
        quick.get("/")
        gate = _make_busy(server, slow)
        quick.send(request("/"))
        eventually(lambda: server.word(Word.WAITING) == 1)
        assert server.word(Seat.CONNECTIONS) == 2
        gate.open()
        assert quick.answer().status == 200


def test_a_request_that_is_half_here_stays() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow, server.connect() as half:
        half.send(request("/")[:20])
        eventually(lambda: server.word(Word.BYTES_IN) == 20)
        server.play(SeatState.READY)
        gate = _make_busy(server, slow)
        half.send(request("/")[20:] + request("/echo"))
        eventually(lambda: server.word(Word.WAITING) == 1)
        gate.open()
        assert half.answer().body == b"Hello World\n"
        assert half.answer().status == 200
        assert slow.answer().status == 200


def test_a_client_that_leaves_a_busy_worker_is_not_handed_on_for_ever() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow:
        server.play(SeatState.READY)
        with server.connect() as gone:
            gone.get("/")
            gate = _make_busy(server, slow)
        gate.open()
        assert slow.answer().status == 200
        eventually(lambda: server.word(Seat.CONNECTIONS) == 1)


def test_more_connections_than_the_queue_holds_are_all_answered() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow:
        clients = [server.connect(30) for _ in range(600)]
        try:
            for client in clients:
                client.get("/")
            server.play(SeatState.READY)
            gate = _make_busy(server, slow)
            for client in clients:
                client.send(request("/"))
            eventually(lambda: 1 < server.word(Seat.CONNECTIONS) < 500, what="the queue is full")
            gate.open()
            for client in clients:
                assert client.answer().body == b"Hello World\n"
            eventually(lambda: server.word(Seat.CONNECTIONS) == 601)
        finally:
            for client in clients:
                client.close()


def test_a_parked_connection_is_sent_as_soon_as_there_is_room() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow, server.connect() as quick:
        quick.get("/")
        server.play(SeatState.READY)
        dummy, peer = socket.socketpair()
        with dummy, peer:
            _make_busy(server, slow)
            while server.sibling.give(dummy):
                pass
            quick.send(request("/"))
            time.sleep(0.05)  # the worker has tried in vain, and tries again
            for _ in range(1000):
                client = _wait_for(server.sibling.take)
                with client:
                    if client.family == socket.AF_INET:
                        client.settimeout(30)
                        assert client.recv(100) == request("/")
                        client.sendall(ANSWER)
                        break
            assert quick.answer().body == b"sibling"


def test_a_connection_with_state_of_its_own_stays() -> None:
    ours, theirs = socket.socketpair()
    peer = Peer(Environs({}), None, None, Forwarding(Trust(()), ()), "http")
    slot = Slot.unseen()
    upgrades = Upgrades(Means(SpokenSocket, threading.Lock, patient, _never), Limits())
    executor = ThreadExecutor(1, slot.latencies, upgrades)
    site = WorkerContext(lambda *_: [], ServeOptions(), slot, Chain(), executor, wait=None, streaming=None)
    with ours, theirs:
        plain, proxied = (
            kind(PlainTransport(ours), peer, Engine(Limits()), site)
            for kind in (Connection, ProxiedConnection)
        )
        assert plain.is_movable
        assert not proxied.is_movable


# ---- one of several slots is taken


@pytest.mark.parametrize("idle", [True, False])
def test_an_idle_sibling_is_better_than_a_second_thread(idle: bool) -> None:
    options = ServeOptions(threads=2)
    with (
        BackendServer(APP, options, siblings=1) as server,
        server.connect() as slow,
        server.connect() as quick,
    ):
        quick.get("/")
        server.play(SeatState.READY, idle=idle)
        gate = server.hold(slow)
        quick.send(request("/"))
        if idle:
            assert _answer(_wait_for(server.sibling.take_own)) == request("/")
            assert quick.answer().body == b"sibling"
        else:
            assert quick.answer().body == b"Hello World\n"
        gate.open()
        assert slow.answer().body == b"slept"


def test_idleness_is_shown() -> None:
    with BackendServer(APP, ServeOptions(threads=2), siblings=1) as server, server.connect() as client:
        eventually(lambda: server.word(Seat.IDLE) == 1)
        gate = server.hold(client)
        assert server.word(Seat.IDLE) == 0
        gate.open()
        assert client.answer().status == 200
        eventually(lambda: server.word(Seat.IDLE) == 1)


# ---- more connections than elsewhere


def test_surplus_clients_go_to_the_emptiest() -> None:
    with BackendServer(APP, siblings=2) as server:
        server.play(SeatState.READY, connections=0)
        kept = [server.connect() for _ in range(2)]
        for client in kept:
            assert client.get("/").body == b"Hello World\n"
        with server.connect() as third:
            third.send(request("/"))
            assert _answer(_wait_for(server.sibling.take_own)) == request("/")
            assert third.answer().body == b"sibling"
        assert server.word(Word.HANDED_OFF) == 1
        for client in kept:
            client.close()


@pytest.mark.parametrize(
    ("state", "is_open", "connections"),
    [
        (SeatState.READY, True, 5),
        (SeatState.READY, False, 0),
        (SeatState.DRAINING, True, 0),
        (SeatState.EMPTY, True, 0),
    ],
)
def test_no_client_is_sent_where_it_would_wait(state: SeatState, is_open: bool, connections: int) -> None:
    with BackendServer(APP, siblings=1) as server:
        server.play(state, is_open=is_open, connections=connections)
        clients = [server.connect() for _ in range(4)]
        for client in clients:
            assert client.get("/").body == b"Hello World\n"
            client.close()


# ---- taking over


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@pytest.mark.parametrize("way", ["queue", "inbox"])
def test_a_connection_from_elsewhere_is_served(way: str, family: int, tmp_path: Path) -> None:
    with BackendServer(APP, siblings=1) as server, socket.socket(family) as listener:
        listener.bind(f"{tmp_path}/s" if family == socket.AF_UNIX else ("127.0.0.1", 0))
        listener.listen()
        with Client(listener.getsockname()) as client:
            accepted, peer = listener.accept()
            with accepted:
                assert server.sibling.give(accepted) if way == "queue" else server.sibling.send(0, accepted)
            client.send(request("/environ"))
            environ = json.loads(client.answer().body)
            assert environ["REMOTE_PORT"] == (str(peer[1]) if peer else "")
            assert client.get("/").status == 200


def test_what_was_meant_for_a_worker_that_is_gone_is_answered() -> None:
    with BackendServer(APP, siblings=1) as server:
        ours, theirs = socket.socketpair()
        with ours, Client(server.address):
            with theirs:
                ours.settimeout(30)
                ours.sendall(request("/"))
                assert server.sibling.send(1, theirs)
            assert ours.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_wake_up_that_was_spent_on_another_worker_strands_nothing() -> None:
    with (
        BackendServer(APP, siblings=1) as server,
        server.connect() as slow,
        select.epoll() as epoll,
        ThreadPoolExecutor(1) as pool,
    ):
        gate = _make_busy(server, slow)
        # Registered while the worker is not: from now on we are told first.
        epoll.register(server.sibling.queue, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        told = pool.submit(epoll.poll, 30)
        gate.open()
        assert slow.answer().status == 200
        eventually(lambda: server.word(Seat.OPEN) == 1)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                ours.settimeout(30)
                ours.sendall(request("/"))
                assert server.sibling.give(theirs)
            assert told.result(), "and we do nothing about it"
            assert ours.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_client_that_left_on_the_way_harms_nobody() -> None:
    with BackendServer(APP, siblings=1) as server:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            gone = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.close()
            with accepted:
                assert server.sibling.give(accepted)
        with server.connect() as client:
            assert client.get("/").status == 200


# ---- draining


def test_idle_connections_of_a_draining_worker_go_on_elsewhere() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as client:
        client.get("/")
        server.play(SeatState.READY)
        server.drain()
        moved = _wait_for(server.sibling.take_own)
        assert server.wait() == 0
        client.send(request("/"))
        assert _answer(moved) == request("/")
        assert client.answer().body == b"sibling"


def test_a_connection_moves_after_its_answer() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as client:
        server.play(SeatState.READY)
        gate = server.hold(client)
        server.drain()
        gate.open()
        answer = client.answer()
        assert (answer.body, answer["Connection"]) == (b"slept", None)
        client.send(request("/"))
        assert _answer(_wait_for(server.sibling.take_own)) == request("/")
        assert client.answer().body == b"sibling"
        assert server.wait() == 0


def test_the_last_worker_answers_what_is_on_its_way() -> None:
    with BackendServer(APP, siblings=1) as server, server.connect() as slow:
        gate = server.hold(slow)
        pairs = [socket.socketpair() for _ in range(4)]
        sends = [
            server.sibling.give,
            lambda client: server.sibling.send(0, client),
            lambda client: server.sibling.send(1, client),
            server.sibling.give,
        ]
        server.drain()
        for (ours, theirs), send in zip(pairs, sends, strict=True):
            ours.settimeout(30)
            ours.sendall(request("/"))
            assert send(theirs)
            theirs.close()
        gate.open()
        for ours, _ in pairs:
            with ours:
                assert ours.recv(1000).startswith(b"HTTP/1.1 200")
        assert slow.answer().body == b"slept"
        slow.close()
        assert server.wait() == 0


def test_a_leaving_worker_looks_once_more_for_what_nobody_took() -> None:
    with BackendServer(APP, siblings=1) as server:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                ours.settimeout(30)
                ours.sendall(request("/"))
                server.play(SeatState.READY)
                assert server.sibling.send(1, theirs)
                server.play(SeatState.EMPTY)
                server.drain()
            assert ours.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.wait() == 0


def test_only_the_last_worker_accepts_once_more() -> None:
    for state, accepted in ((SeatState.READY, 1), (SeatState.EMPTY, 2)):
        with BackendServer(APP, siblings=1) as server, server.connect() as slow:
            gate = _make_busy(server, slow)
            with server.connect() as waiting:
                waiting.send(request("/"))
                server.play(state, is_open=False)
                server.drain()
                gate.open()
                assert slow.answer().status == 200
                slow.close()
                if accepted == 2:
                    assert waiting.answer().status == 200
                waiting.close()
                assert server.wait() == 0
            assert server.word(Word.ACCEPTED) == accepted


# ---- the queues


def test_descriptors_in_flight_are_limited_and_nothing_is_lost() -> None:
    """Only without privileges does the kernel count them against RLIMIT_NOFILE, and for each user."""
    script = (
        "import os, resource, socket\n"
        "from bigtop.ipc import handoff, seats\n"
        "ends = handoff.make(1)\n"
        "queues = handoff.Handoff([end.detach() for end in ends], seats.Seats(seats.create()), 0)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "if os.geteuid() == 0: os.setuid(20_000 + os.getpid() % 40_000)\n"
        "ours, theirs = socket.socketpair()\n"
        "sent = 0\n"
        "while queues.give(ours): sent += 1\n"
        "taken = []\n"
        "try:\n"
        "    while (client := queues.take()) is not None: taken.append(client)\n"
        "except OSError: pass\n"
        "first = len(taken)\n"
        "taken.clear()\n"
        "while (client := queues.take()) is not None: first += 1\n"
        "print(sent, first)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    sent, taken = map(int, done.stdout.split())
    assert 10 < sent < 40
    assert taken == sent


def test_load_counts_what_is_on_its_way() -> None:
    table = Seats(seats.create())
    ends = handoff.make(3)
    queues = handoff.Handoff([end.detach() for end in ends], table, 0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for seat, count in ((1, 3), (2, 4)):
            words = table.words(seat)
            words[Seat.STATE], words[Seat.OPEN], words[Seat.CONNECTIONS] = SeatState.READY, 1, count
        chosen = []
        for _ in range(6):
            seat = queues.emptiest(below=100)
            assert seat is not None
            chosen.append(seat)
            assert queues.send(seat, ours)
        assert chosen == [1, 1, 2, 1, 2, 1]
        assert queues.emptiest(below=6) is None
    queues.close()
