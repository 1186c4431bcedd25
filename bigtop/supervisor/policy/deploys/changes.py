# Descriptions that were changed and have not yet shown that they work.
#
# Rules: pure; time is an argument. A change has shown that it works once a process of it lived longer than
# the window of its restart policy. Until then a failure takes it back: a reload that fails, a watcher that
# gives up, a process that dies again and again.

from __future__ import annotations

from bigtop.record import Record, replace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import WatcherSpec


class _Change(Record):
    before: WatcherSpec
    made_at: float
    window: float
    is_done: bool = False  # all processes were replaced


class Undo(Record):
    """What to go back to, and why; `is_done`: there are no processes of it any more."""

    spec: WatcherSpec
    reason: str
    is_done: bool


class Changes:
    def __init__(self) -> None:
        self._changes: dict[str, _Change] = {}

    def made(self, before: WatcherSpec, after: WatcherSpec, now: float) -> None:
        """Take in that processes are replaced by such of another description.

        One whose processes were all replaced is what a further change goes back to; one under way is not.
        """
        known = self._changes.get(after.name)
        if known is not None and not known.is_done:
            before = known.before
        self._changes[after.name] = _Change(before, now, after.restart.window)

    def undo(self, name: str, notice: messages.Notice, now: float) -> Undo | None:
        """Return what to go back to if `notice` is the failure of a change."""
        change = self._changes.get(name)
        if change is None:
            return None
        match notice:
            # One that lived longer than the change is old is of what was before.
            case messages.Died(was_ready=True) if change.window < notice.lived <= now - change.made_at:
                del self._changes[name]
            case messages.Removed():
                del self._changes[name]
            case messages.Reloaded():
                self._changes[name] = replace(change, is_done=True)
            case messages.GaveUp(reason) | messages.ReloadFailed(_, _, reason):
                return Undo(self._changes.pop(name).before, reason, change.is_done)
            case messages.Died() if notice.wait:  # else GaveUp follows, or it was meant to end
                how = notice.reason or f"ended: {notice.status}"
                return Undo(self._changes.pop(name).before, f"process {notice.wid} {how}", change.is_done)
        return None
