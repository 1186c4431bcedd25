# Zygote: a process that has imported what a native backend under test needs, and forks such backends.
#
# A fresh interpreter spends more CPU on its imports than most tests on what they are about. There is one
# zygote for each native backend and test process, begun when it is first needed. It ends when the test
# process does, however that happens, for then the socket between them is at its end.
#
# What it forks differs from `python -m tests.support.backend_child` in nothing that tests look at: it has the
# descriptors under the same numbers, the environment, the standard files and a limit of its own. It forks
# twice, as Bigtop's fork server does, and the test process is a subreaper meanwhile: so the backend becomes
# its child, which it waits for itself. Where memory is measured, one begins a fresh interpreter: a forked
# process has less of the libraries mapped at first, and seems to grow when it uses them.

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import pickle
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bigtop.backends.registry import load
from tests.support import backend_child

NATIVE = ("wsgi", "asgi")
_ROOT = Path(__file__).parents[2]
_LONGEST = 1 << 17  # bytes of an order, which are one message
_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37  # prctl(2)


class Forked(subprocess.Popen[bytes]):
    """A process that is our child although another one began it: all that Popen does holds for it."""

    def __init__(self, pid: int) -> None:
        self._begun = pid
        super().__init__(["tests.support.backend_child"])

    def _execute_child(self, *_: object) -> None:
        """What Popen calls to begin a process."""
        self.pid = self._begun
        self._child_created = True


class Zygote:
    """The test's side of a zygote."""

    def __init__(self, backend: str) -> None:
        self._environment = _environment()
        self._one_at_a_time = threading.Lock()
        self._orders, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            command = [sys.executable, "-X", "faulthandler", "-m", "tests.support.zygote"]
            self._process = subprocess.Popen(
                [*command, backend, str(there.fileno())], cwd=_ROOT, pass_fds=[there.fileno()]
            )
        atexit.register(self._end)

    def fits(self) -> bool:
        """Whether it was begun with the environment that is there now, which may matter to an import."""
        return _environment() == self._environment

    def fork(self, setup: str, fds: Sequence[int], stderr: int, nofile: int | None) -> Forked:
        """Begin a backend, which has these descriptors under the numbers that they have here."""
        order = pickle.dumps((setup, dict(os.environ), [0, 1, 2, *fds], nofile))
        assert len(order) <= _LONGEST
        with self._one_at_a_time, _subreaper():
            socket.send_fds(self._orders, [order], [0, 1, stderr, *fds])
            answer = self._orders.recv(16)
        assert answer, "the zygote is there"
        return Forked(int(answer))

    def _end(self) -> None:
        self._orders.close()
        self._process.wait()


@cache
def of(backend: str) -> Zygote:
    return Zygote(backend)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@contextmanager
def _subreaper() -> Iterator[None]:
    """Adopt what is orphaned below us; afterwards it is as before."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    before = ctypes.c_int()
    assert prctl(_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) == 0
    assert prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


# ---- the zygote itself


def main() -> None:
    backend, number = sys.argv[1:]
    load(backend)
    with socket.socket(fileno=int(number)) as orders:
        while True:
            order, fds, _, _ = socket.recv_fds(orders, _LONGEST, 64, socket.MSG_CMSG_CLOEXEC)
            if not order:
                return
            pid = _fork()
            if pid == 0:
                orders.detach()  # _become closes it
                break
            for fd in fds:
                os.close(fd)
            orders.send(str(pid).encode())
    _become(fds, *pickle.loads(order))
    backend_child.main()


def _fork() -> int:
    """Return the pid of a grandchild, whose parent has ended; 0 in the grandchild."""
    read, write = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid == 0:
            return 0
        os.write(write, str(pid).encode())
        os._exit(0)
    os.waitpid(between, 0)
    os.close(write)
    pid = int(os.read(read, 16))
    os.close(read)
    return pid


def _become(
    fds: list[int], setup: str, environment: dict[str, str], numbers: list[int], nofile: int | None
) -> None:
    """Have the descriptors under these numbers and no others, and what else a started process has."""
    above = max(numbers) + 1
    lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    os.closerange(3, above)
    for number, fd in zip(numbers, lifted, strict=True):
        os.dup2(fd, number)
    os.closerange(above, max(fds + lifted) + 1)
    os.environ.clear()
    os.environ.update(environment)
    if nofile is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
    sys.argv[1:] = [setup]


if __name__ == "__main__":
    main()
