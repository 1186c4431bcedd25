# The trial of a new generation: what its canary is tried with, what ends it, and what follows from that.
#
# Rules: pure. Each method returns what to do. A generation that failed is listed no more, and its processes
# are doubted; where another one is left, that one is the wanted one again.

from __future__ import annotations

from collections.abc import Sequence

from bigtop.supervisor.policy.deploy import Step
from bigtop.supervisor.policy.generations import Generations
from bigtop.supervisor.policy.messages import (
    Action,
    GaveUp,
    GenerationFailed,
    GenerationReady,
    Rejected,
    ReloadFailed,
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
            aside = [one.number for one in self._generations.aside if one.number == event.generation]
            # Its fork server had the code that the disk may not have any more.
            return [self._generations.discard(number) for number in aside]
        if isinstance(event, GenerationReady):
            generation.usable(now)
            return []
        if not event.short and self._generations.on_probation(generation.number):
            return self.fail(generation.number, event.reason)
        generation.lost(now)
        return self._table.shortage.begin(event.reason, now) if event.short else []

    def hear_verdict(self, verdict: Verified | Rejected) -> list[Action]:
        proc = self._table.processes.get(verdict.key)
        generation = None if proc is None else self._generations.find(proc.generation)
        if generation is None or not generation.is_about(verdict):
            return []
        if isinstance(verdict, Verified):
            return [generation.passed(verdict)]
        return self.fail(generation.number, verdict.reason)

    def fail(self, number: int, reason: str) -> list[Action]:
        """That generation cannot run: back to the kept one, or give up."""
        wanted, failed = self._generations[-1].number, self._generations.find(number)
        actions = self.drop(number)
        if not self._generations:
            return [*actions, GaveUp(reason)]
        if number != wanted:
            return actions
        kept = self._generations[-1]
        kept.sequential = failed is not None and failed.sequential  # there and back
        return [*actions, ReloadFailed(wanted, kept.number, reason)]

    def go_back(self) -> list[Action]:
        """Want what was before: end a reload that is under way, or want again what is aside, if anything
        is."""
        if len(self._generations) > 1:
            return self.fail(self._generations[-1].number, ROLLED_BACK)
        if self._generations and self._generations.aside:
            self._generations.go_back()
        return []

    def drop(self, number: int) -> list[Action]:
        """Give a generation up, for whatever reason."""
        generation = self._generations.find(number)
        if generation is not None and not generation.proven:
            self._table.doubt(number)
        return [self._generations.discard(number)]

    def go_on(self, wanted: int, steps: Sequence[Step]) -> list[Action]:
        """Try the canary with what comes next; let clients come to those that may have some."""
        actions: list[Action] = []
        trial = self._generations.tested(wanted)
        canary = None if trial is None else self._first_ready(trial.number)
        if trial is not None and canary is not None:
            actions += trial.try_out(canary.key, steps)
            if trial.proven and not trial.sequential:
                self._table.slots.clear()  # new code, new count
        if not wanted:  # whoever is there leaves
            return actions
        is_held = trial is not None and not trial.proven and trial.trying is not Step.TRAFFIC
        return self._table.admit(held=trial.number if trial is not None and is_held else 0) + actions

    def _first_ready(self, generation: int) -> Proc | None:
        for proc in self._table.staying():
            if proc.generation == generation and proc.state is ProcessState.READY:
                return proc
        return None
