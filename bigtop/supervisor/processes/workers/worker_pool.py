# Workers of one application as their supervisor sees them: the ProcessPool of an application.
#
# Rules: no policy. It joins three things by key: the process (pidfd), its lifeline, its standard error; what
# they say becomes events. What a worker is doing is read from the scoreboard, so that is known of hung ones.

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from functools import partial

from bigtop.errors import CommandError
from bigtop.ipc import lifeline
from bigtop.ipc.board import Scoreboard
from bigtop.ipc.scoreboard import RequestRecord, Word
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.plan import UpdateOutcome
from bigtop.supervisor.policy.scaling import Work
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.processes import killing, scarcity
from bigtop.supervisor.processes.child import Process
from bigtop.supervisor.processes.workers import lateness
from bigtop.supervisor.processes.workers.canaries import WarmUp, WorkerCanaries
from bigtop.supervisor.processes.workers.forkserver import ForkServerState, Hearers, InheritedState, Unborn
from bigtop.supervisor.processes.workers.forkservers import ForkServers
from bigtop.supervisor.processes.workers.last_drain import LastDrain
from bigtop.supervisor.processes.workers.promotion import Promotions
from bigtop.supervisor.processes.workers.reports import Reports, lines_of
from bigtop.supervisor.processes.workers.worker_member import WorkerMember, WorkerState, WorkerTable
from bigtop.supervisor.streams.reader import LineReader
from bigtop.system.signals import STACK_SIGNAL

logger = get_logger("bigtop.supervisor")

_FIRST_WORD = 0.5  # seconds for a late worker, to begin with its stacks
_TIME_TO_END = 1.0  # seconds between the end of a line and that of its process


class WorkerPoolState(Record):
    """What a pool is to another supervisor that goes on with it."""

    workers: tuple[WorkerState, ...]
    servers: tuple[ForkServerState, ...]
    interface: str


