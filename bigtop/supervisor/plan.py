# What to do so that the watchers that run become the watchers that are described.
#
# Rule: a pure comparison of specs by equality. A watcher whose spec differs in anything but its count is
# replaced as a whole: whether a difference matters is not guessed at.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from bigtop.supervisor.spec import Command, WatcherSpec


@dataclass(frozen=True, slots=True)
class Add:
    spec: WatcherSpec


@dataclass(frozen=True, slots=True)
class Remove:
    name: str


@dataclass(frozen=True, slots=True)
class Scale:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Replace:
    spec: WatcherSpec


@dataclass(frozen=True, slots=True)
class Keep:
    name: str


Step = Add | Remove | Scale | Replace | Keep


def plan(old: Mapping[str, WatcherSpec], new: Mapping[str, WatcherSpec]) -> list[Step]:
    """Removals first, which frees what others may need; then the order of `new`."""
    steps: list[Step] = [Remove(name) for name in old if name not in new]
    steps += [_step(old.get(name), spec) for name, spec in new.items()]
    return steps


def _step(before: WatcherSpec | None, after: WatcherSpec) -> Step:
    if before is None:
        return Add(after)
    if before == after:
        return Keep(after.name)
    if replace(before, numprocesses=after.numprocesses) == after:
        return Scale(after.name, after.numprocesses)
    return Replace(after)


class Taken(Enum):
    """By whom a new description of a watcher can be taken."""

    BY_ALL = "what runs is that already"
    BY_NEW = "new processes have to come"
    ELSEWHERE = "another spawner has to come"


def only_limits_differ(old: WatcherSpec, new: WatcherSpec) -> bool:
    """Say whether processes of `old` become those of `new` once limits are set.

    A limit that is not described any more cannot be set back: nobody knows what it was before.
    """
    if not isinstance(old.target, Command) or not isinstance(new.target, Command):
        return False
    before, after = old.target.context, new.target.context
    if not dict(before.rlimits).keys() <= dict(after.rlimits).keys():
        return False
    target = replace(old.target, context=replace(before, rlimits=after.rlimits))
    return (target, old.sockets, old.options) == (new.target, new.sockets, new.options)
