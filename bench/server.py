# One peer running one application: started, ready, stopped. Nothing of it is left behind.
#
# Rules: ready means that it answered a real request with success; the bench asks each millisecond. Stopping
# asks the peer first, then kills every process of its tree by pidfd, so that a process id used again by a
# stranger is never hit.

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bench import procfs, workshop
from bench.peers import Peer
from bench.scenarios import APPS, Scenario

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 6.0


class StartError(Exception):
    """The peer did not come up, or answered with an error."""


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    roots: tuple[int, ...]
    folder: Path
    first_answer: float  # seconds from exec

    def end(self) -> float:
        """Ask it to stop and return after how many seconds its last process had ended."""
        pidfds = [os.pidfd_open(pid) for pid in procfs.tree(self.roots)]
        began = time.monotonic()
        for root in self.roots:
            os.kill(root, signal.SIGTERM)
        try:
            if not all(_is_over(pidfd, STOP_SECONDS) for pidfd in pidfds):
                raise StartError(f"it did not end within {STOP_SECONDS:g} s")
            return time.monotonic() - began
        finally:
            for pidfd in pidfds:
                os.close(pidfd)


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Children started inside inherit these cores; the harness gets its own back."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(peer: Peer, scenario: Scenario, cores: set[int], data: Path) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, processes = Path(name), []
        port = free_port()
        log = folder / "server.log"
        try:
            with pinned(cores), log.open("wb") as output:
                described = commands(peer, scenario, port, folder, data)
                began = time.monotonic()
                for command in described:
                    processes.append(_start(command, peer, scenario, data, output.fileno()))
            _wait_ready(port, scenario, processes, log)
            first_answer = time.monotonic() - began
            yield Running(port, tuple(process.pid for process in processes), folder, first_answer)
        finally:
            stop(processes)


def commands(peer: Peer, scenario: Scenario, port: int, folder: Path, data: Path) -> list[list[str]]:
    app = APPS[scenario.app]
    target = app.asgi if peer.interface == "asgi" else app.wsgi
    values: dict[str, object] = {
        "python": workshop.python(),
        "bin": workshop.VENV / "bin",
        "build": workshop.BUILD,
        "host": HOST,
        "port": port,
        "app": target,
        "workers": scenario.workers,
        "threads": scenario.threads,
        "dir": folder,
        "data": data,
    }
    if peer.tls:
        values["certificate"], values["key"] = workshop.certificate(data)
    if peer.interface == "floor":
        values["response"] = workshop.capture_response(app, scenario.requests[0].path, data)
    for name, template in peer.files:
        (folder / name).write_text(Template(template).substitute(values))
    return [workshop.words(command, values) for command in peer.spoken(tls=scenario.tls)]


def _start(
    command: list[str], peer: Peer, scenario: Scenario, data: Path, output: int
) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal is the harness' business, which then stops its peers.
    return subprocess.Popen(
        command,
        cwd=workshop.bigtop_of(peer),  # where no other Bigtop can be mistaken for it
        env=workshop.environment(APPS[scenario.app], data, peer.env, workshop.bigtop_of(peer)),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_ready(port: int, scenario: Scenario, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    request = scenario.requests[0].encode()
    status = b""
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            break
        status = _status(port, request, tls=scenario.tls)
        if status.startswith(b"2") or status == b"101":
            return
        time.sleep(0.001)
    answer = f"answers {status.decode(errors='replace')}" if status else "does not answer"
    raise StartError(f"{answer}; its log: {workshop.reason(log.read_text(errors='replace'))}")


def connect(port: int, *, tls: bool) -> socket.socket:
    """Return a connection. OSError: there is none."""
    connection = socket.create_connection((HOST, port), timeout=5)
    if not tls:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname="localhost")


def _status(port: int, request: bytes, *, tls: bool) -> bytes:
    """Return the status code of one request, empty when there is no answer."""
    try:
        with connect(port, tls=tls) as connection:
            connection.sendall(request)
            head = connection.recv(4096)
    except OSError:
        return b""
    return head.split(b" ", 2)[1] if head.startswith(b"HTTP/1.") and b" " in head else b""


def healthy(port: int) -> bool:
    """Whether /healthz is answered with success."""
    return (
        _status(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", tls=False)
        == b"200"
    )


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    pidfds = []
    for pid in procfs.tree(process.pid for process in processes):
        with contextlib.suppress(ProcessLookupError):
            pidfds.append(os.pidfd_open(pid))
    for process in reversed(processes):
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
    for pidfd in pidfds:
        if not _is_over(pidfd, 0.2):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    for process in processes:
        process.wait()


def _is_over(pidfd: int, seconds: float) -> bool:
    """Wait until a process has ended. poll(2), because select(2) knows no descriptor above 1023."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
