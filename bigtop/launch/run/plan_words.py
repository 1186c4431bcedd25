# Plan of reloadconfig in words, and what waits for it.

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bigtop.config.file.apps import AppSpec
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.supervisor.policy import plan
from bigtop.supervisor.policy.spec import Command, WatcherSpec

logger = get_logger("bigtop.supervisor")


def of_apps(old: Iterable[AppSpec], new: Iterable[AppSpec], moved: Collection[str]) -> Iterator[str]:
    """Say what would become of applications; their watchers are only described when it does."""
    before = {app.name: app for app in old}
    after = {app.name: app for app in new}
    yield from (f"remove {name}" for name in before if name not in after)
    for name, app in after.items():
        if name not in before:
            yield f"add {name}"
        elif replace(before[name], site=replace(before[name].site, workers=app.site.workers)) != app or (
            set(app.sockets) & set(moved)
        ):
            yield f"replace {name}"
        elif before[name] != app:
            yield f"scale {name} to {app.site.workers}"


def of_steps(steps: Sequence[plan.Step], remade: Sequence[WatcherSpec] = ()) -> list[str]:
    words = []
    for step in steps:
        match step:
            case plan.Add(spec) | plan.Replace(spec):
                words.append(f"{type(step).__name__.lower()} {spec.name}")
            case plan.Remove(name):
                words.append(f"remove {name}")
            case plan.Scale(name, count):
                words.append(f"scale {name} to {count}")
    return list(dict.fromkeys([*words, *(f"replace {spec.name}" for spec in remade)]))


def tell_waiting(path: str, now: Mapping[str, WatcherSpec], specs: Iterable[WatcherSpec]) -> None:
    """Tell which watchers the file `path` describes otherwise than those that run; applications aside."""
    commands = {name: spec for name, spec in now.items() if isinstance(spec.target, Command)}
    steps = plan.plan(commands, {spec.name: spec for spec in specs})
    waiting = [
        step.name if isinstance(step, plan.Remove) else step.spec.name
        for step in steps
        if isinstance(step, plan.Add | plan.Remove | plan.Replace)
    ]
    if waiting:
        logger.info(
            "%s says something else of %s: bigtop ctl reloadconfig takes it", path, ", ".join(waiting)
        )
