# What passes through a site does not stay in its memory: uploads, downloads, clients that do not read.
#
# The kernel itself keeps the highest memory that a process ever had (VmHWM in /proc/PID/status) and sets it
# back when it is told to (proc_pid_clear_refs(5)), so nothing is sampled and no peak is missed.

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.site import Site, until
from tests.support.wire import Client, request

APP = "tests.apps.bulk:app"
GIB = 1 << 30
MIB = 1 << 20
FLAT = 24 * MIB  # what Python's allocator and some buffers may take, whatever the size of the data


class Peaks:
    """The memory peaks of supervisor, fork server and workers since it was made, against what they had."""

    def __init__(self, site: Site) -> None:
        self.pids = [site.pid, *site.fork_servers(), *site.workers()]
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.before = {pid: _status(pid, "VmRSS") for pid in self.pids}

    def growth(self) -> int:
        """Return the growth, in bytes, of the one that grew most."""
        return max(_status(pid, "VmHWM") - self.before[pid] for pid in self.pids)


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


@contextlib.contextmanager
def warm_site(*args: str) -> Iterator[tuple[Site, Peaks]]:
    """A site that has answered before: what is made at the first request is not what is measured."""
    with Site(APP, *args) as site:
        with Client(("127.0.0.1", site.port)) as client:
            client.post("/upload", bytes(2 * MIB))
            assert len(client.get(f"/stream?size={2 * MIB}").body) == 2 * MIB
        yield site, Peaks(site)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_of_1_gib(chunked: bool, tmp_path: Path) -> None:
    piece = bytes(range(256)) * (MIB // 256)
    digest = hashlib.blake2b(digest_size=8)
    for _ in range(GIB // MIB):
        digest.update(piece[:64])
    field = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {GIB}"
    with (
        warm_site("--temp-dir", str(tmp_path)) as (site, peaks),
        Client(("127.0.0.1", site.port), timeout=60) as client,
    ):
        client.send(request("/upload", field, method="POST"))
        for _ in range(GIB // MIB):
            client.send(b"%x\r\n%b\r\n" % (MIB, piece) if chunked else piece)
        if chunked:
            client.send(b"0\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.body) == (200, f"{GIB} {digest.hexdigest()}".encode())
        assert peaks.growth() < FLAT
        assert list(tmp_path.iterdir()) == []


def test_a_stream_of_1_gib_to_a_reader_that_stops_again_and_again() -> None:
    with warm_site() as (site, peaks), Client(("127.0.0.1", site.port), timeout=60) as client:
        (worker,) = site.workers()
        client.send(request(f"/stream?size={GIB}", version="1.0"))
        got = stops = 0
        while data := client.socket.recv(MIB):
            if got >= stops * 128 * MIB:
                stops += 1
                until(lambda: _at_rest(worker), "the worker to wait for its client")
            got += len(data)
        assert GIB < got < GIB + 1000  # the head is counted too
        assert peaks.growth() < FLAT


def _at_rest(pid: int) -> bool:
    """Whether all that a process could do for now is done: it uses no processor time for a while."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(0.1)
    return process.cpu_times() == before


def test_readers_that_do_not_read_cost_a_bounded_part_each() -> None:
    readers = 31
    with warm_site("--threads", str(readers + 1)) as (site, peaks), contextlib.ExitStack() as connections:
        (worker,) = site.workers()
        address = ("127.0.0.1", site.port)
        for _ in range(readers):
            client = connections.enter_context(Client(address, receive_buffer=4096))
            client.send(request(f"/stream?size={GIB}", version="1.0"))
            assert client.socket.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        until(lambda: _at_rest(worker), "every stream to wait for its client")
        with Client(address) as other:
            assert other.get("/").body == b"ok"
        # 1 MiB of each waits in memory, and the piece that went over it.
        assert peaks.growth() < FLAT + readers * (MIB + 128 * 1024)


def test_readers_of_answers_that_are_complete_hold_no_slot() -> None:
    """One thread, a hundred clients that take nothing of what is waiting for them."""
    with warm_site() as (site, peaks), contextlib.ExitStack() as connections:
        address = ("127.0.0.1", site.port)
        for _ in range(100):
            client = connections.enter_context(Client(address, receive_buffer=4096))
            client.send(request(f"/stream?size={MIB}", version="1.0"))
            assert client.socket.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        with Client(address) as other:
            assert other.get("/").body == b"ok"
        assert peaks.growth() < FLAT + 100 * (MIB + 128 * 1024)
