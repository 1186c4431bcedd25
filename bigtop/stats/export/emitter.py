# Emitter of figures to a statsd server, at the pace of the stats process.
#
# Rule: what is sent first is compared with the first look, so that a stats process that is started anew does
# not tell everything again.

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from bigtop.emission import CIRCUS, Emission
from bigtop.ipc.counters import NONE
from bigtop.stats.export import statsd
from bigtop.stats.export.statsd_client import StatsdClient
from bigtop.stats.figures import AppFigures
from bigtop.stats.known import Known
from bigtop.stats.pace import Pace
from bigtop.stats.processes import sockdiag
from bigtop.stats.processes.process_looks import ProcessLooks
from bigtop.stats.processes.samples import Figure
from bigtop.stats.roster import Roster
from bigtop.supervisor.policy.tally import WatcherTally


class Emitter:
    """Event loop only."""

    def __init__(self, emission: Emission, known: Known, pace: Pace) -> None:
        self._emission = emission
        self._known = known
        self._interval = pace.interval
        self._looks = ProcessLooks(pace.details_interval)
        self._client = StatsdClient(emission.address)
        self._counts: dict[str, AppFigures] | None = None  # at the last look
        self._tallies: dict[str, WatcherTally] | None = None

    async def run(self) -> None:
        """Send for ever."""
        opening = asyncio.create_task(self._client.keep_open())
        try:
            while True:
                due = time.monotonic() + self._interval
                await self._known.learn()
                self.send()
                await asyncio.sleep(due - time.monotonic())
        finally:
            opening.cancel()

    async def end(self) -> None:
        """Send what was not sent yet."""
        self.send()

    def send(self) -> None:
        """Send what is new."""
        roster = self._known.roster
        if roster.own:
            lines = self._of_watchers(roster) if self._emission.dialect == CIRCUS else self._of_apps(roster)
            self._client.send(statsd.packets([*lines]))

    def _of_apps(self, roster: Roster) -> Iterator[str]:
        before, now = self._counts, self._known.counts()
        self._counts = {**(before or {}), **now}
        if before is None:
            return
        waiting = _waiting(roster) if self._emission.backlog else {}
        for name, figures in now.items():
            known = before[name].counters if name in before else list(NONE)
            names = statsd.of_gunicorn(self._emission, name)
            yield from statsd.of_app(names, known, figures, waiting.get(name))

    def _of_watchers(self, roster: Roster) -> Iterator[str]:
        is_first = not self._looks.has_looked
        figures: dict[str, list[Figure]] = {}
        for told in self._looks.look(roster, time.monotonic(), time.time()):
            if told.part is not None:
                figures.setdefault(told.name, []).append(told.figure)
        before, self._tallies = self._tallies, {group.name: group.tally for group in roster.groups}
        if before is None or is_first:  # there is nothing to compare it with
            return
        names = statsd.of_circus(self._emission)
        for group in roster.groups:
            known = before.get(group.name, WatcherTally())
            yield from statsd.of_watcher(names, group.name, known, group.tally, figures.get(group.name, []))


def _waiting(roster: Roster) -> Mapping[str, int]:
    """Return how many connections wait to be accepted, by application."""
    try:
        queues = sockdiag.queues()
    except OSError:  # a sandbox without netlink
        return {}
    found: dict[str, int] = {}
    for listener in roster.listeners:
        queue = queues.get(listener.inode)
        for name, _number in listener.served if queue is not None else ():
            assert queue is not None
            found[name] = found.get(name, 0) + queue.waiting
    return found
