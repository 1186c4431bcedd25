# Program at the top of a tree of processes: signals, orphans, the end.
#
# Rule: a signal that was sent once the program can be found is neither lost nor ends it halfway.

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from bigtop.errors import ConfigError
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy.messages import Urgency
from bigtop.supervisor.processes import descendants, killing
from bigtop.supervisor.processes.child import Process, anybody_ended, reap_strangers
from bigtop.system import kernel
from bigtop.system.notify import Starter

logger = get_logger("bigtop.supervisor")

STOPS = {
    signal.SIGTERM: Urgency.GRACEFUL,
    signal.SIGINT: Urgency.QUICK,
    signal.SIGQUIT: Urgency.QUICK,
}
HANDLED = (*STOPS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

_LOOK_FOR_STRANGERS = 1.0  # seconds
_SWEEP_SECONDS = 5.0
_LAST_FORKED = 0.5  # seconds, for processes that end by themselves
_LEAST_DESCRIPTORS = 24


def take_charge(title: str) -> int:
    """Become the ancestor that orphans come to. Returns the limit of open files as it was, 0 if unchanged."""
    if not kernel.become_subreaper():
        raise ConfigError("this needs Linux: workers are adopted through PR_SET_CHILD_SUBREAPER")
    kernel.set_title(title)
    soft, hard = kernel.raise_file_limit()
    return 0 if soft == hard else soft


def check_room() -> None:
    """Raise ConfigError where so few descriptors may be open that nothing could be started."""
    if (left := kernel.descriptors_left()) < _LEAST_DESCRIPTORS:
        raise ConfigError(
            f"only {max(left, 0)} more descriptors may be open, {_LEAST_DESCRIPTORS} are needed at least:"
            " raise ulimit -n or LimitNOFILE="
        )


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Let signals wait before the event loop takes them, and after it did until everything is cleaned up.

    From the pidfile on, anybody may send one: it must neither be lost nor end us halfway.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    # asyncio.run() would put a handler in the place of Python's own for Ctrl-C. When that is replaced, the
    # `signal` module makes a message of it, for which asyncio imports `inspect`.
    handler = signal.signal(signal.SIGINT, _read_by_the_loop)
    try:
        yield
        while signal.sigtimedwait(HANDLED, 0):  # who still wants something from us has it, or is too late
            pass
    finally:
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def nothing_follows() -> Iterator[None]:
    """For a process that ends after what is inside, unless that fails: Python takes a while to end, and a
    signal that comes too late must not make another status of its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    with contextlib.ExitStack() as failing:
        failing.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        yield
        failing.pop_all()


@contextlib.contextmanager
def signals_taken(handle: Callable[[int], None], known: Callable[[], set[int] | None]) -> Iterator[None]:
    """Give signals to `handle` while inside, and collect orphans that came to us.

    `known` returns the children that somebody waits for, or None while one is being born.
    SIGCHLD is no part of it: a thousand deaths at once would fill the pipe that wakes the loop, and a TERM
    behind them be lost. Deaths of children are learned from their pidfds; orphans can wait a second.
    """
    loop = asyncio.get_running_loop()
    out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # Not by loop.add_signal_handler(), which imports `inspect`: a twentieth of a supervisor's memory.
    loop.add_reader(out, _hand_on, out, handle)
    signal.set_wakeup_fd(into)
    for number in HANDLED:
        signal.signal(number, _read_by_the_loop)
        signal.siginterrupt(number, False)

    reaper = loop.create_task(_reap_for_ever(known))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        reaper.cancel()
        for number in HANDLED:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        loop.remove_reader(out)
        os.close(out)
        os.close(into)


def _read_by_the_loop(_number: int, _frame: FrameType | None) -> None:
    """What makes Python write the number of a signal to the pipe."""


def _hand_on(out: int, handle: Callable[[int], None]) -> None:
    with contextlib.suppress(BlockingIOError):
        for number in os.read(out, 4096):
            if number in HANDLED:
                asyncio.get_running_loop().call_soon(handle, number)


async def _reap_for_ever(known: Callable[[], set[int] | None]) -> None:
    while True:
        await asyncio.sleep(_LOOK_FOR_STRANGERS)
        ours = known() if anybody_ended() else None
        if ours is not None:
            reap_strangers((ours | Process.all_pids).__contains__)


@contextlib.contextmanager
def watched(starter: Starter) -> Iterator[None]:
    """Tell systemd, while inside and if it wants to know, that the event loop turns (WatchdogSec=)."""
    pings = asyncio.ensure_future(_ping_for_ever(starter)) if starter.period else None
    try:
        yield
    finally:
        if pings is not None:
            pings.cancel()


async def _ping_for_ever(starter: Starter) -> None:
    while True:
        starter.ping()
        await asyncio.sleep(starter.period)


def children() -> set[int]:
    return set(descendants.children(os.getpid()))


def sweep(others: set[int]) -> None:
    """End and collect every child but `others`: whatever our processes left behind has become ours."""
    # A worker that was forked in the last moment finds its line cut, and ends by itself.
    left = _collect(children() - others, _LAST_FORKED)
    roots = descendants.named(left)
    below = [one for root in roots for one in descendants.descendants(root.pid)]
    killing.kin([*below, *roots], "what processes left behind", "the supervisor ends")
    _collect(left, _SWEEP_SECONDS)


def _collect(pids: set[int], seconds: float) -> set[int]:
    """Wait for the ends of `pids`, so long; return those that go on."""
    until = time.monotonic() + seconds
    while (pids := {pid for pid in pids if not _is_collected(pid)}) and time.monotonic() < until:
        time.sleep(0.001)
    return pids


def _is_collected(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True
