# Configuration: which watchers there are, and how they are described.
#
# Rules: what is wrong is told by an error, which changes nothing: CommandError where the command is wrong,
# ConfigError where a description is. A change that is seen to fail soon after is taken back.

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from bigtop.errors import CommandError, ConfigError
from bigtop.record import replace
from bigtop.supervisor.dispatcher import Dispatcher, Hear
from bigtop.supervisor.policy import dependencies, messages
from bigtop.supervisor.policy.deploys.changes import Changes, Undo
from bigtop.supervisor.policy.plan import (
    Add,
    Remove,
    Replace,
    Scale,
    Step,
    UpdateOutcome,
    differences,
    plan,
    renamed,
)
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.policy.watcher import RUNNING, Status
from bigtop.supervisor.runtime import Watchers
from bigtop.supervisor.scheduler import Scheduler

# What a running process was made from; anything else of a description can be exchanged under it.
_MADE_FROM = frozenset({"target", "sockets", "options"})


class Configuration:
    """Event loop only.

    `changes` are those that have not yet shown that they work; `hear` is told every notice.
    """

    def __init__(
        self,
        watchers: Watchers,
        dispatcher: Dispatcher,
        scheduler: Scheduler,
        changes: Changes,
        hear: Hear,
    ) -> None:
        self.removing: dict[str, WatcherSpec | None] = {}  # when they have stopped; what comes in their place
        self._watchers = watchers
        self._dispatcher = dispatcher
        self._scheduler = scheduler
        self._hear = hear
        self._changes = changes

    def specs(self) -> dict[str, WatcherSpec]:
        """Return the descriptions of those that are to stay."""
        return {name: spec for name, spec in self._watchers.specs().items() if name not in self.removing}

    def add(self, spec: WatcherSpec) -> None:
        if spec.name in self._watchers:
            raise CommandError(f"program {spec.name} already exists")
        _check([*self._watchers.specs().values(), spec])
        self._introduce(spec)

    def remove(self, name: str, *, nostop: bool = False) -> None:
        """Forget a watcher once it has stopped; `nostop`: at once, and its processes go on unwatched."""
        machine = self._watchers.machine(name)
        self.removing[name] = None
        if nostop or machine.status is Status.STOPPED:
            self.removed(name)
        else:
            self._scheduler.stop(name, messages.Urgency.GRACEFUL)
            self._scheduler.advance()

    def update(self, name: str, spec: WatcherSpec) -> None:
        """Describe a watcher anew. Its processes are replaced one by one if they are made differently now."""
        self._watchers.runtime(name)
        _check([*(other for other in self._watchers.specs().values() if other.name != name), spec])
        self._update(name, spec)

    def remake(self, name: str) -> None:
        """Replace processes because of what they were given: sockets that are bound elsewhere now."""
        machine = self._watchers.machine(name)
        if machine.status in RUNNING:
            is_sequential = not overlaps(machine.spec, is_change=True)
            self._dispatcher.feed(name, messages.Reload(sequential=is_sequential, remake=True))
        self._scheduler.rearm(name)

    def apply(self, specs: Sequence[WatcherSpec]) -> list[Step]:
        """Make the watchers those of `specs` and return what that took; an error changes nothing.

        What is only called otherwise now begins when that of the old name has stopped.
        """
        _check(specs)
        now = self.specs()
        steps = plan(now, {spec.name: spec for spec in specs})
        new_names = renamed(now, steps)
        follow = {spec.name for spec in new_names.values()}
        for step in steps:
            match step:
                case Remove(name):
                    self.remove(name)
                    if name in new_names and name in self._watchers:
                        self.removing[name] = new_names[name]
                    elif name in new_names:  # it did not run
                        follow.discard(new_names[name].name)
                case Add(spec) if spec.name in follow:
                    continue
                case Add(spec) if spec.name in self.removing:
                    self.removing[spec.name] = spec
                case Add(spec):
                    self._introduce(spec)
                case Scale(name, count):
                    self._update(name, replace(now[name], numprocesses=count))
                case Replace(spec):
                    self._update(spec.name, spec)
        for step in steps:
            waits = isinstance(step, Add) and step.spec.name in {*self.removing, *follow}
            if isinstance(step, Add) and step.spec.lifetime.autostart and not waits:
                self._scheduler.start(step.spec.name)
        self._scheduler.advance()
        return steps

    def _update(self, name: str, spec: WatcherSpec) -> None:
        runtime = self._watchers.runtimes[name]
        before = replace(
            runtime.machine.spec, numprocesses=runtime.machine.numprocesses
        )  # incr is no description
        changed = differences(before, spec)
        if not changed:
            return
        taken = UpdateOutcome.BY_ALL if changed == ("numprocesses",) else runtime.pool.describe(spec)
        if taken is UpdateOutcome.ELSEWHERE:  # another watcher takes the name once this one is gone
            self.remove(name)
            if name in self._watchers:
                self.removing[name] = spec
            else:
                self._introduce(spec)
            return
        runtime.hooks.hooks = spec.hooks
        self._dispatcher.feed(name, messages.Update(spec))
        self._hear(name, messages.Updated(changed))
        is_made_anew = taken is UpdateOutcome.BY_NEW and bool(_MADE_FROM.intersection(changed))
        if is_made_anew:
            if runtime.machine.status in RUNNING:
                self._changes.made(before, spec, asyncio.get_running_loop().time())
            self.remake(name)
        else:
            self._scheduler.rearm(name)
        self._scheduler.triggers.weigh()

    def _introduce(self, spec: WatcherSpec) -> None:
        """Take in a watcher, and say so."""
        self._dispatcher.enter(spec)
        self._hear(spec.name, messages.Added())

    # ---- what follows from what happened

    def removed(self, name: str) -> None:
        """Forget a watcher, and take in what comes in its place."""
        self._scheduler.forget(name)
        successor = self.removing.pop(name, None)
        self._watchers.remove(name)
        self._hear(name, messages.Removed())
        if successor is not None:
            self._introduce(successor)
            if successor.lifetime.autostart:
                self._scheduler.start(successor.name)

    def take_back(self, name: str, undo: Undo, failure: messages.Notice) -> None:
        """Describe a watcher as it was before a change that failed."""
        runtime = self._watchers.runtimes[name]
        machine, feed = runtime.machine, self._dispatcher.feed
        generation = machine.generation
        failed = isinstance(failure, messages.Died) and not undo.is_done
        if failed and machine.generations.on_probation(generation):
            feed(name, messages.GenerationFailed(generation, undo.reason))
        fields = differences(machine.spec, undo.spec)
        runtime.pool.describe(undo.spec)
        runtime.hooks.hooks = undo.spec.hooks
        feed(name, messages.Update(undo.spec))
        if isinstance(failure, messages.GaveUp) or undo.is_done:
            feed(name, messages.Restart())
        self._hear(name, messages.Updated(fields, undo.reason))


def overlaps(spec: WatcherSpec, *, is_change: bool) -> bool:
    """Whether a new process comes before an old one goes.

    Workers are made for that; two commands of different descriptions may want the same port.
    """
    return (not is_change or isinstance(spec.target, Worker)) if spec.overlap is None else spec.overlap


def _check(specs: Iterable[WatcherSpec]) -> None:
    """Raise ConfigError if these cannot live together."""
    from bigtop.supervisor import cron  # `bigtop serve` has neither
    from bigtop.supervisor.streams import sinks

    every = list(specs)
    by_name = {spec.name: spec for spec in every}
    if len(by_name) < len(every):
        raise ConfigError("two watchers have the same name")
    dependencies.check(by_name)
    for spec in every:
        sinks.make_all(spec)
        if spec.lifetime.schedule:
            cron.check(spec.lifetime.schedule)
