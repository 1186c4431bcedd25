# Strategy of a rollout: how carefully nodes get a new revision, in the words of Nomad; and its waves.
#
# Rule: pure. Times are seconds.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

from bigtop.errors import ConfigError
from bigtop.record import Record, as_dict

_SHARES: Final = (0.01, 0.10, 0.25, 0.25, 0.25, 0.25)  # of all nodes, after the canaries


class Strategy(Record):
    """`max_unavailable` is a number, or a share such as "25%", of the nodes with one tag, at least one."""

    canary: int = 1
    max_parallel: int = 10
    max_unavailable: str = "25%"
    min_healthy_time: float = 10.0
    healthy_deadline: float = 300.0
    progress_deadline: float = 600.0
    auto_promote: bool = True
    auto_revert: bool = True

    def __post_init__(self) -> None:
        for name in ("canary", "max_parallel"):
            if as_dict(self)[name] < 1:
                raise ConfigError(f"{name}: must be at least 1")
        times = (self.min_healthy_time, self.healthy_deadline, self.progress_deadline)
        if not 0 <= times[0] < times[1] <= times[2]:
            raise ConfigError(
                "min_healthy_time must be less than healthy_deadline, and that no more than progress_deadline"
            )
        self.unavailable(100)

    def unavailable(self, count: int) -> int:
        """Return how many of `count` nodes may be away at once. ConfigError: the text is no such limit."""
        text = self.max_unavailable
        digits = text.removesuffix("%")
        if not (digits.isascii() and digits.isdigit()) or int(digits) < 1:
            raise ConfigError(f"max_unavailable: must be a number or a share such as 25%, got {text!r}")
        return max(1, count * int(digits) // 100) if text.endswith("%") else int(digits)


def strategy(said: Mapping[str, Any]) -> Strategy:
    """Return a strategy by its words. ConfigError names the one that is wrong."""
    defaults = as_dict(Strategy())
    given = dict(said)
    for name, value in given.items():
        if name not in defaults:
            raise ConfigError(f"{name}: there is no such word; known are {', '.join(defaults)}")
        if name == "max_unavailable" and isinstance(value, int) and not isinstance(value, bool):
            given[name] = str(value)
            continue
        kinds = (int, float) if isinstance(defaults[name], float) else (type(defaults[name]),)
        if not isinstance(value, kinds) or isinstance(value, bool) is not isinstance(defaults[name], bool):
            raise ConfigError(f"{name}: must be such as {defaults[name]!r}, got {value!r}")
    return Strategy(**given)


def waves(nodes: Mapping[str, Sequence[str]], canary: int) -> tuple[tuple[str, ...], ...]:
    """Return who comes when: the canaries, 1 %, 10 %, then 25 % each, all tags in turn. `nodes` are names
    with their tags."""
    order = _spread(nodes)
    sizes = [canary, *(ceil(len(order) * share) for share in _SHARES)]
    found, at = [], 0
    for size in sizes:
        if at < len(order):
            found.append(tuple(order[at : at + size]))
            at += size
    return tuple(found)


def _spread(nodes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names so that neighbours have different tags where that can be."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(nodes):
        groups.setdefault(tuple(sorted(nodes[name])), []).append(name)
    return list(_in_turn([group for _, group in sorted(groups.items())]))


def _in_turn(groups: Sequence[Sequence[str]]) -> Iterable[str]:
    turn = 0
    while groups:
        for group in groups:
            yield group[turn]
        turn += 1
        groups = [group for group in groups if turn < len(group)]
