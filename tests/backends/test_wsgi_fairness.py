# Slow clients and slow calls: who waits for whom, and how much memory that costs.

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.limits import Limits
from bigtop.ipc.histogram import quantile
from bigtop.ipc.scoreboard import RequestPhase, Word
from bigtop.ipc.seats import Seat
from tests.support import procfs
from tests.support.backend_server import BackendServer, Steps, eventually, in_time, stopped
from tests.support.certificates import ring
from tests.support.tls_client import TlsClient
from tests.support.wire import Client, Closed, request

APP = "tests.apps.wsgi_basic:app"
MB = 1 << 20

either = pytest.mark.parametrize("scheme", ["http", "https"])


def served(scheme: str, options: ServeOptions | None = None, **more: Any) -> BackendServer:
    return BackendServer(APP, options, keyring=ring() if scheme == "https" else None, **more)


def joined(server: BackendServer) -> Client:
    return TlsClient(server.address) if server.is_encrypted else server.connect()


def slow_reader(server: BackendServer) -> Client:
    """Return a client for which the kernel keeps little of what it does not read."""
    if server.is_encrypted:
        return TlsClient(server.address, receive_buffer=65536)
    return Client(server.address, timeout=30, receive_buffer=65536)


def _get(server: BackendServer, path: str) -> bytes:
    with joined(server) as client:
        return client.get(path).body


# ---- slow calls


def test_one_thread_means_one_call_at_a_time() -> None:
    with BackendServer(APP) as server, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: _get(server, "/sleep/0.05"), range(6))) == [b"slept"] * 6
        assert _get(server, "/overlap") == b"1"


@either
def test_n_threads_mean_n_calls_at_a_time_and_no_more(scheme: str) -> None:
    with served(scheme, ServeOptions(threads=4)) as server, ExitStack() as opened:
        clients = [opened.enter_context(joined(server)) for _ in range(8)]
        for client in clients:
            client.get("/")  # it is let in while a thread is free
        gate = server.gate()
        for client in clients:
            client.send(request(gate.target))
        eventually(lambda: gate.entered() == 4 and server.word(Word.WAITING) == 4)
        gate.open()
        assert [client.answer().body for client in clients] == [b"slept"] * 8
        assert _get(server, "/overlap") == b"4"
        assert json.loads(_get(server, "/environ"))["wsgi.multithread"] is True


def test_new_clients_go_on_whose_turn_ends_with_a_slow_call() -> None:
    with BackendServer(APP, ServeOptions(threads=2)) as server, ExitStack() as opened:
        kept = [opened.enter_context(server.connect()) for _ in range(2)]
        for client in kept:
            client.get("/")
        gate = server.gate()
        with stopped(server):  # so that one turn takes in all of them
            newcomers = [opened.enter_context(server.connect()) for _ in range(3)]
            for client, target in zip(newcomers, (gate.target, "/", "/"), strict=True):
                client.send(request(target))
            for client in kept:
                client.send(request("/"))
        for client in newcomers[1:] + kept:
            assert client.answer().body == b"Hello World\n"
        gate.open()
        assert newcomers[0].answer().body == b"slept"


@either
def test_quick_calls_of_a_threaded_worker_pass_slow_ones(scheme: str) -> None:
    with served(scheme, ServeOptions(threads=2)) as server, joined(server) as slow:
        gate = server.hold(slow)
        for _ in range(20):
            assert _get(server, "/") == b"Hello World\n"
        gate.open()
        assert slow.answer().body == b"slept"


