# Restarts, sequential reloads, warm-up, age, singletons and single kills, with numbers for time.

from __future__ import annotations

import itertools
from random import Random
from typing import Any

from bigtop.record import replace
from bigtop.supervisor.policy.messages import (
    Action,
    Discard,
    Drain,
    Event,
    Exited,
    ExitStatus,
    GenerationFailed,
    GenerationReady,
    Kill,
    Leave,
    Prepare,
    Ready,
    Reload,
    Reloaded,
    ReloadFailed,
    Restart,
    Scale,
    Signal,
    Spawn,
    Start,
    Started,
    Stop,
    Stopped,
    Tick,
    Update,
)
from bigtop.supervisor.policy.spec import Command, Lifetime, Respawn, RestartPolicy, StopPolicy, WatcherSpec
from bigtop.supervisor.policy.watcher import Status, Watcher

OK = ExitStatus(code=0)
SPEC = WatcherSpec("web", Command("web"), 2, stop=StopPolicy(graceful_timeout=30), boot_timeout=20)


class Play:
    """A watcher that was started at 0; processes 1 to `count` are ready."""

    def __init__(self, count: int = 2, **changes: Any) -> None:
        self.watcher = Watcher(replace(SPEC, numprocesses=count, **changes), itertools.count(1), Random(1))
        self.now = 0.0
        self.tell(Start())
        self.tell(GenerationReady(1))

    def ready(self, *keys: int) -> list[Action]:
        return [action for key in keys for action in self.tell(Ready(key))]

    def tell(self, event: Event, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        return self.watcher.handle(event, self.now)


def running(count: int = 2, **changes: Any) -> Play:
    play = Play(count, **changes)
    play.ready(*range(1, count + 1))
    assert play.watcher.settled
    return play


class TestRestart:
    def test_it_starts_when_the_last_one_is_gone(self):
        play = running()
        assert play.tell(Restart()) == [Drain(1, 30), Drain(2, 30)]
        assert not play.watcher.settled
        assert play.tell(Exited(1, OK)) == []
        assert play.tell(Exited(2, OK)) == [Discard(1), Stopped(), Prepare(2)]
        assert play.tell(GenerationReady(2)) == [Spawn(3, 1, 2), Spawn(4, 2, 2)]

    def test_a_stop_in_the_middle_is_a_stop(self):
        play = running(1)
        play.tell(Restart())
        play.tell(Stop())
        assert play.tell(Exited(1, OK)) == [Discard(1), Stopped()]
        assert play.watcher.status is Status.STOPPED

    def test_a_start_or_reload_in_the_middle_is_what_happens_anyway(self):
        play = running(1)
        play.tell(Restart())
        assert play.tell(Start()) == play.tell(Reload()) == []
        assert play.tell(Exited(1, OK)) == [Discard(1), Stopped(), Prepare(2)]

    def test_of_one_that_does_not_run_it_is_a_start(self):
        watcher = Watcher(SPEC, itertools.count(1))
        assert watcher.handle(Restart(), 0.0) == [Prepare(1)]


class TestSequentialReload:
    def test_each_is_gone_before_its_successor_comes(self):
        play = running()
        assert play.tell(Reload(sequential=True)) == [Prepare(2)]
        assert play.tell(GenerationReady(2)) == [Drain(1, 30)]
        assert play.tell(Exited(1, OK)) == [Spawn(3, 1, 2)]
        assert play.ready(3) == [Drain(2, 30)]
        assert play.tell(Exited(2, OK)) == [Spawn(4, 2, 2)]
        assert play.ready(4) == [Discard(1), Reloaded(2)]

    def test_nobody_leaves_for_a_generation_that_cannot_be(self):
        play = running()
        play.tell(Reload(sequential=True))
        assert play.tell(GenerationFailed(2, "no")) == [Discard(2), ReloadFailed(2, 1, "no")]
        assert play.watcher.settled

    def test_a_singleton_is_always_reloaded_so(self):
        play = running(1, singleton=True)
        play.tell(Reload())
        assert play.tell(GenerationReady(2)) == [Drain(1, 30)]
        assert play.tell(Exited(1, OK)) == [Spawn(2, 1, 2)]


class TestHup:
    def test_processes_stay(self):
        play = running(send_hup=True)
        assert play.tell(Reload()) == [Signal(1, 1), Signal(2, 1), Reloaded(1)]
        assert play.watcher.settled

    def test_but_not_if_they_are_made_differently_now(self):
        play = running(send_hup=True)
        assert play.tell(Reload(remake=True)) == [Prepare(2)]


class TestWarmUp:
    def test_spawns_are_spread_and_so_are_respawns(self):
        play = Play(3, lifetime=Lifetime(warmup_delay=5), restart=RestartPolicy(attempts=9))
        assert list(play.watcher.processes) == [1]
        assert play.watcher.wake_at() == 5
        assert play.tell(Tick(), at=5) == [Spawn(2, 2, 1)]
        assert play.tell(Tick(), at=10) == [Spawn(3, 3, 1)]
        play.ready(1, 2, 3)
        play.tell(Exited(2, OK), at=11)
        assert play.watcher.wake_at() == 15
        assert play.tell(Tick(), at=15) == [Spawn(4, 2, 1)]

    def test_what_is_not_wanted_any_more_does_not_come(self):
        play = Play(3, lifetime=Lifetime(warmup_delay=5))
        play.ready(1)
        assert play.tell(Scale(1)) == [Started()]
        assert play.watcher.wake_at() is None


class TestAge:
    def test_an_age_is_drawn_once_and_replaced_before_it_leaves(self):
        play = running(1, lifetime=Lifetime(max_age=100, max_age_variance=10))
        when = play.watcher.wake_at()
        assert when is not None
        assert 100 <= when <= 110
        for now in range(1, 100, 10):
            play.tell(Tick(), at=now)
            assert play.watcher.wake_at() == when
        assert play.tell(Tick(), at=when) == [Spawn(2, 2, 1)]
        assert play.ready(2) == [Drain(1, 30)]

    def test_an_age_that_is_set_is_for_those_that_run(self):
        play = running(1)
        assert play.watcher.wake_at() is None
        play.tell(
            Update(replace(SPEC, numprocesses=1, lifetime=Lifetime(max_age=100, max_age_variance=0))), at=50
        )
        assert play.watcher.wake_at() == 100
        play.tell(Update(replace(SPEC, numprocesses=1)), at=60)
        assert play.watcher.wake_at() is None

    def test_one_that_is_not_ready_is_not_old(self):
        play = Play(1, boot_timeout=0, lifetime=Lifetime(max_age=100, max_age_variance=0))
        assert play.watcher.wake_at() is None
        assert play.tell(Tick(), at=200) == []


class TestLeave:
    def test_one_is_ended_and_followed(self):
        play = running()
        assert play.tell(Leave(1, 5.0, 2)) == [Drain(1, 5.0, 2), Spawn(3, 3, 1)]
        assert play.watcher.wake_at() == 5.0

    def test_no_time_is_no_time(self):
        play = running()
        assert play.tell(Leave(1, 0.0)) == [Drain(1, 0.0), Kill(1), Spawn(3, 3, 1)]

    def test_the_signal_that_cannot_be_refused_is_for_all_below_too(self):
        play = running()
        assert play.tell(Leave(1, None, 9)) == [Kill(1), Spawn(3, 3, 1)]


class TestUpdate:
    def test_the_new_count_and_the_new_patience_hold_at_once(self):
        play = running()
        spec = replace(SPEC, numprocesses=1, stop=StopPolicy(graceful_timeout=7))
        assert play.tell(Update(spec)) == [Drain(1, 7)]
        assert play.watcher.spec == spec


class TestSchedule:
    def test_a_job_is_not_started_again_however_it_ended(self):
        for status in (OK, ExitStatus(code=1)):
            play = running(1, lifetime=Lifetime(schedule="* * * * *"))
            play.tell(Exited(1, status))
            assert play.watcher.status is Status.STOPPED

    def test_a_policy_can_say_that_too(self):
        play = running(1, restart=RestartPolicy(Respawn.NEVER))
        play.tell(Exited(1, ExitStatus(code=1)))
        assert play.watcher.status is Status.STOPPED
