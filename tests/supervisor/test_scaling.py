# The scaling policy, second by second, over loads of several shapes: numbers for time, and no processes.

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.supervisor.policy.scaling import Bounds, Decision, Sample, ScaleCommand, Scaler, Work

Load = Callable[[float], float]  # how many processes would be busy all the time


class Play:
    """A watcher whose processes share a load: what they do not get done waits."""

    def __init__(self, least: int, most: int, load: Load, *, cores: float = math.inf, start: int = 0) -> None:
        self.scaler = Scaler(Bounds(least, most))
        self.count = self.ready = start or least
        self.counts: list[int] = []
        self.decisions: list[Decision] = []
        self.room: int | None = None
        self._load, self._cores = load, cores
        self._left = 0.0  # seconds of work that wait
        self._at = 0.0

    def run(self, seconds: int) -> Play:
        for _ in range(seconds):
            self._at += 1
            able = min(self.ready, self._cores)
            wanted = self._load(self._at) + self._left
            done = min(wanted, able)
            self._left = wanted - done
            sample = Sample(
                at=self._at,
                processes=self.ready,
                busy=min(1.0, wanted / self.ready) if self.ready else 1.0,
                wait=self._left / able if able else 0.0,
                done=done * 100,
                room=self.room,
                size=50_000_000,
            )
            decision = self.scaler.decide(sample, self.count)
            self.ready = self.count  # a second is enough to start one
            if decision is not None:
                self.decisions.append(decision)
                self.count = decision.wanted
            self.counts.append(self.count)
        return self


def test_nothing_happens_while_the_load_is_between_both_bounds() -> None:
    play = Play(1, 16, lambda _: 2.8, start=4).run(600)  # 70 % of four; three would be busy for 93 %
    assert play.decisions == []


def test_a_step_is_followed_within_seconds_and_forgotten_after_minutes() -> None:
    play = Play(2, 16, lambda at: 6.0 if 60 < at <= 360 else 0.5).run(1200)
    assert play.counts[59] == 2
    assert max(play.counts[:85]) >= 6  # 25 seconds after the step
    assert play.counts[200] == play.counts[359]  # those that the backlog took are gone
    assert 8 <= play.counts[200] <= 12
    assert play.counts[-1] == 2
    assert play.counts[400] > 2, "what was needed a minute ago may be needed again"


def test_a_burst_of_two_seconds_is_sat_out() -> None:
    play = Play(2, 16, lambda at: 1.7 if 60 < at <= 62 else 0.5).run(200)
    assert play.decisions == []


def test_a_day() -> None:
    def day(at: float) -> float:
        return 5 - 4.5 * math.cos(at / 3600 * math.tau)  # in an hour

    play = Play(1, 16, day).run(3600)
    saturated = sum(day(at + 1) > count * 0.99 for at, count in enumerate(play.counts))
    assert saturated < 60, "seconds in which there were too few"
    needed = sum(day(at + 1) for at in range(3600)) / 3600
    assert sum(play.counts) / 3600 < 2.2 * needed, "a fixed number would have to be 10 all day"
    assert 8 <= max(play.counts) <= 16
    assert play.counts[-1] <= 4


def test_what_does_not_help_is_taken_back_and_told() -> None:
    """Two cores: more processes are busy, too, and answer nothing more."""
    play = Play(2, 16, lambda _: 8.0, cores=2.0).run(200)
    assert max(play.counts) == 3
    assert play.counts[-1] == 2
    assert "2 200" in play.decisions[-1].reason
    assert play.scaler.held == "more than 2 did not answer more: something else is at its limit"
    later = Play(2, 16, lambda _: 8.0, cores=2.0).run(500)
    assert len([one for one in later.decisions if one.wanted == 3]) == 2  # it is tried again


def test_there_are_never_more_than_there_is_memory_for() -> None:
    play = Play(2, 16, lambda _: 12.0)
    play.room = 120_000_000
    play.run(30)
    assert play.decisions[0].wanted == 3
    play.room = 20_000_000
    play.run(60)
    assert play.scaler.held == "one more takes 50 MB, and 20 MB are left"
    assert play.count == play.decisions[-1].wanted
    before = len(play.decisions)
    play.run(60)
    assert len(play.decisions) == before


def test_the_most_is_the_most() -> None:
    play = Play(1, 3, lambda _: 50.0).run(120)
    assert max(play.counts) == 3
    assert play.scaler.held == "3 is the most that there may be"


@pytest.mark.parametrize(("start", "count"), [(1, 4), (20, 8), (4, None), (8, None)])
def test_a_number_out_of_bounds_is_corrected_at_once(start: int, count: int | None) -> None:
    scaler = Scaler(Bounds(4, 8))
    decision = scaler.decide(Sample(at=1.0, processes=start, busy=0.6), start)
    assert (decision and decision.wanted) == count


def test_nobody_is_judged_before_all_are_there() -> None:
    scaler = Scaler(Bounds(1, 8))
    for at in range(100):
        assert scaler.decide(Sample(at=float(at), processes=2, busy=1.0), 3) is None