@either
def test_bytes_move_during_a_slow_call_although_there_is_one_thread(scheme: str) -> None:
    body = b"u" * (4 * MB)
    with served(scheme) as server, joined(server) as slow, joined(server) as upload:
        eventually(lambda: server.word(Seat.CONNECTIONS) == 2, what="both are let in")
        gate = server.hold(slow)
        with server.connect() as newcomer:  # without TLS: it would wait for a handshake
            newcomer.send(request("/"))  # the worker has nothing to offer: it is left to others
            received = server.word(Word.BYTES_IN)
            upload.send(request("/echo", f"Content-Length: {len(body)}", method="POST") + body)
            eventually(lambda: server.word(Word.BYTES_IN) > received + 3 * MB, what="the upload goes on")
            assert server.word(Word.BUSY) == 1, "and all of that during the slow call"
            assert server.word(Word.ACCEPTED) <= 2
            gate.open()
            assert slow.answer().body == b"slept"
            assert upload.answer().body == body
            assert newcomer.answer().status == (400 if server.is_encrypted else 200)


@either
def test_an_answer_is_flushed_during_a_slow_call(scheme: str) -> None:
    with served(scheme, send_buffer=65536) as server, joined(server) as slow:
        with slow_reader(server) as reader:
            reader.send(request("/echo", f"Content-Length: {4 * MB}", method="POST") + b"e" * (4 * MB))
            eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
            gate = server.hold(slow)
            assert len(reader.answer().body) == 4 * MB
            gate.open()
        assert slow.answer().body == b"slept"


@pytest.mark.parametrize("main_thread", [False, True])
def test_no_answer_waits_for_a_slow_call_that_came_with_it(main_thread: bool) -> None:
    with BackendServer(APP, ServeOptions(main_thread=main_thread)) as server, ExitStack() as stack:
        first, quick, slow = (stack.enter_context(server.connect()) for _ in range(3))
        gate, later = server.hold(first), server.gate()
        quick.send(request("/"))  # both are there when the first call ends: one turn of the loop runs them
        slow.send(request(later.target))
        gate.open()
        assert quick.answer().body == b"Hello World\n"
        eventually(lambda: later.entered() == 1)
        later.open()
        assert [first.answer().body, slow.answer().body] == [b"slept", b"slept"]


@either
def test_no_answer_waits_for_its_own_close(scheme: str) -> None:
    with served(scheme) as server, joined(server) as client, joined(server) as other:
        gate = server.gate("/slow-closing")
        assert client.get(gate.target).body == b"ok"
        assert server.word(Word.BUSY) == 1
        other.send(request("/events"))
        gate.open()
        eventually(lambda: server.word(Word.BUSY) == 0)
        assert json.loads(other.answer().body)[-1:] == ["slow closed"]
        assert client.get("/").status == 200


@either
def test_a_client_that_is_gone_when_its_answer_is_sent_with_others(scheme: str) -> None:
    with served(scheme) as server, joined(server) as first, joined(server) as third:
        with joined(server) as second:
            eventually(lambda: server.word(Seat.CONNECTIONS) == 3, what="all are let in")
            gate = server.hold(first)
            second.send(request("/"))
            eventually(lambda: server.word(Word.WAITING) == 1)
            # To close with a reset: SO_LINGER without time.
            second.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        third.send(request("/"))
        gate.open()
        assert third.answer().body == b"Hello World\n"
        assert first.answer().body == b"slept"
        eventually(lambda: server.word(Seat.CONNECTIONS) == 2)
        eventually(lambda: server.word(Word.REQUESTS) == 3)


@either
def test_clients_at_work_do_not_lock_out_a_new_one(scheme: str) -> None:
    with served(scheme) as server, ThreadPoolExecutor(4) as pool:
        stop = threading.Event()

        def ask() -> None:
            with joined(server) as client:
                while not stop.is_set():
                    client.get("/sleep/0.02")

        jobs = [pool.submit(ask) for _ in range(4)]
        try:
            eventually(lambda: server.word(Word.WAITING) == 3)
            assert _get(server, "/") == b"Hello World\n"
        finally:
            stop.set()
        for job in jobs:
            job.result()


