# A neighbour on the same socket that was taken over: what it sends to a worker of another application is no
# connection that any of them accepted. The worker drops it, holds nothing of it, and serves on.

from __future__ import annotations

import json
import mmap
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigtop.backends.native.app_queues import AppQueue, ProxiedAddresses, unpack
from bigtop.backends.serve_options import BalancerPolicy, ServeOptions
from bigtop.ipc import seats
from tests.backends.test_routing import ALL, APPS, ROUTES, pair, server
from tests.support.backend_server import BackendServer, eventually
from tests.support.nobody import as_nobody
from tests.support.wire import Client, request

pytestmark = pytest.mark.case("E10")
SAID = json.dumps([["203.0.113.9", 1], ["198.51.100.2", 443]]).encode()
FORMS = (
    b"",
    b"\0",
    b"\xff\xff",
    b"\0\x05[[[[[",
    b"\0\x64" + b"[" * 100,
    b"\x01\x01" + b" " * 257,
    b"\0\x04true",
    b"\0\x02{}",
    b"\0\x10" + json.dumps([["1.2.3.4", -1], None]).encode()[:16],
    b"\0\x1c" + json.dumps([["fe80::1%\n200", 1], None]).encode(),
)
UNIX = {"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"}


def framed(said: bytes, data: bytes) -> bytes:
    return struct.pack("!H", len(said)) + said + data


@contextmanager
def ends() -> Iterator[dict[str, int]]:
    """Descriptors that are no client's, by what they are."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        other = socket.socketpair()
        for end in other:
            opened.enter_context(end)
        datagram = opened.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        loose = opened.enter_context(socket.socket())
        yield {
            "file": opened.enter_context(open(__file__)).fileno(),
            "listener": listener.fileno(),
            "datagram": datagram.fileno(),
            "not connected": loose.fileno(),
            "unix": other[0].fileno(),
        }


def send(subject: BackendServer, data: bytes, *fds: int) -> None:
    queue = subject.neighbour._queues._writers[0]
    eventually(lambda: _sent(queue, data, fds), what="room in the queue")


def _sent(queue: socket.socket, data: bytes, fds: tuple[int, ...]) -> bool:
    try:
        socket.send_fds(queue, [data], fds)
    except BlockingIOError:
        return False
    return True


ROUNDS = 8  # more than the descriptors that a worker opens by itself meanwhile


def descriptors(subject: BackendServer) -> int:
    return psutil.Process(subject.process.pid).num_fds()


@ALL
def test_what_is_no_connection_is_dropped(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client:
        assert client.get("/").status == 200
        before = descriptors(subject)
        for _ in range(ROUNDS):
            with ends() as kinds:
                for fd in kinds.values():
                    send(subject, framed(b"", request("/")), fd)
                    send(subject, framed(b"", request("/")), fd, fd)
        send(subject, framed(b"", request("/")))
        # A kind that was held would be there for each round.
        eventually(lambda: descriptors(subject) < before + ROUNDS, what="nothing is held")
        assert client.get("/").status == 200
        assert "Traceback" not in subject.log()


@ALL
def test_what_has_no_form_is_dropped_with_its_connection(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client:
        assert client.get("/").status == 200
        before = descriptors(subject)
        for _ in range(ROUNDS):
            for form in (*FORMS, framed(b"", b"x" * 200_000)[:196_900]):
                forged, accepted = pair(subject)
                with forged:
                    with accepted:
                        send(subject, form, accepted.fileno())
                    assert forged.at_end(), form
        eventually(lambda: descriptors(subject) < before + ROUNDS, what="nothing is held")
        assert client.get("/").status == 200
        assert "Traceback" not in subject.log()
        assert "dropped" in subject.log()


@ALL
def test_a_flood_holds_up_nobody(backend: str) -> None:
    with server(backend) as subject, subject.connect() as client, ends() as kinds:
        for _ in range(1500):
            send(subject, b"\xff\xff", kinds["file"])
        assert client.get("/").status == 200
        assert subject.log().count("dropped") < 5


@ALL
def test_queues_that_somebody_shut_down_are_left_alone(backend: str) -> None:
    """They are readable for ever, so whoever went on listening would never rest."""
    with (
        BackendServer(APPS[backend], backend=backend, routes=ROUTES, siblings=1) as subject,
        subject.connect() as client,
    ):
        assert client.get("/").status == 200
        readers = [subject.neighbour._queues._readers[0], *subject.sibling._queues._readers]
        for reader in readers:
            reader.shutdown(socket.SHUT_RDWR)
        # Once of the applications' queues, and once of the hand-off's.
        eventually(lambda: subject.log().count("somebody shut it down") == 2, what="it is told")
        before = subject.cpu()
        time.sleep(0.5)
        assert subject.cpu() - before < 0.25
        assert client.get("/").status == 200
        assert subject.log().count("somebody shut it down") == 2
        assert "Traceback" not in subject.log()


@ALL
@pytest.mark.parametrize("options", [ServeOptions(), ServeOptions(forwarded_allow_ips=("192.0.2.1",))])
def test_no_client_is_made_up(backend: str, options: ServeOptions) -> None:
    """Peers on unix sockets are trusted: theirs is the socket's file. Here, nobody listens on one."""
    with server(backend, options) as subject, subject.connect() as client:
        mine, theirs = socket.socketpair()
        with mine:
            with theirs:
                send(subject, framed(b"", request("/environ", *UNIX)), theirs.fileno())
            mine.settimeout(30)
            assert mine.recv(65536) == b"", "it was answered"
        assert client.get("/").status == 200


