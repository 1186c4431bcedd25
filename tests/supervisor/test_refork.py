# Refork as the machine of a watcher decides it, step by step, with numbers for time.

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from bigtop.supervisor.policy import snapshots
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy, HealthCheck
from bigtop.supervisor.policy.messages import (
    Action,
    Discard,
    Drain,
    Event,
    Exited,
    ExitStatus,
    GenerationFailed,
    GenerationReady,
    Leave,
    NotReforked,
    Prepare,
    Promote,
    Promoted,
    Ready,
    Reforked,
    Reforking,
    Reload,
    Retiring,
    Rollback,
    Scale,
    Signal,
    Spawn,
    Stop,
    Stopped,
    Tick,
    Warmed,
)
from bigtop.supervisor.policy.watcher import Watcher
from tests.supervisor.test_machine import Play, running

OK = ExitStatus(code=0)
CHECK = HealthCheck("GET /", "GET", "/", ((200, 299),), 1.0)


def told(play: Play, *events: Event) -> list[Action]:
    """Tell one after the other; return what is to be done."""
    return [action for event in events for action in play.tell(event)]


def promoting(**more: Any) -> Play:
    """A watcher of two processes, the first of which is to be a fork server; process 3 has its place."""
    play = running(2, **more)
    assert play.tell(Warmed(1)) == [Spawn(3, 3, 1)]
    assert play.tell(Ready(3)) == [Reforking(1, 2), Promote(1, 2, 1, 30.0)]
    return play


def test_successor_first_then_a_new_generation_without_steps():
    play = promoting(deploy=DeployPolicy((CHECK,), command="true", keep_generations=1))
    assert play.tell(Promoted(1)) == []
    assert play.tell(GenerationReady(2)) == [Spawn(4, 1, 2)], "it takes clients as soon as it is ready"
    assert play.tell(Ready(4)) == [Drain(2, 30.0), Spawn(5, 4, 2)]
    assert play.tell(Exited(2, OK)) == []
    assert play.tell(Ready(5)) == [Drain(3, 30.0), Reforked(2, 1), Discard(1)], "its code is not kept twice"
    play.tell(Exited(3, OK))
    assert play.watcher.settled


def test_once_for_each_generation():
    play = promoting()
    told(play, Promoted(1), GenerationReady(2), Ready(4), Exited(2, OK), Ready(5), Exited(3, OK))
    assert told(play, Warmed(4), Warmed(5)) == []
    play.tell(Reload())
    told(play, GenerationReady(3), Ready(6), Exited(4, OK), Ready(7), Exited(5, OK))
    assert [one for one in play.tell(Warmed(6)) if isinstance(one, Spawn)]


def test_a_worker_that_cannot_be_one_ends_and_all_goes_on():
    play = promoting()
    assert play.tell(GenerationFailed(2, "requests have left 1 thread (poller)")) == [
        Discard(2),
        NotReforked(2, 1, "requests have left 1 thread (poller)"),
    ]
    assert play.tell(Exited(1, OK)) == []
    assert play.watcher.settled
    assert play.tell(Warmed(2)) == [], "what the first had left, the next would have, too"


def test_a_worker_that_dies_meanwhile():
    play = promoting()
    assert play.tell(Exited(1, ExitStatus(signal=9))) == []
    assert play.tell(GenerationFailed(2, "it has ended")) == [Discard(2), NotReforked(2, 1, "it has ended")]
    assert play.watcher.settled


def test_a_new_worker_that_does_not_get_ready():
    play = promoting()
    told(play, Promoted(1), GenerationReady(2))
    actions = play.tell(Exited(4, ExitStatus(code=1)))
    assert actions[-1] == NotReforked(2, 1, "process 1 ended: exit status 1")
    assert play.states() == {2: "ready", 3: "ready"}
    assert play.watcher.settled


def test_the_only_worker_has_nobody_to_share_with_until_there_are_two():
    play = running(1)
    assert play.tell(Warmed(1)) == []
    assert play.tell(Scale(2)) == [Spawn(2, 2, 1), Spawn(3, 3, 1)]


@pytest.mark.parametrize("event", [Reload(), Rollback(), Stop()])
def test_something_else_is_wanted_meanwhile(event):
    play = promoting()
    assert Discard(2) in told(play, event, Exited(1, OK), Exited(2, OK), Exited(3, OK))


def test_a_reload_comes_first():
    play = running(2)
    assert play.tell(Reload()) == [Prepare(2)]
    assert play.tell(Warmed(1)) == []
    assert play.tell(GenerationFailed(2, "no")) != []
    play.tell(Tick())
    assert play.watcher.processes[1].retiring is not None, "its chance has come"


def test_one_that_retires_for_something_else_is_not_asked():
    play = running(2)
    told(play, Retiring(1, "enough"), Warmed(1))
    assert play.tell(Ready(3)) == [Drain(1, 30.0)]
    assert play.tell(Warmed(2)) == [Spawn(4, 4, 1)]


def test_one_that_is_to_leave_before_its_successor_is_there():
    play = running(2)
    play.tell(Warmed(1))
    assert Drain(1, 30.0, None) in play.tell(Leave(1))
    assert play.tell(Warmed(2)) == [Spawn(4, 4, 1)]
    assert play.tell(Ready(4)) == [Reforking(2, 2), Promote(2, 2, 1, 30.0)] or play.watcher.processes


def test_what_is_known_of_it_goes_into_a_snapshot():
    play = running(2)
    play.tell(Warmed(1))
    state = snapshots.held(play.watcher)
    other = Watcher(play.watcher.spec, count(10))
    snapshots.resume(other, state)
    assert other.handle(Ready(3), 0.0) == [Reforking(1, 2), Promote(1, 2, 1, 30.0)]
    assert snapshots.obstacle(other)


def test_late_words_of_a_process_that_is_a_fork_server_mean_nothing():
    play = promoting()
    play.tell(Promoted(1))
    late: list[Action] = told(play, Leave(1), Exited(1, OK), Warmed(1), Promoted(1))
    assert not [one for one in late if isinstance(one, Signal | Drain | Stopped)]