def test_many_new_clients_of_a_busy_worker_come_in_together() -> None:
    """Not one for each round of those who are there: the last would wait for as many rounds."""
    options = ServeOptions(main_thread=True, access_format="%(q)s")
    with (
        BackendServer(APP, options) as server,
        ThreadPoolExecutor(4) as pool,
        ExitStack() as opened,
    ):
        stop, newcomers = threading.Event(), list[Client]()

        def ask(number: int) -> None:
            with server.connect() as client:
                while not stop.is_set():
                    client.get(f"/sleep/0.005?{number}")

        jobs = [pool.submit(ask, number) for number in range(4)]
        try:
            eventually(lambda: len(set(server.access_lines())) == 4)
            with stopped(server):
                for _ in range(16):
                    newcomers.append(opened.enter_context(server.connect()))
                    newcomers[-1].send(request("/sleep/0.005?new"))
                before = len(server.access_lines())
            for newcomer in newcomers:
                assert newcomer.answer().body == b"slept"
            eventually(lambda: server.access_lines().count("new") == 16)
            lines = server.access_lines()
            last = max(number for number, line in enumerate(lines) if line == "new")
            rounds = Counter(line for line in lines[before:last] if line != "new")
            assert max(rounds.values(), default=0) < 12
        finally:
            stop.set()
        for job in jobs:
            job.result()


def test_queued_time_is_counted() -> None:
    with BackendServer(APP) as server, server.connect() as first, server.connect() as second:
        first.get("/")
        second.get("/")
        eventually(lambda: server.word(Word.BUSY) == 0)  # an answer is out before its call is in the books
        gate = server.hold(first)
        second.send(request("/"))
        eventually(lambda: server.word(Word.WAITING) == 1)
        time.sleep(0.1)  # the subject
        gate.open()
        second.answer()
        eventually(lambda: server.word(Word.QUEUE_NS) > 100_000_000)
        assert quantile(server.scoreboard.waits(), 1.0) >= 0.1 * 0.95
        eventually(lambda: server.word(Word.WAITING) == 0)


def test_an_idle_worker_costs_nothing() -> None:
    with BackendServer(APP, ServeOptions(threads=4)) as server, server.connect() as client:
        for _ in range(50):
            client.get("/")
        switches = _switches_at_rest(server)
        time.sleep(1.0)  # the subject: a second in which nothing happens
        assert _switches(server) - switches <= 2


def _switches(server: BackendServer) -> int:
    total = 0
    for status in procfs.threads(server.process.pid, "status"):
        fields = dict(line.split(":", 1) for line in status.splitlines())
        total += int(fields["voluntary_ctxt_switches"])
    return total


def _switches_at_rest(server: BackendServer) -> int:
    """Wait until the relief thread has gone to sleep as well."""
    last = [-1]

    def calm() -> bool:
        time.sleep(0.1)
        last.append(_switches(server))
        return last[-1] == last[-2]

    eventually(calm)
    return last[-1]


# ---- slow clients


@pytest.mark.parametrize(
    ("scheme", "path"),
    [
        ("http", f"/stream?n=200&size={MB}"),
        ("http", f"/write?n=200&size={MB}"),
        ("https", f"/stream?n=200&size={MB}"),
    ],
)
def test_a_slow_reader_of_a_large_answer_costs_no_memory_and_blocks_nobody(scheme: str, path: str) -> None:
    options = ServeOptions(threads=2)
    with served(scheme, options, send_buffer=65536, fresh=True) as server:
        with slow_reader(server) as reader:
            _get(server, "/")
            before = server.rss()
            reader.send(request(path))
            eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
            for _ in range(50):
                assert _get(server, "/") == b"Hello World\n"
            most = server.rss()
            size = 0
            while size < 40 * MB:
                size += len(reader.socket.recv(MB))
                most = max(most, server.rss())
            assert most - before < 12 * MB
        # The client left in the middle: the generator is closed, the slot is free.
        eventually(lambda: server.word(Word.BUSY) == 0)
        assert b"stream closed" in _get(server, "/events")


def test_the_whole_of_a_large_stream_arrives() -> None:
    with BackendServer(APP, fresh=True) as server, server.connect(timeout=30) as client:
        before = server.rss()
        client.send(request(f"/stream?n=200&size={MB}&length=1", "Connection: close"))
        size = 0
        while piece := client.socket.recv(MB):
            size += len(piece)
        assert size > 200 * MB
        assert server.rss() - before < 12 * MB


