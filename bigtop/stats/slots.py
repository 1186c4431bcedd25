# The scoreboard's slots of all workers, mapped read-only: what workers count is read where they count it.
#
# Rule: a slot is had by its descriptor in the supervisor (/proc/PID/fd), opened for reading alone; it stays
# mapped until the supervisor says that its worker is gone, and has added what that one counted to the rest.

from __future__ import annotations

import os

from bigtop.ipc import scoreboard
from bigtop.ipc.scoreboard import Totals, View, Word
from bigtop.record import Record
from bigtop.stats.roster import Group, Process, Roster


class Counts(Record):
    """What the workers of one watcher counted so far, those that are gone included, and do now."""

    totals: Totals
    busy: int
    waiting: int


class Slots:
    """All that the last roster names."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, int], View] = {}  # by pid and inode

    def follow(self, roster: Roster) -> None:
        supervisor = roster.own[0][0]
        before, self._views = self._views, {}
        for process in (process for group in roster.groups for process in group.processes):
            key = process.pid, process.inode
            if process.slot >= 0 and (view := before.get(key) or _mapped(supervisor, process)) is not None:
                self._views[key] = view

    def counts(self, roster: Roster) -> dict[str, Counts]:
        """Return what is counted, by watcher, without those whose processes count nothing."""
        return {group.name: self._of(group) for group in roster.groups if group.retired}

    def _of(self, group: Group) -> Counts:
        totals = Totals(group.retired, group.buckets)
        busy = waiting = 0
        for process in group.processes:
            if (view := self._views.get((process.pid, process.inode))) is not None:
                totals.add(view)
                busy += view.words[Word.BUSY]
                waiting += view.words[Word.WAITING]
        return Counts(totals, busy, waiting)


def _mapped(supervisor: int, process: Process) -> View | None:
    """Return None for what is gone meanwhile: a newer roster will say so."""
    try:
        fd = os.open(f"/proc/{supervisor}/fd/{process.slot}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_ino == process.inode:
            return View(scoreboard.attach(fd, read_only=True))
    except (OSError, ValueError):
        pass
    finally:
        os.close(fd)
    return None
