# Rollout machine: which node gets which revision next, by what all nodes said so far.
#
# Rules: pure, and level-triggered: step() compares what is wanted with what is there. What has to be known by
# the next leader is in the Deployment; what is not there, when something began, begins anew with it. A new
# revision reaches its canaries alone, until they are healthy; where it fails, who has it gets the old one.

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bigtop.cluster.policy import health
from bigtop.cluster.policy.deployment import Assignment, Deployment, Outcome, Phase, Rollout
from bigtop.cluster.policy.member import Figures, Liveness, Member
from bigtop.cluster.policy.room import Room, is_changing
from bigtop.cluster.policy.strategy import Strategy, waves
from bigtop.cluster.policy.trials import Trials
from bigtop.errors import CommandError
from bigtop.record import replace

_QUICKER: Final = 4  # times max_parallel, back to what is known to be good

Members = Mapping[str, Member]


class Machine:
    """Of one application, for one leader. `deployment` is what is to be stored after each call."""

    def __init__(self, deployment: Deployment, now: float) -> None:
        self.deployment = deployment
        self._progress_at = now
        self._trials = Trials(deployment.assigned, now)

    # ---- what people ask for

    def begin(self, new: int, strategy: Strategy, members: Members, now: float) -> None:
        """Have every node get the revision `new`. CommandError: that cannot be now."""
        old = self.deployment
        if old.rollout is not None and not old.rollout.phase.is_over:
            raise CommandError(f"{old.app}: rollout {old.rollout.number} is {old.rollout.phase.value}")
        tags = {name: one.tags for name, one in members.items() if one.takes}
        if not tags:
            raise CommandError(f"{old.app}: no node is there to take revision {new}")
        plan = waves(tags, strategy.canary)
        number = old.serial + 1
        rollout = Rollout(number, old.stable, new, strategy, plan)
        self._progress_at = now
        self.deployment = replace(old, serial=number, rollout=rollout)

    def rollback(self, members: Members, now: float) -> None:
        """Go back to the revision before, or end the rollout that is under way. CommandError: to none."""
        old = self.deployment
        if old.rollout is None:
            raise CommandError(f"{old.app}: there is nothing to go back to")
        if not old.rollout.phase.is_over:
            self.abort("rolled back")
        elif old.previous == old.stable:
            raise CommandError(f"{old.app}: there is no revision before {old.stable}")
        else:
            parallel = old.rollout.strategy.max_parallel * _QUICKER
            strategy = replace(old.rollout.strategy, canary=1, max_parallel=parallel, auto_promote=True)
            self.begin(old.previous, strategy, members, now)
            rollout = self._rollout()
            rest = tuple(node for wave in rollout.waves[1:] for node in wave)
            self._become(replace(rollout, waves=(rollout.waves[0], rest) if rest else rollout.waves[:1]))

    def pause(self) -> None:
        self._change(Phase.RUNNING, Phase.PAUSED)

    def resume(self, now: float) -> None:
        self._progress_at = now
        self._change(Phase.PAUSED, Phase.RUNNING)

    def promote(self, now: float) -> None:
        """Go on after the canaries."""
        self._progress_at = now
        self._change(Phase.WAITING, Phase.RUNNING)

    def abort(self, reason: str) -> None:
        """End the rollout that is under way; whoever has the new revision gets the old one."""
        rollout = self._rollout()
        if rollout.phase.is_over:
            raise CommandError(f"{self.deployment.app}: rollout {rollout.number} is {rollout.phase.value}")
        reason = rollout.reason or reason
        self._become(replace(rollout, phase=Phase.REVERTING, reason=reason))

    def _change(self, before: Phase, after: Phase) -> None:
        rollout = self._rollout()
        if rollout.phase is not before:
            raise CommandError(
                f"{self.deployment.app}: rollout {rollout.number} is {rollout.phase.value}, "
                f"not {before.value}"
            )
        self._become(replace(rollout, phase=after))

    def _rollout(self) -> Rollout:
        if self.deployment.rollout is None:
            raise CommandError(f"{self.deployment.app}: there is no rollout")
        return self.deployment.rollout

    def _become(self, rollout: Rollout) -> None:
        self.deployment = replace(self.deployment, rollout=rollout)

    def hear_of(self, number: int) -> None:
        """A node knows of a higher number than the store, which was lost meanwhile: go on above it."""
        if number > self.deployment.serial:
            self.deployment = replace(self.deployment, serial=number)

    # ---- what follows

    def step(self, members: Members, now: float) -> bool:
        """Take in what all nodes said; whether the deployment is another one now."""
        before = self.deployment
        rollout = before.rollout
        if rollout is None or rollout.phase.is_over:
            self._converge(members, now)
        elif rollout.phase is Phase.REVERTING:
            self._revert(rollout, members, now)
        elif rollout.phase is not Phase.STOPPED:
            self._judge(rollout, members, now)
            if self._rollout().phase is Phase.RUNNING:
                self._advance(self._rollout(), members, now)
        return self.deployment is not before

    def _judge(self, rollout: Rollout, members: Members, now: float) -> None:
        """Note what became of those that were given the new revision; stop where that is too bad."""
        pending = _pending(self.deployment, rollout)
        if not pending:
            return
        others = self._others(rollout, members)
        found, reason = {}, ""
        for node in pending:
            member, number = _known(node, members), self.deployment.assigned[node].number
            outcome, why = self._trials.verdict(member, number, others, rollout.strategy, now)
            if outcome is None:
                continue
            found[node] = outcome
            self._progress_at = now
            if outcome is not Outcome.HEALTHY:
                reason = reason or f"{node} is {outcome.value}: {why}"
        if found:
            rollout = replace(rollout, outcomes={**rollout.outcomes, **found})
            self._become(rollout)
        if reason and self._is_too_bad(rollout):
            self._fail(rollout, reason)

    def _others(self, rollout: Rollout, members: Members) -> Figures:
        assigned = self.deployment.assigned
        return health.pooled(
            one.report.figures
            for name, one in members.items()
            if one.report is not None and one.takes
            if name not in assigned or assigned[name].number < rollout.number
        )

    def _is_too_bad(self, rollout: Rollout) -> bool:
        wave = rollout.waves[rollout.wave]
        bad = sum(rollout.outcomes.get(node, Outcome.HEALTHY) is not Outcome.HEALTHY for node in wave)
        return bad > (0 if rollout.wave == 0 else max(1, len(wave) // 100))

    def _fail(self, rollout: Rollout, reason: str) -> None:
        phase = Phase.REVERTING if rollout.strategy.auto_revert else Phase.STOPPED
        self._become(replace(rollout, phase=phase, reason=reason))

    def _advance(self, rollout: Rollout, members: Members, now: float) -> None:
        """Begin the next wave where this one is over, or go on with it."""
        left = self._left(rollout, members)
        if not left and not _pending(self.deployment, rollout):
            self._end_wave(rollout, now)
            return
        unhealthy = {node for node, one in rollout.outcomes.items() if one is Outcome.UNHEALTHY}
        parallel = rollout.strategy.max_parallel - len(_pending(self.deployment, rollout))
        room = Room(members.values(), self.deployment.assigned, unhealthy, rollout.strategy, parallel)
        ready = [members[node] for node in left if members[node].takes]
        chosen = [one for one in ready if room.take(one)]
        self._assign(chosen, rollout.new, now)
        if now - self._progress_at >= rollout.strategy.progress_deadline:
            full = sorted({tag for one in ready for tag in room.full(one)})
            why = f"; too many nodes are away of: {', '.join(full)}" if full else ""
            self._fail(self._rollout(), f"no progress in {rollout.strategy.progress_deadline:g} s{why}")

    def _left(self, rollout: Rollout, members: Members) -> list[str]:
        """Return who of the wave is still to come. Who is lost or cordoned comes when all is over."""
        assigned = self.deployment.assigned
        return [
            node
            for node in rollout.waves[rollout.wave]
            if (one := members.get(node)) is not None
            and one.liveness is not Liveness.LOST
            and not one.cordoned
            and (node not in assigned or assigned[node].number < rollout.number)
        ]

    def _end_wave(self, rollout: Rollout, now: float) -> None:
        self._progress_at = now
        if rollout.wave == 0 and Outcome.HEALTHY not in rollout.outcomes.values():
            self._fail(rollout, "no canary was there to show how the revision does")
        elif rollout.wave + 1 == len(rollout.waves):
            old, new = rollout.old, rollout.new
            self._become(replace(rollout, phase=Phase.DONE))
            self.deployment = replace(self.deployment, stable=new, previous=old)
        else:
            is_held = rollout.wave == 0 and not rollout.strategy.auto_promote
            phase = Phase.WAITING if is_held else Phase.RUNNING
            self._become(replace(rollout, wave=rollout.wave + 1, phase=phase))

    def _revert(self, rollout: Rollout, members: Members, now: float) -> None:
        assigned = self.deployment.assigned
        having = [node for node, one in assigned.items() if _is_of(one, rollout)]
        away = [_known(node, members) for node in having if not _is_alive(node, members)]
        self._assign(away, rollout.old, now)  # who comes back meets the old one
        assigned = self.deployment.assigned
        under_way = sum(self._is_going_back(one, assigned, now) for one in members.values())
        unhealthy = {node for node, one in rollout.outcomes.items() if one is Outcome.UNHEALTHY}
        parallel = rollout.strategy.max_parallel * _QUICKER - under_way
        room = Room(members.values(), assigned, unhealthy, rollout.strategy, parallel)
        chosen = [members[node] for node in having if _is_alive(node, members) and room.take(members[node])]
        self._assign(chosen, rollout.old, now)
        is_over = not any(_is_of(one, rollout) for one in self.deployment.assigned.values())
        if is_over and not under_way and not chosen:
            self._become(replace(rollout, phase=Phase.REVERTED))

    def _is_going_back(self, member: Member, assigned: Mapping[str, Assignment], now: float) -> bool:
        """Whether a node is to be waited for, which is not for ever."""
        rollout, one = self._rollout(), assigned.get(member.name)
        if one is None or one.number < rollout.number or one.revision == rollout.new:
            return False
        is_late = self._trials.is_late(member.name, rollout.strategy, now)
        return member.liveness is Liveness.ALIVE and is_changing(member, one) and not is_late

    def _converge(self, members: Members, now: float) -> None:
        """Give what everybody has to those that were away, or are new. Whom a rollout that is over found
        to be unhealthy takes no room: nobody looks whether it still is, and it would hold up its rack."""
        deployment = self.deployment
        assigned, stable = deployment.assigned, deployment.stable
        drifted = [one for one in members.values() if one.takes and self._differs(one.name)]
        if not drifted:
            return
        strategy = Strategy() if deployment.rollout is None else deployment.rollout.strategy
        under_way = sum(is_changing(one, assigned.get(one.name)) for one in members.values() if one.takes)
        room = Room(members.values(), assigned, (), strategy, strategy.max_parallel - under_way)
        self._assign([one for one in drifted if room.take(one)], stable, now)

    def _differs(self, node: str) -> bool:
        one = self.deployment.assigned.get(node)
        return self.deployment.stable != (0 if one is None else one.revision)

    def _assign(self, members: list[Member], revision: int, now: float) -> None:
        if not members:
            return
        serial, assigned = self.deployment.serial, dict(self.deployment.assigned)
        for member in members:
            serial += 1
            assigned[member.name] = Assignment(serial, revision)
            self._trials.begin(member, now)
        self.deployment = replace(self.deployment, serial=serial, assigned=assigned)


def _pending(deployment: Deployment, rollout: Rollout) -> list[str]:
    """Return who was given the new revision, and has not shown yet how that went."""
    assigned = deployment.assigned
    return [
        node
        for wave in rollout.waves[: rollout.wave + 1]
        for node in wave
        if node not in rollout.outcomes and node in assigned and assigned[node].number > rollout.number
    ]


def _is_of(assignment: Assignment, rollout: Rollout) -> bool:
    """Whether it is one of the new revision, by this rollout."""
    return assignment.number > rollout.number and assignment.revision == rollout.new


def _is_alive(node: str, members: Members) -> bool:
    return node in members and members[node].liveness is Liveness.ALIVE


def _known(node: str, members: Members) -> Member:
    return members.get(node) or Member(node, liveness=Liveness.LOST)
