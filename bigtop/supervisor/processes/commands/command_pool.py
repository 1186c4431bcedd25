# Commands as their supervisor sees them: the ProcessPool of a watcher whose target is a Command.
#
# Rules: no policy. It joins by key what belongs to one process: the process itself, its outputs, its
# readiness, its end; what they say becomes events. A generation is a description: a reload to a changed one
# starts processes of the new, and a reload that fails goes back to those of the old.

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from bigtop.ipc.snapshot import Descriptor
from bigtop.record import Record, field
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.plan import UpdateOutcome, only_limits_differ
from bigtop.supervisor.policy.scaling import Work
from bigtop.supervisor.policy.spec import Command, WatcherSpec
from bigtop.supervisor.processes import cgroups, descendants, killing, rlimits, scarcity
from bigtop.supervisor.processes.child import Process
from bigtop.supervisor.processes.commands.command_canaries import CommandCanaries
from bigtop.supervisor.processes.commands.readiness import Watch, WatchState, resumed, watch
from bigtop.supervisor.processes.commands.spawner import Spawner, SpawnResult
from bigtop.supervisor.processes.termination import Ending
from bigtop.supervisor.streams.reader import LineReader, ReaderState
from bigtop.supervisor.streams.writer import Outputs

if TYPE_CHECKING:
    from pathlib import Path


class CommandStore(Protocol):
    """Where processes are known to another supervisor, should this one be killed."""

    def put(self, state: CommandState, pidfd: int) -> None:
        """Have one be found, or have known what has become of it since."""

    def drop(self, key: int) -> None:
        """Have one be forgotten; nothing of it is left."""


class PoolServices(Record):
    """What the commands of all watchers share. `store`: None where there is none."""

    spawner: Spawner
    outputs: Outputs
    tell: Callable[[str, messages.Notice], None]
    store: CommandStore | None = None


class _Member(Record, frozen=False):
    """One process from its spawn to the end of its tree."""

    key: int
    wid: int
    spec: WatcherSpec
    command: Command
    watch: Watch
    readers: dict[str, LineReader] = field(default_factory=dict)  # by "stdout" and "stderr"
    process: Process | None = None
    ending: Ending | None = None
    status: messages.ExitStatus | None = None
    asked: tuple[float, int | None] | None = None  # before there was a process
    doomed: str = ""  # likewise: why it is to be killed
    is_kept: bool = False  # in the store


class CommandState(Record):
    """What a process is to another supervisor that goes on with it."""

    key: int
    wid: int
    pid: int
    spec: WatcherSpec
    watch: WatchState
    readers: Mapping[str, ReaderState]
    group: str | None
    pidfd: Descriptor | None = None  # of one that is not our child


class CommandPoolState(Record):
    """The same of a pool; descriptions by generation."""

    commands: tuple[CommandState, ...]
    descriptions: Mapping[int, WatcherSpec]


