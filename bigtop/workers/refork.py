# Refork, inside: a worker that drained becomes a fork server, if a fork of it breaks nothing.
#
# Rule 1: it lets go of all that makes it a worker, then looks at itself, as a fork server does after the
# import of the application. What is there beside what was there before the application served, is the
# application's: a thread, a connection, a file that is written to would be shared by all workers to come.
# Rule 2: when in doubt it ends, as any worker that drained. Its successor serves already.

from __future__ import annotations

import errno
import faulthandler
import gc
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fcntl import F_GETFL, fcntl
from time import monotonic, sleep
from typing import Final

from bigtop.ipc import lifeline
from bigtop.ipc.scoreboard import Word
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.system import kernel
from bigtop.system.signals import STACK_SIGNAL
from bigtop.workers.life import Life
from bigtop.workers.shutdown import Shutdown

log = get_logger("bigtop.worker")

_PATIENCE: Final = 2.0  # seconds for threads that are about to end
_STEP: Final = 0.005
_MOST: Final = 3  # of a kind that are named
_CONNECTION, _FILE, _OTHERS = "connection", "open file", "descriptor"


class Before(Record):
    """What a worker has open and locked before anything of the application runs in it."""

    descriptors: Mapping[int, str]
    locks: int

    @classmethod
    def now(cls) -> Before:
        return cls(kernel.descriptors_open(), kernel.locks_held())

    def become_fork_server(self, life: Life, shutdown: Shutdown, reports: int) -> socket.socket | None:
        """Become one, if that is wanted of a worker that has drained, and can be; return its control line.
        `reports` is the descriptor that the worker reports to. Main thread only."""
        control = shutdown.control
        if control is None or lifeline.is_cut(control):
            return None
        if life.slot.words[Word.CUT]:
            reason = "requests took longer than a worker has to finish them"
        else:
            life.leave()
            faulthandler.unregister(STACK_SIGNAL)
            os.close(reports)
            reason = _obstacle(self, control.fileno(), shutdown.closing)
        return control if _answer(control, life.interface, reason) else None


def _obstacle(before: Before, control: int, closing: Iterable[Callable[[], None]]) -> str:
    """Return what a fork of this process would break, "" if nothing is; `control` is a descriptor to stay."""
    _let_django_close()
    threads = _threads()
    for close in () if threads else closing:
        close()
    gc.collect()  # what was left in circles is closed
    kinds = _descriptors(before, control)
    if threads:  # which may hold something of ours
        kinds[_OTHERS].clear()
    found = [threads] if threads else []
    found += [f"{_number(len(names), kind)} ({_listed(names)})" for kind, names in kinds.items() if names]
    if (locked := kernel.locks_held() - before.locks) > 0:
        found.append(f"{_number(locked, 'lock')} of files")
    if _has_children():
        found.append("a child process")
    return f"requests have left {', '.join(found)}" if found else ""


def _let_django_close() -> None:
    """Have Django close the connections to databases that it keeps between requests (CONN_MAX_AGE): those of
    this thread. Those of other threads went with them."""
    django = sys.modules.get("django.db")
    if django is not None:
        try:
            django.connections.close_all()
        except Exception:  # a server that is gone, for one; what is open still is found
            log.warning("Django cannot close its connections", exc_info=True)


def _answer(control: socket.socket, interface: str, reason: str) -> bool:
    """Say on the control line that this process is a fork server, or why it cannot be; return which."""
    message = lifeline.LoadFailed(reason, "") if reason else lifeline.Loaded(True, interface, "")
    try:
        lifeline.send(control, message)
    except OSError:  # it is not wanted any more
        return False
    return not reason


def _threads() -> str:
    until = monotonic() + _PATIENCE
    while kernel.threads_running() > 1 and monotonic() < until:
        sleep(_STEP)
    count = kernel.threads_running() - 1
    if count <= 0:
        return ""
    names = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    return f"{_number(count, 'thread')} ({_listed(names) or 'not of Python'})"


def _descriptors(before: Before, control: int) -> dict[str, list[str]]:
    """Return the names of descriptors that were opened since, by what they are."""
    kinds: dict[str, list[str]] = {_CONNECTION: [], _FILE: [], _OTHERS: []}
    for fd, link in kernel.descriptors_open().items():
        if fd != control and before.descriptors.get(fd) != link:
            with suppress(OSError):  # that by which the others were listed
                kind, name = _described(fd, link)
                if kind:
                    kinds[kind].append(name)
    return kinds


def _described(fd: int, link: str) -> tuple[str, str]:
    """Return what it is and its name; "" for what a fork does not break. OSError: it is not there."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _CONNECTION, _peer(fd)
    if not stat.S_ISREG(mode):
        harmless = stat.S_ISDIR(mode) or link in ("/dev/null", "/dev/urandom", "/dev/random")
        return "" if harmless else _OTHERS, link
    flags = fcntl(fd, F_GETFL)
    # Who appends shares nothing but the file: logs are written so. A position is shared by who reads, too.
    if flags & os.O_ACCMODE == os.O_RDONLY or flags & os.O_APPEND:
        return "", link
    return _FILE, link


def _peer(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as end:
        try:
            peer = end.getpeername()
        except OSError as error:
            return "to nobody" if error.errno == errno.ENOTCONN else str(error.strerror)
    if isinstance(peer, tuple):
        return f"to {peer[0]}:{peer[1]}"
    return f"to {os.fsdecode(peer) or 'a socket without a name'}"


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"
