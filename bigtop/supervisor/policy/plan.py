# Plan: what to do so that the watchers that run become the watchers that are described.
#
# Rule: a pure comparison of specs by equality. A watcher whose spec differs in anything but its count is
# replaced as a whole: whether a difference matters is not guessed at.

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from enum import Enum

from bigtop.record import Record, fields, replace
from bigtop.supervisor.policy.spec import Command, WatcherSpec


class Add(Record):
    spec: WatcherSpec


class Remove(Record):
    name: str


class Scale(Record):
    name: str
    count: int


class Replace(Record):
    spec: WatcherSpec


class Keep(Record):
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


def renamed(old: Mapping[str, WatcherSpec], steps: Sequence[Step]) -> dict[str, WatcherSpec]:
    """Return, by their old names, the commands that only get another name: the program stays the same."""
    new = [step.spec for step in steps if isinstance(step, Add)]
    found: dict[str, WatcherSpec] = {}
    for step in steps:
        if isinstance(step, Remove):
            heir = next((spec for spec in new if _runs_the_same(old[step.name], spec)), None)
            if heir is not None:
                new.remove(heir)
                found[step.name] = heir
    return found


def _runs_the_same(one: WatcherSpec, other: WatcherSpec) -> bool:
    if not isinstance(one.target, Command) or not isinstance(other.target, Command):
        return False
    return (one.target.cmd, one.target.args) == (other.target.cmd, other.target.args)


class UpdateOutcome(Enum):
    """By whom a new description of a watcher can be taken."""

    BY_ALL = "what runs is that already"
    BY_NEW = "new processes have to come"
    ELSEWHERE = "another pool has to come"


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


def differences(old: WatcherSpec, new: WatcherSpec) -> tuple[str, ...]:
    """Return the names of the fields that differ."""
    before, after = _fields(old), _fields(new)
    return tuple(name for name in before if before[name] != after[name])


def _fields(spec: WatcherSpec) -> dict[str, object]:
    return {field.name: operator.attrgetter(field.name)(spec) for field in fields(spec)}
