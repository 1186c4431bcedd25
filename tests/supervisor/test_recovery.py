# A fork server that dies although its generation works: what is on the disk is tried before it is trusted,
# step by step, with numbers for time.

from __future__ import annotations

import itertools

import pytest

from bigtop.supervisor.policy import snapshots
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy, Step
from bigtop.supervisor.policy.messages import (
    Action,
    Admit,
    BootFailed,
    Died,
    Discard,
    Drain,
    Exited,
    ExitStatus,
    GaveUp,
    GenerationFailed,
    GenerationReady,
    Leave,
    Lost,
    NotRecovered,
    Passed,
    Prepare,
    Ready,
    Recovered,
    Rejected,
    Reload,
    Reloaded,
    ReloadFailed,
    Retiring,
    Rollback,
    Scale,
    Short,
    Spawn,
    Start,
    Stop,
    Stopped,
    Tick,
    Unchecked,
    Verified,
    Verify,
)
from bigtop.supervisor.policy.spec import Lifetime, RestartPolicy
from bigtop.supervisor.policy.watcher import Status, Watcher
from tests.supervisor.test_machine import Play, running
from tests.supervisor.test_trial import CHECK, POLICY, reloaded

OK, BAD, KILLED = ExitStatus(code=0), ExitStatus(code=1), ExitStatus(signal=9)
HEALTH, COMMAND, TRAFFIC = Step


def bereft(count: int = 2, **changes: object) -> Play:
    """A watcher whose fork server died at 100, after a long life; generation 2 is imported."""
    play = running(count, **changes)
    assert play.tell(GenerationFailed(1, "killed"), at=100) == [Lost(1, "killed"), Prepare(2)]
    return play


def tried(count: int = 2, deploy: DeployPolicy = POLICY) -> Play:
    """The same, with the canary of generation 2, process `count` + 1, before its first step."""
    play = bereft(count, deploy=deploy)
    key = count + 1
    assert play.tell(GenerationReady(2)) == [Spawn(key, key, 2, held=True)]
    assert play.tell(Ready(key))[-1] == Verify(key, 2, deploy.steps[0])
    return play


def spawned(actions: list[Action]) -> list[int]:
    return [action.generation for action in actions if isinstance(action, Spawn)]


def drained(actions: list[Action]) -> list[int]:
    return [action.key for action in actions if isinstance(action, Drain)]


# ---- how it goes


def test_good_code_has_its_trial_and_takes_the_place_of_the_old_as_by_a_reload():
    play = tried()
    assert play.tell(Verified(3, HEALTH)) == [Passed(2, HEALTH, ""), Verify(3, 2, COMMAND)]
    actions = play.tell(Verified(3, COMMAND))
    assert actions == [Passed(2, COMMAND, ""), Admit(3), Drain(1, 30.0), Spawn(4, 4, 2)]
    assert play.tell(Ready(4)) == [Drain(2, 30.0), Recovered(2, 1), Discard(1)]
    for key in (1, 2):
        play.tell(Exited(key, OK))
    assert play.states() == {3: "ready", 4: "ready"}
    assert play.watcher.settled
    assert play.watcher.wake_at() is None


def test_without_steps_one_that_is_ready_is_enough():
    play = bereft()
    assert play.tell(GenerationReady(2)) == [Spawn(3, 3, 2)]
    assert play.tell(Ready(3)) == [Drain(1, 30.0), Spawn(4, 4, 2)]
    assert play.tell(Ready(4)) == [Drain(2, 30.0), Recovered(2, 1), Discard(1)]


