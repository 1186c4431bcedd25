# Workers of one application as their supervisor sees them: the Spawner of a watcher whose target is a Worker.
#
# Rules: no policy. It joins three things by key: the process (pidfd), its lifeline, its standard error; what
# they say becomes events. What a worker is doing is read from the scoreboard, so that is known of hung ones.

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bigtop import lifeline
from bigtop.scoreboard import RequestRecord, Scoreboard, State, Word
from bigtop.signals import STACK_SIGNAL
from bigtop.supervisor import messages
from bigtop.supervisor.forkservers import ForkServers, Legacy, Unborn
from bigtop.supervisor.plan import Taken
from bigtop.supervisor.process import Process
from bigtop.supervisor.spec import WatcherSpec, Worker
from bigtop.supervisor.streams.reader import LineReader

logger = logging.getLogger("bigtop.supervisor")


@dataclass(slots=True)
class _Member:
    wid: int
    process: Process
    line: socket.socket
    stderr: LineReader
    late: bool = False
    said_why: bool = False  # it told us why it failed, so its last words need no repetition


class WorkerPool:
    """A Spawner over fork servers. `timeout` is seconds for one application call, 0 for ever."""

    def __init__(
        self,
        feed: Callable[[messages.Event], None],
        legacy: Legacy,
        board: Scoreboard,
        timeout: float,
        on_line: Callable[[bytes], None],
        on_loaded: Callable[[int, lifeline.Loaded], None],
    ) -> None:
        self._feed = feed
        self._board = board
        self._timeout_ns = int(timeout * 1e9)
        self.timed = timeout > 0
        self._on_line = on_line
        self.servers = ForkServers(legacy, feed, self._adopt, on_line, on_loaded)
        self._members: dict[int, _Member] = {}
        self.interface = ""
        self.last_words: dict[int, list[str]] = {}  # of the process that died last, by wid

    # ---- what the stage asks for

    def prepare(self, generation: int) -> None:
        self.servers.prepare(generation)

    def discard(self, generation: int) -> None:
        self.servers.discard(generation)

    def spawn(self, key: int, wid: int, generation: int) -> None:
        self._board.clear(wid - 1)
        self.servers.spawn(key, wid, generation)

    def describe(self, spec: WatcherSpec) -> Taken:
        """Take what fork servers to come are told already, and nothing else."""
        if not isinstance(spec.target, Worker) or spec.target.bootstrap != self.servers.legacy.bootstrap:
            return Taken.ELSEWHERE
        self._timeout_ns = int(spec.target.timeout * 1e9)
        return Taken.BY_NEW

    def drain(self, key: int, grace: float, signum: int | None = None) -> None:
        if signum is not None and key in self._members:
            self.signal(key, signum)
        else:
            self._tell(key, lifeline.Drain(grace))

    def kill(self, key: int) -> None:
        if key in self._members:
            self._members[key].process.kill_tree()
        else:
            self.servers.kill(key)

    def signal(self, key: int, number: int, *, children: bool = False, recursive: bool = False) -> None:
        if key in self._members:
            self._members[key].process.send(number, children=children, recursive=recursive)

    def reopen_logs(self) -> None:
        for key in self._members:
            self._tell(key, lifeline.Reopen())

    def pids(self) -> set[int]:
        return {member.process.pid for member in self._members.values()} | self.servers.pids

    def _tell(self, key: int, message: lifeline.Message) -> None:
        whose = self._members.get(key) or self.servers.unborn(key)
        if whose is None or whose.line.fileno() < 0:
            return
        with contextlib.suppress(OSError):  # it is dead or does not listen: its deadline will come
            lifeline.send(whose.line, message)

    # ---- who is stuck

    def look_for_late(self) -> None:
        if not self.timed:
            return
        now = time.monotonic_ns()
        for key, member in list(self._members.items()):
            late = _look(self._board, member.wid - 1, self._timeout_ns, now)
            if late is not None and (late.alone or not member.late):
                member.late = True
                self._feed(messages.Late(key, late.reason, alone=late.alone))

    def report(self, key: int, reason: str) -> None:
        """Log what a late worker is doing and have it write the stack of every thread to its stderr."""
        member = self._members.get(key)
        if member is None:
            return
        logger.error(
            "worker %d (pid %d) is stuck: %s; the stack of every thread follows",
            member.wid,
            member.process.pid,
            reason,
        )
        for record in self._board.running(member.wid - 1):
            logger.error("worker %d: %s", member.wid, _describe(record))
        member.process.send_signal(STACK_SIGNAL)

    # ---- what workers say

    def _adopt(self, newborn: Unborn, pid: int) -> None:
        key, line = newborn.key, newborn.line
        try:
            process = Process(pid, lambda status: self._ended(key, status))
        except OSError as error:  # no descriptor is free; the worker ends with its line
            newborn.close()
            self._feed(messages.SpawnFailed(key, f"it cannot be watched: {error.strerror}"))
            return
        member = _Member(newborn.wid, process, line, LineReader(newborn.stderr, self._on_line))
        self._members[key] = member
        asyncio.get_running_loop().add_reader(line, self._readable, key, member)
        self._feed(messages.Spawned(key, pid))
        if newborn.doomed:
            process.kill_tree()

    def _readable(self, key: int, member: _Member) -> bool:
        """Take one message; return whether there may be another."""
        if member.line.fileno() < 0:
            return False
        try:
            received = lifeline.receive(member.line)
        except BlockingIOError:
            return False
        except (OSError, ValueError) as error:  # reset, or not a message: an application wrote to our line
            if isinstance(error, ValueError):
                logger.error("worker %d: %s", member.wid, error)
            received = None
        match received:
            case None:
                _close_line(member)
                return False
            case (lifeline.Ready(interface), _):
                self.interface = interface
                self._feed(messages.Ready(key))
            case (lifeline.BootFailed(message, traceback), _):
                member.said_why = True
                self._feed(messages.BootFailed(key, f"{message}\n{traceback}".rstrip()))
            case (lifeline.Retire(reason), _):
                self._feed(messages.Retiring(key, reason))
        return True

    def _ended(self, key: int, status: messages.ExitStatus) -> None:
        member = self._members[key]
        while self._readable(key, member):  # its last words may still be in the line
            pass
        _close_line(member)
        member.stderr.catch_up()
        member.stderr.close()
        self.last_words[member.wid] = [] if member.said_why else list(member.stderr.last)
        del self._members[key]
        # Nobody sends connections to a worker that is gone; what is on its way, its siblings take over.
        self._board.words(member.wid - 1)[Word.STATE] = State.EMPTY
        self._feed(messages.Exited(key, status))


