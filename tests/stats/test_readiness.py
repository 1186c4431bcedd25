# Whether what runs can be sent requests.

from __future__ import annotations

import pytest

from bigtop.stats.admin import readiness
from bigtop.stats.roster import Group, Roster, Standing


def app(name: str, status: str = "active", ready: int = 1, *, started: bool = True) -> Group:
    return Group(name, (), Standing(True, status, 2, ready, started))


def command(name: str, status: str = "active", ready: int = 1, *, started: bool = True) -> Group:
    return Group(name, (), Standing(False, status, 1, ready, started))


def told(*groups: Group) -> Roster:
    return Roster(1, ((7, "circusd"),), groups)


READY = [
    ((app("a"),), ""),
    ((app("a", "starting"),), ""),  # of its workers one is enough
    ((app("a", ready=0),), "a: none of 2 workers is ready"),
    ((app("a"), app("b", ready=0)), "b: none of 2 workers is ready"),
    ((app("a", "stopping"),), "a: stopping"),
    ((app("a", "stopped", 0),), "a: stopped"),
    ((app("a"), command("c", ready=0)), ""),
    ((command("c"), command("d", "stopped", 0)), ""),
    ((command("c", ready=0),), "c: none of 1 processes is ready"),
    ((command("c", "stopping"),), "c: stopping"),
    ((command("d", "stopped", 0),), "nothing runs"),
    ((), "nothing runs"),
]


@pytest.mark.parametrize(("groups", "reason"), READY)
def test_why_no_requests_should_be_sent(groups: tuple[Group, ...], reason: str) -> None:
    assert readiness.obstacle(told(*groups)) == reason


STARTED = [
    ((app("a", "stopping", 0),), ""),  # for ever
    ((app("a", started=False, status="starting"),), "a: not started yet (starting)"),
    ((app("a"), app("b", started=False, status="starting")), "b: not started yet (starting)"),
    ((app("a"), command("c", started=False)), ""),
    ((command("c", started=False, status="starting"),), "c: not started yet (starting)"),
]


@pytest.mark.parametrize(("groups", "reason"), STARTED)
def test_why_the_start_is_not_over(groups: tuple[Group, ...], reason: str) -> None:
    assert readiness.start_obstacle(told(*groups)) == reason


def test_nobody_has_told_anything() -> None:
    for look in (readiness.obstacle, readiness.start_obstacle):
        assert look(Roster(0, ())) == "the supervisor has told nothing yet"