NAMESPACE = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
queue = socket.socket(fileno=int(sys.argv[1]))
listener = socket.create_server(("192.0.2.1", 80))
client = socket.create_connection(("192.0.2.1", 80), source_address=("192.0.2.1", 0))
client.settimeout(30)
accepted, _ = listener.accept()
socket.send_fds(queue, [bytes.fromhex(sys.argv[2])], [accepted.fileno()])
accepted.close()
print(client.recv(65536) or "closed")
"""


@pytest.mark.skipif(shutil.which("ip") is None or os.geteuid() != 0, reason="makes a network of its own")
@ALL
def test_no_network_is_made_up(backend: str) -> None:
    """In a network of one's own any address is to be had, that of a trusted proxy too."""
    with server(backend, ServeOptions(forwarded_allow_ips=("192.0.2.1",))) as subject:
        queue = os.dup(subject.neighbour._queues._writers[0].fileno())
        data = framed(b"", request("/", *UNIX)).hex()
        try:
            done = subprocess.run(
                ["unshare", "--net", sys.executable, "-c", NAMESPACE, str(queue), data],
                pass_fds=[queue],
                capture_output=True,
                text=True,
                timeout=60,
            )
        finally:
            os.close(queue)
        if "unshare" in done.stderr:
            pytest.skip(done.stderr)
        assert done.stdout == "closed\n", done
        with subject.connect() as client:
            assert client.get("/").status == 200


@pytest.mark.parametrize(
    ("options", "believed"),
    [
        (ServeOptions(), False),
        (ServeOptions(balancers=BalancerPolicy("v1", ("192.0.2.1",))), False),
        (
            ServeOptions(balancers=BalancerPolicy("v1")),
            True,
        ),  # of this machine's addresses, as any process here
    ],
)
def test_a_balancer_is_not_made_up(options: ServeOptions, believed: bool) -> None:
    with server("wsgi", options) as subject:
        client, accepted = pair(subject)
        with client:
            with accepted:
                send(subject, framed(SAID, request("/environ")), accepted.fileno())
            address = json.loads(client.answer().body)["REMOTE_ADDR"]
            assert address == ("203.0.113.9" if believed else "127.0.0.1")


def test_a_unix_listener_takes_its_own(tmp_path: Path) -> None:
    path, other = str(tmp_path / "listener"), str(tmp_path / "other")
    with (
        BackendServer(APPS["wsgi"], backend="wsgi", unix=path, routes=ROUTES) as subject,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        with Client(path) as client:
            assert client.get("/").status == 200
        listener.bind(other)
        listener.listen()
        with Client(other) as forged:
            accepted, _ = listener.accept()
            with accepted:
                send(subject, framed(b"", request("/")), accepted.fileno())
            assert forged.at_end()


@pytest.mark.case("E4")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a process to somebody else")
def test_a_neighbour_sees_who_is_there_and_can_write_it_nowhere() -> None:
    queue = AppQueue()
    try:
        assert as_nobody(lambda: mmap.mmap(queue.seats_view, seats.SIZE, prot=mmap.PROT_READ))
        assert not as_nobody(lambda: mmap.mmap(queue.seats_view, seats.SIZE))
        assert not as_nobody(lambda: os.open(f"/proc/self/fd/{queue.seats_view}", os.O_RDWR))
    finally:
        queue.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too short"),
        (b"\0", "too short"),
        (struct.pack("!H", len(SAID) + 1) + SAID, "too long"),
        (framed(SAID.ljust(257), b"GET /"), "too long"),
        (framed(SAID[:-1], b"GET /"), "no address"),
        (framed(b'[["192.0.2.1", 65536], null]', b"GET /"), "no address"),
        (framed(b'[["192.0.2.1", -1], null]', b"GET /"), "no address"),
        (framed(b'[["192.0.2.1", 1.5], null]', b"GET /"), "no address"),
    ],
)
def test_lengths_and_addresses_are_possible_ones(data: bytes, reason: str) -> None:
    assert unpack(framed(SAID.ljust(256), b"GET /"))[0] == b"GET /"
    with pytest.raises(ValueError, match=reason):
        unpack(data)


@given(
    st.binary(max_size=400)
    | st.builds(lambda n, d: struct.pack("!H", n) + d, st.integers(0, 300), st.binary())
)
@example(framed(SAID, b"GET /"))
@settings(max_examples=300, deadline=None)
def test_any_bytes_have_a_form_or_none(data: bytes) -> None:
    try:
        rest, proxied = unpack(data)
    except ValueError:
        return
    assert data.endswith(rest)
    assert proxied is None or type(proxied) is ProxiedAddresses