@either
def test_a_slow_reader_of_a_finished_answer_holds_no_slot(scheme: str) -> None:
    with (
        served(scheme, send_buffer=65536) as server,
        slow_reader(server) as reader,
    ):
        reader.send(request("/echo", f"Content-Length: {20 * MB}", method="POST") + b"e" * (20 * MB))
        eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
        eventually(lambda: server.word(Word.BUSY) == 0)
        assert _get(server, "/") == b"Hello World\n"
        assert len(reader.answer().body) == 20 * MB


@either
def test_a_slow_reader_of_a_file_holds_no_slot_and_the_file_is_closed_at_the_end(scheme: str) -> None:
    with (
        served(scheme, send_buffer=65536) as server,
        slow_reader(server) as reader,
    ):
        reader.send(request(f"/file?size={50 * MB}"))
        eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
        assert b"file closed" not in _get(server, "/events")
        assert len(reader.answer().body) == 50 * MB
        eventually(lambda: b"file closed" in _get(server, "/events"))


@either
def test_a_file_is_closed_once_when_a_slot_is_free(scheme: str) -> None:
    with served(scheme, send_buffer=65536) as server, joined(server) as slow:
        with slow_reader(server) as reader:
            reader.send(request(f"/file?size={5 * MB}") + request("/"))
            eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
            gate = server.hold(slow)
            assert len(reader.answer().body) == 5 * MB
            gate.open()
            assert slow.answer().body == b"slept"
            assert reader.answer().body == b"Hello World\n"
        assert json.loads(_get(server, "/events")) == ["file closed"]
        assert "Traceback" not in server.log()


@either
def test_pipelined_answers_to_a_slow_reader(scheme: str) -> None:
    with (
        served(scheme, ServeOptions(threads=2), send_buffer=65536) as server,
        slow_reader(server) as reader,
        joined(server) as other,
    ):
        paths = [f"/stream?n=1&size={MB}", "/sleep/0.05", f"/file?size={MB}", "/sleep/0.05"] * 3
        reader.send(b"".join(request(path) for path in paths))
        for _ in range(20):
            other.get("/")
        assert [len(reader.answer().body) for _ in paths] == [MB, 5, MB, 5] * 3


@either
def test_the_file_of_a_client_that_left_is_closed(scheme: str) -> None:
    with served(scheme, send_buffer=65536) as server:
        with slow_reader(server) as reader:
            reader.send(request(f"/file?size={50 * MB}"))
            eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
        eventually(lambda: b"file closed" in _get(server, "/events"))


@either
def test_a_large_upload_costs_no_memory(scheme: str) -> None:
    with served(scheme, fresh=True) as server, joined(server) as client:
        client.get("/")
        before = most = server.rss()
        client.send(request("/digest", f"Content-Length: {200 * MB}", method="POST"))
        for _ in range(200):
            client.send(b"u" * MB)
            most = max(most, server.rss())
        assert client.answer().body.startswith(b"%d " % (200 * MB))
        assert max(most, server.rss()) - before < 12 * MB


@either
def test_a_slow_upload_holds_no_slot(scheme: str) -> None:
    with served(scheme) as server, joined(server) as upload:
        upload.send(request("/echo", "Content-Length: 6", method="POST") + b"abc")
        for _ in range(5):
            assert _get(server, "/") == b"Hello World\n"
        upload.send(b"def")
        assert upload.answer().body == b"abcdef"


def test_more_clients_than_descriptors_wait_outside_and_nothing_spins() -> None:
    with BackendServer(APP, nofile=40) as server:
        clients = [server.connect() for _ in range(60)]
        try:
            eventually(lambda: "others wait" in server.log())
            before = server.cpu()
            time.sleep(0.5)  # the subject: does it spin
            assert server.cpu() - before < 0.2
            for client in clients[:10]:
                assert client.get("/").status == 200
        finally:
            for client in clients:
                client.close()
        assert _get(server, "/") == b"Hello World\n"


