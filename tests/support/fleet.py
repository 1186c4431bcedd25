# Simulated fleet: nodes with fences, the leader that hears of them, and faults by a seed.
#
# The invariants are looked at after every tick. Rules: the fleet is as unkind as a real one. Words and beats
# are lost, words come twice and late; nodes vanish and come back; leaders change, and an old one goes on
# speaking. A tick costs no more than one look at each node.

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping

from bigtop.cluster.policy.deployment import Assignment, Deployment, Outcome, Phase, Rollout, plain, read
from bigtop.cluster.policy.detector import Beat, Detector
from bigtop.cluster.policy.fence import Fence, StaleError, Word
from bigtop.cluster.policy.member import Condition, Figures, Liveness, Member, Report, up_to_date
from bigtop.cluster.policy.rollout import Machine
from bigtop.cluster.policy.strategy import Strategy

TICK = 5.0
BRISK = Strategy(min_healthy_time=10, healthy_deadline=60, progress_deadline=600)


class Node:
    """One simulated node: its fence, what it runs, and how it takes to revisions."""

    def __init__(self, name: str, tags: tuple[str, ...], likes: Callable[[int], str]) -> None:
        self.name, self.tags, self.likes = name, tags, likes
        self.fence = Fence()
        self.revision = 0  # serves
        self.ever = {0}
        self.number = 0
        self.until = 0.0  # it changes
        self.goal = 0
        self.away_until = 0.0
        self.refused = False
        self.cordoned = False
        self.applications = 0
        self.sequence = 0
        self._said: tuple[tuple[object, ...], Report] | None = None

    def hear(self, assignment: Assignment, epoch: int, now: float, takes: float) -> None:
        try:
            word = self.fence.assignment("web", assignment.number, epoch)
        except StaleError:
            return
        if word is Word.NEW:
            self.number, self.goal, self.until = assignment.number, assignment.revision, now + takes
            self.refused = False
            self.applications += 1
            self.ever.add(self.goal) if self.likes(self.goal) != "refuses" else None

    def live(self, now: float) -> None:
        if self.revision != self.goal and now >= self.until and not self.refused:
            if self.likes(self.goal) == "refuses":
                self.refused = True
            else:
                self.revision = self.goal

    def report(self) -> Report:
        """Return what it says, the same object as before while that is the same."""
        about = (self.number, self.revision, self.goal, self.refused)
        if self._said is None or self._said[0] != about:
            self._said = about, self._report()
        return self._said[1]

    def _report(self) -> Report:
        changing = self.revision != self.goal and not self.refused
        likes = self.likes(self.revision)
        errors = 50 if likes == "errors" else 1
        p99 = 0.5 if likes == "slow" else 0.05
        condition = (
            Condition.CHANGING if changing else Condition.REFUSED if self.refused else Condition.APPLIED
        )
        return Report(self.number, self.revision, condition, "it says no", Figures(200, errors, p99))


