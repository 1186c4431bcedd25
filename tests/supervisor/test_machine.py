# Every rule of machine.py by name, with numbers for time.

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bigtop.http.paths.time_limits import TimeoutAction
from bigtop.record import replace
from bigtop.supervisor.policy.messages import (
    Action,
    BootFailed,
    Died,
    Discard,
    Drain,
    Event,
    Exited,
    ExitStatus,
    Finished,
    GaveUp,
    GenerationFailed,
    GenerationReady,
    Kill,
    Late,
    Lost,
    Prepare,
    Ready,
    Reload,
    Reloaded,
    ReloadFailed,
    Report,
    Retiring,
    Scale,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    Started,
    Stop,
    Stopped,
    Tick,
    Urgency,
)
from bigtop.supervisor.policy.processtable import NOT_SPAWNED, TRANSITIONS, ProcessState
from bigtop.supervisor.policy.spec import Respawn, RestartPolicy, StopPolicy, WatcherSpec, Worker
from bigtop.supervisor.policy.watcher import Status, Watcher
from bigtop.system.signals import INTERRUPT_SIGNAL

OK = ExitStatus(code=0)
BAD = ExitStatus(code=1)

SPEC = WatcherSpec(
    "web",
    Worker(b""),
    numprocesses=2,
    restart=RestartPolicy(attempts=1, window=60, retry_in=1, factor=2, max_delay=30),
    stop=StopPolicy(graceful_timeout=30),
    boot_timeout=20,
)


