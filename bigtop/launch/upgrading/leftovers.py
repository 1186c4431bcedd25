# Leftovers: commands that outlived a supervisor that was killed, and that the service manager kept for its
# successor.
#
# Rules: who is known, goes on as it was described, and then becomes what the file says, as by reloadconfig.
# Who is not known is told, and touched by nobody. They are no children of ours, and never will be: that they
# end is learned from their pidfds, how, where the kernel tells. What a successor cannot go on with (a memory
# file of another version) is none of it.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Final

from bigtop.launch.upgrading import command_memory
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.supervisor import snapshots
from bigtop.supervisor.policy.backoff import RestartWindow
from bigtop.supervisor.policy.deploys.generations import REPREPARE
from bigtop.supervisor.policy.plan import Add
from bigtop.supervisor.policy.processtable import Proc, ProcessState
from bigtop.supervisor.policy.snapshots import GenerationState, MachineState
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.processes import cgroups, descendants
from bigtop.supervisor.processes.commands.command_pool import CommandPoolState, CommandState
from bigtop.supervisor.processes.commands.resolve import users_of
from bigtop.supervisor.snapshots import SupervisorState, WatcherState
from bigtop.supervisor.triggers import Triggers

if TYPE_CHECKING:
    from bigtop.supervisor.supervisor import Supervisor

logger = get_logger("bigtop.supervisor")

_MOST_TOLD: Final = 20
_MOST_OF_WORDS: Final = 100
_STRANGER: Final = (
    "process %d (%s) is left of the last supervisor, and nobody can say what it is to be: it goes on, "
    "and nothing watches it"
)


class Leftovers:
    """`kept` are descriptors by key, as the service manager passes them on; what is of no use is closed.
    `forget` is told of those that cannot be gone on with. `lost` are sockets that are bound anew, `theirs`
    watchers that are not Bigtop's own."""

    def __init__(
        self,
        kept: Mapping[int, Sequence[int]],
        forget: Callable[[int], None],
        lost: Collection[str],
        theirs: Collection[str],
    ) -> None:
        self.commands: list[CommandState] = []
        self._lost, self._theirs = lost, theirs
        self._specs: Sequence[WatcherSpec] = ()
        unknown = 0
        for key, fds in sorted(kept.items()):
            state, used, lives = command_memory.read(fds)
            for fd in set(fds) - used:
                os.close(fd)
            if state is not None:
                self.commands.append(state)
            else:
                forget(key)
                unknown += lives
        if unknown:
            logger.error("%d commands of the last supervisor run, and cannot be gone on with", unknown)
        self._next_key = max(kept, default=0) + 1
        self._named = list(dict.fromkeys(state.spec.name for state in self.commands))

    def enter(self, supervisor: Supervisor, specs: Sequence[WatcherSpec]) -> None:
        """Take in `specs`, and all of these as they were. Event loop only."""
        self._specs = specs
        supervisor.dispatcher.begin_keys(self._next_key)
        now = {state.spec.name: state.spec for state in self.commands}
        named = {spec.name for spec in specs}
        # What these waited for may be gone.
        others = [replace(spec, depends=()) for name, spec in now.items() if name not in named]
        for spec in (*(now.get(spec.name, spec) for spec in specs), *others):
            supervisor.dispatcher.enter(spec)
        self._resume(supervisor)

    def _resume(self, supervisor: Supervisor) -> None:
        snapshots.resume(supervisor, self._state())
        for each in self.commands:
            text = "%s: process %d (pid %d) goes on: it outlived the last supervisor"
            logger.warning(text, each.spec.name, each.wid, each.pid)
        known = [os.getpid(), *(each.pid for each in self.commands)]
        for pid, words in strangers(cgroups.of_service(), known)[:_MOST_TOLD]:
            logger.error(_STRANGER, pid, words[:_MOST_OF_WORDS])

    def _state(self) -> SupervisorState:
        return SupervisorState(
            watchers=tuple(map(self._watcher, self._named)),
            next_key=self._next_key,
            waiting=(),
            armed=tuple(name for name in self._named if Triggers.applies(self._of(name)[-1].spec)),
            tallies={},
        )

    def start(self, supervisor: Supervisor) -> None:
        """Look what has become of them, start what is missing, and have all be what the file says now. What
        is Bigtop's own was told of a supervisor that is gone, and begins anew. Event loop only."""
        snapshots.go_on(supervisor, self._state())
        supervisor.start()
        steps = supervisor.configuration.apply(self._specs)
        assert not any(isinstance(step, Add) for step in steps), "all were entered"
        own = {spec.name for spec in self._specs} - {*self._theirs}
        for name in self._named:
            if name in own or name in self._users():
                supervisor.configuration.remake(name)

    def _users(self) -> list[str]:
        """Return the watchers whose processes were given sockets that are lost."""
        return [spec.name for spec in users_of((self._of(name)[-1].spec for name in self._named), self._lost)]

    def _of(self, name: str) -> list[CommandState]:
        return [state for state in self.commands if state.spec.name == name]

    def _watcher(self, name: str) -> WatcherState:
        mine = self._of(name)
        # As many descriptions as there are: that of the newest process is the wanted one.
        specs: list[WatcherSpec] = []
        for state in mine:
            specs = [*(spec for spec in specs if spec != state.spec), state.spec]
        wanted, spec, now = len(specs), specs[-1], time.monotonic()
        generation = GenerationState(wanted, False, True, inf, inf, now, RestartWindow(REPREPARE).held())
        machine = MachineState(
            name=name,
            spec=spec,
            status=Status.STARTING,
            numprocesses=spec.nearest(len(mine)),
            generations=(generation,),
            aside=(),
            newest=wanted,
            processes=tuple(_proc(state, specs.index(state.spec) + 1, now) for state in mine),
            holds={},
            gave_up="",
            windows={},
            short_until=-inf,
            shortage="",
            warm_at=-inf,
            wanting=False,
        )
        return WatcherState(machine, CommandPoolState(tuple(mine), {wanted: spec}))


def _proc(state: CommandState, generation: int, now: float) -> Proc:
    born = descendants.born_at(state.pid, now)
    spec = state.spec
    ready = state.watch.said
    return Proc(
        state.key,
        state.wid,
        generation,
        born,
        inf if ready else now + (spec.boot_timeout or inf),
        expires_at=born + spec.lifetime.max_age if spec.lifetime.max_age else inf,
        state=ProcessState.READY if ready else ProcessState.STARTING,
        pid=state.pid,
    )


def strangers(every: set[int], known: Iterable[int]) -> list[tuple[int, str]]:
    """Return those of `every` that are none of `known` and nothing that these started, with their words. What
    is Bigtop's own ends by itself."""
    ours = set(known)
    for pid in list(ours):
        ours.update(one.pid for one in descendants.descendants(pid))
    others = ((one.pid, descendants.command(one.pid)) for one in descendants.named(every - ours))
    return sorted((pid, words) for pid, words in others if not words.startswith("bigtop: "))