class CommandPool:
    """A ProcessPool. Event loop only."""

    def __init__(
        self, spec: WatcherSpec, feed: Callable[[messages.Event], None], services: PoolServices
    ) -> None:
        self._spec = spec
        self._feed = feed
        self._services = services
        self._descriptions: dict[int, WatcherSpec] = {}  # by generation
        self.canaries = CommandCanaries(lambda generation: self._descriptions[generation], services.spawner)
        self._members: dict[int, _Member] = {}
        services.outputs.open(spec)
        self.last_words: dict[int, list[str]] = {}  # of the process that died last, by wid

    # ---- what the dispatcher asks for

    def describe(self, spec: WatcherSpec) -> UpdateOutcome:
        """Take `spec` for what is to come; what runs is given new limits (prlimit(2))."""
        if not isinstance(spec.target, Command):
            return UpdateOutcome.ELSEWHERE
        self._services.outputs.open(spec)
        self._spec = spec
        if not all(_adjusted(member, spec) for member in self._members.values()):
            return UpdateOutcome.BY_NEW
        self._descriptions = dict.fromkeys(self._descriptions, spec)
        return UpdateOutcome.BY_ALL

    def prepare(self, generation: int) -> None:
        self._descriptions[generation] = self._spec
        self._feed(messages.GenerationReady(generation))

    def discard(self, generation: int) -> None:
        del self._descriptions[generation]

    def spawn(self, key: int, wid: int, generation: int, *, held: bool = False) -> None:
        spec = self._descriptions[generation]
        assert isinstance(spec.target, Command), "describe() takes nothing else"
        try:
            ready = watch(spec.ready, functools.partial(self._ready, key))
        except OSError as error:  # no descriptor is free for its socket
            self._feed(messages.SpawnFailed(key, f"ready: {error.strerror}", scarcity.is_passing(error)))
            return
        member = _Member(key, wid, spec, spec.target, ready)
        self._members[key] = member
        self._services.spawner.spawn(
            spec, (key, wid), ready.environ, lambda result: self._spawned(member, result)
        )

    def promote(self, promote: messages.Promote) -> None:
        raise AssertionError("no command says that it is warm")

    def drain(self, key: int, grace: float, signum: int | None = None) -> None:
        member = self._members.get(key)
        if member is not None and member.ending is not None:
            member.ending.ask(grace, signum)
        elif member is not None:
            member.asked = grace, signum

    def kill(self, key: int, reason: str) -> None:
        member = self._members.get(key)
        if member is not None and member.ending is not None:
            member.ending.kill(reason)
        elif member is not None:
            member.doomed = reason

    def admit(self, key: int) -> None:
        """Clients of a command are no business of ours."""

    def signal(self, key: int, number: int, *, children: bool = False, recursive: bool = False) -> None:
        member = self._members.get(key)
        if member is not None and member.process is not None:
            member.process.send(number, children=children, recursive=recursive)

    def report(self, key: int, reason: str) -> None:
        """Nothing can be asked of a command."""

    timed = False

    def look_for_late(self) -> None:
        """Commands are not timed."""

    def pids(self) -> set[int]:
        found = {member.process.pid for member in self._members.values() if member.process is not None}
        endings = [member.ending for member in self._members.values() if member.ending is not None]
        return found | {ending.command_pid for ending in endings if ending.command_pid is not None}

    def _tell(self, notice: messages.Notice) -> None:
        self._services.tell(self._spec.name, notice)

    # ---- another supervisor goes on with them

    def held(self) -> CommandPoolState | None:
        """Return what it takes; None while a process is born or ends."""
        states = [_state(member) for member in self._members.values()]
        commands = tuple(state for state in states if state is not None)
        return None if len(commands) < len(states) else CommandPoolState(commands, dict(self._descriptions))

    def resume(self, state: CommandPoolState) -> None:
        """Go on with what another supervisor has started. OSError: one of them is no child of ours."""
        self._descriptions.update(state.descriptions)
        for each in state.commands:
            command = each.spec.target
            assert isinstance(command, Command), "describe() takes nothing else"
            ready = resumed(each.spec.ready, functools.partial(self._ready, each.key), each.watch, each.pid)
            member = self._members[each.key] = _Member(each.key, each.wid, each.spec, command, ready)
            member.is_kept = self._services.store is not None
            on_exit = functools.partial(self._exited, member)
            if each.pidfd is None:
                member.process = Process.resumed(each.pid, on_exit)
            else:
                member.process = Process(each.pid, on_exit, each.pidfd.number, is_foreign=True)
            group = None if each.group is None else cgroups.named(each.group)
            member.ending = self._ending(member, member.process, group)
            for which, reader in each.readers.items():
                sink = functools.partial(self._wrote, member, which)
                member.readers[which] = LineReader.resumed(reader, sink)

    # ---- life and end

    def _spawned(self, member: _Member, result: SpawnResult) -> None:
        if result.degraded:
            self._tell(messages.Degraded(result.degraded))
        if result.pid:
            _observe(member, result, self._wrote, self._exited)
        if member.process is None:
            member.watch.close()
            del self._members[member.key]
            self._feed(messages.SpawnFailed(member.key, result.reason, result.short))
            return
        member.ending = self._ending(member, member.process, result.group)
        self._feed(messages.Spawned(member.key, result.pid))
        member.watch.begin(result.pid)
        self._keep(member)
        if member.doomed:
            member.ending.kill(member.doomed)
        elif member.asked is not None:
            member.ending.ask(*member.asked)

    def _ready(self, key: int) -> None:
        self._feed(messages.Ready(key))
        if (member := self._members.get(key)) is not None and member.is_kept:
            self._keep(member)

    def _keep(self, member: _Member) -> None:
        if (store := self._services.store) is not None and (state := _state(member)) is not None:
            assert member.process is not None
            store.put(state, member.process.pidfd)
            member.is_kept = True

    def _ending(self, member: _Member, process: Process, group: Path | None) -> Ending:
        return Ending(
            f"{self._spec.name}: process {member.wid}",
            process,
            member.spec.stop,
            dict(member.command.context.env),
            group,
            lambda number: self._tell(messages.Signalled(member.key, process.pid, number)),
            lambda left: self._gone(member, left),
        )

    def _wrote(self, member: _Member, which: str, lines: bytes) -> None:
        member.watch.heard(lines)
        assert member.process is not None
        self._services.outputs.take(self._spec.name, member.process.pid, member.wid, which, lines)

    def work(self) -> dict[int, Work]:
        return {
            key: Work(descendants.cpu(member.process.pid))
            for key, member in self._members.items()
            if member.process is not None and member.process.running
        }

    def _exited(self, member: _Member, status: messages.ExitStatus) -> None:
        member.status = status
        member.watch.close()
        assert member.ending is not None
        member.ending.leader_exited()

    def _gone(self, member: _Member, left: list[int]) -> None:
        """The whole tree is: only now nobody writes to the outputs any more."""
        for reader in member.readers.values():
            reader.catch_up()
            reader.close()
        self.last_words[member.wid] = [line for reader in member.readers.values() for line in reader.last]
        assert member.status is not None
        assert member.process is not None
        self._services.outputs.lose(member.process.pid)
        del self._members[member.key]
        if member.is_kept and self._services.store is not None:
            self._services.store.drop(member.key)
        if left:
            self._tell(messages.Left(member.key, tuple(left)))
        self._feed(messages.Exited(member.key, member.status))


