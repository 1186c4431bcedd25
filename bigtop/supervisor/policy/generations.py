# The generations of one watcher that are not over.
#
# Rule: a generation is listed from its Prepare to its Discard, and only discard() takes it out, so each is
# discarded once. The first is kept (it works, as far as is known), the last is wanted; they are two during a
# reload only. Those that were replaced may be kept aside, to go back to: these have no processes that stay.
#
# While the wanted one is on trial, its canary is tried with one step after the other; another canary begins
# anew.

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from bigtop.supervisor.policy.backoff import RestartWindow
from bigtop.supervisor.policy.deploy import Step
from bigtop.supervisor.policy.messages import Discard, Passed, Rejected, Verified, Verify
from bigtop.supervisor.policy.processtable import Proc
from bigtop.supervisor.policy.spec import RestartPolicy

# A fork server that dies is started again for as long as there are processes that it made.
REPREPARE = RestartPolicy()


class Generation:
    def __init__(self, number: int, *, by_reload: bool, sequential: bool = False) -> None:
        self.number = number
        self.sequential = sequential  # no canary, and never more processes than the count
        self.by_reload = by_reload  # somebody waits for Reloaded
        self.prepare_at = -inf  # inf once it was asked for
        self.late_at = inf  # when it is waited for no longer; inf while nobody waits
        self.usable_since: float | None = None
        self.proven = False  # a process of it was ready, and has passed every step
        self.trying: Step | None = None  # what its canary is tried with now
        self._canary = 0  # the key
        self._passed: set[Step] = set()
        self.window = RestartWindow(REPREPARE)

    def try_out(self, key: int, steps: Sequence[Step]) -> list[Verify]:
        """Go on with the canary `key`, which is ready: to the next step, or it has shown enough."""
        if key != self._canary:
            self._canary, self.trying = key, None
            self._passed.clear()
        if self.trying is not None:
            return []
        self.trying = next((step for step in steps if step not in self._passed), None)
        self.proven = self.trying is None
        return [Verify(key, self.number, self.trying)] if self.trying is not None else []

    def is_about(self, verdict: Verified | Rejected) -> bool:
        """Whether that is what is waited for."""
        return (verdict.key, verdict.step) == (self._canary, self.trying)

    def passed(self, verdict: Verified) -> Passed:
        self._passed.add(verdict.step)
        self.trying = None
        return Passed(self.number, verdict.step, verdict.how)

    def usable(self, now: float) -> None:
        """Processes of it can be spawned."""
        self.usable_since = now
        self.prepare_at = self.late_at = inf

    def lost(self, now: float) -> None:
        """Its fork server is gone: prepare it again, not in a hot loop."""
        lived = 0.0 if self.usable_since is None else now - self.usable_since
        self.usable_since = None
        self.late_at = inf
        self.prepare_at = now + self.window.death(lived)


class Generations(list[Generation]):
    """Those between Prepare and Discard: none, one, or the kept one and the wanted one."""

    def __init__(self) -> None:
        super().__init__()
        self.newest = 0  # number, also of those that are gone
        self.aside: list[Generation] = []  # that were replaced, oldest first

    def add(self, *, by_reload: bool, sequential: bool = False) -> None:
        self.newest += 1
        self.append(Generation(self.newest, by_reload=by_reload, sequential=sequential))

    def discard(self, number: int) -> Discard:
        self[:] = [generation for generation in self if generation.number != number]
        self.aside = [generation for generation in self.aside if generation.number != number]
        return Discard(number)

    def replaced(self, keep: int) -> list[Discard]:
        """All processes are of the wanted one: put the others aside, of which so many are kept. One whose
        fork server has died meanwhile has nothing to go back to."""
        self[-1].sequential = False
        gone = [self.discard(old.number) for old in self[:-1] if old.usable_since is None]
        self.aside += self[:-1]
        del self[:-1]
        return gone + self.let_go(keep)

    def let_go(self, keep: int) -> list[Discard]:
        """Keep no more than so many aside, the newest."""
        return [self.discard(old.number) for old in self.aside[: max(0, len(self.aside) - keep)]]

    @property
    def can_go_back(self) -> bool:
        return len(self) > 1 or bool(self.aside)

    def go_back(self) -> None:
        """Want the newest one again that is aside."""
        self.append(self.aside.pop())
        self[-1].by_reload = True

    def due(self, now: float, limit: float) -> list[int]:
        """Return those that have to be prepared now, once; that may take `limit` seconds, 0: for ever."""
        found = [generation for generation in self if generation.prepare_at <= now]
        for generation in found:
            generation.prepare_at = inf
            generation.late_at = now + (limit or inf)
        return [generation.number for generation in found]

    def too_late(self, now: float) -> list[int]:
        """Return those that took too long to be prepared and are not tried again."""
        found = []
        for generation in self:
            if generation.late_at <= now:
                if self.on_probation(generation.number):
                    found.append(generation.number)
                generation.lost(now)
        return found

    def find(self, number: int) -> Generation | None:
        return next((generation for generation in self if generation.number == number), None)

    def prove(self, number: int) -> None:
        for generation in self:
            generation.proven = generation.proven or generation.number == number

    def is_reload_to(self, number: int) -> bool:
        return len(self) > 1 and self[-1].number == number

    def on_probation(self, number: int) -> bool:
        """Whether one failure that a retry will not cure is enough to give it up."""
        generation = self.find(number)
        return generation is not None and (not generation.proven or self.is_reload_to(number))

    def tested(self, wanted: int) -> Generation | None:
        """The wanted generation while it is not proven and another is kept. No processes prove nothing."""
        return None if len(self) < 2 or not wanted or self[-1].proven else self[-1]

    def trial(self, wanted: int) -> Generation | None:
        """The same, where its processes come beside those of the kept one."""
        tested = self.tested(wanted)
        return None if tested is None or tested.sequential else tested

    def is_canary(self, proc: Proc, wanted: int, *, verifies: bool) -> bool:
        """Whether the end of a process is the end of its generation. In a sequential reload that is so where
        new code has to show something (`verifies`)."""
        tested = self.tested(wanted) if verifies else self.trial(wanted)
        return tested is not None and tested.number == proc.generation and proc.asked is None

    def source(self, wanted: int) -> Generation:
        """Where processes come from, but for the canary."""
        return self[0] if self.trial(wanted) else self[-1]
