# The trial of a new generation, step by step, with numbers for time.

from __future__ import annotations

import pytest

from bigtop.errors import ConfigError
from bigtop.record import replace
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy, HealthCheck, Step
from bigtop.supervisor.policy.messages import (
    Action,
    Admit,
    Discard,
    Drain,
    Exited,
    ExitStatus,
    GenerationFailed,
    GenerationReady,
    Late,
    Leave,
    Lost,
    Passed,
    Prepare,
    Ready,
    Rejected,
    Reload,
    Reloaded,
    ReloadFailed,
    Report,
    Retiring,
    Rollback,
    Scale,
    Spawn,
    SpawnFailed,
    Stop,
    Stopped,
    Tick,
    Update,
    Verified,
    Verify,
)
from tests.supervisor.test_machine import Play, running

OK = ExitStatus(code=0)
HEALTH, COMMAND, TRAFFIC = Step
CHECK = HealthCheck("GET /", "GET", "/", ((200, 299),), 1.0)
POLICY = DeployPolicy((CHECK,), command="true")


def on_trial(count: int = 2) -> Play:
    """A watcher whose canary, process `count` + 1, has its first step before it."""
    play = running(count, deploy=POLICY)
    assert play.tell(Reload()) == [Prepare(2)]
    key = count + 1
    assert play.tell(GenerationReady(2)) == [Spawn(key, key, 2, held=True)]
    assert play.tell(Ready(key)) == [Verify(key, 2, HEALTH)]
    return play


def test_the_first_start_is_no_trial():
    play = Play(deploy=POLICY)
    play.tell(Reload())
    assert play.tell(GenerationReady(1)) == [Spawn(1, 1, 1), Spawn(2, 2, 1)]


def test_step_by_step_and_clients_come_after_the_last():
    play = on_trial()
    assert play.tell(Verified(3, HEALTH, "200")) == [Passed(2, HEALTH, "200"), Verify(3, 2, COMMAND)]
    assert play.tell(Verified(3, COMMAND)) == [
        Passed(2, COMMAND, ""),
        Admit(3),
        Drain(1, 30.0),
        Spawn(4, 4, 2),
    ]
    assert play.tell(Ready(4)) == [Drain(2, 30.0), Discard(1), Reloaded(2)]


@pytest.mark.parametrize("step", [HEALTH, COMMAND])
def test_who_fails_a_step_goes_and_the_old_ones_stay(step):
    play = on_trial()
    if step is COMMAND:
        play.tell(Verified(3, HEALTH))
    assert play.tell(Rejected(3, step, "500")) == [Discard(2), ReloadFailed(2, 1, "500"), Drain(3, 30.0)]
    assert play.tell(Exited(3, OK)) == []
    assert play.states() == {1: "ready", 2: "ready"}
    assert play.watcher.settled


def test_what_was_not_asked_says_nothing():
    play = on_trial()
    for verdict in (
        Verified(3, COMMAND),
        Rejected(3, COMMAND, "x"),
        Verified(1, HEALTH),
        Rejected(9, HEALTH, "x"),
    ):
        assert play.tell(verdict) == []
    play.tell(Verified(3, HEALTH))
    assert play.tell(Rejected(3, HEALTH, "too late")) == []


def test_a_newer_reload_ends_the_trial_of_the_older():
    play = on_trial()
    assert play.tell(Reload()) == [Discard(2), Drain(3, 30.0), Prepare(3)]
    assert play.tell(Verified(3, HEALTH)) == []
    assert play.tell(GenerationReady(3)) == [Spawn(4, 4, 3, held=True)]
    assert play.tell(Exited(3, OK)) == []
    assert play.tell(Ready(4)) == [Verify(4, 3, HEALTH)]


def test_a_canary_that_was_sent_away_is_followed_by_one_that_begins_anew():
    play = on_trial()
    play.tell(Verified(3, HEALTH))
    assert play.tell(Leave(3)) == [Drain(3, 30.0), Spawn(4, 4, 2, held=True)]
    assert play.tell(Ready(4)) == [Verify(4, 2, HEALTH)]
    assert play.tell(Verified(3, COMMAND)) == []


def test_the_death_of_a_canary_is_the_end_of_the_trial():
    play = on_trial()
    _died, *rest = play.tell(Exited(3, ExitStatus(code=1)))
    assert rest == [Discard(2), ReloadFailed(2, 1, "process 3 ended: exit status 1")]


