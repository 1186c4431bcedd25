# Whose turn it is at a look.

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bigtop.stats.pace import Pace, Turns

NAMES = ("quick", "Slow", "usual")
PACE = Pace(1.0, intervals=(("quick", 0.25), ("slow", 10.0)))


def test_each_has_its_own_interval() -> None:
    turns = Turns(PACE)
    assert PACE.step == 0.25
    counts = dict.fromkeys(NAMES, 0)
    for look in range(400):  # a hundred seconds
        for name in turns.take(NAMES, 7 + look * PACE.step):
            counts[name] += 1
    assert counts == {"quick": 400, "Slow": 10, "usual": 100}


def test_who_is_new_is_told_of_at_once() -> None:
    turns = Turns(PACE)
    assert turns.take(NAMES[:2], 0) == {"quick", "Slow"}
    assert turns.take(NAMES, 0.25) == {"quick", "usual"}


@given(st.lists(st.floats(-0.1, 0.1), min_size=50, max_size=200))
def test_looks_that_are_a_little_early_or_late_change_nothing(errors: list[float]) -> None:
    turns = Turns(Pace(1.0, intervals=(("slow", 5.0),)))
    taken = [turns.take(("slow", "usual"), look + error) for look, error in enumerate(errors)]
    assert all("usual" in names for names in taken)
    assert sum("slow" in names for names in taken) == -(-len(errors) // 5)


@given(st.lists(st.floats(0.25, 100), max_size=100))
def test_after_a_gap_there_is_one_turn_and_not_many(pauses: list[float]) -> None:
    turns, at = Turns(PACE), 0.0
    last: dict[str, float] = {}
    for pause in pauses:
        at += pause
        for name in turns.take(NAMES, at):
            wanted = dict(PACE.intervals).get(name.lower(), 1.0)
            assert at - last.get(name, -1000) >= min(wanted, PACE.step) / 2
            last[name] = at
        assert at - last["Slow"] <= 10.0
