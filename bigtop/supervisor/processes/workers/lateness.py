# Lateness of a worker: which of its requests are past their time limit, and what is to be done about them.
#
# Rules: pure, from what the scoreboard says at one moment. Nothing is remembered: the pool that asks once a
# second knows which of these it has told of. An event loop has one limit, for the time between two of its
# turns; requests in it may wait for as long as they like, unless they have a limit of their own.

from __future__ import annotations

from bigtop.http.paths.time_limits import SECOND, TimeoutAction
from bigtop.ipc.scoreboard import RequestPhase, View, Word
from bigtop.record import Record
from bigtop.supervisor.policy.spec import Worker


class Lateness(Record):
    """What keeps a worker for longer than it may take. `numbers` are those of the requests, or the time of
    the last turn of a loop that stands still; `due` is the step that is due, None while it is only told of.
    """

    reason: str
    numbers: frozenset[int]
    due: TimeoutAction | None
    alone: bool  # nothing else runs in this worker, or can


def look(slot: View, target: Worker, now: int, *, leaves: bool) -> Lateness | None:
    """Return what keeps a worker, whose slot that is, at the monotonic nanosecond `now`; None: all is well.
    One that `leaves` takes no more requests."""
    words, limit = slot.words, int(target.timeout * SECOND)
    if beat := words[Word.BEAT]:
        if limit and words[Word.BUSY] and now - beat > limit:
            return _of_loop(slot, target, now, beat)
        limit = 0
    soonest = slot.soonest(limit)
    if not soonest or now <= soonest:
        return None
    records = slot.running()
    stuck = [
        (record, until)
        for record in records
        if record.phase is RequestPhase.APP and (until := record.deadline or record.began + limit) < now
        if record.began and (limit or record.deadline)
    ]
    if not stuck:
        return None
    reason = ", ".join(f"{one.method} {one.path} for {(now - one.began) / SECOND:.0f} s" for one, _ in stuck)
    over = now - min(until for _, until in stuck)
    everything = len(stuck) == len(records) and (leaves or (not beat and len(stuck) >= target.threads))
    numbers = frozenset(one.number for one, _ in stuck)
    return Lateness(reason, numbers, _due(slot, target, over), everything)


def _of_loop(slot: View, target: Worker, now: int, beat: int) -> Lateness:
    reason = f"its event loop stands still for {(now - beat) / SECOND:.0f} s"
    running = ", ".join(f"{record.method} {record.path}" for record in slot.running())
    over = now - beat - int(target.timeout * SECOND)
    reason = f"{reason}, in one of: {running}" if running else reason
    return Lateness(reason, frozenset((beat,)), _due(slot, target, over), alone=True)


def _due(slot: View, target: Worker, over: int) -> TimeoutAction | None:
    interruptible = bool(slot.words[Word.INTERRUPTS])
    return target.timeout_policy.due(over / SECOND, interruptible=interruptible)
