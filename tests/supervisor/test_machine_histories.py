# Random histories of one watcher in a made-up world.
#
# The world answers the actions late, in any order, or with failures, and on the way checks that each action
# was allowed. At the end it calms down: everything works, and the watcher has to reach what is wanted.

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bigtop.http.paths.time_limits import TimeoutAction
from bigtop.record import replace
from bigtop.supervisor.policy import messages as m
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy, HealthCheck, Step
from bigtop.supervisor.policy.spec import Command, Lifetime, Respawn, RestartPolicy, StopPolicy, WatcherSpec
from bigtop.supervisor.policy.watcher import Status, Watcher

DIED = m.ExitStatus(code=1)
GENTLE = m.ExitStatus(code=0)


class World:
    """What exists outside of the watcher: fork servers, processes, a clock."""

    def __init__(self, spec: WatcherSpec) -> None:
        self.watcher = Watcher(spec, itertools.count(1))
        self.now = 1000.0
        self.generations: dict[int, str] = {}  # asked, ready, discarded
        self.loaded: set[int] = set()  # generations whose code was imported once
        self.asked_at: dict[int, float] = {}
        self.alive: dict[int, m.Spawn] = {}
        self.born: set[int] = set()  # Spawned was told
        self.ready: set[int] = set()
        self.drained: dict[int, float] = {}  # key -> grace
        self.killed: set[int] = set()
        self.held: set[int] = set()
        self.tried: dict[int, Step] = {}  # key -> the step that was asked for last
        self.passed: set[tuple[int, Step]] = set()
        self.unchecked: set[int] = set()  # generations that may serve without
        self.notices: list[m.Action] = []

    def tell(self, event: m.Event) -> list[m.Action]:
        actions = self.watcher.handle(event, self.now)
        for action in actions:
            self._perform(action)
        wake = self.watcher.wake_at()
        assert wake is None or wake > self.now, "a Tick that is due at once would turn for ever"
        return actions

    def _perform(self, action: m.Action) -> None:
        match action:
            case m.Prepare(generation):
                assert generation not in self.loaded, "nobody knows what is on the disk by now"
                late = self.now >= self.asked_at.get(generation, self.now) + self.watcher.spec.boot_timeout
                assert self.generations.get(generation) in (
                    (None, "failed", "asked") if late else (None, "failed")
                )
                self.generations[generation] = "asked"
                self.asked_at[generation] = self.now
            case m.Discard(generation):
                assert self.generations[generation] != "discarded"
                self.generations[generation] = "discarded"
                of_it = [key for key in self.tried if self.alive[key].generation == generation]
                for key in of_it:
                    del self.tried[key]
            case m.Verify(key, generation, step):
                assert generation == self.watcher.generation == self.alive[key].generation
                assert self.generations[generation] != "discarded"
                assert key in self.ready
                assert (key, step) not in self.passed
                assert key not in self.held or step is not Step.TRAFFIC
                self.tried = {key: step}
            case m.Admit(key):
                assert key in self.ready
                steps = set(self.watcher.spec.deploy.steps) - {Step.TRAFFIC}
                assert (
                    self.alive[key].generation in self.unchecked
                    or {(key, step) for step in steps} <= self.passed
                )
                self.held.remove(key)
            case m.Spawn(key, wid, generation):
                if action.held:
                    assert self.watcher.spec.deploy.holds
                    self.held.add(key)
                assert self.generations[generation] == "ready"
                assert wid not in {other.wid for other in self.alive.values()}
                assert key not in self.alive
                self.alive[key] = action
            case m.Drain(key, grace):
                assert key in self.alive
                assert key not in self.killed
                assert grace < self.drained.get(key, 1e9), "asked twice with as much time"
                self.drained[key] = grace
            case m.Kill(key):
                assert key in self.alive
                assert key not in self.killed
                self.killed.add(key)
            case m.Unchecked(generation):
                assert not [key for key in self.serving if self.alive[key].generation != generation]
                self.unchecked.add(generation)
            case _:
                self.notices.append(action)

    # ---- what may happen in it

    def prepared(self, generation: int) -> None:
        self.generations[generation] = "ready"
        self.loaded.add(generation)
        self.tell(m.GenerationReady(generation))

    def unprepared(self, generation: int) -> None:
        self.generations[generation] = "failed"
        self.tell(m.GenerationFailed(generation, "no such module"))

    def birth(self, key: int) -> None:
        self.born.add(key)
        self.tell(m.Spawned(key, 10_000 + key))

    def is_ready(self, key: int) -> None:
        if key not in self.drained and key not in self.killed:
            self.ready.add(key)
        self.tell(m.Ready(key))

    def end(self, key: int, event: m.Event) -> None:
        del self.alive[key]
        self.ready.discard(key)
        self.held.discard(key)
        self.tried.pop(key, None)
        self.tell(event)

    def verdict(self, *, good: bool) -> None:
        ((key, step),) = self.tried.items()
        self.tried.clear()
        if good:
            self.passed.add((key, step))
            self.tell(m.Verified(key, step, "as it should be"))
        else:
            self.tell(m.Rejected(key, step, "answered with 500"))

    @property
    def ended_for_good(self) -> int:
        """How many places are empty for ever, as the policy has it; none where deaths are always answered."""
        restart = self.watcher.spec.restart
        if restart.respawn is Respawn.ALWAYS and restart.max_retry < 0:
            return 0
        return max(0, self.watcher.numprocesses - len(self.alive))

    @property
    def staying(self) -> list[int]:
        return [key for key in self.alive if key not in self.drained and key not in self.killed]

    @property
    def serving(self) -> list[int]:
        gone = {*self.drained, *self.killed, *self.held}
        return [key for key in self.ready if key not in gone]

    @property
    def only_ages(self) -> bool:
        """Whether nothing will ever happen but that processes get old."""
        full = len(self.alive) == self.watcher.numprocesses
        ages = bool(self.watcher.spec.lifetime.max_age) and full and self.watcher.settled
        return ages and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether the fork server of what works is dead, and nothing is tried in its place."""
        generations = self.watcher.generations
        return len(generations) == 1 and generations[0].lost

    def steps(self) -> Iterator[None]:
        """All that is still open is answered well; each step is one answer, oldest question first."""
        while True:
            asked = [number for number, state in self.generations.items() if state == "asked"]
            leaving = [key for key in self.alive if key in self.drained or key in self.killed]
            booting = [key for key in self.alive if key not in self.ready]
            wake = self.watcher.wake_at()
            if asked:
                self.prepared(asked[0])
            elif leaving:
                self.end(leaving[0], m.Exited(leaving[0], GENTLE))
            elif booting:
                self.is_ready(booting[0])
            elif self.tried:
                self.verdict(good=True)
            elif wake is not None and not self.only_ages:
                self.now = wake
                self.tell(m.Tick())
            elif self.is_lost:  # somebody has ended the trying, and wants something else now
                self.tell(m.Reload())
            else:
                return
            yield

    def calm_down(self) -> None:
        for number, _ in enumerate(self.steps()):
            assert number < 1000, "it does not come to rest"

    def check_rest(self) -> None:
        watcher = self.watcher
        if watcher.status is Status.STOPPED:
            assert not self.alive
            assert "ready" not in self.generations.values()
            return
        assert not self.held
        assert watcher.settled
        assert watcher.status is Status.ACTIVE
        assert len(self.alive) == len(self.ready) == watcher.numprocesses - self.ended_for_good
        assert {spawn.generation for spawn in self.alive.values()} <= {watcher.generation}
        there = {number for number, state in self.generations.items() if state == "ready"}
        aside = {generation.number for generation in watcher.generations.aside}
        assert there == {watcher.generation} | aside
        assert len(aside) <= watcher.spec.deploy.keep_generations


SPEC = WatcherSpec(
    name="web",
    target=Command(("web",)),
    numprocesses=3,
    restart=RestartPolicy(attempts=2, window=60.0, retry_in=1.0, max_delay=30.0),
    stop=StopPolicy(graceful_timeout=30.0),
    boot_timeout=20.0,
)

CAREFUL = DeployPolicy((HealthCheck("GET /", "GET", "/", ((200, 299),), 1.0),), command="true")
WIDE = DeployPolicy(max_surge=4)
KEEPING = DeployPolicy(keep_generations=2)
WATCHFUL = replace(CAREFUL, canary_time=7.0)
POLICIES = [
    SPEC.restart,
    replace(SPEC.restart, attempts=0, max_retry=1),
    replace(SPEC.restart, respawn=Respawn.UNEXPECTED),
    replace(SPEC.restart, respawn=Respawn.NEVER),
]
SPECS = [
    *(replace(SPEC, restart=policy) for policy in POLICIES),
    replace(SPEC, numprocesses=1, singleton=True),
    replace(SPEC, lifetime=Lifetime(warmup_delay=2.0)),
    replace(SPEC, lifetime=Lifetime(max_age=40.0, max_age_variance=20.0)),
    replace(SPEC, numprocesses=1, singleton=True, lifetime=Lifetime(warmup_delay=0.5, max_age=30.0)),
    replace(SPEC, send_hup=True),
    replace(SPEC, deploy=CAREFUL),
    replace(SPEC, deploy=WATCHFUL),
    replace(SPEC, deploy=CAREFUL, numprocesses=1, singleton=True),
    replace(SPEC, deploy=DeployPolicy(canary_time=7.0)),
    replace(SPEC, deploy=DeployPolicy(keep_generations=1)),
    replace(SPEC, deploy=replace(CAREFUL, keep_generations=2)),
    replace(SPEC, deploy=replace(CAREFUL, max_surge=3)),
    replace(SPEC, deploy=DeployPolicy(max_surge=0, max_unavailable=2)),
    replace(SPEC, deploy=CAREFUL, lifetime=Lifetime(max_age=40.0, max_age_variance=20.0)),
]

one = st.integers(0, 1_000_000)  # which of those that are there


class Histories(RuleBasedStateMachine):
    @initialize(spec=st.sampled_from(SPECS))
    def begin(self, spec: WatcherSpec) -> None:
        self.world = World(spec)
        self.world.tell(m.Start())

    def pick(self, number: int, keys: list[int]) -> int:
        return keys[number % len(keys)]

    # ---- wishes

    @rule()
    def start(self) -> None:
        self.world.tell(m.Start())

    @rule(urgency=st.sampled_from(m.Urgency))
    def stop(self, urgency: m.Urgency) -> None:
        self.world.tell(m.Stop(urgency))

    @rule(count=st.integers(-1, 6))
    def scale(self, count: int) -> None:
        self.world.tell(m.Scale(min(count, 1) if self.world.watcher.spec.singleton else count))

    @rule(sequential=st.booleans())
    def reload(self, sequential: bool) -> None:
        self.world.tell(m.Reload(sequential))

    @rule()
    def roll_back(self) -> None:
        self.world.tell(m.Rollback())

    @rule()
    def restart(self) -> None:
        self.world.tell(m.Restart())

    @rule(attempts=st.integers(0, 3))
    def update(self, attempts: int) -> None:
        spec = self.world.watcher.spec
        self.world.tell(m.Update(replace(spec, restart=replace(spec.restart, attempts=attempts))))

    @precondition(lambda self: self.world.alive)
    @rule(number=one, signum=st.sampled_from([None, 2, 9]))
    def leave(self, number: int, signum: int | None) -> None:
        self.world.tell(m.Leave(self.pick(number, list(self.world.alive)), 5.0, signum))

    # ---- answers

    @precondition(lambda self: "asked" in self.world.generations.values())
    @rule(number=one, good=st.booleans())
    def generation(self, number: int, good: bool) -> None:
        asked = [number for number, state in self.world.generations.items() if state == "asked"]
        (self.world.prepared if good else self.world.unprepared)(self.pick(number, asked))

    @precondition(lambda self: "ready" in self.world.generations.values())
    @rule(number=one)
    def fork_server_dies(self, number: int) -> None:
        there = [number for number, state in self.world.generations.items() if state == "ready"]
        self.world.unprepared(self.pick(number, there))

    @precondition(lambda self: self.world.alive)
    @rule(number=one)
    def spawned(self, number: int) -> None:
        self.world.birth(self.pick(number, list(self.world.alive)))

    @precondition(lambda self: set(self.world.alive) - self.world.ready)
    @rule(number=one)
    def ready(self, number: int) -> None:
        self.world.is_ready(self.pick(number, sorted(set(self.world.alive) - self.world.ready)))

    @precondition(lambda self: self.world.tried)
    @rule(good=st.booleans())
    def verdict(self, good: bool) -> None:
        self.world.verdict(good=good)

    @precondition(lambda self: set(self.world.alive) - self.world.ready)
    @rule(number=one)
    def spawn_fails(self, number: int) -> None:
        key = self.pick(number, sorted(set(self.world.alive) - self.world.ready))
        self.world.end(key, m.SpawnFailed(key, "no memory"))

    @precondition(lambda self: self.world.alive)
    @rule(number=one)
    def boot_fails(self, number: int) -> None:
        self.world.tell(m.BootFailed(self.pick(number, list(self.world.alive)), "cannot import"))

    @precondition(lambda self: self.world.alive)
    @rule(number=one, status=st.sampled_from([GENTLE, DIED, m.ExitStatus(signal=9)]))
    def dies(self, number: int, status: m.ExitStatus) -> None:
        key = self.pick(number, list(self.world.alive))
        self.world.end(key, m.Exited(key, status))

    @precondition(lambda self: self.world.alive)
    @rule(number=one)
    def retires(self, number: int) -> None:
        self.world.tell(m.Retiring(self.pick(number, list(self.world.alive)), "1000 requests"))

    @precondition(lambda self: self.world.alive)
    @rule(number=one, alone=st.booleans(), due=st.sampled_from([None, *TimeoutAction]))
    def late(self, number: int, alone: bool, due: TimeoutAction | None) -> None:
        self.world.tell(m.Late(self.pick(number, list(self.world.alive)), "31 s", alone, due))

    @rule(key=st.integers(0, 60), number=st.integers(0, 9))
    def nonsense(self, key: int, number: int) -> None:
        """What was told before, or of somebody that is gone."""
        if key not in self.world.alive:
            for event in (m.Spawned(key, 1), m.Ready(key), m.Late(key, ""), m.Exited(key, DIED)):
                self.world.tell(event)
        for step in Step:
            if self.world.tried.get(key) is not step:
                self.world.tell(m.Verified(key, step))
                self.world.tell(m.Rejected(key, step, "it was another one"))
        if self.world.generations.get(number) in (None, "discarded"):
            assert not {m.Spawn, m.Discard} & {type(a) for a in self.world.tell(m.GenerationReady(number))}

    # ---- time

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 25.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.world.now + seconds
        while (wake := self.world.watcher.wake_at()) is not None and wake <= until:
            self.world.now = wake
            self.world.tell(m.Tick())
        self.world.now = until

    # ---- what always holds

    @invariant()
    def never_more_than_surge_and_canary(self) -> None:
        surge = max(1, self.world.watcher.spec.deploy.max_surge)
        assert len(self.world.staying) <= self.world.watcher.numprocesses + surge + 1

    @invariant()
    def a_singleton_is_one(self) -> None:
        assert not self.world.watcher.spec.singleton or len(self.world.alive) <= 1

    @invariant()
    def the_watcher_knows_the_world(self) -> None:
        assert self.world.watcher.processes.keys() == self.world.alive.keys()
        assert (self.world.watcher.status is Status.STOPPED) <= (not self.world.alive)

    def teardown(self) -> None:
        world = self.world
        world.calm_down()
        world.check_rest()
        world.tell(m.Start())
        world.calm_down()
        world.check_rest()
        assert world.watcher.status is Status.ACTIVE
        world.tell(m.Stop())
        world.calm_down()
        assert world.notices[-1] == m.Stopped()
        assert world.watcher.status is Status.STOPPED
        assert not world.alive
        assert set(world.generations.values()) <= {"discarded"}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=60)


DEPLOYS = [DeployPolicy(), CAREFUL, WATCHFUL, KEEPING, WIDE]


class Deployments(RuleBasedStateMachine):
    """Reloads, scalings, retirements and deaths of fork servers while no process dies: the ready ones are
    never fewer than wanted."""

    @initialize(count=st.integers(1, 5), deploy=st.sampled_from(DEPLOYS))
    def begin(self, count: int, deploy: DeployPolicy) -> None:
        self.world = World(replace(SPEC, deploy=deploy))
        self.world.tell(m.Scale(count))
        self.world.tell(m.Start())
        self.world.calm_down()
        self.floor = count

    def check(self) -> None:
        """As many as wanted are ready once they were, until more are wanted."""
        count = self.world.watcher.numprocesses
        assert len(self.world.serving) >= min(self.floor, count)
        self.floor = max(min(self.floor, count), min(len(self.world.serving), count))

    @rule()
    def reload(self) -> None:
        self.world.tell(m.Reload())
        self.check()

    @rule()
    def roll_back(self) -> None:
        self.world.tell(m.Rollback())
        self.check()

    @rule(count=st.integers(1, 6))
    def scale(self, count: int) -> None:
        self.world.tell(m.Scale(count))
        self.check()

    @rule(number=one)
    def retire(self, number: int) -> None:
        serving = sorted(self.world.serving)
        self.world.tell(m.Retiring(serving[number % len(serving)], "memory"))
        self.check()

    @precondition(lambda self: "asked" in self.world.generations.values())
    @rule(good=st.booleans())
    def generation(self, good: bool) -> None:
        asked = next(number for number, state in self.world.generations.items() if state == "asked")
        (self.world.prepared if good else self.world.unprepared)(asked)
        self.check()

    @precondition(lambda self: set(self.world.staying) - self.world.ready)
    @rule(number=one, good=st.booleans())
    def boots(self, number: int, good: bool) -> None:
        booting = sorted(set(self.world.staying) - self.world.ready)
        key = booting[number % len(booting)]
        if good or self.world.alive[key].generation != self.world.watcher.generation:
            self.world.is_ready(key)
        else:
            self.world.tell(m.BootFailed(key, "cannot import"))
        self.check()

    @precondition(lambda self: self.world.tried)
    @rule(good=st.booleans())
    def verdict(self, good: bool) -> None:
        self.world.verdict(good=good)
        self.check()

    @precondition(lambda self: "ready" in self.world.generations.values())
    @rule(number=one)
    def fork_server_dies(self, number: int) -> None:
        there = [number for number, state in self.world.generations.items() if state == "ready"]
        self.world.unprepared(there[number % len(there)])
        self.check()

    @rule(seconds=st.sampled_from([0.5, 3.0, 15.0]))
    def time_passes(self, seconds: float) -> None:
        """Shorter than anybody has to boot, or to leave."""
        until = self.world.now + seconds
        while (wake := self.world.watcher.wake_at()) is not None and wake <= until:
            self.world.now = wake
            self.world.tell(m.Tick())
            self.check()
        self.world.now = until

    @precondition(lambda self: set(self.world.alive) - set(self.world.staying))
    @rule(number=one)
    def leaves(self, number: int) -> None:
        leaving = sorted(set(self.world.alive) - set(self.world.staying))
        key = leaving[number % len(leaving)]
        self.world.end(key, m.Exited(key, GENTLE))
        self.check()

    def teardown(self) -> None:
        self.world.calm_down()
        self.world.check_rest()
        assert self.world.watcher.status is Status.ACTIVE


TestDeployments = Deployments.TestCase
TestDeployments.settings = settings(max_examples=150, stateful_step_count=60)
