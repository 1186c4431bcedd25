# When a change of a description counts as failed, and when it has shown that it works.

from __future__ import annotations

from bigtop.record import replace
from bigtop.supervisor.policy.deploys.changes import Changes
from bigtop.supervisor.policy.messages import Died, ExitStatus
from bigtop.supervisor.policy.spec import Command, RestartPolicy, WatcherSpec

BEFORE = WatcherSpec("a", Command("before"), restart=RestartPolicy(window=60))
AFTER = replace(BEFORE, target=Command("after"))


def died(lived: float, deaths: int = 1) -> Died:
    return Died(1, 1, ExitStatus(code=1), was_ready=True, deaths=deaths, wait=deaths - 1.0, lived=lived)


def changed(at: float) -> Changes:
    changes = Changes()
    changes.made(BEFORE, AFTER, at)
    return changes


def is_undone(changes: Changes, now: float) -> bool:
    """Whether deaths after short lives take the change back."""
    first, second = (changes.undo("a", died(0.2, deaths), now) for deaths in (1, 2))
    assert first is None
    return second is not None and second.spec == BEFORE


def test_a_change_whose_processes_die_again_and_again_is_taken_back():
    assert is_undone(changed(at=0), now=1)


def test_so_is_one_that_had_to_wait_long_for_the_old_processes_to_leave():
    assert is_undone(changed(at=0), now=300)


def test_one_of_which_a_process_lived_longer_than_the_window_is_not():
    changes = changed(at=0)
    assert changes.undo("a", died(61), 70) is None
    assert not is_undone(changes, now=71)


def test_how_long_a_process_of_what_was_before_lived_says_nothing():
    changes = changed(at=0)
    assert changes.undo("a", died(1000), 70) is None
    assert is_undone(changes, now=71)
