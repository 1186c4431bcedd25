# The generations of one watcher that are not over.
#
# Rule: a generation is listed from its Prepare to its Discard, and only discard() takes it out, so each is
# discarded once. The first is kept (it works, as far as is known), the last is wanted; they are two during a
# reload only. Those that were replaced may be kept aside, to go back to: these have no processes that stay.
#
# A generation that has shown that it works is not prepared again. When its fork server dies, nobody knows
# what is on the disk by then, so it is lost: its processes go on, and another one is tried as by a reload;
# again and again, not in a hot loop, until one is good.
#
# While the wanted one is on trial, its canary is tried with one step after the other; another canary begins
# anew.

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from bigtop.supervisor.policy.backoff import RestartWindow
from bigtop.supervisor.policy.deploys.deploy import Step
from bigtop.supervisor.policy.messages import (
    Discard,
    Passed,
    Prepare,
    Recovered,
    Reforked,
    Rejected,
    Verified,
    Verify,
)
from bigtop.supervisor.policy.processtable import Proc
from bigtop.supervisor.policy.spec import RestartPolicy

# How one fork server follows another that died, or that could not be.
REPREPARE = RestartPolicy()


class Generation:
    def __init__(self, number: int, *, by_reload: bool, sequential: bool = False) -> None:
        self.number = number
        self.sequential = sequential  # no canary, and never more processes than the count
        self.by_reload = by_reload  # somebody waits for Reloaded
        self.prepare_at = -inf  # inf once it was asked for; of a lost one, when another is tried in its place
        self.late_at = inf  # when it is waited for no longer; inf while nobody waits
        self.usable_since: float | None = None
        self.proven = False  # a process of it was ready, and has passed every step
        self.lost = False  # its fork server died after that: no process comes from it any more
        self.recovers = 0  # while it is new: the number of the lost one that it is to follow
        self.reforked = 0  # while it is new: the number of the process that is to be its fork server
        self.may_refork = True  # none of its processes was asked to become a fork server
        self.trying: Step | None = None  # what its canary is tried with now
        self._canary = 0  # the key
        self._passed: set[Step] = set()
        self.window = RestartWindow(REPREPARE)

    def try_out(self, key: int, steps: Sequence[Step]) -> list[Verify]:
        """Go on with the canary `key`, which is ready: to the next step, or it has shown enough."""
        if key != self._canary:
            self._canary, self.trying = key, None
            self._passed.clear()
        if self.trying is not None and steps:
            return []
        self.trying = next(iter(self.left(steps)), None)
        self.proven = self.trying is None
        return [Verify(key, self.number, self.trying)] if self.trying is not None else []

    def left(self, steps: Sequence[Step]) -> list[Step]:
        """Return what its canary has not passed."""
        return [step for step in steps if step not in self._passed]

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

    def wait(self, now: float) -> float:
        """There was no room for its fork server, or what was to follow it came to nothing: return the seconds
        until that is tried again."""
        self.late_at, seconds = inf, self.window.death(0.0)
        self.prepare_at = now + seconds
        return seconds

    def lose(self, now: float, *, is_only: bool) -> None:
        """Its fork server is gone. Another one is tried if it `is_only`, else when there is no other."""
        lived = 0.0 if self.usable_since is None else now - self.usable_since
        seconds = self.window.death(lived)
        self.lost, self.usable_since, self.late_at = True, None, inf
        self.prepare_at = now + seconds if is_only else inf


class Generations(list[Generation]):
    """Those between Prepare and Discard: none, one, or the kept one and the wanted one."""

    def __init__(self) -> None:
        super().__init__()
        self.newest = 0  # number, also of those that are gone
        self.aside: list[Generation] = []  # that were replaced, oldest first

    def add(self, *, by_reload: bool, sequential: bool = False) -> None:
        for each in self:
            if each.lost:  # nothing is tried in its place while there is another one
                each.prepare_at = inf
        self.newest += 1
        self.append(Generation(self.newest, by_reload=by_reload, sequential=sequential))

    def add_reforked(self, wid: int) -> Generation:
        """Want a generation of the same code, whose fork server the process `wid` is to be."""
        self.add(by_reload=False)
        new = self[-1]
        new.reforked, new.may_refork, new.prepare_at = wid, False, inf
        return new

    def _follow(self, lost: Generation) -> Generation:
        """Want a generation in place of one that is lost."""
        self.add(by_reload=False)
        self[-1].recovers, self[-1].window = lost.number, lost.window
        return self[-1]

    def discard(self, number: int) -> Discard:
        self[:] = [generation for generation in self if generation.number != number]
        self.aside = [generation for generation in self.aside if generation.number != number]
        return Discard(number)

    def discard_all(self) -> list[Discard]:
        return [self.discard(each.number) for each in (*self.aside, *self)]

    def replaced(self, keep: int) -> list[Discard | Reforked | Recovered]:
        """All processes are of the wanted one: put the others aside, of which so many are kept. One whose
        fork server has died meanwhile has nothing to go back to, nor has one of the same code."""
        wanted = self[-1]
        wid, lost = wanted.reforked, wanted.recovers
        wanted.sequential, wanted.reforked, wanted.recovers = False, 0, 0
        done: list[Discard | Reforked | Recovered] = [Recovered(wanted.number, lost)] if lost else []
        done += [Reforked(wanted.number, wid)] if wid else []
        gone = [self.discard(old.number) for old in self[:-1] if wid or old.usable_since is None]
        self.aside += self[:-1]
        del self[:-1]
        return [*done, *gone, *self.let_go(keep)]

    def let_go(self, keep: int) -> list[Discard]:
        """Keep no more than so many aside, the newest."""
        return [self.discard(old.number) for old in self.aside[: max(0, len(self.aside) - keep)]]

    @property
    def can_go_back(self) -> bool:
        if len(self) > 1 and not self.aside and self[0].lost:  # what has shown that it works is all there is
            return not self[-1].proven
        return len(self) > 1 or bool(self.aside)

    def go_back(self) -> None:
        """Want the newest one again that is aside."""
        self[0].prepare_at = inf
        self.append(self.aside.pop())
        self[-1].by_reload = True

    def due(self, now: float, limit: float, left: int) -> list[Prepare]:
        """Return those that have to be prepared now, once; that may take `limit` seconds, 0: for ever.
        `left` processes are there."""
        if not left and self.is_bereft and self[0].prepare_at == inf:  # somebody had ended the trying
            self[0].wait(now)
        found = [generation for generation in self if generation.prepare_at <= now]
        if found and found[0].lost:
            found = [self._follow(found[0])]
        for generation in found:
            generation.prepare_at = inf
            generation.late_at = now + (limit or inf)
        return [Prepare(generation.number) for generation in found]

    def too_late(self, now: float) -> list[int]:
        """Return those that took too long to be prepared, once."""
        found = [generation for generation in self if generation.late_at <= now]
        for generation in found:
            generation.late_at = inf
        return [generation.number for generation in found]

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

    @property
    def is_bereft(self) -> bool:
        """Whether the only one is lost, and nothing is tried in its place now."""
        return len(self) == 1 and self[0].lost

    def stalls(self, wanted: int) -> bool:
        """Whether no process can come before there is another generation."""
        return bool(self) and self[0].lost and self.source(wanted).lost

    def source(self, wanted: int) -> Generation:
        """Where processes come from, but for the canary."""
        return self[0] if self.trial(wanted) else self[-1]
