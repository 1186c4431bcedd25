# Dependencies: who starts before whom, and who stops after whom.
#
# Rule: pure. `depends` is strict: a watcher starts when those it depends on are active, and they stop when it
# has stopped. `priority` is a courtesy: higher ones start earlier and stop later, but one that stumbles at
# its start holds nobody up.

from __future__ import annotations

from collections.abc import Collection, Mapping

from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import WatcherSpec

Specs = Mapping[str, WatcherSpec]


def check(specs: Specs) -> None:
    """Raise ConfigError where a dependency does not exist or leads back to where it began."""
    for name, spec in specs.items():
        if missing := [other for other in spec.depends if other not in specs]:
            raise ConfigError(f"{name} depends on {', '.join(missing)}: there is no such watcher")
        if name in _below(name, specs):
            raise ConfigError(f"{name} depends on itself, by way of {', '.join(spec.depends)}")


def with_dependencies(names: Collection[str], specs: Specs) -> list[str]:
    """Return `names` and all they depend on, in the order of their start."""
    found = {*names}
    for name in names:
        found |= _below(name, specs)
    return sorted(found, key=lambda name: (len(_below(name, specs)), -specs[name].priority, name))


def may_start(name: str, specs: Specs, active: Collection[str], coming: Collection[str]) -> bool:
    """Whether it is the turn of `name`; `coming` are those on their way to be active."""
    spec = specs[name]
    earlier = any(specs[other].priority > spec.priority for other in coming if other != name)
    # What depends on us cannot come before us, however important it is.
    held_up = earlier and not any(name in _below(other, specs) for other in coming)
    return not held_up and all(other in active for other in spec.depends if other in specs)


class Warmup:
    """A pause of `delay` seconds between the starts of two watchers."""

    def __init__(self) -> None:
        self.delay = 0.0
        self._over = 0.0  # when it ends, on the clock of those who ask

    def choose(self, turn: list[str], now: float) -> list[str]:
        """Return those of whom it is the turn that start now."""
        if not self.delay or not turn:
            return turn
        if now < self._over:
            return []
        self._over = now + self.delay
        return turn[:1]


def may_stop(name: str, specs: Specs, going: Collection[str]) -> bool:
    """Whether it is the turn of `name`; `going` are those that have to stop as well and still run."""
    others = [other for other in going if other != name]
    if any(name in _below(other, specs) for other in others):
        return False
    below = _below(name, specs)
    return not any(specs[other].priority < specs[name].priority for other in others if other not in below)


def _below(name: str, specs: Specs) -> set[str]:
    """Return everything that `name` depends on, directly or not."""
    found: set[str] = set()
    waiting = list(specs[name].depends)
    while waiting:
        other = waiting.pop()
        if other in specs and other not in found:
            found.add(other)
            waiting += specs[other].depends
    return found