class WorkerPool:
    """A ProcessPool over fork servers, of processes such as `target`."""

    def __init__(
        self,
        feed: Callable[[messages.Event], None],
        inherited: InheritedState,
        board: Scoreboard,
        target: Worker,
        line_sink: Callable[[], Callable[[bytes], None]],
        on_loaded: Callable[[int, lifeline.Loaded], None],
    ) -> None:
        self._feed = feed
        self._name = inherited.name
        self._board = board
        self._target = target
        self.timed = target.is_timed
        self._line_sink = line_sink
        self.servers = ForkServers(inherited, Hearers(feed, self._adopt, line_sink, on_loaded))
        self.members = WorkerTable(board)
        self.promotions = Promotions(self._name, self.members, board, self.servers, self._tell, feed)
        self.prepare, self.discard = self.servers.prepare, self.servers.discard
        self.promote = self.promotions.begin
        self.canaries = WorkerCanaries(self._tell, self.members.slots, self.servers)
        self.warm_up = WarmUp(self.canaries)
        self._held: set[int] = set()  # by us: they have their warm-up before them
        self.last_drain: LastDrain | None = None  # of a program that ends
        self.interface = ""
        self.last_words: dict[int, list[str]] = {}  # of the process that died last, by wid

    # ---- what the dispatcher asks for

    def spawn(self, key: int, wid: int, generation: int, *, held: bool = False) -> None:
        try:
            slot = self._board.renew(wid - 1, key)
        except OSError as error:  # no descriptor is free, or no memory
            reason = f"there is no scoreboard for it: {error.strerror}"
            self._feed(messages.SpawnFailed(key, reason, scarcity.is_passing(error)))
            return
        if self.warm_up.is_wanted and not held:
            self._held.add(key)
        try:
            self.servers.spawn(lifeline.Fork(key, wid, held or key in self._held), generation, slot)
        finally:
            os.close(slot)

    def admit(self, key: int) -> None:
        self._tell(key, lifeline.Admit())

    def describe(self, spec: WatcherSpec) -> UpdateOutcome:
        """Take what fork servers to come are told already, and nothing else."""
        if not isinstance(spec.target, Worker) or spec.target.bootstrap != self.servers.inherited.bootstrap:
            return UpdateOutcome.ELSEWHERE
        self._target = spec.target
        self.timed = spec.target.is_timed
        return UpdateOutcome.BY_NEW

    def drain(self, key: int, grace: float, signum: int | None = None) -> None:
        if self.last_drain is not None and self.last_drain.takes(key, grace, signum):
            return
        if signum is not None and key in self.members:
            self.signal(key, signum)
        else:
            self._tell(key, lifeline.Drain(grace))
        if key in self.members:
            self.members[key].cut_off_after(grace)

    def kill(self, key: int, reason: str) -> None:
        if key in self.members:
            _kill(self._name, self._board, self.members[key], reason)
        else:
            self.servers.kill(key, reason)

    def signal(self, key: int, number: int, *, children: bool = False, recursive: bool = False) -> None:
        if key in self.members:
            self.members[key].process.send(number, children=children, recursive=recursive)

    def reopen_logs(self) -> None:
        for key in self.members:
            self._tell(key, lifeline.Reopen())

    def hand_out(self, message: lifeline.Certificates, fd: int) -> None:
        """Have all workers, and those to come, serve with the certificates in a sealed file."""
        self.servers.hand_out(message, fd)
        for key, member in self.members.items():
            member.asked += 1
            self._tell(key, message, (fd,))

    def pids(self) -> set[int]:
        return {member.process.pid for member in self.members.values()} | self.servers.pids

    def _tell(self, key: int, message: lifeline.Message, fds: tuple[int, ...] = ()) -> None:
        whose = self.members.get(key) or self.servers.unborn(key)
        if whose is None or whose.line.fileno() < 0:
            return
        with contextlib.suppress(OSError):  # it is dead or does not listen: its deadline will come
            lifeline.send(whose.line, message, fds)

    def work(self) -> dict[int, Work]:
        return self.members.work(self._target.threads)

    # ---- who is stuck

    def look_for_late(self) -> None:
        if not self.timed:
            return
        now = time.monotonic_ns()
        for key, member in list(self.members.items()):
            slot = self._board.of(member.wid - 1)
            late = lateness.look(slot, self._target, now, leaves=member.cut is not None)
            if late is None:
                continue
            if not late.numbers <= member.told:
                self._feed(messages.Late(key, late.reason))
            member.told = late.numbers
            if late.due is not None:
                self._feed(messages.Late(key, late.reason, late.alone, late.due))

    def report(self, key: int, reason: str) -> None:
        """Log what a late worker is doing, with the stack of every thread, task and greenlet."""
        member = self.members.get(key)
        if member is None:
            return
        slot, who = self._board.of(member.wid - 1), (member.wid, member.process.pid)
        logger.error("worker %d (pid %d) is stuck: %s; the stack of every thread follows", *who, reason)
        for record in slot.running():
            logger.error("worker %d: %s", member.wid, _describe(record))
        if slot.words[Word.BEAT]:
            member.telling = asyncio.get_running_loop().create_task(_tell_stacks(member))
        else:  # nothing of it waits in no thread
            member.process.send_signal(STACK_SIGNAL)

    def reports(self, key: int) -> Reports:
        """Return what asks a worker about itself. CommandError: it is not there, or not born yet."""
        if key not in self.members:
            raise CommandError("that worker is not born yet")
        return self.members[key].reports

    # ---- another supervisor goes on with them

    def held(self) -> WorkerPoolState | None:
        """Return what it takes; None while a worker is born, is warmed up, or ends."""
        servers, workers = self.servers.held(), self.members.held()
        if servers is None or workers is None or self._held:
            return None
        return WorkerPoolState(workers, servers, self.interface)

    def resume(self, state: WorkerPoolState) -> None:
        """Go on with what another supervisor has started. OSError: one of them is no child of ours."""
        self.interface = state.interface
        self.servers.resume(state.servers)
        for each in state.workers:
            process = Process.resumed(each.pid, partial(self._ended, each.key))
            member = self.members.resume(each, process, self._line_sink)
            asyncio.get_running_loop().add_reader(member.line, self._readable, each.key, member)

    # ---- what workers say

    def _adopt(self, newborn: Unborn, pid: int) -> bool:
        """Take over a newborn worker; False if that process is no child of ours which nobody has."""
        key, line = newborn.key, newborn.line
        try:
            process = Process.adopt(pid, lambda status: self._ended(key, status))
        except OSError as error:  # no descriptor is free; the worker ends with its line
            newborn.close()
            reason = f"it cannot be watched: {error.strerror}"
            self._feed(messages.SpawnFailed(key, reason, scarcity.is_passing(error)))
            return True
        if process is None:
            return False
        stderr = LineReader(newborn.stderr, self._line_sink())
        member = WorkerMember(
            newborn.wid, process, line, stderr, Reports(newborn.reports, self._line_sink(), process)
        )
        member.asked = newborn.asked
        self.members[key] = member
        asyncio.get_running_loop().add_reader(line, self._readable, key, member)
        self._feed(messages.Spawned(key, pid))
        if newborn.doomed:
            _kill(self._name, self._board, member, "it was not wanted any more before it was born")
        return True

    def _readable(self, key: int, member: WorkerMember) -> bool:
        """Take one message; return whether there may be another."""
        if member.line.fileno() < 0:
            return False
        try:
            received = lifeline.receive(member.line)
            if received is not None:
                member.hear(received[0])
        except BlockingIOError:
            return False
        except ValueError as error:  # an application wrote to our line, or took the worker over
            who = member.wid, member.process.pid
            logger.error("worker %d (pid %d) is not listened to any more: %s", *who, error)
            received = None
        except OSError:  # reset
            received = None
        match received:
            case None:
                # It is about to end; an honest worker drains without its line. One that goes on has the time
                # to leave that all have, or until it had to be ready.
                _close_line(member)
                self._board.vacate(member.wid - 1)
                if lifeline.Ready in member.said:
                    asyncio.get_running_loop().call_later(_TIME_TO_END, self._feed, messages.Leave(key))
            case (lifeline.Ready(interface), _):
                self._answers(key, member, interface)
            case (lifeline.BootFailed(text, traceback), _):
                member.why = f"{text}\n{traceback}".rstrip()
                self._feed(messages.BootFailed(key, member.why))
            case (lifeline.Retire(reason), _):
                self._feed(messages.Retiring(key, reason))
            case (lifeline.Warm(), _):
                self.promotions.warmed(key)
        return received is not None

    def _answers(self, key: int, member: WorkerMember, interface: str) -> None:
        """A worker answers requests."""
        self.interface = interface
        if member.cut is not None:  # asked to leave at the very moment in which it began to answer
            member.cut_off_after(member.grace)
        if self.warm_up.is_wanted:
            self.warm_up.begin(key, member.wid, self._ready)
        else:
            self._ready(key)

    def _ready(self, key: int) -> None:
        if key in self._held:
            self.admit(key)
        self._feed(messages.Ready(key))

    def _ended(self, key: int, status: messages.ExitStatus) -> None:
        member = self.members[key]
        while self._readable(key, member):  # its last words may still be in the line
            pass
        _close_line(member)
        member.spare()
        member.stderr.catch_up()
        member.stderr.close()
        member.reports.close()
        self.last_words[member.wid] = member.why.splitlines() or list(member.stderr.last)
        if not member.killed:
            _tell_lost(self._board, member.wid, "is gone")
        del self.members[key]
        self._held.discard(key)
        self.warm_up.end(key)
        self._board.drop(member.wid - 1)
        self._feed(messages.Exited(key, status))


