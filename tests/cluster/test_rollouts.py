# Rollouts over simulated fleets: many nodes, many seeds, random faults.
#
# Thousands of seeds: python -m tests.fuzz.rollouts.

from __future__ import annotations

from collections import Counter

import pytest

from bigtop.cluster.policy.deployment import Deployment, Phase
from bigtop.cluster.policy.rollout import Machine
from bigtop.cluster.policy.strategy import Strategy, strategy, waves
from bigtop.errors import CommandError, ConfigError
from bigtop.record import replace
from tests.support.fleet import BRISK, Fleet, bad_at, good, live_through


def test_a_good_revision_reaches_ten_thousand_nodes() -> None:
    fleet = Fleet(10_000, 1, good)
    fleet.begin(1, Strategy(max_parallel=2500, min_healthy_time=5, healthy_deadline=60))
    assert fleet.run() is Phase.DONE
    assert fleet.machine.deployment.stable == 1
    assert all(node.revision == 1 and node.applications == 1 for node in fleet.nodes.values())


@pytest.mark.parametrize("how", ["refuses", "errors", "slow"])
def test_a_bad_revision_reaches_the_canary_alone(how: str) -> None:
    fleet = Fleet(1000, 2, bad_at(2, how))
    fleet.begin(1, Strategy(max_parallel=250, min_healthy_time=10, healthy_deadline=60))
    assert fleet.run() is Phase.DONE
    fleet.begin(2)
    assert fleet.run() is Phase.REVERTED
    rollout = fleet.machine.deployment.rollout
    assert rollout is not None
    assert list(rollout.outcomes) == list(rollout.waves[0])
    assert rollout.waves[0][0] in rollout.reason
    had = [name for name, node in fleet.nodes.items() if 2 in node.ever]
    assert had == ([] if how == "refuses" else list(rollout.waves[0]))
    assert all(node.revision == 1 for node in fleet.nodes.values())


@pytest.mark.parametrize("seed", range(60))
def test_random_faults_break_no_invariant_and_all_converge(seed: int) -> None:
    live_through(seed, (3, 10, 30, 60))


def test_a_node_that_slept_through_a_failed_rollout_never_sees_the_revision() -> None:
    fleet = Fleet(30, 3, bad_at(2, "errors"))
    way = replace(BRISK, max_unavailable="2")  # else one that is away holds up all others of its rack
    fleet.begin(1, way)
    fleet.run()
    sleeper = fleet.nodes["n00007"]
    sleeper.away_until = fleet.now + 10_000
    fleet.tick()
    fleet.begin(2, way)
    assert fleet.run() is Phase.REVERTED
    fleet.begin(3, way)
    assert fleet.run() is Phase.DONE
    assert sleeper.revision == 1
    fleet.settle()
    assert sleeper.revision == 3
    assert sleeper.ever == {0, 1, 3}


def test_pause_holds_promote_goes_on_and_abort_goes_back() -> None:
    fleet = Fleet(20, 4, good)
    fleet.begin(1, Strategy(auto_promote=False, min_healthy_time=10, healthy_deadline=60))
    machine = fleet.machine
    for _ in range(20):
        fleet.tick()
    assert machine.deployment.rollout is not None
    assert machine.deployment.rollout.phase is Phase.WAITING
    assert sum(node.revision == 1 for node in fleet.nodes.values()) == 1
    with pytest.raises(CommandError, match="rollout 1 is waiting"):
        fleet.begin(2)
    with pytest.raises(CommandError, match="is waiting, not running"):
        machine.pause()
    machine.promote(fleet.now)
    fleet.tick()
    machine.pause()
    held = dict(machine.deployment.assigned)
    for _ in range(500):
        fleet.tick()
    assert machine.deployment.assigned == held
    machine.resume(fleet.now)
    fleet.tick()
    machine.abort("by somebody")
    assert fleet.run() is Phase.REVERTED
    assert all(node.revision == 0 for node in fleet.nodes.values())
    assert machine.deployment.rollout.reason == "by somebody"