def _close_line(member: _Member) -> None:
    if member.line.fileno() >= 0:
        asyncio.get_running_loop().remove_reader(member.line)
        member.line.close()


def _describe(record: RequestRecord) -> str:
    age = (time.monotonic_ns() - record.began) / 1e9
    client = record.client or "unknown"
    name = f" ({record.id})" if record.id else ""
    return f"{record.method} {record.path}{name} from {client}, {record.phase.name.lower()} for {age:.1f} s"


class _Late(NamedTuple):
    reason: str
    alone: bool  # nothing else runs in this worker that would be lost with it


def _look(board: Scoreboard, index: int, timeout_ns: int, now: int) -> _Late | None:
    """Return what keeps a worker for longer than it may take; None when all is well."""
    words = board.words(index)
    if beat := words[Word.BEAT]:
        # Requests in an event loop may wait for as long as they like, as long as the loop turns.
        if not words[Word.BUSY] or now - beat <= timeout_ns:
            return None
        what = f"its event loop stands still for {(now - beat) / 1e9:.0f} s"
        running = ", ".join(f"{record.method} {record.path}" for record in board.running(index))
        return _Late(f"{what}, in one of: {running}" if running else what, alone=True)
    began = board.oldest(index)
    if not began or now - began <= timeout_ns:
        return None
    records = board.running(index)
    stuck = [r for r in records if r.began and now - r.began > timeout_ns]
    if not stuck:
        return None
    reason = ", ".join(f"{r.method} {r.path} for {(now - r.began) / 1e9:.0f} s" for r in stuck)
    return _Late(reason, alone=len(stuck) == len(records))
