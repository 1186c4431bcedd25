# What to do so that the watchers that run become the watchers that are described.
#
# Rule: a pure comparison of specs by equality. A watcher whose spec differs in anything but its count is
# replaced as a whole: whether a difference matters is not guessed at.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bigtop.supervisor.spec import WatcherSpec


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