def _observe(
    member: _Member,
    result: SpawnResult,
    wrote: Callable[[_Member, str, bytes], None],
    exited: Callable[[_Member, messages.ExitStatus], None],
) -> None:
    """Read what a new process writes and watch for its end; without a descriptor for that, undo it."""
    try:
        for which, fd in list(result.pipes.items()):
            member.readers[which] = LineReader(fd, functools.partial(wrote, member, which))
            del result.pipes[which]
        member.process = Process(result.pid, functools.partial(exited, member))
    except OSError as error:
        killing.unwatched(result.pid, f"{member.spec.name}: process {member.wid}", error)
        for reader in member.readers.values():
            reader.close()
        result.fail(f"it cannot be watched: {error.strerror}", short=scarcity.is_passing(error))


def _state(member: _Member) -> CommandState | None:
    if member.process is None or member.ending is None or member.ending.has_begun:
        return None
    return CommandState(
        member.key,
        member.wid,
        member.process.pid,
        member.spec,
        member.watch.held(),
        {which: reader.held() for which, reader in member.readers.items()},
        None if member.ending.group is None else str(member.ending.group),
        Descriptor(member.process.pidfd) if member.process.is_foreign else None,
    )


def _adjusted(member: _Member, spec: WatcherSpec) -> bool:
    """Make a process that runs what `spec` says, and return True, if that takes limits alone."""
    if member.process is None or not only_limits_differ(member.spec, spec):
        return False  # without a process it will be what it was ordered to be
    assert isinstance(spec.target, Command), "describe() takes nothing else"
    wanted = spec.target.context.rlimits
    try:
        if wanted != member.command.context.rlimits:
            rlimits.apply(member.process.pid, wanted)
    except (OSError, ValueError):
        return False  # a successor says why, if it cannot have them either
    member.spec, member.command = spec, spec.target
    return True
