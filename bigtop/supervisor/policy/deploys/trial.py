# The trial of a new generation: what its canary is tried with, what ends it, and what follows from that.
#
# Rules: pure. Each method returns what to do. A generation that failed is listed no more, and its processes
# are doubted; where another one is left, that one is the wanted one again.

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from bigtop.supervisor.policy.deploys.deploy import Step
from bigtop.supervisor.policy.deploys.generations import Generations
from bigtop.supervisor.policy.deploys.reforking import NotReforked
from bigtop.supervisor.policy.messages import (
    Action,
    GaveUp,
    GenerationFailed,
    GenerationReady,
    Lost,
    NotRecovered,
    Rejected,
    ReloadFailed,
    Unchecked,
    Verified,
)
from bigtop.supervisor.policy.processtable import Proc, ProcessState, ProcessTable

# Why a reload failed that somebody ended.
ROLLED_BACK = "it was rolled back"


class Trial:
    """Of whichever generation is wanted and not kept yet."""

    def __init__(self, generations: Generations, table: ProcessTable) -> None:
        self._generations = generations
        self._table = table

    def hear_generation(self, event: GenerationReady | GenerationFailed, now: float) -> list[Action]:
        generation = self._generations.find(event.generation)
        if generation is None:
            return self._hear_aside(event)
        if generation.lost:  # that was told before
            return []
        if isinstance(event, GenerationReady):
            generation.usable(now)
            return []
        if not event.short and self._generations.on_probation(generation.number):
            return self.fail(generation.number, event.reason, now)
        if not generation.proven:
            generation.wait(now)
            return self._table.shortage.begin(event.reason, now)
        generation.lose(now, is_only=len(self._generations) == 1)
        return [Lost(generation.number, event.reason)]

    def hear_late(self, number: int, seconds: float, now: float) -> list[Action]:
        """It was waited for so long in vain."""
        return self.hear_generation(GenerationFailed(number, f"not imported after {seconds:g} seconds"), now)

    def _hear_aside(self, event: GenerationReady | GenerationFailed) -> list[Action]:
        """Its fork server had the code that the disk may not have any more."""
        actions: list[Action] = []
        if isinstance(event, GenerationFailed):
            for one in [one.number for one in self._generations.aside if one.number == event.generation]:
                actions += [self._generations.discard(one), Lost(one, event.reason, kept=True)]
        return actions

    def hear_verdict(self, verdict: Verified | Rejected, now: float) -> list[Action]:
        proc = self._table.processes.get(verdict.key)
        generation = None if proc is None else self._generations.find(proc.generation)
        if generation is None or not generation.is_about(verdict):
            return []
        if isinstance(verdict, Verified):
            return [generation.passed(verdict)]
        return self.fail(generation.number, verdict.reason, now)

    def fail(self, number: int, reason: str, now: float | None) -> list[Action]:
        """That generation cannot run: back to the kept one, or give up. `now` None: where the kept one is
        lost, nothing else is tried."""
        wanted, failed = self._generations[-1].number, self._generations.find(number)
        actions = self.drop(number)
        if not self._generations:
            return [*actions, GaveUp(reason)]
        if number != wanted:
            return actions
        kept = self._generations[-1]
        wait = kept.wait(now) if kept.lost and now is not None else None
        if failed is not None and failed.reforked:
            return [*actions, NotReforked(wanted, kept.number, reason)]
        if failed is not None and failed.recovers:
            return [*actions, NotRecovered(wanted, kept.number, reason, wait)]
        kept.sequential = failed is not None and failed.sequential  # there and back
        return [*actions, ReloadFailed(wanted, kept.number, reason)]

    def go_back(self) -> list[Action]:
        """Want what was before: end a reload that is under way, or want again what is aside, if anything
        is."""
        generations, actions = self._generations, list[Action]()
        if not generations or not generations.can_go_back:
            return actions
        if len(generations) > 1:
            actions = self.fail(generations[-1].number, ROLLED_BACK, None)
            if not generations[0].lost:
                return actions
            generations[0].prepare_at = inf  # nobody wants what is on the disk
        if generations.aside:
            generations.go_back()
        return actions

    def drop(self, number: int) -> list[Action]:
        """Give a generation up, for whatever reason."""
        generation = self._generations.find(number)
        if generation is not None and not generation.proven:
            self._table.doubt(number)
        return [self._generations.discard(number)]

    def go_on(self, wanted: int, steps: Sequence[Step]) -> list[Action]:
        """Try the canary with what comes next; let clients come to those that may have some."""
        actions: list[Action] = []
        told: list[Action] = []
        trial = self._generations.tested(wanted)
        canary = None if trial is None else self._first_ready(trial.number)
        if trial is not None and canary is not None:
            left = trial.left(steps) if self._stands_alone(trial.number) else []
            actions += trial.try_out(canary.key, () if trial.reforked or left else steps)
            told += [Unchecked(trial.number, self._generations[0].number)] if left else []
            if trial.proven and not trial.sequential and not trial.reforked:
                self._table.slots.clear()  # new code, new count
        if not wanted:  # whoever is there leaves
            return actions
        is_held = trial is not None and not trial.proven and trial.trying is not Step.TRAFFIC
        admitted = self._table.admit(held=trial.number if trial is not None and is_held else 0)
        return told + admitted + actions

    def _stands_alone(self, generation: int) -> bool:
        """Whether clients have nobody else, and there is nothing that could go on: as at the first start."""
        others = (proc for proc in self._table.staying() if proc.generation != generation)
        return self._generations[0].lost and not any(proc.serves for proc in others)

    def _first_ready(self, generation: int) -> Proc | None:
        for proc in self._table.staying():
            if proc.generation == generation and proc.state is ProcessState.READY:
                return proc
        return None
