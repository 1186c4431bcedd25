# When a certificate is renewed, and how patient a keeper is with what fails, whatever happens to it.

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bigtop.keeper import schedule
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.acme.renewal_info import RenewalInfo
from bigtop.keeper.schedule import Tries
from tests.support.issued import DAY, NOW

CHANCE = st.floats(0, 1)


@pytest.mark.parametrize(("days", "due"), [(90, 60), (45, 30), (10, 20 / 3), (9.9, 4.95), (6, 3), (1, 0.5)])
def test_without_a_window_it_is_two_thirds_or_half_of_the_lifetime(days: float, due: float) -> None:
    assert schedule.renewal_time(NOW, NOW + days * DAY) - NOW == pytest.approx(due * DAY, rel=0, abs=1)


@given(st.floats(1, 400), st.floats(-10, 400), st.floats(0.1, 30), st.text())
def test_with_a_window_it_is_in_there_or_before_the_end(
    days: float, start: float, length: float, name: str
) -> None:
    end = NOW + days * DAY
    info = RenewalInfo(NOW + start * DAY, NOW + (start + length) * DAY, NOW)
    due = schedule.renewal_time(NOW, end, info, name)
    assert due <= NOW + 0.9 * days * DAY + 1 < end
    if info.end < NOW + 0.9 * days * DAY:
        assert info.start <= due <= info.end
    assert due == schedule.renewal_time(NOW, end, info, name)


def test_pauses_grow_from_a_minute_to_a_day() -> None:
    found = [schedule.pause(failures, 0) for failures in range(1, 12)]
    assert found[:3] == [60, 180, 540]
    assert found[-1] == DAY
    assert found == sorted(found)


@given(st.integers(1, 10**9), CHANCE)
def test_chance_only_makes_them_longer(failures: int, chance: float) -> None:
    least = schedule.pause(failures, 0)
    assert least <= schedule.pause(failures, chance) <= 1.25 * least


def after(tries: Tries, fault: Fault, issuers: list[bool], not_before: float = 0.0) -> Tries:
    return schedule.failed(schedule.begun(tries, NOW, 0), fault, "why", not_before, issuers)


def test_a_name_that_fails_is_rehearsed_until_that_succeeds() -> None:
    first = after(Tries(), Fault.NAME, [True, False])
    assert (first.rehearses, first.issuer, first.failures, first.error) == (True, 0, 1, "why")
    second = after(first, Fault.NAME, [True, False])
    assert (second.rehearses, second.failures) == (True, 2)
    again = schedule.rehearsed(schedule.begun(second, NOW, 0), NOW + 5)
    assert (again.rehearses, again.not_before, again.failures) == (False, NOW + 5, 3)
    assert not after(Tries(), Fault.NAME, [False]).rehearses


def test_a_ca_that_fails_is_left_for_the_next() -> None:
    first = after(Tries(), Fault.ISSUER, [True, False], NOW + 7 * DAY)
    assert (first.issuer, first.rehearses, first.not_before) == (1, False, NOW + 60)
    assert after(first, Fault.ISSUER, [True, False]).issuer == 0
    assert after(Tries(issuer=7), Fault.SETUP, [True, True]).issuer == 0
    alone = after(Tries(), Fault.ISSUER, [True], NOW + 7 * DAY)
    assert (alone.issuer, alone.not_before) == (0, NOW + 7 * DAY)
    staging_fails = after(Tries(rehearses=True), Fault.ISSUER, [True, False])
    assert (staging_fails.issuer, staging_fails.rehearses) == (0, False)


def test_behind_a_success_there_is_a_pause_whatever_the_ca_wants() -> None:
    assert schedule.succeeded(NOW, 90 * DAY) == Tries(not_before=NOW + 6 * 3600)
    assert schedule.next_try(schedule.succeeded(NOW, DAY), None, NOW) == NOW + 0.1 * DAY


