# Members of a pool of workers, each with its process, its lifeline, its outputs, and what it said.

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final

from bigtop.ipc import lifeline
from bigtop.ipc.board import Scoreboard
from bigtop.ipc.scoreboard import View, Word
from bigtop.ipc.snapshot import Descriptor
from bigtop.record import Record, field
from bigtop.supervisor.policy.scaling import Work
from bigtop.supervisor.processes import descendants
from bigtop.supervisor.processes.child import Process
from bigtop.supervisor.processes.workers.reports import Reports
from bigtop.supervisor.streams.reader import LineReader, ReaderState
from bigtop.system.signals import CUT_SIGNAL

_CUT_AFTER = 1.0  # seconds after the time for open requests, in which a worker notices that by itself
_SAID_BY_WORKERS: Final[dict[str, type[lifeline.Message]]] = {
    one.__name__: one
    for one in (lifeline.Ready, lifeline.BootFailed, lifeline.Retire, lifeline.Warm, lifeline.Serves)
}


class WorkerState(Record):
    """What a worker is to another supervisor that goes on with it."""

    key: int
    wid: int
    pid: int
    line: Descriptor
    stderr: ReaderState
    reports: ReaderState
    slot: Descriptor
    said: tuple[str, ...]
    told: frozenset[int]
    grace: float
    cut_at: float | None  # on the clock of event loops
    why: str
    killed: bool
    asked: int
    serves: lifeline.Serves | None


class WorkerMember(Record, frozen=False):
    """What is joined by its key."""

    wid: int
    process: Process
    line: socket.socket
    stderr: LineReader
    reports: Reports
    told: frozenset[int] = frozenset()  # of what is late in it
    telling: asyncio.Task[None] | None = None  # of its stacks
    said: set[type] = field(default_factory=set)
    grace: float = 0.0  # of the last time it was asked to end
    cut: asyncio.TimerHandle | None = None
    why: str = ""  # it could not boot, and what it said of that
    killed: bool = False  # by us, and what that cuts off was said
    asked: int = 0  # how often it was given certificates and has not answered
    serves: lifeline.Serves | None = None  # what it said last of those; None: those it was born with

    def hear(self, message: lifeline.Message) -> None:
        """Take in that it said that; ValueError: no worker says so, or not twice."""
        kind = type(message)
        if isinstance(message, lifeline.Serves) and self.asked:
            self.asked -= 1
            self.serves = message
        elif kind in self.said or kind not in _SAID_BY_WORKERS.values() or kind is lifeline.Serves:
            raise ValueError(f"{kind.__name__} is not what a worker says now")
        self.said.add(kind)

    def cut_off_after(self, grace: float) -> None:
        """See that a worker which was asked to end within `grace` seconds notices their end: it does not hear
        us while its main thread is inside a call of the application, or still imports that."""
        self.spare()
        self.grace = grace
        wait = (grace if lifeline.Ready in self.said else 0.0) + _CUT_AFTER
        self.cut = asyncio.get_running_loop().call_later(wait, self.process.send_signal, CUT_SIGNAL)

    def leave(self, board: Scoreboard) -> None:
        """Let go of what makes its process a worker: all but that process, and its stderr."""
        self.spare()
        if self.line.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.line)
            self.line.close()
        self.reports.close()
        board.drop(self.wid - 1)

    def spare(self) -> None:
        if self.cut is not None:
            self.cut.cancel()

    def held(self, key: int, slot: int) -> WorkerState | None:
        """Return what another supervisor can go on from; None when it is about to end. `slot` is the
        descriptor of its slot."""
        if self.line.fileno() < 0:
            return None
        now = asyncio.get_running_loop().time()
        is_due = self.cut is not None and not self.cut.cancelled() and self.cut.when() > now
        return WorkerState(
            key=key,
            wid=self.wid,
            pid=self.process.pid,
            line=Descriptor(self.line.fileno()),
            stderr=self.stderr.held(),
            reports=self.reports.held(),
            slot=Descriptor(slot),
            said=tuple(kind.__name__ for kind in self.said),
            told=self.told,
            grace=self.grace,
            cut_at=self.cut.when() if self.cut is not None and is_due else None,
            why=self.why,
            killed=self.killed,
            asked=self.asked,
            serves=self.serves,
        )

    def resume(self, state: WorkerState) -> None:
        """Know of it what another supervisor did."""
        self.said.update(_SAID_BY_WORKERS[name] for name in state.said)
        self.told, self.grace, self.why = state.told, state.grace, state.why
        self.killed, self.asked, self.serves = state.killed, state.asked, state.serves
        if state.cut_at is not None:
            loop = asyncio.get_running_loop()
            self.cut = loop.call_at(state.cut_at, self.process.send_signal, CUT_SIGNAL)


class WorkerTable(dict[int, WorkerMember]):
    """All of a pool by key, and their slots on `board`."""

    def __init__(self, board: Scoreboard) -> None:
        super().__init__()
        self._board = board

    def serves(self) -> dict[int, lifeline.Serves | None]:
        """Return what each worker, by number, said of the certificates that it was given last, of no digest
        until it has; None: it has those that it was born with."""
        return {
            member.wid: lifeline.Serves("", "") if member.asked else member.serves for member in self.values()
        }

    def slots(self) -> dict[int, View]:
        return {key: self._board.of(member.wid - 1) for key, member in self.items()}

    def work(self, threads: int) -> dict[int, Work]:
        """Return what each worker has done since its start. Calls that are under way count as far as they
        are; where an event loop runs them, they say nothing of how busy it is."""
        return {
            key: _work(self._board.of(member.wid - 1), member.process.pid, threads)
            for key, member in self.items()
            if lifeline.Ready in member.said
        }

    def resume(
        self, state: WorkerState, process: Process, line_sink: Callable[[], Callable[[bytes], None]]
    ) -> WorkerMember:
        """Take in what another supervisor has started."""
        self._board.take(state.wid - 1, state.slot.number)
        line = socket.socket(fileno=state.line.number)
        stderr = LineReader.resumed(state.stderr, line_sink())
        reports = Reports(state.reports, line_sink(), process)
        member = self[state.key] = WorkerMember(state.wid, process, line, stderr, reports)
        member.resume(state)
        return member

    def held(self) -> tuple[WorkerState, ...] | None:
        """Return what another supervisor can go on from; None while one of them ends."""
        slots = self._board.descriptors()
        states = [
            member.held(key, slots[member.wid - 1]) if member.wid - 1 in slots else None
            for key, member in self.items()
        ]
        found = tuple(state for state in states if state is not None)
        return None if len(found) < len(states) else found


def _work(slot: View, pid: int, threads: int) -> Work:
    words, now = slot.words, time.monotonic_ns()
    known = descendants.stat(pid)
    calls = words[Word.CALL_NS] or words[Word.LATENCY_NS]
    calls += sum(now - record.began for record in slot.running() if record.began)
    return Work(
        known.cpu if known is not None else 0.0,
        calls / 1e9,
        0 if words[Word.BEAT] else threads,
        words[Word.QUEUE_NS] / 1e9,
        words[Word.REQUESTS],
    )
