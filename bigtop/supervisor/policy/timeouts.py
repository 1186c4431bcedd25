# Timeouts: what is done about a process that is stuck in a request, one step after the other.
#
# Rules: pure, as watcher.py, whose part this is. Which step is due is told with the event.

from __future__ import annotations

from bigtop.http.paths.time_limits import TimeoutAction
from bigtop.supervisor.policy.ends import Ending, Urgency
from bigtop.supervisor.policy.messages import Action, Late, Report, Signal
from bigtop.supervisor.policy.processtable import Proc, ProcessTable
from bigtop.system.signals import INTERRUPT_SIGNAL


def against(event: Late, proc: Proc, table: ProcessTable, now: float) -> list[Action]:
    """Return what to do about `proc`; told twice, nothing."""
    match event.due:
        case None:
            return [Report(proc.key, event.reason)] if proc.asked is None else []
        case TimeoutAction.INTERRUPT:
            # What other threads do than the main one the worker interrupts by itself, at the same time.
            return [Signal(proc.key, INTERRUPT_SIGNAL)]
        case TimeoutAction.KILL:
            return table.kill(proc, event.reason)
        case TimeoutAction.RETIRE:
            actions: list[Action] = []
            if proc.asked is None and proc.retiring is not Ending.HUNG:
                actions.append(Report(proc.key, event.reason, event.due))
                proc.retiring = Ending.HUNG
            # What else it does is finished first; when there is nothing else, it is not waited for.
            return actions + (table.ask(proc, Urgency.QUICK, now) if event.alone else [])