def test_what_was_before_a_reload_does_not_count() -> None:
    play = Play(1, 8, lambda _: 0.95).run(7)
    play.scaler.forget()
    before = len(play.decisions)
    play.run(2)
    assert len(play.decisions) == before  # two seconds are not three


def test_the_last_decisions_are_remembered() -> None:
    play = Play(1, 16, lambda at: 12.0 if at % 400 < 200 else 0.1).run(8000)
    assert list(play.scaler.told) == play.decisions[-20:]


@given(
    load=st.floats(0, 40),
    least=st.integers(1, 8),
    more=st.integers(0, 24),
    start=st.integers(1, 40),
    seconds=st.integers(300, 900),
)
def test_a_load_that_stays_leads_to_a_number_that_stays(
    load: float, least: int, more: int, start: int, seconds: int
) -> None:
    bounds = Bounds(least, least + more)
    play = Play(*bounds, lambda _: load, start=start).run(seconds + 600)
    assert all(bounds.least <= count <= bounds.most for count in play.counts)
    pairs = itertools.pairwise(play.decisions)
    directions = [later.wanted - earlier.wanted for earlier, later in pairs]
    turns = sum(a * b < 0 for a, b in itertools.pairwise(directions))
    assert turns <= 1, "up, and down again at most once"
    if play.count < bounds.most:
        assert load <= 0.8 * play.count + 1e-6 or load < 0.01
    assert play.counts[-1] == play.counts[-100]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 5), st.integers(0, 30)), max_size=200), st.data())
def test_whatever_is_seen_the_number_stays_within_its_bounds(
    seen: list[tuple[float, float, int]], data: st.DataObject
) -> None:
    bounds = Bounds(2, 9)
    scaler, wanted, at = Scaler(bounds), 2, 0.0
    for busy, wait, done in seen:
        at += data.draw(st.floats(0.1, 30))
        processes = data.draw(st.sampled_from([wanted, wanted - 1, wanted + 1]))
        decision = scaler.decide(Sample(at, processes, busy, wait, float(done), 10_000, 10_000), wanted)
        if decision is not None:
            assert decision.wanted != wanted
            assert decision.reason
            wanted = decision.wanted
        assert bounds.least <= wanted <= bounds.most


def test_what_processes_did_between_two_looks() -> None:
    before = {
        1: Work(cpu=10.0, calls=50.0, slots=2, waited=1.0, requests=100),
        2: Work(cpu=1.0, calls=0.0, slots=0),
        3: Work(cpu=0.0),
    }
    after = {
        1: Work(cpu=10.2, calls=51.0, slots=2, waited=1.5, requests=150),
        2: Work(cpu=2.8, calls=9.0, slots=0),
        4: Work(cpu=7.0),
    }
    sample = Sample.between(20.0, 2.0, before, after)
    assert sample is not None
    # One is in calls for a quarter of its time, with two slots; two is all CPU; three is gone, four came.
    assert sample == Sample(20.0, 3, pytest.approx((0.25 + 0.9) / 2), 0.01, 25.0)
    assert Sample.between(20.0, 2.0, before, {4: Work(cpu=7.0)}) is None
    assert Sample.between(20.0, 0.0, before, after) is None
    again = Sample.between(20.0, 1.0, after, before)  # a counter that went back says nothing
    assert again is not None
    assert (again.busy, again.wait, again.done) == (0.0, 0.0, 0.0)


# ---- where a command says how many


@pytest.mark.parametrize(
    ("asked", "wanted", "room", "count", "held"),
    [
        (3, 2, None, 3, ""),
        (2, 2, None, None, ""),
        (1, 4, None, 2, ""),
        (0, 4, None, 2, ""),
        (9, 4, None, 8, "9 are asked for, and 8 is the most that there may be"),
        (9, 8, None, None, "9 are asked for, and 8 is the most that there may be"),
        (8, 4, 120, 6, "one more takes 50 MB, and 120 MB are left"),
        (8, 4, 20, None, "one more takes 50 MB, and 20 MB are left"),
        (8, 4, -5, None, "one more takes 50 MB, and 0 MB are left"),
        (2, 4, 0, 2, ""),  # fewer need no memory
    ],
)
def test_a_command_is_obeyed_at_once_within_bounds_and_memory(
    asked: int, wanted: int, room: int | None, count: int | None, held: str
) -> None:
    scaler = Scaler(Bounds(2, 8))
    decision = scaler.obey(1.0, asked, wanted, None if room is None else room * 1_000_000, 50_000_000)
    assert (decision and decision.wanted) == count
    assert decision is None or decision.reason == f"the command asks for {asked}"
    assert scaler.held == held
    assert list(scaler.told) == ([] if decision is None else [decision])


@pytest.mark.parametrize(
    ("printed", "number"),
    [
        ("3\n", 3),
        ("  12 ", 12),
        ("a warning\n0\n\n", 0),
        ("", None),
        ("3 jobs", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("1" * 12, None),
    ],
)
def test_the_last_line_is_the_number(printed: str, number: int | None) -> None:
    command = ScaleCommand("count them")
    if number is not None:
        assert command.number(printed) == number
        return
    with pytest.raises(ValueError, match=r"count them: .* is no number of processes"):
        command.number(printed)