def test_code_that_cannot_be_imported_is_tried_again_later_and_later():
    play = bereft()
    for number, wait in zip(range(2, 10), (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        began = play.now
        failed = [Discard(number), NotRecovered(number, 1, "syntax", wait)]
        assert play.tell(GenerationFailed(number, "syntax")) == failed
        assert play.states() == {1: "ready", 2: "ready"}
        assert play.watcher.settled
        assert play.tell(Tick(), at=began + wait - 0.01) == []
        assert play.tick() == [Prepare(number + 1)]
        assert play.now == began + wait


@pytest.mark.parametrize("step", [HEALTH, COMMAND])
def test_code_that_fails_a_step_has_no_client(step):
    play = tried()
    if step is COMMAND:
        play.tell(Verified(3, HEALTH))
    actions = play.tell(Rejected(3, step, "500"))
    assert actions == [Discard(2), NotRecovered(2, 1, "500", 1.0), Drain(3, 30.0)]
    play.tell(Exited(3, OK))
    assert play.states() == {1: "ready", 2: "ready"}
    assert play.tick() == [Prepare(3)]


def test_a_canary_that_dies_ends_the_attempt():
    play = tried()
    _died, *rest = play.tell(Exited(3, BAD))
    assert rest == [Discard(2), NotRecovered(2, 1, "process 3 ended: exit status 1", 1.0)]
    assert play.states() == {1: "ready", 2: "ready"}


def test_an_import_that_hangs_ends_the_attempt():
    play = bereft()
    assert play.watcher.wake_at() == 120
    assert play.tick() == [Discard(2), NotRecovered(2, 1, "not imported after 20 seconds", 1.0)]
    assert play.tick() == [Prepare(3)]
    assert play.tell(GenerationReady(2)) == []


def test_no_room_for_a_fork_server_is_no_failure_of_the_code():
    play = bereft()
    assert play.tell(GenerationFailed(2, "no memory", short=True)) == [Short("no memory")]
    assert play.watcher.wake_at() == 101
    assert play.tick() == [Prepare(2)]


def test_one_that_lives_long_is_followed_at_once_and_one_that_does_not_later():
    play = bereft(1)
    play.tell(GenerationReady(2), at=101)
    play.tell(Ready(2))
    play.tell(Exited(1, OK))
    actions = play.tell(GenerationFailed(2, "killed"), at=105)
    assert actions == [Lost(2, "killed")], "two in a row"
    assert play.watcher.wake_at() == 106
    assert play.tick() == [Prepare(3)]
    play.tell(GenerationReady(3))
    play.tell(Ready(3))
    play.tell(Exited(2, OK))
    assert play.tell(GenerationFailed(3, "killed"), at=200) == [Lost(3, "killed"), Prepare(4)]


# ---- meanwhile


def test_a_place_stays_empty_until_the_trial_is_over():
    play = tried()
    died = play.tell(Exited(1, BAD))
    assert died == [Died(1, 1, BAD, True, 1, 0.0)]
    assert died[0].is_stalled
    assert play.tell(Tick(), at=play.now + 5) == []
    play.tell(Verified(3, HEALTH))
    actions = play.tell(Verified(3, COMMAND))
    assert spawned(actions) == [2]
    assert drained(actions) == [], "none is to spare"


@pytest.mark.parametrize("when", ["in the trial", "between two"])
def test_who_retires_serves_on(when):
    play = tried()
    if when == "between two":
        play.tell(Rejected(3, HEALTH, "500"))
        play.tell(Exited(3, OK))
    assert play.tell(Retiring(1, "1000 requests")) == []
    assert play.states()[1] == "ready"
    if when == "between two":
        assert play.tick() == [Prepare(3)]
        assert spawned(play.tell(GenerationReady(3))) == [3]
        play.tell(Ready(4))
    key, number = (3, 2) if when == "in the trial" else (4, 3)
    play.tell(Verified(key, HEALTH))
    assert drained(play.tell(Verified(key, COMMAND))) == [1]
    assert play.watcher.generation == number


def test_one_that_is_too_old_serves_on():
    lifetime = Lifetime(max_age=150, max_age_variance=0.0)
    play = running(2, lifetime=lifetime)
    play.tell(GenerationFailed(1, "killed"), at=100)
    play.tell(GenerationFailed(2, "syntax"))
    while play.now < 400:
        prepared = [one.generation for one in play.tick() if isinstance(one, Prepare)]
        for number in prepared:
            play.tell(GenerationFailed(number, "syntax"))
    assert play.states() == {1: "ready", 2: "ready"}


def test_one_that_is_sent_away_leaves():
    play = tried()
    assert play.tell(Leave(1)) == [Drain(1, 30.0)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_another_number_meanwhile(count):
    play = tried()
    gone = drained(play.tell(Scale(count)))
    assert gone == {0: [3, 1, 2], 1: [1]}.get(count, [])
    for key in gone:
        play.tell(Exited(key, OK))
    if count:
        play.tell(Verified(3, HEALTH))
        play.tell(Verified(3, COMMAND))
    for _ in range(6):
        for key, state in play.states().items():
            if state == "draining":
                play.tell(Exited(key, OK))
            elif state == "starting":
                play.tell(Ready(key))
    assert len(play.states()) == count
    assert {proc.generation for proc in play.watcher.processes.values()} <= {2}
    assert play.watcher.settled


def test_more_are_wanted_between_two_attempts():
    play = bereft()
    play.tell(GenerationFailed(2, "syntax"))
    assert play.tell(Scale(3)) == []
    assert not play.watcher.settled, "there is one too few"


@pytest.mark.parametrize("urgency", ["trial", "between"])
def test_a_stop(urgency):
    play = tried()
    if urgency == "between":
        play.tell(Rejected(3, HEALTH, "500"))
        play.tell(Exited(3, OK))
    play.tell(Stop())
    actions: list[Action] = []
    for key in play.states():
        actions = play.tell(Exited(key, OK))
    assert actions == [Discard(1), *([Discard(2)] if urgency == "trial" else []), Stopped()]
    assert play.watcher.wake_at() is None
    assert play.tell(Start()) == [Prepare(3)]
    assert play.tell(GenerationFailed(3, "syntax"))[1] == GaveUp("syntax"), "as at any first start"


# ---- nobody is left


@pytest.mark.parametrize("moment", range(4))
def test_when_nobody_is_left_the_new_one_serves_as_at_the_first_start(moment):
    """Whatever the trial has come to."""
    play = bereft(1, deploy=DeployPolicy((CHECK,), command="true", canary_time=600.0))
    seen = []
    for number, event in enumerate(
        (GenerationReady(2), Ready(2), Verified(2, HEALTH), Verified(2, COMMAND)), start=-1
    ):
        if number == moment - 1 or (moment == 0 and number == -1):
            seen += play.tell(Exited(1, KILLED))
        seen += play.tell(event)
    assert Unchecked(2, 1) in seen
    assert Admit(2) in seen
    assert Recovered(2, 1) in seen
    assert play.states() == {2: "ready"}
    assert play.watcher.settled


def test_the_last_one_dies_within_the_canary_time():
    play = bereft(1, deploy=DeployPolicy(canary_time=600.0))
    play.tell(GenerationReady(2))
    assert play.tell(Ready(2)) == [Admit(2), Verify(2, 2, TRAFFIC)]
    died, *rest = play.tell(Exited(1, BAD))
    assert isinstance(died, Died)
    assert rest == [Unchecked(2, 1), Recovered(2, 1), Discard(1)]
    assert play.tell(Rejected(2, TRAFFIC, "50% 5xx")) == [], "nobody asked any more"


def test_who_has_passed_all_is_not_unchecked():
    play = tried(1)
    play.tell(Verified(2, HEALTH))
    play.tell(Verified(2, COMMAND))
    assert not [one for one in play.tell(Exited(1, BAD)) if isinstance(one, Unchecked)]


def test_nobody_is_left_and_the_code_cannot_be_imported():
    """It is tried again without end; the watcher does not give up."""
    play = bereft(1)
    play.tell(Exited(1, KILLED))
    for number, wait in zip(range(2, 9), (1, 2, 4, 8, 16, 30, 30), strict=True):
        assert play.tell(GenerationFailed(number, "syntax"))[-1] == NotRecovered(number, 1, "syntax", wait)
        assert play.tick() == [Prepare(number + 1)]
    assert spawned(play.tell(GenerationReady(9))) == [9]
    play.tell(Ready(2))
    assert play.watcher.status is Status.ACTIVE
    assert play.watcher.settled


def test_nobody_is_left_and_the_new_one_cannot_boot():
    play = bereft(1)
    play.tell(Exited(1, KILLED))
    play.tell(GenerationReady(2))
    actions = play.tell(BootFailed(2, "no"))
    assert actions == [Discard(2), NotRecovered(2, 1, "no", 1.0), Drain(2, 30.0)]


# ---- reloads and roll-backs meanwhile


def test_a_reload_ends_the_attempt_and_is_the_newer_goal():
    play = tried()
    assert play.tell(Reload()) == [Discard(2), Drain(3, 30.0), Prepare(3)]
    play.tell(GenerationReady(3))
    play.tell(Exited(3, OK))
    play.tell(Ready(4))
    play.tell(Verified(4, HEALTH))
    play.tell(Verified(4, COMMAND))
    assert play.tell(Ready(5))[1:] == [Discard(1), Reloaded(3)]


def test_a_reload_between_two_attempts_is_not_waited_for():
    play = bereft()
    play.tell(GenerationFailed(2, "syntax"))
    assert play.tell(Reload()) == [Prepare(3)]
    assert play.watcher.wake_at() == 120, "that is all that is due"


def test_after_a_reload_that_failed_it_is_tried_again():
    play = tried()
    play.tell(Reload())
    assert play.tell(GenerationFailed(3, "syntax")) == [Discard(3), ReloadFailed(3, 1, "syntax")]
    assert play.tick() == [Prepare(4)]


def test_the_fork_server_dies_in_a_reload_which_is_done():
    play = running(1)
    play.tell(Reload())
    assert play.tell(GenerationFailed(1, "killed"), at=1) == [Lost(1, "killed")]
    assert play.watcher.wake_at() == 20.0
    play.tell(GenerationReady(2))
    assert play.tell(Ready(2)) == [Drain(1, 30.0), Discard(1), Reloaded(2)]


def test_both_fork_servers_die_while_processes_are_replaced():
    play = running(2)
    play.tell(Reload())
    play.tell(GenerationReady(2))
    play.tell(Ready(3))  # 1 leaves, 4 boots
    play.tell(Exited(1, OK))
    assert play.tell(GenerationFailed(1, "killed"), at=1) == [Lost(1, "killed")]
    actions = play.tell(GenerationFailed(2, "killed"))
    assert actions[:2] == [Discard(2), ReloadFailed(2, 1, "killed")]
    assert drained(actions) == [4], "it boots; those that serve are all that there is"
    play.tell(Exited(4, OK))
    assert play.states() == {2: "ready", 3: "ready"}
    assert play.tick() == [Prepare(3)]
    assert spawned(play.tell(GenerationReady(3))) == [3]


def test_a_rollback_of_the_attempt_is_the_end_of_trying():
    """Nobody wants what is on the disk; the next reload is what helps."""
    play = tried()
    assert play.watcher.generations.can_go_back
    assert play.tell(Rollback()) == [
        Discard(2),
        NotRecovered(2, 1, "it was rolled back", None),
        Drain(3, 30.0),
    ]
    play.tell(Exited(3, OK))
    assert play.watcher.wake_at() is None
    assert play.states() == {1: "ready", 2: "ready"}
    assert not play.watcher.generations.can_go_back
    assert play.tell(Rollback()) == []
    assert play.tell(Reload()) == [Prepare(3)]


def test_a_rollback_of_a_reload_after_a_fork_server_died():
    play = bereft()
    play.tell(Reload())
    assert play.tell(Rollback()) == [Discard(3), ReloadFailed(3, 1, "it was rolled back")]
    assert play.watcher.wake_at() is None


def test_after_a_rollback_it_is_tried_when_nobody_is_left():
    play = tried()
    play.tell(Rollback())
    play.tell(Exited(3, OK))
    assert play.tell(Exited(1, BAD)) == [Died(1, 1, BAD, True, 1, 0.0)]
    assert play.watcher.wake_at() is None
    assert play.tell(Exited(2, BAD)) == [Died(2, 2, BAD, True, 1, 0.0)]
    assert play.tick() == [Prepare(3)]
    assert play.now == 101


def test_once_it_has_shown_that_it_works_there_is_no_way_back():
    play = tried()
    play.tell(Verified(3, HEALTH))
    play.tell(Verified(3, COMMAND))
    assert not play.watcher.generations.can_go_back
    assert play.tell(Rollback()) == []
    assert play.watcher.generation == 2


def test_a_rollback_takes_what_is_kept():
    play = reloaded()
    assert play.tell(GenerationFailed(2, "killed"), at=100) == [Lost(2, "killed"), Prepare(3)]
    actions = play.tell(Rollback())
    assert actions == [Discard(3), NotRecovered(3, 2, "it was rolled back", None), Spawn(3, 1, 1)]
    assert play.tell(Ready(3)) == [Drain(2, 30.0), Discard(2), Reloaded(1)]
    play.tell(Exited(2, OK))
    assert play.watcher.settled
    assert not play.watcher.generations.can_go_back


def test_a_rollback_between_two_attempts_takes_what_is_kept():
    play = reloaded()
    play.tell(GenerationFailed(2, "killed"), at=100)
    play.tell(GenerationFailed(3, "syntax"))
    assert play.tell(Rollback()) == [Spawn(3, 1, 1)]
    assert play.tell(Ready(3)) == [Drain(2, 30.0), Discard(2), Reloaded(1)]


# ---- an upgrade of the supervisor meanwhile


def test_an_upgrade_waits_for_the_trial_and_not_for_the_time_between_two():
    play = tried()
    assert snapshots.obstacle(play.watcher) == "code is tried after its fork server died"
    play.tell(Rejected(3, HEALTH, "500"))
    assert snapshots.obstacle(play.watcher) == ""


def test_what_is_known_of_it_goes_into_a_snapshot():
    play = bereft()
    play.tell(GenerationFailed(2, "syntax"))
    play.tick()
    play.tell(GenerationFailed(3, "syntax"))
    other = Watcher(play.watcher.spec, itertools.count(10))
    snapshots.resume(other, snapshots.held(play.watcher))
    assert other.wake_at() == play.watcher.wake_at() == 103
    assert other.handle(Tick(), 103) == [Prepare(4)]
    assert other.handle(GenerationFailed(4, "no"), 103) == [Discard(4), NotRecovered(4, 1, "no", 4.0)]


def test_a_generation_that_an_older_version_prepares_again_is_taken():
    """The one that was upgraded had asked for the same one a second time."""
    play = running(1)
    generation = play.watcher.generations[0]
    generation.usable_since, generation.late_at = None, 120.0
    assert play.tell(GenerationReady(1), at=101) == []
    assert spawned(play.tell(Exited(1, BAD))) == [1]


@pytest.mark.parametrize("how", ["failed", "late"])
def test_and_if_that_fails_it_is_lost(how):
    play = running(1)
    generation = play.watcher.generations[0]
    generation.usable_since, generation.late_at = None, 120.0
    actions = play.tick() if how == "late" else play.tell(GenerationFailed(1, "syntax"), at=101)
    assert isinstance(actions[0], Lost)
    assert play.watcher.generations[0].lost


# ---- told twice, or too late


def test_that_it_is_lost_is_told_once():
    play = bereft()
    assert play.tell(GenerationFailed(1, "again")) == []
    assert play.tell(GenerationReady(1)) == []
    assert play.watcher.generations[0].lost


def test_slots_that_gave_up_before_have_another_chance():
    play = running(2, restart=RestartPolicy(attempts=0, max_retry=0))
    play.tell(Exited(1, BAD))
    play.tell(GenerationFailed(1, "killed"), at=100)
    play.tell(GenerationReady(2))
    assert spawned(play.tell(Ready(3))) == [2]