class Fleet:
    """Nodes, what the leader knows of them, and the leader itself."""

    def __init__(self, size: int, seed: int, likes: Callable[[str, int], str], faults: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.nodes = {}
        for n in range(size):
            name = f"n{n:05}"
            self.nodes[name] = Node(name, (f"rack{n % 7}",), lambda rev, name=name: likes(name, rev))
        self.now = 0.0
        self.epoch = 1
        self.machine = Machine(Deployment("web", stable=0), self.now)
        self.detector = Detector()
        self.members: dict[str, Member] = {}
        self.old_words: list[tuple[Assignment, str, int]] = []
        self.look()

    def look(self) -> None:
        """The leader hears of the nodes; of those that are silent it keeps what it heard last."""
        now, faults, members, detector = self.now, self.faults, self.members, self.detector
        for name, node in self.nodes.items():
            before = members.get(name)
            report = before.report if before is not None else None
            if node.away_until <= now:
                node.live(now)
                if not faults or self.random.random() >= faults:
                    node.sequence += 1
                    detector.heard(Beat(name, "x", node.sequence), now)
                    report = node.report()
            liveness = detector.liveness(name, now)
            members[name] = up_to_date(before, name, node.tags, liveness, node.cordoned, report)

    def tick(self) -> None:
        self.now += TICK
        if self.faults:
            self.harm()
        self.look()
        known = self.machine.deployment
        self.machine.step(self.members, self.now)
        after = self.machine.deployment
        self.check(known, after)
        for name, one in after.assigned.items():
            node = self.nodes[name]
            if one.number == node.number or node.away_until > self.now:
                continue
            for _ in range(1 + (self.random.random() < self.faults)):  # lost, or twice
                if self.random.random() >= self.faults:
                    node.hear(one, self.epoch, self.now, self.random.uniform(0, 10))
                    self.old_words.append((one, name, self.epoch))
        self.check_budget()

    def harm(self) -> None:
        """Nodes vanish for a while; leaders change; old words come again."""
        dice = self.random
        if dice.random() < self.faults:
            node = dice.choice(list(self.nodes.values()))
            node.away_until = self.now + dice.uniform(10, 200)
        if dice.random() < self.faults / 2:
            self.change_leader()
        for one, name, epoch in dice.sample(self.old_words, min(3, len(self.old_words))):
            numbers = self.nodes[name].number, self.nodes[name].applications
            self.nodes[name].hear(one, epoch, self.now, 0.0)
            assert (self.nodes[name].number, self.nodes[name].applications) == numbers

    def change_leader(self) -> None:
        """Another one goes on with what was stored; the old one gives a last word, which nobody heeds."""
        stored = json.dumps(plain(self.machine.deployment))
        old = Machine(read(json.loads(stored)), self.now)
        self.machine = Machine(read(json.loads(stored)), self.now)
        self.detector = Detector()
        self.detector.expect(self.nodes, self.now)
        self.epoch += 1
        for node in self.nodes.values():
            if node.away_until <= self.now:
                node.fence.assignment("web", node.number, self.epoch)
        old.step(self.members, self.now + TICK)
        for name, one in old.deployment.assigned.items():
            node = self.nodes[name]
            if node.away_until <= self.now and one.number > node.number:
                number = node.number
                node.hear(one, self.epoch - 1, self.now, 0.0)
                assert node.number == number

    def away(self, assigned: Mapping[str, Assignment]) -> Counter[str]:
        """Count by tag who is lost, changes, or was found to be unhealthy by the rollout under way."""
        rollout = self.machine.deployment.rollout
        outcomes = {} if rollout is None or rollout.phase.is_over else rollout.outcomes
        count: Counter[str] = Counter()
        for name, one in self.members.items():
            number = assigned[name].number if name in assigned else 0
            report = one.report
            is_done = report is not None and report.number >= number
            is_done = is_done and report is not None and report.condition is not Condition.CHANGING
            is_done = is_done and outcomes.get(name) is not Outcome.UNHEALTHY
            if one.liveness is not Liveness.ALIVE or not is_done:
                count.update(one.tags)
        return count

    def check(self, old: Deployment, new: Deployment) -> None:
        assert new.serial >= old.serial
        if new.assigned is old.assigned:
            return  # nobody is away because of this
        for name, one in old.assigned.items():
            assert new.assigned[name].number >= one.number
        numbers = {one.number for one in new.assigned.values()}
        assert len(numbers) == len(new.assigned)
        assert max(numbers) <= new.serial
        sizes = Counter(tag for one in self.members.values() for tag in one.tags)
        rollout = new.rollout
        allowed = (rollout.strategy if rollout else Strategy()).unavailable
        before = self.away(old.assigned)
        for tag, count in self.away(new.assigned).items():
            # Whom the machine takes stays within the limit; what faults took beforehand may be above it.
            assert count <= max(allowed(sizes[tag]), before[tag]), tag

    def check_budget(self) -> None:
        """A bad revision is only where it was allowed to show that."""
        rollout = self.machine.deployment.rollout
        if rollout is None:
            return
        if not rollout.phase.is_over:
            assert self._unproven(rollout) <= rollout.strategy.max_parallel + len(rollout.waves[0])
        bad = sum(one is not Outcome.HEALTHY for one in rollout.outcomes.values())
        waves_so_far = rollout.waves[: rollout.wave + 1]
        spared = sum(max(1, len(wave) // 100) for wave in waves_so_far)
        assert bad <= spared + rollout.strategy.max_parallel + len(rollout.waves[0])

    def _unproven(self, rollout: Rollout) -> int:
        return sum(
            node.number > rollout.number and node.goal == rollout.new and name not in rollout.outcomes
            for name, node in self.nodes.items()
        )

    def run(self, limit: int = 2000) -> Phase:
        """Go on until the rollout is over; it must be, in the end."""
        for _ in range(limit):
            self.tick()
            rollout = self.machine.deployment.rollout
            if rollout is not None and rollout.phase.is_over:
                return rollout.phase
        rollout = self.machine.deployment.rollout
        raise AssertionError(f"it does not end: {rollout and (rollout.phase, rollout.wave, rollout.reason)}")

    def settle(self, limit: int = 400) -> None:
        """No more faults: all come back, and all converge."""
        self.faults = 0.0
        for node in self.nodes.values():
            node.away_until = 0.0
        for _ in range(limit):
            self.tick()
            if self.converged():
                return
        raise AssertionError("they do not converge")

    def converged(self) -> bool:
        stable = self.machine.deployment.stable
        return all(node.revision == stable or node.refused for node in self.nodes.values())

    def begin(self, revision: int, how: Strategy = BRISK) -> None:
        self.machine.begin(revision, how, self.members, self.now)


def good(_node: str, _revision: int) -> str:
    return ""


def bad_at(revision: int, how: str, share: float = 1.0) -> Callable[[str, int], str]:
    def likes(node: str, asked: int) -> str:
        unlucky = (int(node[1:]) * 7919 % 1000) / 1000 < share
        return how if asked == revision and unlucky else ""

    return likes


def live_through(seed: int, sizes: tuple[int, ...]) -> None:
    """Bring three revisions to a fleet of one of the sizes, the second of which may be bad, with faults."""
    dice = random.Random(seed)
    share, how = dice.choice([0.0, 0.005, 0.03, 0.3, 1.0]), dice.choice(["refuses", "errors", "slow"])
    size = dice.choice(sizes)
    fleet = Fleet(size, seed, bad_at(2, how, share), faults=dice.choice([0.05, 0.3]))
    way = Strategy(
        max_unavailable=dice.choice([str(max(1, size // 100)), "25%", "50%"]),
        max_parallel=dice.choice([1, 5, 50]) * max(1, size // 100),
        min_healthy_time=10,
        healthy_deadline=60,
        progress_deadline=150,
    )
    for revision in (1, 2, 3):
        while not any(one.takes for one in fleet.members.values()):
            fleet.tick()
        fleet.begin(revision, way)
        fleet.run()
    fleet.settle()
