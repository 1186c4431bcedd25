"""What the kernel tells of processes that wait in every way."""

import os
import re
import signal
import subprocess
import sys

import pytest

from bigtop.system import threads
from tests.support.site import halted, until

PRELUDE = "import os, sys, time, socket, select, threading, signal\n"
WAITS = {
    "time.sleep(1000)": r"sleeps",
    "os.read(os.pipe()[0], 1)": r"waits in read on a pipe",
    "l = threading.Lock(); l.acquire(); l.acquire()": r"waits for a lock",
    "a, b = socket.socketpair(); a.recv(1)": r"waits in recvfrom on a unix socket",
    "s = socket.create_server(('127.0.0.1', 0)); s.accept()": (
        r"waits in accept4? on a socket at 127\.0\.0\.1:\d+ \(listening\)"
    ),
    "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname()).recv(1)": (
        r"waits in recvfrom on a socket to 127\.0\.0\.1:\d+"
    ),
    "s = socket.create_server(('127.0.0.1', 0))\n"
    "c = socket.create_connection(s.getsockname()); c.settimeout(1000); c.recv(1)": (
        r"waits in poll on a socket to 127\.0\.0\.1:\d+"
    ),
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); s.recv(1)": (
        r"waits in recvfrom on a socket at 127\.0\.0\.1:\d+"
    ),
    "p = select.poll(); [p.register(os.pipe()[0]) for _ in range(12)]; p.poll()": (
        r"waits in poll on (a pipe, ){7}a pipe and 4 more"
    ),
    "select.poll().poll(10**6)": r"sleeps",
    "select.epoll().poll()": r"waits for events \(epoll\)",
    "select.select([os.pipe()[0]], [], [])": r"waits for events \(select\)",
    "os.waitpid(os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '1000'), 0)": r"waits for a child process",
    "signal.pause()": r"waits for a signal",
    "[0 for _ in iter(int, 1)]": r"runs",
}


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("code", WAITS)
def test_what_a_thread_waits_for(code):
    process = start(code)
    try:
        assert threads.is_python(process.pid) or process.poll() is None  # it may not have begun yet

        def told():
            found = threads.of(process.pid)
            assert process.poll() is None
            return len(found) == 1 and re.fullmatch(WAITS[code], found[0].waits)

        until(told, WAITS[code])
        assert threads.is_python(process.pid)
    finally:
        end(process)


def test_every_thread_with_its_mask():
    process = start(
        "t = threading.Thread(target=time.sleep, args=(1000,)); t.start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGRTMIN]); time.sleep(1000)"
    )
    try:
        until(
            lambda: [one.blocks(signal.SIGUSR1) for one in threads.of(process.pid)] == [True, False],
            "both threads",
        )
        main, other = threads.of(process.pid)
        assert main.tid == process.pid != other.tid
        assert main.blocks(signal.SIGRTMIN)
        assert not main.blocks(signal.SIGUSR2)
    finally:
        end(process)


def test_a_stopped_process():
    process = start("time.sleep(1000)")
    try:
        with halted(process.pid):
            assert [(one.state, one.waits) for one in threads.of(process.pid)] == [
                ("T", "is stopped (SIGSTOP)")
            ]
    finally:
        end(process)


def test_a_process_that_is_gone():
    process = start("")
    process.wait()
    assert threads.of(process.pid) == []
    assert not threads.is_python(process.pid)


def test_a_program_that_is_not_python():
    process = subprocess.Popen(["sleep", "1000"])
    try:
        until(lambda: [one.name for one in threads.of(process.pid)] == ["sleep"], "its start")
        assert not threads.is_python(process.pid)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F:0050", "127.0.0.1:80"),
        ("00000000000000000000000001000000:1F90", "[::1]:8080"),
        ("B80D01200000000067452301EFCDAB89:0001", "[2001:db8::123:4567:89ab:cdef]:1"),
    ],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the kernel writes words in its own order")
def test_addresses_of_the_kernel(text, address):
    assert threads._address(text) == address