async def _tell_stacks(member: WorkerMember) -> None:
    """Log the stacks of tasks and greenlets too: Python code of the worker is asked, and faulthandler where
    that does not answer, which writes by itself."""
    report = await member.reports.ask(_FIRST_WORD)
    if report.author == "python":
        who = member.wid, member.process.pid
        logger.error("worker %d (pid %d) stands here:\n%s", *who, "\n".join(lines_of(report)))


def _kill(name: str, board: Scoreboard, member: WorkerMember, reason: str) -> None:
    """Kill a worker; which requests are cut off by that is said by us, unless it was able to."""
    if not member.process.running:
        return
    member.killed = True
    killing.process(member.process, f"{name}: worker {member.wid}", reason)
    _tell_lost(board, member.wid, "is killed")


def _tell_lost(board: Scoreboard, wid: int, what: str) -> None:
    """Say which requests are lost with a worker, unless it was able to."""
    slot = board.of(wid - 1)
    if not slot.words[Word.CUT]:
        now = time.monotonic_ns()
        for record in slot.running():
            logger.warning("%s: its worker %d %s", record.cut_off(now), wid, what)


def _close_line(member: WorkerMember) -> None:
    if member.line.fileno() >= 0:
        asyncio.get_running_loop().remove_reader(member.line)
        member.line.close()


def _describe(record: RequestRecord) -> str:
    age = max(0, time.monotonic_ns() - record.began) / 1e9
    client = record.client or "unknown"
    name = f" ({record.id})" if record.id else ""
    return f"{record.method} {record.path}{name} from {client}, {record.phase.name.lower()} for {age:.1f} s"
