# Time limits: which path has which, and which step is due how long after.

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.paths.time_limits import SECOND, SEEN, TimeLimits, TimeoutAction, TimeoutPolicy, policy_of

INTERRUPT, RETIRE, KILL = TimeoutAction
USUAL = TimeoutPolicy()


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("interrupt,retire,kill", [(INTERRUPT, 0), (RETIRE, 5), (KILL, None)]),
        ("interrupt, retire=2.5 ,kill=30", [(INTERRUPT, 0), (RETIRE, 2.5), (KILL, 30)]),
        ("interrupt", [(INTERRUPT, 0)]),
        ("retire", [(RETIRE, 0)]),
        ("kill", [(KILL, 0)]),
        ("interrupt,kill", [(INTERRUPT, 0), (KILL, 5)]),
        ("retire,kill", [(RETIRE, 0), (KILL, None)]),
        ("retire,kill=0", [(RETIRE, 0), (KILL, 0)]),
    ],
)
def test_a_policy_is_written_as_a_list(text, steps):
    assert list(policy_of(text).steps) == steps


def test_the_usual_policy():
    assert policy_of("interrupt,retire,kill") == USUAL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "some of interrupt, retire and kill"),
        ("stop", "got 'stop'"),
        ("interrupt,,kill", "got ''"),
        ("kill,interrupt", "interrupt must come before kill"),
        ("retire,retire", "retire must come before retire, and once"),
        ("interrupt=5,kill", "the first step, which comes at the limit"),
        ("retire,kill=-1", "kill=-1: must be a number of seconds"),
        ("retire,kill=", "kill=: must be a number of seconds"),
        ("retire,kill=inf", "must be a number of seconds"),
        ("retire,kill=nan", "must be a number of seconds"),
    ],
)
def test_what_is_no_policy(text, said):
    with pytest.raises(ValueError, match=said):
        policy_of(text)


@pytest.mark.parametrize(
    ("over", "due"),
    [
        (0.001, None),
        (SEEN - 0.001, None),
        (SEEN, INTERRUPT),
        (SEEN + 4.999, INTERRUPT),
        (SEEN + 5, RETIRE),
        (1e9, RETIRE),  # which has an end by itself
    ],
)
def test_the_usual_steps(over, due):
    assert USUAL.due(over, interruptible=True) is due


def test_a_worker_that_cannot_interrupt_retires_at_once():
    assert USUAL.due(0.001, interruptible=False) is RETIRE
    assert policy_of("interrupt,kill").due(SEEN, interruptible=False) is KILL
    assert policy_of("interrupt,kill").due(SEEN - 0.1, interruptible=False) is None
    assert policy_of("interrupt").due(1e9, interruptible=False) is None


def test_a_worker_is_killed_when_its_stacks_were_seen():
    assert policy_of("kill").due(SEEN - 0.1, interruptible=True) is None
    assert policy_of("kill").due(SEEN, interruptible=True) is KILL


def test_all_three_with_times():
    policy = policy_of("interrupt,retire=2,kill=3")
    times = [SEEN - 0.1, SEEN + 0.1, SEEN + 2.1, SEEN + 4.9, SEEN + 5.1]
    assert [policy.due(over, interruptible=True) for over in times] == [None, INTERRUPT, RETIRE, RETIRE, KILL]


ORDER = [None, *TimeoutAction]
POLICIES = [
    policy_of(",".join(action.value for action in chosen))
    for length in (1, 2, 3)
    for chosen in combinations(TimeoutAction, length)
]


@pytest.mark.parametrize("interruptible", [True, False])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: "-".join(a.value for a, _ in policy.steps))
def test_steps_only_get_harder_and_are_those_that_were_chosen(policy, interruptible):
    seen = [policy.due(over / 10, interruptible=interruptible) for over in range(400)]
    assert all(ORDER.index(before) <= ORDER.index(after) for before, after in pairwise(seen))
    chosen = {action for action, pause in policy.steps if pause is not None}
    assert set(seen) - {None} == chosen - (set() if interruptible else {INTERRUPT})


class TestLimits:
    LIMITS = TimeLimits(30, [("/reports/quick", 2.5), ("/reports/*", 300), ("/events/*", 0)])

    @pytest.mark.parametrize(
        ("target", "seconds"),
        [
            (b"/", 30),
            (b"/reports", 30),
            (b"/reports/year", 300),
            (b"/reports/year?path=/events/x", 300),
            (b"/reports/quick", 2.5),
            (b"/reports/quick?x", 2.5),
            (b"/events/1", 0),
            (b"*", 30),
            # As an application is shown it:
            (b"/%72eports/year", 300),
            (b"/reports%2fquick?x", 2.5),
            (b"http://host/reports/year", 300),
            (b"http://host/%72eports/quick?/events/x", 2.5),
            (b"http://host", 30),
            (b"http://host?/events/1", 30),
        ],
    )
    def test_the_first_pattern_counts(self, target, seconds):
        assert self.LIMITS.of(target) == seconds * SECOND

    def test_a_pattern_may_be_encoded_or_not(self):
        for pattern in ("/caf\u00e9/*", "/caf%C3%A9/*"):
            assert TimeLimits(30, [(pattern, 1)]).of(b"/caf%C3%A9/x") == SECOND

    @pytest.mark.parametrize(
        ("default", "patterns", "any_limit"),
        [
            (30, [], True),
            (0, [("/a", 1)], True),
            (0, [("/a", 0)], False),
            (0, [], False),
            (30, [("*", 0)], True),
        ],
    )
    def test_whether_any_request_has_one(self, default, patterns, any_limit):
        assert bool(TimeLimits(default, patterns)) is any_limit

    @given(st.binary(max_size=30))
    def test_any_target_has_an_answer(self, target):
        assert self.LIMITS.of(target) in {0, *(int(s * SECOND) for s in (2.5, 30, 300))}