def test_an_application_that_takes_all_descriptors_is_survived_without_spinning() -> None:
    with BackendServer(APP, nofile=200) as server, server.connect() as client:
        assert client.get("/hoard").status == 200
        with server.connect() as newcomer:
            newcomer.send(request("/"))
            eventually(lambda: "cannot take a connection" in server.log())
            before = server.cpu()
            time.sleep(0.5)  # the subject: does it spin
            assert server.cpu() - before < 0.2
            client.get("/hoard?release")
            assert newcomer.answer().status == 200


# ---- time limits


def test_a_head_that_does_not_come_is_a_408() -> None:
    with BackendServer(APP, ServeOptions(limits=Limits(header_timeout=0.2))) as server:
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\n")
            assert client.answer().status == 408
            assert client.at_end()
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nX-Drip: ")
            began = time.monotonic()
            while not select.select([client.socket], [], [], 0.02)[0]:
                client.send(b"x")  # dripping does not prolong it
                assert time.monotonic() - began < 30
            assert client.answer().status == 408


def test_a_body_that_does_not_come_is_a_408_but_a_slow_one_is_not() -> None:
    with BackendServer(APP, ServeOptions(limits=Limits(body_timeout=0.3))) as server:
        with server.connect() as client:
            client.send(request("/echo", "Content-Length: 5", method="POST") + b"ab")
            assert client.answer().status == 408
            assert client.at_end()

        def drip(step: Steps) -> None:
            with server.connect() as client:
                step()
                client.send(request("/echo", "Content-Length: 8", method="POST"))
                step()
                for byte in b"abcdefgh":
                    time.sleep(0.1)
                    client.send(bytes([byte]))
                    step()
                assert client.answer().body == b"abcdefgh"

        in_time(0.3, drip)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    with BackendServer(APP, ServeOptions(limits=Limits(keep_alive=0.3))) as server:

        def ask(step: Steps) -> None:
            step()
            with server.connect() as client:
                for _ in range(8):
                    client.send(request("/sleep/0.1"))
                    step()
                    assert client.answer().status == 200
                began = time.monotonic()
                client.send(request("/sleep/0.6"))
                step()
                assert client.answer().status == 200
                assert client.at_end()
                assert time.monotonic() - began > 0.85

        in_time(0.1 + 0.29, ask)


@pytest.mark.parametrize("path", [f"/stream?n=200&size={MB}", f"/file?size={50 * MB}"])
def test_a_client_that_does_not_read_is_given_up(path: str) -> None:
    with (
        BackendServer(APP, ServeOptions(limits=Limits(send_timeout=0.3)), send_buffer=65536) as server,
        Client(server.address, receive_buffer=65536) as reader,
    ):
        reader.send(request(path))
        eventually(lambda: server.word(Word.ACCEPTED) == 1 and server.word(Seat.CONNECTIONS) == 0)
        assert b"closed" in _get(server, "/events")
        with pytest.raises((Closed, ConnectionError)):
            reader.answer()


# ---- what waits for slow readers


def test_a_slow_reader_holds_no_slot_while_there_is_room_on_disk(tmp_path: Path) -> None:
    options = ServeOptions(limits=Limits(send_memory=100_000), temp_dir=str(tmp_path))
    with (
        BackendServer(APP, options, send_buffer=65536) as server,
        Client(server.address, timeout=30, receive_buffer=65536) as reader,
    ):
        reader.send(request(f"/stream?n=60&size={MB}"))
        eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
        eventually(lambda: server.word(Word.BUSY) == 0)
        assert b"stream closed" in _get(server, "/events")
        assert _temporary(server, tmp_path) > 40 * MB
        assert len(reader.answer().body) == 60 * MB
        eventually(lambda: not _temporary(server, tmp_path))


