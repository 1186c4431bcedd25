# Order of starts and stops: priorities, dependencies, pauses.

from __future__ import annotations

import pytest

from bigtop.errors import ConfigError
from bigtop.supervisor.policy import dependencies
from bigtop.supervisor.policy.spec import Command, WatcherSpec


def specs(**described: tuple[int, tuple[str, ...]]) -> dict[str, WatcherSpec]:
    """Describe watchers by priority and dependencies."""
    return {
        name: WatcherSpec(name, Command("true"), priority=priority, depends=depends)
        for name, (priority, depends) in described.items()
    }


CHAIN = specs(db=(0, ()), cache=(0, ()), api=(5, ("db", "cache")), web=(9, ("api",)))


def test_dependencies_come_along_in_their_order():
    assert dependencies.with_dependencies(["web"], CHAIN) == ["cache", "db", "api", "web"]
    assert dependencies.with_dependencies(["cache"], CHAIN) == ["cache"]


def test_a_start_waits_for_what_it_depends_on():
    assert dependencies.may_start("db", CHAIN, (), CHAIN), "however important those are that depend on it"
    assert not dependencies.may_start("api", CHAIN, {"db"}, {"api", "cache"})
    assert dependencies.may_start("api", CHAIN, {"db", "cache"}, {"api"})


def test_a_stop_waits_for_those_that_depend_on_it():
    assert not dependencies.may_stop("db", CHAIN, {"web", "db"}), "not only directly"
    assert dependencies.may_stop("web", CHAIN, CHAIN)
    assert dependencies.may_stop("db", CHAIN, {"db", "cache"})


def test_priority():
    plain = specs(low=(0, ()), high=(9, ()), same=(9, ()))
    assert dependencies.may_start("high", plain, (), plain)
    assert not dependencies.may_start("low", plain, (), plain)
    assert dependencies.may_stop("low", plain, plain)
    assert not dependencies.may_stop("same", plain, plain)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (specs(a=(0, ("b",))), "a depends on b: there is no such watcher"),
        (specs(a=(0, ("a",))), "a depends on itself, by way of a"),
        (specs(a=(0, ("b",)), b=(0, ("c",)), c=(0, ("a",))), "a depends on itself, by way of b"),
    ],
)
def test_what_cannot_be(described: dict[str, WatcherSpec], message: str):
    with pytest.raises(ConfigError) as caught:
        dependencies.check(described)
    assert str(caught.value) == message


def test_a_pause_between_two_starts() -> None:
    warmup = dependencies.Warmup()
    assert warmup.choose(["a", "b"], 0) == ["a", "b"]
    warmup.delay = 2
    assert warmup.choose([], 5) == []
    assert warmup.choose(["a", "b", "c"], 5) == ["a"]
    assert warmup.choose(["b", "c"], 6.9) == []
    assert warmup.choose(["b", "c"], 7) == ["b"]
