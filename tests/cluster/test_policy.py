# Failure detector, fence of a node, and health by comparison.

from __future__ import annotations

import json
import random

import pytest

from bigtop.cluster.policy.detector import Beat, Detector
from bigtop.cluster.policy.fence import Fence, StaleError, Word
from bigtop.cluster.policy.health import pooled, problem
from bigtop.cluster.policy.member import Figures, Liveness


def test_silence_makes_a_node_suspect_and_then_lost() -> None:
    detector = Detector()
    assert detector.heard(Beat("a", "x", 1), 100.0)
    seen = {at: detector.liveness("a", at) for at in (100.0, 114.9, 115.0, 159.9, 160.0, 9000.0)}
    assert [one.value for one in seen.values()] == ["alive", "alive", "suspect", "suspect", "lost", "lost"]
    assert detector.heard(Beat("a", "x", 2), 9000.0)
    assert detector.liveness("a", 9000.0) is Liveness.ALIVE


def test_a_new_leader_believes_nothing_before_it_hears_it() -> None:
    detector = Detector()
    detector.expect(["a", "b"], 50.0)
    assert detector.liveness("a", 50.0) is Liveness.SUSPECT
    detector.heard(Beat("a", "x", 7), 55.0)
    assert detector.liveness("a", 55.0) is Liveness.ALIVE
    assert detector.liveness("b", 95.0) is Liveness.LOST
    assert detector.liveness("stranger", 55.0) is Liveness.LOST


def test_a_goodbye_is_heard_at_once_and_old_beats_prove_nothing() -> None:
    detector = Detector()
    detector.heard(Beat("a", "x", 5), 10.0)
    detector.left("a", 11.0)
    assert detector.liveness("a", 11.0) is Liveness.SUSPECT
    assert not detector.heard(Beat("a", "x", 5), 12.0)
    assert not detector.heard(Beat("a", "x", 4), 12.0)
    assert detector.liveness("a", 12.0) is Liveness.SUSPECT
    assert detector.heard(Beat("a", "y", 1), 13.0)
    assert not detector.is_doubled("a")
    assert not detector.heard(Beat("a", "x", 6), 14.0)
    assert detector.is_doubled("a")
    detector.forget("a")
    assert detector.liveness("a", 14.0) is Liveness.LOST


@pytest.mark.parametrize("seed", range(50))
def test_a_detector_never_calls_a_node_lost_that_was_heard_within_the_time(seed: int) -> None:
    dice = random.Random(seed)
    detector, now, last = Detector(), 0.0, {}
    for _ in range(2000):
        now += dice.expovariate(1.0)
        node = f"n{dice.randrange(40)}"
        sequence = last.get(node, (0, 0.0))[0] + 1
        if dice.random() < 0.2:
            detector.heard(Beat(node, "x", dice.randrange(sequence)), now)  # late
        elif detector.heard(Beat(node, "x", sequence), now):
            last[node] = (sequence, now)
    for node, (_, at) in last.items():
        silent = now - at
        expected = "lost" if silent >= 60 else "suspect" if silent >= 15 else "alive"
        assert detector.liveness(node, now).value == expected


def test_a_fence_refuses_what_is_over_and_acts_once() -> None:
    fence = Fence()
    assert fence.assignment("web", 3, 1) is Word.NEW
    assert fence.assignment("web", 3, 1) is Word.REPEATED
    with pytest.raises(StaleError, match="assignment 2 of web is older than 3"):
        fence.assignment("web", 2, 1)
    assert fence.assignment("jobs", 1, 2) is Word.NEW
    with pytest.raises(StaleError, match="epoch 1 is over, this is 2"):
        fence.assignment("web", 9, 1)
    assert fence.number("web") == 3
    assert fence.command(5, 2) is Word.NEW
    assert fence.command(5, 2) is Word.REPEATED
    with pytest.raises(StaleError, match=r"command 2\.4 is older than 2\.5"):
        fence.command(4, 2)
    assert fence.command(1, 3) is Word.NEW
    again = Fence.of(json.loads(json.dumps(fence.plain())))
    assert again.plain() == fence.plain()
    with pytest.raises(StaleError):
        again.command(6, 2)


@pytest.mark.parametrize("seed", range(50))
def test_a_fence_only_grows(seed: int) -> None:
    dice = random.Random(seed)
    fence, acted = Fence(), []
    for _ in range(500):
        epoch, number = dice.randrange(1, 8), dice.randrange(1, 60)
        before = fence.plain() | {"numbers": dict(fence.plain()["numbers"])}
        try:
            if fence.assignment("web", number, epoch) is Word.NEW:
                acted.append((epoch, number))
        except StaleError:
            assert fence.number("web") == before["numbers"].get("web", 0)
        assert fence.epoch >= before["epoch"]
    assert acted == sorted(set(acted))
    assert [number for _, number in acted] == sorted({number for _, number in acted})


USUAL = Figures(1000, 5, 0.1)


@pytest.mark.parametrize(
    ("new", "before", "others", "says"),
    [
        (Figures(100, 1, 0.1), USUAL, USUAL, ""),
        (Figures(100, 20, 0.1), USUAL, USUAL, "20 of its 100 answers were 5xx, elsewhere 0.5%"),
        (Figures(100, 20, 0.1), USUAL, Figures(1000, 300, 0.1), ""),  # the database is down
        (Figures(100, 20, 0.1), Figures(100, 20, 0.1), USUAL, ""),  # so it was before
        (Figures(100, 20, 0.1), Figures(), Figures(), "20 of its 100 answers were 5xx, elsewhere 0.0%"),
        (Figures(19, 19, 9.0), USUAL, USUAL, ""),  # too few
        (Figures(100, 0, 0.5), USUAL, USUAL, "its p99 is 500 ms, elsewhere 100 ms"),
        (Figures(100, 0, 0.5), USUAL, Figures(1000, 5, 0.4), ""),
        (Figures(100, 0, 0.5), Figures(), Figures(), ""),  # nothing to compare with
        (Figures(0, 0, 0.0, respawns=2), USUAL, USUAL, "2 of its processes ended by themselves"),
    ],
)
def test_who_is_worse_than_before_and_than_others_is_unhealthy(
    new: Figures, before: Figures, others: Figures, says: str
) -> None:
    assert problem(new, before, others) == says


def test_unchanged_nodes_count_together() -> None:
    found = pooled([Figures(100, 1, 0.1), Figures(300, 3, 0.3), Figures(100, 0, 0.2), Figures(1, 0, 9.0)])
    assert (found.requests, found.errors, found.p99) == (501, 5, 0.2)
    assert pooled([]) == Figures()
    assert pooled([Figures(5, 1, 1.0), Figures(9, 0, 2.0)]) == Figures(14, 1), "too few to tell a time"


def test_one_node_that_says_anything_does_not_hide_what_is_bad() -> None:
    honest = [Figures(100, 1, 0.1)] * 9
    others = pooled([*honest, Figures(10**12, 10**12, 99.0)])
    assert problem(Figures(100, 20, 0.1), USUAL, others).startswith("20 of its 100 answers were 5xx")
    assert problem(Figures(100, 1, 0.5), USUAL, others).startswith("its p99 is")