def test_beyond_that_the_application_waits(tmp_path: Path) -> None:
    options = ServeOptions(limits=Limits(send_memory=100_000, send_file=10 * MB), temp_dir=str(tmp_path))
    with (
        BackendServer(APP, options, send_buffer=65536) as server,
        Client(server.address, timeout=30, receive_buffer=65536) as reader,
    ):
        reader.send(request(f"/stream?n=60&size={MB}"))
        eventually(lambda: any(r.phase is RequestPhase.WRITING for r in server.scoreboard.running()))
        assert server.word(Word.BUSY) == 1
        most = 0
        size = 0
        while size < 60 * MB:
            size += len(reader.socket.recv(MB))
            most = max(most, _temporary(server, tmp_path))
        assert 5 * MB < most <= 10 * MB


def _temporary(server: BackendServer, folder: Path) -> int:
    """Return the bytes in unlinked files of `folder`."""
    sizes = 0
    for _, fd in procfs.open_files(server.process.pid, str(folder)):
        sizes += os.fstat(fd).st_size
        os.close(fd)
    return sizes


# ---- the main thread alone


def test_in_the_main_thread_alone_everything_works_but_nothing_moves_meanwhile() -> None:
    options = ServeOptions(main_thread=True, limits=Limits(send_memory=100_000, send_file=0))
    with BackendServer(APP, options, send_buffer=65536) as server, server.connect(30) as client:
        for _ in range(5):
            assert json.loads(client.get("/environ").body)["thread"] == "MainThread"
        assert client.get("/sleep/0.1").body == b"slept"
        assert json.loads(client.get("/environ").body)["thread"] == "MainThread"
        assert len(client.get(f"/stream?n=20&size={MB}").body) == 20 * MB
        assert len(client.get(f"/file?size={5 * MB}").body) == 5 * MB
        assert client.get("/").status == 200


# ---- many clients


def test_idle_connections_cost_memory_only() -> None:
    count = 2000
    with BackendServer(APP, nofile=4096, fresh=True) as server, server.connect() as client:
        _cpu_of_requests(server, client)
        alone = _cpu_of_requests(server, client)
        before = server.rss()
        idle = [server.connect() for _ in range(count)]
        try:
            for one in idle[::2]:
                one.send(b"GET / HTTP/1.1\r\nHost: ")
            eventually(lambda: server.word(Seat.CONNECTIONS) == count + 1)
            assert (server.rss() - before) / count < 10_000
            assert _cpu_of_requests(server, client) < 3 * alone + 0.3
        finally:
            for one in idle:
                one.close()


def _cpu_of_requests(server: BackendServer, client: Client) -> float:
    """Return the seconds that the worker computes for a thousand requests."""
    before = server.cpu()
    for _ in range(1000):
        assert client.get("/").status == 200
    return server.cpu() - before


def test_a_worker_has_so_many_connections_and_no_more() -> None:
    with BackendServer(APP, ServeOptions(worker_connections=3)) as server:
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            client.send(request("/"))
        for client in clients[:3]:
            assert client.answer().status == 200
        assert server.word(Seat.CONNECTIONS) == 3
        clients[0].close()
        assert clients[3].answer().status == 200
        clients[1].close()
        assert clients[4].answer().status == 200
        for client in clients:
            client.close()


def test_newcomers_beside_requests_keep_to_the_number_of_connections() -> None:
    with BackendServer(APP, ServeOptions(worker_connections=3)) as server, ExitStack() as opened:
        here = [opened.enter_context(server.connect()) for _ in range(2)]
        for client in here:
            client.get("/")
        with stopped(server):  # so that all of it is there at once
            newcomers = [opened.enter_context(server.connect()) for _ in range(3)]
            for client in (*here, *newcomers):
                client.send(request("/"))
        for client in here:
            assert client.answer().status == 200
        eventually(lambda: server.word(Word.REQUESTS) == 5)
        assert server.word(Seat.CONNECTIONS) == 3
        here[0].close()
        here[1].close()
        for client in newcomers:
            assert client.answer().status == 200