def test_a_rollback_is_a_newer_assignment_of_an_older_revision() -> None:
    fleet = Fleet(25, 5, good)
    with pytest.raises(CommandError, match="nothing to go back to"):
        fleet.machine.rollback(fleet.members, fleet.now)
    for revision in (1, 2):
        fleet.begin(revision)
        assert fleet.run() is Phase.DONE
    highest = fleet.machine.deployment.serial
    fleet.machine.rollback(fleet.members, fleet.now)
    assert fleet.run() is Phase.DONE
    assert all(node.revision == 1 and node.number > highest for node in fleet.nodes.values())
    assert (fleet.machine.deployment.stable, fleet.machine.deployment.previous) == (1, 2)


def test_a_failure_stays_as_it_is_where_nobody_wants_it_undone() -> None:
    fleet = Fleet(10, 6, bad_at(1, "errors"))
    fleet.begin(1, Strategy(auto_revert=False, min_healthy_time=10, healthy_deadline=60))
    for _ in range(50):
        fleet.tick()
    assert fleet.machine.deployment.rollout is not None
    assert fleet.machine.deployment.rollout.phase is Phase.STOPPED
    assert sum(node.revision == 1 for node in fleet.nodes.values()) == 1
    fleet.machine.abort("seen enough")
    assert fleet.run() is Phase.REVERTED


def test_a_rollout_that_cannot_go_on_fails_and_says_of_what_there_is_too_little() -> None:
    fleet = Fleet(14, 7, good)
    fleet.begin(1, Strategy(min_healthy_time=10, healthy_deadline=60, progress_deadline=300))
    while fleet.nodes["n00001"].revision != 1:
        fleet.tick()
    fleet.nodes["n00001"].away_until = fleet.now + 10_000  # half of rack1, before the other half has its turn
    assert fleet.run() is Phase.REVERTED
    assert fleet.machine.deployment.rollout is not None
    assert fleet.machine.deployment.rollout.reason.endswith("too many nodes are away of: rack1")


def test_nodes_without_a_canary_get_nothing() -> None:
    fleet = Fleet(5, 8, good)
    fleet.begin(1)
    rollout = fleet.machine.deployment.rollout
    assert rollout is not None
    fleet.nodes[rollout.waves[0][0]].cordoned = True
    fleet.tick()
    rollout = fleet.machine.deployment.rollout
    assert rollout is not None
    assert rollout.reason == "no canary was there to show how the revision does"
    assert fleet.run() is Phase.REVERTED
    assert not any(node.number for node in fleet.nodes.values())


def test_no_node_no_rollout() -> None:
    machine = Machine(Deployment("web"), 0.0)
    with pytest.raises(CommandError, match="web: no node is there to take revision 1"):
        machine.begin(1, BRISK, {}, 0.0)
    for call in (machine.pause, lambda: machine.promote(0.0), lambda: machine.abort("x")):
        with pytest.raises(CommandError, match="there is no rollout"):
            call()


def test_waves_grow_and_tags_take_turns() -> None:
    found = waves({f"n{n:03}": (f"rack{n % 3}",) for n in range(200)}, 1)
    assert [len(wave) for wave in found] == [1, 2, 20, 50, 50, 50, 27]
    assert sorted(Counter(int(node[1:]) % 3 for node in found[2]).values()) == [6, 7, 7]
    assert len({node for wave in found for node in wave}) == 200
    alone = waves({f"n{n:05}": ("big",) if n < 5000 else (f"own{n}",) for n in range(10_000)}, 1)
    assert sum(map(len, alone)) == 10_000
    assert waves({}, 1) == ()
    assert waves({"a": ()}, 3) == (("a",),)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"canery": 1}, "canery: there is no such word; known are canary"),
        ({"canary": 0}, "canary: must be at least 1"),
        ({"canary": "1"}, "canary: must be such as 1, got '1'"),
        ({"auto_revert": 1}, "auto_revert: must be such as True"),
        ({"max_parallel": True}, "max_parallel: must be such as 10"),
        ({"max_unavailable": "a%"}, "max_unavailable: must be a number or a share"),
        ({"max_unavailable": 0}, "max_unavailable: must be a number or a share"),
        ({"min_healthy_time": 400}, "min_healthy_time must be less than healthy_deadline"),
    ],
)
def test_a_wrong_strategy_is_refused(said: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        strategy(said)


def test_shares_and_numbers_of_unavailable_nodes() -> None:
    assert strategy({"max_unavailable": 3}).unavailable(1) == 3
    assert strategy({"max_unavailable": "25%"}).unavailable(3) == 1
    assert strategy({"max_unavailable": "25%"}).unavailable(100) == 25