def test_a_canary_that_is_stuck_fails():
    play = on_trial()
    assert play.tell(Late(3, "/ for 31 s")) == [
        Report(3, "/ for 31 s"),
        Discard(2),
        ReloadFailed(2, 1, "its canary is stuck: / for 31 s"),
        Drain(3, 30.0),
    ]


def test_old_ones_that_die_meanwhile_are_followed_by_old_ones():
    play = on_trial()
    play.tell(Exited(1, ExitStatus(code=1)))
    assert {play.watcher.processes[key].generation for key in play.watcher.processes if key > 3} == {1}


def test_a_held_one_does_not_count_when_old_ones_are_missing():
    """The rejected canary leaves at once, although there are too few that serve."""
    play = on_trial()
    play.tell(Exited(1, ExitStatus(code=1)))  # 4 boots in its place
    assert Drain(3, 30.0) in play.tell(Rejected(3, HEALTH, "500"))


def test_without_processes_nothing_is_to_be_shown_and_nobody_is_let_in():
    play = on_trial()
    actions = play.tell(Scale(0))
    assert Admit(3) not in actions
    assert Drain(3, 30.0) in actions
    assert Reloaded(2) in actions


def test_steps_that_are_not_wanted_any_more_are_not_waited_for():
    play = on_trial()
    play.tell(Verified(3, HEALTH))
    spec = play.watcher.spec
    play.tell(Update(Play(deploy=DeployPolicy((CHECK,))).watcher.spec))
    assert play.tell(Verified(3, COMMAND)) == [
        Passed(2, COMMAND, ""),
        Admit(3),
        Drain(1, 30.0),
        Spawn(4, 4, 2),
    ]
    assert spec.deploy.steps == (HEALTH, COMMAND)


def test_clients_come_to_a_canary_for_its_canary_time():
    play = running(2, deploy=DeployPolicy((CHECK,), canary_time=5.0))
    play.tell(Reload())
    assert play.tell(GenerationReady(2)) == [Spawn(3, 3, 2, held=True)]
    play.tell(Ready(3))
    assert play.tell(Verified(3, HEALTH)) == [Passed(2, HEALTH, ""), Admit(3), Verify(3, 2, TRAFFIC)]
    assert play.tell(Rejected(3, TRAFFIC, "50% 5xx")) == [
        Discard(2),
        ReloadFailed(2, 1, "50% 5xx"),
        Drain(3, 30.0),
    ]


def test_without_checks_clients_come_at_once():
    play = running(2, deploy=DeployPolicy(canary_time=5.0))
    play.tell(Reload())
    assert play.tell(GenerationReady(2)) == [Spawn(3, 3, 2, held=True)]
    assert play.tell(Ready(3)) == [Admit(3), Verify(3, 2, TRAFFIC)]
    assert play.tell(Verified(3, TRAFFIC)) == [Passed(2, TRAFFIC, ""), Drain(1, 30.0), Spawn(4, 4, 2)]


def test_a_newer_reload_sends_a_canary_away_that_has_clients():
    """And none of the old ones in its place."""
    play = running(2, deploy=DeployPolicy(canary_time=5.0))
    play.tell(Reload())
    play.tell(GenerationReady(2))
    play.tell(Ready(3))
    assert play.tell(Reload()) == [Discard(2), Drain(3, 30.0), Prepare(3)]


def test_a_stop_ends_a_trial():
    play = on_trial()
    assert set(play.tell(Stop())) >= {Drain(1, 30.0), Drain(2, 30.0), Drain(3, 30.0)}
    for key in (1, 2, 3):
        actions = play.tell(Exited(key, OK))
    assert actions == [Discard(1), Discard(2), Stopped()]
    assert play.tell(Verified(3, HEALTH)) == []


def test_nothing_is_due_while_a_step_takes_its_time():
    play = on_trial()
    assert play.watcher.wake_at() is None
    assert not play.watcher.settled
    assert play.tell(Tick(), at=1000) == []


# ---- going back


def reloaded(keep: int = 1, count: int = 1) -> Play:
    """One process, of generation `count` + 1, with the ones before that kept."""
    play = running(1, deploy=DeployPolicy(keep_generations=keep))
    for number in range(2, count + 2):
        play.tell(Reload())
        play.tell(GenerationReady(number))
        play.tell(Ready(number))
        play.tell(Exited(number - 1, OK))
    return play