def test_an_order_is_gone_on_with_at_once_but_not_for_ever() -> None:
    tries = schedule.begun(Tries(), NOW, 0)
    assert [schedule.next_try(tries, resumed, NOW) for resumed in (0, 1, 2, 3, None)] == [
        *(0, 0, 0),
        *(NOW + 60, NOW + 60),
    ]
    assert schedule.begun(tries, NOW, 0, 2).failures == 1
    assert schedule.begun(tries, NOW, 0, 3).failures == 2


def test_what_a_wrong_clock_wrote_is_not_waited_for() -> None:
    tries = schedule.begun(Tries(), NOW + 3650 * DAY, 0)
    assert schedule.next_try(tries, None, NOW) == 0
    assert schedule.next_try(schedule.begun(tries, NOW, 0), None, NOW) == NOW + 180


def test_kinds_take_turns() -> None:
    wanted = ("http-01", "tls-alpn-01")
    assert [schedule.kinds(wanted, failures)[0] for failures in range(3)] == [
        "http-01",
        "tls-alpn-01",
        "http-01",
    ]
    assert schedule.kinds(("dns-01",), 5) == ("dns-01",)


@given(
    st.builds(
        Tries,
        st.integers(0, 100),
        st.floats(0, 1e12),
        st.integers(0, 9),
        st.booleans(),
        st.booleans(),
        st.text(),
        st.floats(0, 1e12),
    )
)
def test_tries_are_kept_as_they_are(tries: Tries) -> None:
    assert Tries.decode(json.loads(json.dumps(tries.encode()))) == tries


@pytest.mark.parametrize("words", [{}, {"failures": -1}, {**Tries().encode(), "is_open": 1}])
def test_what_is_no_tries(words: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Tries.decode(words)


class Keeper(RuleBasedStateMachine):
    """A keeper that never succeeds, with whatever CAs, killed and started again at any time."""

    @initialize(issuers=st.lists(st.booleans(), min_size=1, max_size=3))
    def begins(self, issuers: list[bool]) -> None:
        self.issuers = issuers
        self.now = NOW
        self.kept = json.dumps(Tries().encode())  # what is on the disk
        self.resumed: int | None = None  # of the order on the disk
        self.orders: list[float] = []  # when new ones were ordered that count

    def tries(self) -> Tries:
        return Tries.decode(json.loads(self.kept))

    @rule(seconds=st.floats(0, 2 * DAY))
    def waits(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def waits_until_it_may(self) -> None:
        self.now = max(self.now, schedule.next_try(self.tries(), self.resumed, self.now))

    @rule(
        chance=CHANCE,
        end=st.sampled_from(["killed", "killed before", *Fault, "succeeds in rehearsing"]),
        wants=st.floats(0, 7 * DAY),
    )
    def tries_if_it_may(self, chance: float, end: str | Fault, wants: float) -> None:
        tries = self.tries()
        if self.now < schedule.next_try(tries, self.resumed, self.now):
            return
        goes_on = schedule.goes_on(tries, self.resumed)
        failures = tries.failures
        tries = schedule.begun(tries, self.now, chance, self.resumed)
        assert tries.failures == failures + (not goes_on)
        self.kept = json.dumps(tries.encode())
        if end == "killed before":
            return
        if self.resumed is not None:  # the order is gone on with, in this try or as one of its own
            self.resumed += 1
        else:
            self.resumed = 0
            if not tries.rehearses:
                self.orders.append(self.now)
        if isinstance(end, Fault):
            self.resumed = None
            tries = schedule.failed(tries, end, "why", self.now + wants, self.issuers)
        elif end == "succeeds in rehearsing" and tries.rehearses:
            self.resumed = None
            tries = schedule.rehearsed(tries, self.now)
        self.kept = json.dumps(tries.encode())

    @invariant()
    def no_loop_burns_limits(self) -> None:
        for since in self.orders:
            assert sum(since <= at < since + 3600 for at in self.orders) <= 5
            assert sum(since <= at < since + DAY for at in self.orders) <= 12

    @invariant()
    def it_never_waits_for_longer_than_was_said(self) -> None:
        assert self.tries().not_before <= self.now + 7 * DAY


TestKeeper = Keeper.TestCase
TestKeeper.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
