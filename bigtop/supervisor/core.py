# The supervisor: what an operator can ask for, and the order in which watchers start and stop.
#
# Rules: every method answers at once; settled(), of Director, waits. A command changes a wish, and whatever
# stands in its way (a dependency that is not ready, a hook that thinks) delays that watcher alone. The newest
# wish wins. What a command does to processes is decided by the machines and performed by Stage; Director,
# which this class extends, knows whose turn it is.
#
# CommandError says what is wrong with a command, ConfigError what is wrong with a description; both change
# nothing.

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from bigtop.errors import CommandError, ConfigError
from bigtop.supervisor import agenda, messages, ordering
from bigtop.supervisor.director import Director
from bigtop.supervisor.machine import RUNNING, Status
from bigtop.supervisor.messages import Urgency
from bigtop.supervisor.plan import Add, Remove, Replace, Scale, Step, Taken, plan
from bigtop.supervisor.spec import WatcherSpec
from bigtop.supervisor.streams import sinks

# What a running process was made from; anything else of a description can be exchanged under it.
_MADE_FROM = frozenset({"target", "sockets", "options"})


class Supervisor(Director):
    """All watchers by name; event loop only. A name of None means all of them."""

    # ---- which watchers there are

    def add(self, spec: WatcherSpec, *, start: bool = False) -> None:
        if spec.name in self.entries:
            raise CommandError(f"program {spec.name} already exists")
        _check([*self.specs().values(), spec])
        self.introduce(spec)
        if start:
            self.start(spec.name)

    def remove(self, name: str, *, nostop: bool = False) -> None:
        """Forget a watcher once it has stopped; `nostop`: at once, and its processes go on unwatched."""
        machine = self.watcher(name)
        self.removing[name] = None
        if nostop or machine.status is Status.STOPPED:
            self.removed(name)
        else:
            self.stop(name)

    def update(self, name: str, spec: WatcherSpec) -> None:
        """Describe a watcher anew. Its processes are replaced one by one if they are made differently now."""
        self.entry(name)
        _check([*(other for other in self.specs().values() if other.name != name), spec])
        self._update(name, spec)

    def remake(self, name: str) -> None:
        """Replace processes because of what they were given: sockets that are bound elsewhere now."""
        if self.watcher(name).status in RUNNING:
            self.feed(name, messages.Reload(remake=True))
        _rearm(self, name)

    def apply(self, specs: Sequence[WatcherSpec]) -> list[Step]:
        """Make the watchers those of `specs` and return what that took; an error changes nothing."""
        _check(specs)
        now = {name: spec for name, spec in self.specs().items() if name not in self.removing}
        steps = plan(now, {spec.name: spec for spec in specs})
        for step in steps:
            match step:
                case Remove(name):
                    self.remove(name)
                case Add(spec) if spec.name in self.removing:
                    self.removing[spec.name] = spec
                case Add(spec):
                    self.introduce(spec)
                case Scale(name, count):
                    self._update(name, replace(now[name], numprocesses=count))
                case Replace(spec):
                    self._update(spec.name, spec)
        for step in steps:
            if isinstance(step, Add) and step.spec.lifetime.autostart and step.spec.name not in self.removing:
                self.want(step.spec)
        self.advance()
        return steps

    def _update(self, name: str, spec: WatcherSpec) -> None:
        entry = self.entries[name]
        before = replace(
            entry.machine.spec, numprocesses=entry.machine.numprocesses
        )  # incr is no description
        changed = _differences(before, spec)
        if not changed:
            return
        taken = Taken.BY_ALL if changed == ("numprocesses",) else entry.spawner.describe(spec)
        if taken is Taken.ELSEWHERE:  # another watcher takes the name once this one is gone
            self.remove(name)
            if name in self.entries:
                self.removing[name] = spec
            else:
                self.introduce(spec)
            return
        entry.hooks.hooks = spec.hooks
        self.feed(name, messages.Update(spec))
        self.hear(name, messages.Updated(changed))
        is_made_anew = taken is Taken.BY_NEW and bool(_MADE_FROM.intersection(changed))
        if is_made_anew:
            self.remake(name)
        else:
            _rearm(self, name)
        self.triggers.weigh()

    # ---- what they are to do

    def start(self, name: str | None = None) -> None:
        """Start, after what it depends on. All: those with `autostart`."""
        specs = self.specs()
        names = [each for each in self._named(name) if name or specs[each].lifetime.autostart]
        for each in ordering.with_dependencies(names, specs):
            self.forget_stop(each)
            if self.watcher(each).status not in RUNNING:
                self.want(specs[each])
        self.advance()

    def stop(self, name: str | None = None, urgency: Urgency = Urgency.GRACEFUL) -> None:
        """Stop; all: those first that others depend on least. Only NOW does not wait for anybody."""
        for each in self._named(name):
            awaited = self.coming.pop(each, None)
            self.entries[each].restarting = False
            self.triggers.disarm(each)
            status = self.watcher(each).status
            if urgency is Urgency.NOW or status is Status.STOPPING:
                self.feed(each, messages.Stop(urgency))
            elif status is not Status.STOPPED or awaited:
                self.going[each] = urgency
        self.advance()

    def restart(self, name: str | None = None) -> None:
        """Stop, then start."""
        for each in self._named(name):
            hooks = self.entries[each].hooks
            if self.watcher(each).status is Status.STOPPED:
                self.start(each)
            elif hooks.has("before_stop") or hooks.has("before_start"):
                self.later(self.entries[each].restart())
            else:
                self.feed(each, messages.Restart())

    def reload(self, name: str | None = None, *, graceful: bool = True, sequential: bool = False) -> None:
        """Replace every process, one by one; not `graceful`: restart. What does not run is started."""
        for each in self._named(name):
            if not graceful or self.watcher(each).status not in RUNNING:
                self.restart(each)
            else:
                self.feed(each, messages.Reload(sequential))

    def scale(self, name: str, count: int) -> None:
        if self.watcher(name).spec.singleton and count > 1:
            raise CommandError(f"{name} is a singleton: it has at most one process")
        self.feed(name, messages.Scale(count))

    def kill(
        self, name: str, pid: int | None = None, signum: int | None = None, grace: float | None = None
    ) -> None:
        """End one process or all; others take their places."""
        for key in self._keys_of(name, pid):
            self.feed(name, messages.Leave(key, grace, signum))

    def signal(
        self, name: str, pid: int | None, signum: int, *, children: bool = False, recursive: bool = False
    ) -> None:
        """Send a signal that is no request to end: to the process, its children, or it and all below."""
        for key in self._keys_of(name, pid):
            self.entry(name).spawner.signal(key, signum, children=children, recursive=recursive)

    def close(self) -> None:
        """Let go of clocks and sockets; the processes are not touched."""
        self.triggers.close()

    def _keys_of(self, name: str, pid: int | None) -> list[int]:
        processes = self.watcher(name).processes
        keys = [key for key, proc in processes.items() if pid in (None, proc.pid)]
        if pid is not None and not keys:
            raise CommandError(f"{name} has no process {pid}")
        return keys

    def _named(self, name: str | None) -> list[str]:
        return self.names if name is None else [self.watcher(name).spec.name]


def _rearm(director: Director, name: str) -> None:
    """Have what starts a watcher look at how it is described now."""
    if director.triggers.armed(name):
        director.triggers.disarm(name)
        director.want(director.specs()[name])


def _check(specs: Iterable[WatcherSpec]) -> None:
    """Raise ConfigError if these cannot live together."""
    every = list(specs)
    by_name = {spec.name: spec for spec in every}
    if len(by_name) < len(every):
        raise ConfigError("two watchers have the same name")
    ordering.check(by_name)
    for spec in every:
        sinks.make_all(spec)
        if spec.lifetime.schedule:
            agenda.check(spec.lifetime.schedule)


def _differences(old: WatcherSpec, new: WatcherSpec) -> tuple[str, ...]:
    """Return the names of the fields that differ."""
    before, after = _fields(old), _fields(new)
    return tuple(name for name in before if before[name] != after[name])


def _fields(spec: WatcherSpec) -> dict[str, object]:
    return {field.name: operator.attrgetter(field.name)(spec) for field in fields(spec)}