def test_what_was_replaced_is_kept_and_gone_back_to_without_a_trial():
    play = reloaded()
    assert [one.number for one in play.watcher.generations.aside] == [1]
    assert play.tell(Rollback()) == [Spawn(3, 1, 1)]
    assert play.watcher.generation == 1
    assert not play.watcher.settled
    assert play.tell(Ready(3)) == [Drain(2, 30.0), Reloaded(1)]
    play.tell(Exited(2, OK))
    assert play.watcher.settled
    assert play.tell(Rollback()) == [Spawn(4, 2, 2)]  # there and back again


def test_no_more_are_kept_than_are_wanted():
    play = reloaded(keep=2, count=4)
    assert [one.number for one in play.watcher.generations.aside] == [3, 4]
    spec = play.watcher.spec
    assert play.tell(Update(replace(spec, deploy=DeployPolicy(keep_generations=1)))) == [Discard(3)]
    assert play.tell(Update(replace(spec, deploy=DeployPolicy()))) == [Discard(4)]
    assert play.tell(Rollback()) == []


def test_a_kept_one_whose_fork_server_is_gone_is_kept_no_more():
    play = reloaded()
    assert play.tell(GenerationFailed(1, "it was killed")) == [
        Discard(1),
        Lost(1, "it was killed", kept=True),
    ]
    assert play.tell(Rollback()) == []
    assert play.watcher.settled


def test_one_whose_fork_server_is_gone_when_it_is_replaced_is_not_kept():
    play = running(1, deploy=DeployPolicy(keep_generations=1))
    play.tell(Reload())
    play.tell(GenerationReady(2))
    play.tell(GenerationFailed(1, "it was killed"))
    assert play.tell(Ready(2)) == [Drain(1, 30.0), Discard(1), Reloaded(2)]
    assert play.watcher.generations.aside == []
    assert play.tell(Rollback()) == []


def test_a_reload_that_is_under_way_is_rolled_back():
    play = on_trial()
    assert play.tell(Rollback()) == [Discard(2), ReloadFailed(2, 1, "it was rolled back"), Drain(3, 30.0)]


def test_a_reload_that_is_half_done_is_rolled_back():
    play = running(2)
    play.tell(Reload())
    play.tell(GenerationReady(2))
    play.tell(Ready(3))  # 1 leaves, 4 boots
    actions = play.tell(Rollback())
    assert actions[:2] == [Discard(2), ReloadFailed(2, 1, "it was rolled back")]
    assert {action.generation for action in actions if isinstance(action, Spawn)} == {1}


def test_a_stop_lets_go_of_what_is_kept():
    play = reloaded(keep=2, count=2)
    play.tell(Stop())
    assert play.tell(Exited(3, OK)) == [Discard(1), Discard(2), Discard(3), Stopped()]


# ---- how the old ones are replaced


def rolling(**policy: int) -> Play:
    """Four processes, the canary of the next generation (5) booting."""
    play = running(4, deploy=DeployPolicy(**policy))
    play.tell(Reload())
    assert play.tell(GenerationReady(2)) == [Spawn(5, 5, 2)]
    return play


def born(actions: list[Action]) -> list[int]:
    return [action.key for action in actions if isinstance(action, Spawn)]


def gone(actions: list[Action]) -> list[int]:
    return [action.key for action in actions if isinstance(action, Drain)]


def test_a_larger_surge_replaces_several_at_a_time():
    play = rolling(max_surge=3)
    actions = play.tell(Ready(5))
    assert (gone(actions), born(actions)) == ([1], [6, 7, 8])
    assert gone(play.tell(Ready(6))) == [2]
    assert gone(play.tell(Ready(7))) == [3]
    assert gone(play.tell(Ready(8))) == [4]
    assert play.watcher.generation == 2


def test_some_may_be_missing_meanwhile():
    play = rolling(max_unavailable=2)
    actions = play.tell(Ready(5))
    assert gone(actions) == [1, 2, 3]
    assert len(born(actions)) == 3
    ready = [proc for proc in play.watcher.processes.values() if proc.serves]
    assert len(ready) == 2


