# Refork: which worker becomes a fork server, and when.
#
# Why: a worker that answers requests makes things that all of its siblings make too, each for itself: modules
# that are imported by the first request, templates, routes, caches. Forked from it they share these.
#
# Rules: pure. It is done once for each generation that was loaded, and never for the only worker, which has
# nobody to share with. The one that is warm first retires for it: its successor comes before it leaves. What
# it leaves for is a new generation of the same code, which takes the place of the old one as by a reload
# without steps: one new process has to be ready before others are replaced. Where the worker cannot be a fork
# server, it ends as one that retires, and the generation goes on.

from __future__ import annotations

from bigtop.supervisor.policy.deploys.generations import Generations
from bigtop.supervisor.policy.deploys.reforking import Promote, Promoted, Reforking, Warmed
from bigtop.supervisor.policy.messages import Action, Drain, Ending
from bigtop.supervisor.policy.processtable import Proc, ProcessTable


class Refork:
    """Of one watcher; `is_wanted` once a process of it is warm."""

    def __init__(self, generations: Generations, table: ProcessTable) -> None:
        self._generations = generations
        self._table = table
        self.is_wanted = False

    def hear(self, proc: Proc, event: Warmed | Promoted) -> None:
        if isinstance(event, Warmed):
            proc.warm = self.is_wanted = True
        else:
            del self._table.processes[proc.key]
            self._table.slots.drop(proc.wid)

    def choose(self, wanted: int) -> None:
        """Have one that is warm retire, if it may become a fork server."""
        generations = self._generations
        if wanted < 2 or len(generations) != 1 or not generations[0].may_refork:
            return
        staying = self._table.staying()
        warm = [proc for proc in staying if proc.warm and proc.serves and not proc.retiring]
        is_chosen = any(proc.retiring is Ending.REFORK for proc in staying)
        if warm and not is_chosen and generations[0].usable_since is not None:
            warm[0].retiring = Ending.REFORK

    def instead(self, proc: Proc, actions: list[Action]) -> list[Action]:
        """Return how to ask a process, in place of `actions`, to be a fork server if it retires for that."""
        generations = self._generations
        if proc.retiring is not Ending.REFORK or len(generations) > 1 or not generations[0].may_refork:
            return actions
        old = generations[0]
        for drain in actions:
            if isinstance(drain, Drain):
                old.may_refork = False
                new = generations.add_reforked(proc.wid)
                return [
                    Reforking(proc.wid, new.number),
                    Promote(proc.key, new.number, old.number, drain.grace),
                ]
        return actions