class Play:
    """A watcher and the time."""

    def __init__(self, **changes: Any) -> None:
        self.watcher = Watcher(replace(SPEC, **changes), itertools.count(1))
        self.now = 0.0

    def tell(self, event: Event, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        return self.watcher.handle(event, self.now)

    def tick(self) -> list[Action]:
        """Go on to when the watcher wants to be called."""
        wake = self.watcher.wake_at()
        assert wake is not None
        return self.tell(Tick(), at=wake)

    def states(self) -> dict[int, str]:
        return {key: proc.state.value for key, proc in self.watcher.processes.items()}


def running(count: int = 2, **changes: Any) -> Play:
    """A watcher whose processes 1 to `count` are ready at time 0."""
    play = Play(numprocesses=count, **changes)
    play.tell(Start())
    play.tell(GenerationReady(1))
    for key in range(1, count + 1):
        play.tell(Ready(key))
    assert play.watcher.status is Status.ACTIVE
    return play


def policy(**values: Any) -> RestartPolicy:
    return replace(SPEC.restart, **values)


class TestStart:
    def test_nothing_runs_before_it(self):
        play = Play()
        assert play.watcher.status is Status.STOPPED
        assert play.watcher.generation == 0
        assert play.watcher.wake_at() is None
        assert play.tell(Tick()) == []

    def test_it_prepares_then_spawns_then_tells(self):
        play = Play()
        assert play.tell(Start()) == [Prepare(1)]
        assert play.tell(GenerationReady(1)) == [Spawn(1, 1, 1), Spawn(2, 2, 1)]
        assert play.tell(Spawned(1, pid=501)) == []
        assert play.tell(Ready(1)) == []
        assert play.watcher.status is Status.STARTING
        assert play.tell(Ready(2)) == [Started()]
        assert play.watcher.status is Status.ACTIVE
        assert play.watcher.wake_at() is None

    def test_what_is_known_of_a_process_can_be_read(self):
        play = Play(numprocesses=1)
        play.tell(Start(), at=5)
        play.tell(GenerationReady(1), at=7)
        play.tell(Spawned(1, pid=501))
        proc = play.watcher.processes[1]
        assert (proc.wid, proc.generation, proc.state, proc.pid, proc.spawned_at) == (
            1,
            1,
            ProcessState.STARTING,
            501,
            7,
        )

    def test_a_second_one_changes_nothing(self):
        play = running()
        assert play.tell(Start()) == []

    def test_without_processes_it_has_started_once_it_could_spawn(self):
        play = Play(numprocesses=0)
        assert play.tell(Start()) == [Prepare(1)]
        assert play.tell(GenerationReady(1)) == [Started()]

    def test_it_is_told_once_however_many_die(self):
        play = running(1)
        play.tell(Exited(1, BAD))
        assert play.tell(Ready(2)) == []

    def test_deaths_before_it_are_forgotten(self):
        play = running(1)
        play.tell(Exited(1, BAD))
        play.tell(Exited(2, BAD))
        assert play.tell(Stop()) == [Discard(1), Stopped()]
        play.tell(Start())
        assert play.tell(GenerationReady(2)) == [Spawn(3, 1, 2)]

    def test_after_a_stop_it_is_a_new_generation(self):
        play = running(1)
        play.tell(Stop())
        play.tell(Exited(1, OK))
        assert play.tell(Start()) == [Prepare(2)]


class TestFirstGeneration:
    def test_if_it_cannot_be_prepared_the_watcher_gives_up(self):
        play = Play()
        play.tell(Start())
        assert play.tell(GenerationFailed(1, "no module")) == [Discard(1), GaveUp("no module"), Stopped()]
        assert play.watcher.status is Status.STOPPED

    def test_if_a_process_says_so_before_any_was_ready_all_are_stopped(self):
        play = Play()
        play.tell(Start())
        play.tell(GenerationReady(1))
        assert play.tell(BootFailed(1, "no table")) == [
            Discard(1),
            GaveUp("no table"),
            Drain(1, 30.0),
            Drain(2, 30.0),
        ]
        assert play.watcher.status is Status.STOPPING
        assert play.tell(Exited(1, BAD)) == []
        assert play.tell(Exited(2, OK)) == [Stopped()]

    def test_a_mere_death_before_ready_is_tried_again(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        assert play.tell(Exited(1, BAD)) == [Died(1, 1, BAD, False, 1, 0.0), Spawn(2, 1, 1)]

    def test_boot_failed_after_one_was_ready_is_an_ordinary_death(self):
        play = Play()
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tell(Ready(1))
        assert play.tell(BootFailed(2, "no memory")) == []
        assert play.tell(Exited(2, BAD)) == [Died(2, 2, BAD, False, 1, 0.0), Spawn(3, 2, 1)]

    def test_a_start_in_the_middle_of_giving_up_is_a_new_generation(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tell(BootFailed(1, "no table"))
        assert play.tell(Start()) == [Prepare(2)]
        assert play.tell(GenerationReady(2)) == [Spawn(2, 2, 2)]
        assert play.tell(Exited(1, BAD)) == []
        assert play.tell(Ready(2)) == [Started()]


class TestDeath:
    def test_it_is_answered_at_once_in_the_same_place(self):
        play = running(3)
        assert play.tell(Exited(2, BAD), at=10) == [Died(2, 2, BAD, True, 1, 0.0), Spawn(4, 2, 1)]
        assert play.states() == {1: "ready", 3: "ready", 4: "starting"}

    def test_a_crash_loop_waits_longer_and_longer(self):
        play = running(1)
        assert play.tell(Exited(1, BAD), at=10)[-1] == Spawn(2, 1, 1)
        assert play.tell(Exited(2, BAD), at=11) == [Died(2, 1, BAD, False, 2, 1.0)]
        assert play.watcher.wake_at() == 12
        assert play.tick() == [Spawn(3, 1, 1)]
        assert play.tell(Exited(3, BAD)) == [Died(3, 1, BAD, False, 3, 2.0)]
        assert play.watcher.wake_at() == 14

    def test_siblings_have_their_own_count(self):
        play = running(2)
        play.tell(Exited(1, BAD), at=1)
        play.tell(Exited(3, BAD), at=2)
        assert play.tell(Exited(2, BAD)) == [Died(2, 2, BAD, True, 1, 0.0), Spawn(4, 2, 1)]

    def test_a_spawn_that_fails_is_a_death(self):
        play = running(1)
        play.tell(Exited(1, BAD), at=1)
        assert play.tell(SpawnFailed(2, "fork: no memory")) == [
            Died(2, 1, NOT_SPAWNED, False, 2, 1.0, "fork: no memory")
        ]

    def test_exit_status_zero_is_a_death_where_respawn_is_always(self):
        play = running(1)
        assert play.tell(Exited(1, OK)) == [Died(1, 1, OK, True, 1, 0.0), Spawn(2, 1, 1)]

    def test_when_every_slot_gave_up_the_watcher_does(self):
        play = running(2, restart=policy(attempts=0, max_retry=0))
        assert play.tell(Exited(1, BAD)) == [Died(1, 1, BAD, True, 1, None)]
        assert play.watcher.status is Status.ACTIVE
        assert play.watcher.wake_at() is None
        assert play.tell(Exited(2, ExitStatus(signal=11))) == [
            Died(2, 2, ExitStatus(signal=11), True, 1, None),
            GaveUp("process 2 used up its retries; at last it ended: signal 11"),
            Discard(1),
            Stopped(),
        ]

    def test_a_slot_that_gave_up_is_the_first_to_go_when_scaled_down(self):
        play = running(2, restart=policy(attempts=0, max_retry=0))
        play.tell(Exited(1, BAD))
        assert play.tell(Scale(1)) == []
        assert play.tell(Scale(2)) == [Spawn(3, 1, 1)]


class TestExpectedExits:
    def test_never_is_never(self):
        play = running(2, restart=policy(respawn=Respawn.NEVER))
        assert play.tell(Exited(1, OK)) == []
        died = Died(2, 2, BAD, True, 1, None)
        assert play.tell(Exited(2, BAD)) == [died, Finished(), Discard(1), Stopped()]

    def test_unexpected_respawns_what_failed(self):
        play = running(1, restart=policy(respawn=Respawn.UNEXPECTED, expected_exits=frozenset({0, 3})))
        assert play.tell(Exited(1, BAD)) == [Died(1, 1, BAD, True, 1, 0.0), Spawn(2, 1, 1)]

    def test_unexpected_is_finished_by_an_expected_status(self):
        play = running(1, restart=policy(respawn=Respawn.UNEXPECTED, expected_exits=frozenset({0, 3})))
        assert play.tell(Exited(1, ExitStatus(code=3))) == [Finished(), Discard(1), Stopped()]

    def test_a_signal_is_never_expected(self):
        play = running(1, restart=policy(respawn=Respawn.UNEXPECTED))
        assert play.tell(Exited(1, ExitStatus(signal=15)))[-1] == Spawn(2, 1, 1)

    def test_those_that_finished_are_not_missed(self):
        play = Play(restart=policy(respawn=Respawn.NEVER))
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tell(Exited(1, OK))
        assert play.tell(Ready(2)) == [Started()]


class TestBoot:
    def test_past_the_boot_timeout_it_is_killed_and_that_is_a_death(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1), at=1)
        assert play.watcher.wake_at() == 21
        assert play.tick() == [Kill(1)]
        assert play.watcher.wake_at() is None
        killed = ExitStatus(signal=9)
        assert play.tell(Exited(1, killed)) == [Died(1, 1, killed, False, 1, 0.0), Spawn(2, 1, 1)]

    def test_code_that_is_not_imported_in_time_is_given_up(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        assert play.watcher.wake_at() == 20
        assert play.tick() == [Discard(1), GaveUp("not imported after 20 seconds"), Stopped()]
        assert play.watcher.wake_at() is None
        assert play.tell(GenerationReady(1)) == []

    def test_new_code_that_is_not_imported_in_time_is_given_up_for_the_old(self):
        play = running()
        play.tell(Reload(), at=100)
        assert play.watcher.wake_at() == 120
        reason = "not imported after 20 seconds"
        assert play.tick() == [Discard(2), ReloadFailed(2, 1, reason)]
        assert play.watcher.wake_at() is None
        assert play.states() == {1: "ready", 2: "ready"}

    def test_a_stop_does_not_wait_for_an_import(self):
        play = running(1)
        play.tell(Reload(), at=100)
        assert play.tell(Stop()) == [Drain(1, 30.0)]
        assert play.tell(Tick(), at=125) == []
        assert play.tell(Exited(1, OK)) == [Discard(1), Discard(2), Stopped()]

    def test_timeout_zero_is_for_ever(self):
        play = Play(numprocesses=1, boot_timeout=0)
        play.tell(Start())
        assert play.watcher.wake_at() is None
        play.tell(GenerationReady(1))
        assert play.watcher.wake_at() is None

    def test_one_that_will_not_die_keeps_its_place(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tick()
        assert play.tell(Tick(), at=1000) == []
        assert play.states() == {1: "killed"}


class TestReload:
    def test_one_by_one_each_ready_before_an_old_one_goes(self):
        play = running(3)
        assert play.tell(Reload()) == [Prepare(2)]
        assert play.watcher.generation == 2
        assert play.tell(GenerationReady(2)) == [Spawn(4, 4, 2)]
        assert play.tell(Ready(4)) == [Drain(1, 30.0), Spawn(5, 5, 2)]
        assert play.tell(Exited(1, OK)) == []
        assert play.tell(Ready(5)) == [Drain(2, 30.0), Spawn(6, 1, 2)]
        assert play.tell(Exited(2, OK)) == []
        assert play.tell(Ready(6)) == [Drain(3, 30.0), Discard(1), Reloaded(2)]
        assert play.tell(Exited(3, OK)) == []

    def test_it_is_done_though_there_is_always_one_that_retires_and_its_successor(self):
        play = running(2)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Ready(3))  # 1 leaves, 4 boots
        assert play.tell(Retiring(3, "1000 requests")) == []
        assert play.tell(Ready(4)) == [Drain(2, 30.0), Spawn(5, 5, 2), Discard(1), Reloaded(2)]
        assert play.tell(Ready(5)) == [Drain(3, 30.0)]

    def test_it_is_settled_though_there_is_always_one_that_retires(self):
        play = running(2)
        play.tell(Retiring(1, "1000 requests"))
        assert play.watcher.settled  # 3 boots
        play.tell(Ready(3))
        assert play.watcher.settled  # 1 leaves
        play.tell(Scale(1))
        assert not play.watcher.settled  # 2 leaves
        play.tell(Exited(2, OK))
        assert play.watcher.settled
        play.tell(Scale(2))
        assert not play.watcher.settled  # 4 boots, for nobody that retires
        play.tell(Ready(4))
        assert play.watcher.settled

    def test_of_a_stopped_watcher_it_is_a_start(self):
        play = Play(numprocesses=1)
        assert play.tell(Reload()) == [Prepare(1)]
        play.tell(GenerationReady(1))
        assert play.tell(Ready(1)) == [Started()]

    def test_without_processes_it_is_done_once_it_could_spawn(self):
        play = running(0)
        assert play.tell(Reload()) == [Prepare(2)]
        assert play.tell(GenerationReady(2)) == [Discard(1), Reloaded(2)]

    def test_old_ones_that_are_not_ready_go_at_once(self):
        play = running(2)
        play.tell(Exited(2, BAD))  # 3 is booting
        play.tell(Reload())
        assert play.tell(GenerationReady(2)) == [Spawn(4, 3, 2)]
        assert play.tell(Ready(4)) == [Drain(3, 30.0), Spawn(5, 4, 2)]

    def test_while_it_is_prepared_the_old_generation_replaces_its_dead(self):
        play = running(2)
        play.tell(Reload())
        assert play.tell(Exited(1, BAD))[-1] == Spawn(3, 1, 1)
        play.tell(GenerationReady(2))
        assert play.tell(Exited(2, BAD))[-1] == Spawn(5, 2, 1)

    def test_once_one_was_ready_the_new_generation_replaces_the_dead(self):
        play = running(3)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Ready(4))  # 1 leaves, 5 boots
        assert play.tell(Exited(2, BAD)) == [Died(2, 2, BAD, True, 1, 0.0), Spawn(6, 2, 2)]

    def test_a_death_after_one_was_ready_is_an_ordinary_death(self):
        play = running(1)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Scale(2))
        play.tell(Ready(2))
        dead = next(key for key, state in play.states().items() if state == "starting")
        died, *rest = play.tell(Exited(dead, BAD))
        assert isinstance(died, Died)
        assert [type(action) for action in rest] == [Spawn]
        assert play.watcher.generation == 2

    def test_new_code_begins_with_a_clean_record(self):
        play = running(1)
        play.tell(Exited(1, BAD))
        play.tell(Exited(2, BAD))  # waits a second
        play.tell(Reload())
        assert play.tell(GenerationReady(2)) == [Spawn(3, 2, 2)]
        assert play.tell(Ready(3)) == [Discard(1), Reloaded(2)]
        assert play.watcher.wake_at() is None

    def test_new_code_is_tried_in_every_place_at_once(self):
        play = running(2)
        play.tell(Exited(1, BAD))
        play.tell(Exited(3, BAD))  # its place waits a second
        play.tell(Reload())
        play.tell(GenerationReady(2))
        assert play.tell(Ready(4)) == [Spawn(5, 1, 2)]
        assert play.tell(Ready(5)) == [Drain(2, 30.0), Discard(1), Reloaded(2)]

    def test_it_comes_to_the_rescue_when_every_old_slot_gave_up(self):
        play = running(1, restart=policy(attempts=0, max_retry=0))
        play.tell(Reload())
        assert play.tell(Exited(1, BAD)) == [Died(1, 1, BAD, True, 1, None)]
        assert play.tell(GenerationReady(2)) == [Spawn(2, 2, 2)]
        assert play.tell(Ready(2)) == [Discard(1), Reloaded(2)]

    def test_if_the_rescue_fails_too_the_watcher_gives_up(self):
        play = running(1, restart=policy(attempts=0, max_retry=0))
        play.tell(Reload())
        play.tell(Exited(1, BAD))
        assert play.tell(GenerationFailed(2, "broken")) == [
            Discard(2),
            ReloadFailed(2, 1, "broken"),
            GaveUp("process 1 used up its retries; at last it ended: exit status 1"),
            Discard(1),
            Stopped(),
        ]


class TestReloadFails:
    def reloading(self, count: int = 2, **changes: Any) -> Play:
        play = running(count, **changes)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        return play

    def check_goes_on(self, play: Play) -> None:
        assert play.watcher.generation == 1
        assert play.tell(Reload()) == [Prepare(3)]

    def test_when_it_cannot_be_prepared(self):
        play = running()
        play.tell(Reload())
        assert play.tell(GenerationFailed(2, "syntax")) == [Discard(2), ReloadFailed(2, 1, "syntax")]
        self.check_goes_on(play)

    def test_when_the_canary_says_so(self):
        play = self.reloading()
        assert play.tell(BootFailed(3, "no table")) == [
            Discard(2),
            ReloadFailed(2, 1, "no table"),
            Drain(3, 30.0),
        ]
        assert play.tell(Exited(3, BAD)) == []
        self.check_goes_on(play)

    def test_when_the_canary_dies(self):
        play = self.reloading()
        assert play.tell(Exited(3, BAD)) == [
            Died(3, 3, BAD, False, 1, None),
            Discard(2),
            ReloadFailed(2, 1, "process 3 ended: exit status 1"),
        ]
        self.check_goes_on(play)

    def test_a_dead_canary_leaves_no_record_behind(self):
        play = self.reloading()
        play.tell(Exited(3, BAD))
        assert play.tell(Scale(3)) == [Spawn(4, 3, 1)]
        assert play.tell(Exited(4, BAD)) == [Died(4, 3, BAD, False, 1, 0.0), Spawn(5, 3, 1)]

    def test_but_not_by_a_canary_that_was_asked_to_leave(self):
        play = self.reloading(1)
        play.tell(Stop())
        assert play.tell(Start()) == [Spawn(3, 3, 1), Spawn(4, 4, 2)]
        assert play.tell(BootFailed(2, "interrupted")) == []
        assert play.tell(Tick(), at=0.5) == []
        play.tell(Ready(3))
        play.tell(Ready(4))
        assert play.tell(Reload()) == [Prepare(3)]

    def test_nor_by_one_that_takes_too_long_to_leave(self):
        play = self.reloading(1)
        play.tell(Stop())
        play.tell(Start(), at=0.5)
        assert play.tell(Tick(), at=1) == [Kill(2)]
        assert play.watcher.generation == 2

    def test_when_the_canary_cannot_be_spawned(self):
        play = self.reloading()
        assert play.tell(SpawnFailed(3, "no memory")) == [
            Died(3, 3, NOT_SPAWNED, False, 1, None, "no memory"),
            Discard(2),
            ReloadFailed(2, 1, "process 3 could not be started: no memory"),
        ]

    def test_when_the_canary_ends_as_expected_but_too_soon(self):
        play = self.reloading(restart=policy(respawn=Respawn.UNEXPECTED))
        assert play.tell(Exited(3, OK)) == [
            Discard(2),
            ReloadFailed(2, 1, "process 3 ended: exit status 0"),
        ]

    def test_when_the_canary_is_not_ready_in_time(self):
        play = self.reloading()
        assert play.tick() == [Discard(2), ReloadFailed(2, 1, "not ready after 20 seconds"), Kill(3)]
        assert play.tell(Exited(3, ExitStatus(signal=9))) == []
        self.check_goes_on(play)

    def test_when_a_later_one_says_so_the_way_goes_back(self):
        play = self.reloading()
        assert play.tell(Ready(3)) == [Drain(1, 30.0), Spawn(4, 4, 2)]
        assert play.tell(BootFailed(4, "no licence")) == [
            Discard(2),
            ReloadFailed(2, 1, "no licence"),
            Drain(4, 30.0),
            Spawn(5, 5, 1),
        ]
        assert play.tell(Ready(5)) == [Drain(3, 30.0)]
        assert play.tell(Exited(4, BAD)) == []

    def test_when_the_new_fork_server_dies_on_the_way(self):
        play = self.reloading()
        play.tell(Ready(3))
        assert play.tell(GenerationFailed(2, "killed"))[:2] == [Discard(2), ReloadFailed(2, 1, "killed")]

    def test_when_a_new_slot_gives_up(self):
        play = self.reloading(restart=policy(attempts=0, max_retry=0))
        play.tell(Ready(3))
        assert play.tell(Exited(3, BAD)) == [
            Died(3, 3, BAD, True, 1, None),
            Discard(2),
            ReloadFailed(2, 1, "process 3 ended: exit status 1"),
            Drain(4, 30.0),
            Spawn(5, 3, 1),
        ]

    def test_the_old_fork_server_may_have_died_meanwhile(self):
        play = self.reloading(1)
        assert play.tell(GenerationFailed(1, "killed"), at=1) == [Lost(1, "killed")]
        assert play.tell(Exited(1, BAD)) == [Died(1, 1, BAD, True, 1, 0.0)]
        assert play.tell(BootFailed(2, "broken")) == [
            Discard(2),
            ReloadFailed(2, 1, "broken"),
            Drain(2, 30.0),
        ]
        play.tell(Exited(2, BAD))
        assert play.tick() == [Prepare(3)]
        assert play.tell(GenerationReady(3)) == [Spawn(3, 2, 3)]


class TestReloadDuringReload:
    def test_the_newest_wins_and_the_one_between_is_given_up(self):
        play = running(2)
        play.tell(Reload())
        assert play.tell(Reload()) == [Discard(2), Prepare(3)]
        assert play.tell(GenerationReady(2)) == []
        assert play.tell(GenerationReady(3)) == [Spawn(3, 3, 3)]

    def test_its_ready_processes_serve_on_until_replaced(self):
        play = running(2)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Ready(3))  # 1 leaves, 4 boots
        assert play.tell(Reload()) == [Discard(2), Drain(4, 30.0), Prepare(3)]
        assert play.tell(GenerationReady(3)) == [Spawn(5, 5, 3)]
        assert play.tell(Ready(5)) == [Drain(2, 30.0), Spawn(6, 6, 3)]
        assert play.tell(Ready(6)) == [Drain(3, 30.0), Discard(1), Reloaded(3)]

    def test_if_the_newest_fails_they_are_replaced_by_the_kept_one(self):
        play = running(2)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Ready(3))
        play.tell(Reload())
        assert play.tell(GenerationFailed(3, "syntax")) == [
            Discard(3),
            ReloadFailed(3, 1, "syntax"),
            Spawn(5, 5, 1),
        ]
        assert play.tell(Ready(5)) == [Drain(3, 30.0)]

    def test_before_the_first_start_is_done_the_first_generation_may_fail(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        assert play.tell(Reload()) == [Prepare(2)]
        assert play.tell(GenerationFailed(1, "syntax")) == [Discard(1)]
        assert play.tell(GenerationReady(2)) == [Spawn(1, 1, 2)]
        assert play.tell(Ready(1)) == [Started(), Reloaded(2)]

    def test_before_the_first_start_is_done_both_may_fail(self):
        play = Play()
        play.tell(Start())
        play.tell(Reload())
        play.tell(GenerationFailed(2, "syntax"))
        assert play.tell(GenerationFailed(1, "syntax")) == [Discard(1), GaveUp("syntax"), Stopped()]


class TestScale:
    def test_up(self):
        play = running(2)
        assert play.tell(Scale(4)) == [Spawn(3, 3, 1), Spawn(4, 4, 1)]
        assert play.watcher.numprocesses == 4

    def test_down_drains_the_oldest(self):
        play = running(3)
        assert play.tell(Scale(1)) == [Drain(1, 30.0), Drain(2, 30.0)]

    def test_down_drains_those_first_that_are_not_ready(self):
        play = running(3)
        play.tell(Exited(1, BAD))
        assert play.tell(Scale(1)) == [Drain(4, 30.0), Drain(2, 30.0)]

    def test_down_drops_those_first_that_wait(self):
        play = running(2)
        play.tell(Exited(1, BAD))
        play.tell(Exited(3, BAD))
        assert play.tell(Scale(1)) == []
        assert play.watcher.wake_at() is None

    def test_down_drops_those_that_gave_up_before_those_that_wait(self):
        play = running(2, restart=policy(attempts=0, max_retry=1))
        play.tell(Exited(1, BAD))
        play.tick()
        play.tell(Exited(3, BAD))  # gave up
        play.tell(Exited(2, BAD))  # waits
        play.tell(Scale(1))
        assert play.tick() == [Spawn(4, 2, 1)]

    def test_below_zero_is_zero(self):
        play = running(1)
        assert play.tell(Scale(-1)) == [Drain(1, 30.0)]
        assert play.watcher.numprocesses == 0

    def test_of_a_stopped_watcher_is_remembered(self):
        play = Play()
        assert play.tell(Scale(1)) == []
        play.tell(Start())
        assert play.tell(GenerationReady(1)) == [Spawn(1, 1, 1)]

    def test_during_a_reload(self):
        play = running(3)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Ready(4))  # 1 leaves, 5 boots
        assert play.tell(Scale(1)) == [
            Drain(5, 30.0),
            Drain(2, 30.0),
            Drain(3, 30.0),
            Discard(1),
            Reloaded(2),
        ]

    def test_to_nothing_during_a_trial(self):
        play = running(1)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        assert play.tell(Scale(0)) == [Drain(2, 30.0), Drain(1, 30.0), Discard(1), Reloaded(2)]