def test_without_a_surge_the_old_one_is_gone_before_the_new_one_comes():
    """But for the canary, which comes first."""
    play = rolling(max_surge=0, max_unavailable=1)
    actions = play.tell(Ready(5))
    assert (gone(actions), born(actions)) == ([1, 2], [])
    assert born(play.tell(Exited(1, OK))) == []  # the canary is in its place
    assert born(play.tell(Exited(2, OK))) == [6]


def test_neither_is_refused():
    with pytest.raises(ConfigError, match="max_surge and max_unavailable are both 0"):
        DeployPolicy(max_surge=0)
    assert DeployPolicy(max_surge=0, max_unavailable=1)


def test_outside_of_a_reload_there_is_one_more_at_most():
    play = running(4, deploy=DeployPolicy(max_surge=3, max_unavailable=2))
    assert born(play.tell(Retiring(1, "1000 requests"))) == [5]
    assert born(play.tell(Retiring(2, "1000 requests"))) == []


# ---- one gone before the next one comes


def sequential(count: int = 2) -> Play:
    """Process `count` + 1 is new, ready, and has its first step before it."""
    play = running(count, deploy=POLICY)
    play.tell(Reload(sequential=True))
    assert play.tell(GenerationReady(2)) == [Drain(1, 30.0)]
    assert play.tell(Exited(1, OK)) == [Spawn(count + 1, 1, 2)]
    assert play.tell(Ready(count + 1)) == [Verify(count + 1, 2, HEALTH)]
    return play


def test_the_others_wait_until_the_first_new_one_has_passed():
    play = sequential()
    assert play.tell(Verified(3, HEALTH)) == [Passed(2, HEALTH, ""), Verify(3, 2, COMMAND)]
    assert play.tell(Verified(3, COMMAND)) == [Passed(2, COMMAND, ""), Drain(2, 30.0)]
    assert play.tell(Exited(2, OK)) == [Spawn(4, 2, 2)]
    assert play.tell(Ready(4)) == [Discard(1), Reloaded(2)]


@pytest.mark.parametrize("how", ["rejected", "dies", "late"])
def test_the_way_back_is_one_for_one_as_well(how):
    play = sequential()
    if how == "rejected":
        actions = play.tell(Rejected(3, HEALTH, "500"))
        assert actions == [Discard(2), ReloadFailed(2, 1, "500"), Drain(3, 30.0)]
        actions = play.tell(Exited(3, OK))
    elif how == "late":
        play.tell(Late(3, "/"))
        actions = play.tell(Exited(3, OK))
    else:
        actions = play.tell(Exited(3, ExitStatus(code=1)))
        assert ReloadFailed(2, 1, "process 1 ended: exit status 1") in actions
    assert Spawn(4, 1, 1) in actions
    play.tell(Ready(4))
    assert play.states() == {2: "ready", 4: "ready"}
    assert play.watcher.settled


def test_a_singleton_goes_back_to_what_it_was():
    play = running(1, deploy=POLICY, singleton=True)
    play.tell(Reload())
    assert play.tell(GenerationReady(2)) == [Drain(1, 30.0)]
    assert play.tell(Exited(1, OK)) == [Spawn(2, 1, 2)]
    assert play.tell(Ready(2)) == [Verify(2, 2, HEALTH)]
    assert play.tell(Rejected(2, HEALTH, "x")) == [Discard(2), ReloadFailed(2, 1, "x"), Drain(2, 30.0)]
    assert play.tell(Exited(2, OK)) == [Spawn(3, 1, 1)]


def test_without_steps_a_sequential_reload_is_no_trial():
    play = running(1)
    play.tell(Reload(sequential=True))
    play.tell(GenerationReady(2))
    play.tell(Exited(1, OK))
    assert not any(isinstance(one, ReloadFailed) for one in play.tell(Exited(2, ExitStatus(code=1))))


def test_an_old_one_stays_when_the_first_new_one_cannot_be_started():
    """Nobody leaves for a successor while another one is missing."""
    play = running(2)
    play.tell(Reload(sequential=True))
    assert play.tell(GenerationReady(2)) == [Drain(1, 30.0)]
    assert play.tell(Exited(1, OK)) == [Spawn(3, 1, 2)]
    for key in (3, 4):
        actions = play.tell(SpawnFailed(key, "no such program"))
        assert not [one for one in actions if isinstance(one, Drain)]
    assert play.states()[2] == "ready"
    play.tick()
    assert play.tell(Ready(5)) == [Drain(2, 30.0)]