class TestStop:
    def test_gracefully(self):
        play = running(2)
        assert play.tell(Stop(), at=100) == [Drain(1, 30.0), Drain(2, 30.0)]
        assert play.watcher.status is Status.STOPPING
        assert play.watcher.wake_at() == 130
        assert play.tell(Exited(1, OK)) == []
        assert play.tell(Exited(2, OK)) == [Discard(1), Stopped()]
        assert play.watcher.status is Status.STOPPED
        assert play.watcher.wake_at() is None

    def test_past_the_deadline_they_are_killed_once(self):
        play = running(1)
        play.tell(Stop(), at=100)
        assert play.tell(Tick(), at=129.9) == []
        assert play.tell(Tick(), at=130) == [Kill(1)]
        assert play.tell(Tick(), at=1000) == []
        assert play.watcher.status is Status.STOPPING
        assert play.tell(Exited(1, ExitStatus(signal=9))) == [Discard(1), Stopped()]

    def test_what_is_not_ready_has_nothing_to_finish(self):
        play = running(1)
        play.tell(Scale(2))
        assert play.tell(Stop(), at=10) == [Drain(1, 30.0), Drain(2, 30.0)]
        assert play.tell(Tick(), at=11) == [Kill(2)]

    def test_unless_it_became_ready_in_that_moment(self):
        play = running(1)
        play.tell(Scale(2))
        play.tell(Stop(), at=10)
        assert play.tell(Ready(2), at=10.5) == []
        assert play.tell(Tick(), at=40) == [Kill(1)]
        assert play.tell(Tick(), at=40.5) == [Kill(2)]

    def test_quickly(self):
        play = running(1)
        assert play.tell(Stop(Urgency.QUICK), at=100) == [Drain(1, 0.0)]
        assert play.watcher.wake_at() == 101
        assert play.tick() == [Kill(1)]

    def test_now(self):
        play = running(1)
        assert play.tell(Stop(Urgency.NOW)) == [Kill(1)]
        assert play.watcher.wake_at() is None

    def test_a_more_urgent_one_escalates(self):
        play = running(1)
        play.tell(Stop(), at=100)
        assert play.tell(Stop(Urgency.QUICK), at=110) == [Drain(1, 0.0)]
        assert play.watcher.wake_at() == 111
        assert play.tell(Stop(Urgency.NOW)) == [Kill(1)]

    def test_a_less_urgent_one_changes_nothing(self):
        play = running(1)
        play.tell(Stop(Urgency.QUICK), at=100)
        assert play.tell(Stop(), at=100.5) == []
        assert play.watcher.wake_at() == 101

    def test_escalation_never_gives_more_time(self):
        play = running(1)
        play.tell(Stop(), at=100)
        play.tell(Stop(Urgency.QUICK), at=129.5)
        assert play.watcher.wake_at() == 130

    def test_one_that_is_killed_already_is_not_asked(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tick()  # past its boot timeout
        assert play.tell(Stop()) == []
        assert play.tell(Exited(1, ExitStatus(signal=9))) == [Discard(1), Stopped()]

    def test_while_it_is_prepared(self):
        play = Play()
        play.tell(Start())
        assert play.tell(Stop()) == [Discard(1), Stopped()]
        assert play.tell(GenerationReady(1)) == []

    def test_while_it_reloads_ends_both_generations(self):
        play = running(1)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        assert play.tell(Stop(Urgency.NOW)) == [Kill(1), Kill(2)]
        play.tell(Exited(2, ExitStatus(signal=9)))
        assert play.tell(Exited(1, ExitStatus(signal=9))) == [Discard(1), Discard(2), Stopped()]

    def test_of_a_stopped_watcher_changes_nothing(self):
        assert Play().tell(Stop()) == []

    def test_a_process_that_never_came_to_be_is_not_waited_for(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tell(Stop())
        assert play.tell(SpawnFailed(1, "no memory")) == [Discard(1), Stopped()]

    def test_a_start_during_it_wins(self):
        play = running(1)
        play.tell(Stop(Urgency.QUICK))
        assert play.tell(Start()) == [Spawn(2, 2, 1)]
        assert play.watcher.status is Status.STARTING
        assert play.tell(Exited(1, OK)) == []
        assert play.tell(Ready(2)) == [Started()]
        assert play.tell(Stop()) == [Drain(2, 30.0)], "the urgency of the stop before is forgotten"

    def test_a_reload_during_it_is_a_start_with_new_code(self):
        play = running(1)
        play.tell(Stop())
        assert play.tell(Reload()) == [Prepare(2), Spawn(2, 2, 1)]
        play.tell(Ready(2))
        play.tell(GenerationReady(2))
        assert play.tell(Ready(3)) == [Drain(2, 30.0), Discard(1), Reloaded(2)]


class TestRetiring:
    def test_the_successor_is_ready_before_it_goes(self):
        play = running(2)
        assert play.tell(Retiring(1, "1000 requests")) == [Spawn(3, 3, 1)]
        assert play.tell(Ready(3)) == [Drain(1, 30.0)]
        assert play.tell(Exited(1, OK)) == []

    def test_one_at_a_time(self):
        play = running(3)
        play.tell(Retiring(1, "memory"))
        assert play.tell(Retiring(2, "memory")) == []
        assert play.tell(Ready(4)) == [Drain(1, 30.0), Spawn(5, 5, 1)]
        assert play.tell(Ready(5)) == [Drain(2, 30.0)]

    def test_a_second_request_changes_nothing(self):
        play = running(2)
        play.tell(Retiring(1, "memory"))
        assert play.tell(Retiring(1, "memory")) == []

    def test_one_that_retires_is_the_first_to_go_when_scaled_down(self):
        play = running(2)
        play.tell(Retiring(2, "memory"))
        assert play.tell(Scale(1)) == [Drain(3, 30.0), Drain(2, 30.0)]

    def test_it_serves_on_when_no_successor_can_be_made(self):
        play = running(1, restart=policy(attempts=0, max_retry=0))
        play.tell(Retiring(1, "memory"))
        assert play.tell(Exited(2, BAD)) == [Died(2, 2, BAD, False, 1, None)]
        assert play.states() == {1: "ready"}
        assert play.watcher.status is Status.ACTIVE

    def test_places_that_are_finished_are_not_waited_for(self):
        play = running(2, restart=policy(respawn=Respawn.NEVER))
        play.tell(Exited(1, OK))
        assert play.tell(Retiring(2, "memory")) == [Spawn(3, 3, 1)]
        assert play.tell(Ready(3)) == [Drain(2, 30.0)]

    def test_during_a_reload_it_is_replaced_by_the_new_generation(self):
        play = running(1)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Ready(2))
        assert play.tell(Retiring(2, "memory")) == [Spawn(3, 3, 2)]


class TestLate:
    def test_it_is_told_of_first(self):
        play = running(2)
        assert play.tell(Late(1, "GET /slow, 31 s"), at=50) == [Report(1, "GET /slow, 31 s")]
        assert play.watcher.settled

    def test_it_is_told_to_interrupt_the_request(self):
        play = running(2)
        for _ in range(3):  # once a second, as long as that hangs
            event = Late(1, "GET /slow, 33 s", due=TimeoutAction.INTERRUPT)
            assert play.tell(event) == [Signal(1, INTERRUPT_SIGNAL)]

    def test_it_is_replaced_by_a_successor_that_is_ready_first(self):
        play = running(2)
        event = Late(1, "GET /slow, 38 s", due=TimeoutAction.RETIRE)
        assert play.tell(event, at=50) == [Report(1, "GET /slow, 38 s", TimeoutAction.RETIRE), Spawn(3, 3, 1)]
        assert play.tell(event) == []
        assert play.tell(Ready(3), at=60) == [Drain(1, 30.0)]
        assert play.tell(event, at=61) == []
        assert play.watcher.wake_at() == 90
        assert play.tick() == [Kill(1)]
        assert play.tell(Exited(1, ExitStatus(signal=9))) == []

    def test_what_does_nothing_else_is_not_waited_for(self):
        play = running(2)
        actions = play.tell(Late(1, "GET /slow, 38 s", alone=True, due=TimeoutAction.RETIRE), at=50)
        assert actions == [Report(1, "GET /slow, 38 s", TimeoutAction.RETIRE), Drain(1, 0.0), Spawn(3, 3, 1)]

    def test_what_finished_the_rest_is_not_waited_for_any_longer(self):
        play = running(2)
        play.tell(Late(1, "38 s", due=TimeoutAction.RETIRE))
        play.tell(Ready(3))
        assert play.tell(Late(1, "40 s", alone=True, due=TimeoutAction.RETIRE)) == [Drain(1, 0.0)]

    def test_it_is_killed(self):
        play = running(2)
        assert play.tell(Late(1, "GET /slow, 68 s", due=TimeoutAction.KILL)) == [Kill(1)]
        assert play.tell(Late(1, "GET /slow, 69 s", due=TimeoutAction.KILL)) == []
        died, spawned = play.tell(Exited(1, ExitStatus(signal=9)))
        assert died.killed == "GET /slow, 68 s"
        assert spawned == Spawn(3, 1, 1)

    def test_of_what_leaves_nobody_hears(self):
        play = running(2)
        play.tell(Late(1, "38 s", alone=True, due=TimeoutAction.RETIRE))
        assert play.tell(Late(1, "39 s")) == []
        assert play.tell(Late(1, "39 s", due=TimeoutAction.RETIRE)) == []


class TestEventsThatMeanNothing:
    @pytest.mark.parametrize(
        "event",
        [
            Spawned(9, 1),
            SpawnFailed(9, ""),
            Ready(9),
            BootFailed(9, ""),
            Retiring(9, ""),
            Late(9, ""),
            *(Late(9, "", due=action) for action in TimeoutAction),
            Exited(9, BAD),
            GenerationReady(9),
            GenerationFailed(9, ""),
            Ready(1),
            BootFailed(1, ""),
            SpawnFailed(1, ""),
            Tick(),
        ],
    )
    def test_it_is_ignored(self, event: Event):
        play = running()
        assert play.tell(event) == []
        assert play.states() == {1: "ready", 2: "ready"}

    def test_spawned_may_come_after_ready(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tell(Ready(1))
        assert play.tell(Spawned(1, pid=7)) == []
        assert play.watcher.processes[1].pid == 7
        assert play.watcher.processes[1].state is ProcessState.READY

    def test_spawned_may_come_after_the_end(self):
        play = running(1)
        play.tell(Exited(1, BAD))
        assert play.tell(Spawned(1, pid=7)) == []

    def test_ready_of_one_that_leaves(self):
        play = Play(numprocesses=1)
        play.tell(Start())
        play.tell(GenerationReady(1))
        play.tell(Stop())
        assert play.tell(Ready(1)) == []
        assert play.states() == {1: "draining"}

    def test_boot_failed_of_a_generation_that_is_over(self):
        play = running(1)
        play.tell(Reload())
        play.tell(GenerationReady(2))
        play.tell(Reload())
        assert play.tell(BootFailed(2, "broken")) == []


def test_nobody_comes_back_from_being_killed_or_gone():
    order = list(ProcessState)
    for before, moves in TRANSITIONS.items():
        for after in moves.values():
            assert order.index(after) >= order.index(before)
    assert set(TRANSITIONS[ProcessState.KILLED].values()) == {ProcessState.GONE}
    assert not TRANSITIONS[ProcessState.GONE]
