# Pages of the admin listener: what each path tells.
#
# Rule: nothing here waits for a worker, and for the supervisor no longer than the feed does (feed.py).

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bigtop import __version__
from bigtop.ipc.counters import Count
from bigtop.record import Record
from bigtop.stats.admin import readiness
from bigtop.stats.export import exported, exposition, protobuf
from bigtop.stats.export.consumption import Consumption
from bigtop.stats.export.exposition import Format
from bigtop.stats.export.merged_metrics import MergedMetrics
from bigtop.stats.export.metrics import Sample
from bigtop.stats.figures import AppFigures
from bigtop.stats.known import Known
from bigtop.stats.roster import Group, Roster
from bigtop.stats.windows import Windows

TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_BUSY: Final = 2.0  # seconds without an answer of the supervisor that are told of
_PATIENCE: Final = 5.0  # seconds for what is read of processes and applications

PATHS: Final = ("/livez", "/readyz", "/startupz", "/metrics", "/status")


class Page(Record):
    """An answer, without what HTTP adds to it."""

    status: int
    body: str | bytes
    kind: str = TEXT
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def data(self) -> bytes:
        """Its body as it is sent."""
        return self.body.encode() if isinstance(self.body, str) else self.body


class Pages:
    """Event loop only."""

    def __init__(self, known: Known) -> None:
        self._known = known
        # What takes time is done beside the event loop, by one thread: probes are answered meanwhile.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
        self._consumption = Consumption()
        self._merged = MergedMetrics()

    async def of(self, path: str, accept: str) -> Page:
        """Return the page at one of PATHS."""
        roster = await self._known.learn()
        match path:
            case "/livez":
                return self._life()
            case "/readyz":
                return _probe(readiness.obstacle(roster))
            case "/startupz":
                return _probe(readiness.start_obstacle(roster))
            case "/status":
                return Page(200, json.dumps(self._status(roster), indent=1) + "\n", _JSON)
        if not roster.own:
            return _probe(readiness.obstacle(roster))
        return await self._metrics(roster, exposition.chosen(accept))

    def _life(self) -> Page:
        if self._known.is_alone:
            return Page(503, "the supervisor is gone\n")
        silence = self._known.silence
        if silence is None or silence > _BUSY:  # which is no reason to end it: it may be the machine's fault
            return Page(200, "ok, but the supervisor is too busy to answer\n")
        return Page(200, "ok\n")

    # ---- figures

    async def _metrics(self, roster: Roster, form: Format) -> Page:
        found = list(exported.counted(self._known, roster))
        read = asyncio.get_running_loop().run_in_executor(self._thread, self._read, roster, form)
        try:
            more, merged = await asyncio.wait_for(read, _PATIENCE)
            self._thread.submit(self._consumption.prepare)
        except TimeoutError:  # a thread that hangs in what an application put there costs no more than this
            more, merged = [], self._merged.rendered({}, form)
        samples = [*found, *more]
        if form is Format.PROTOBUF:
            return Page(200, protobuf.render(samples) + merged, form.value)
        text = exposition.render(samples, form)
        return Page(200, text.removesuffix("# EOF\n").encode() + merged, form.value)

    def _read(self, roster: Roster, form: Format) -> tuple[list[Sample], bytes]:
        folders = {group.name: group.standing.metrics for group in roster.groups if group.standing.metrics}
        return list(self._consumption.look(roster)), self._merged.rendered(folders, form)

    def _status(self, roster: Roster) -> dict[str, object]:
        counts = self._known.counts()
        reason = readiness.obstacle(roster)
        return {
            "version": __version__,
            "pid": roster.own[0][0] if roster.own else None,
            "ready": not reason,
            "reason": reason or None,
            "started": not readiness.start_obstacle(roster),
            "watchers": [
                _of_group(group, counts.get(group.name), self._known.windows) for group in roster.groups
            ],
            "sockets": [{"fd": one.fd, "address": one.address} for one in roster.listeners],
        }


def _probe(reason: str) -> Page:
    return Page(503, f"{reason}\n") if reason else Page(200, "ok\n")


def _of_group(group: Group, counts: AppFigures | None, windows: Windows) -> dict[str, object]:
    standing, tally = group.standing, group.tally
    told: dict[str, object] = {
        "name": group.name,
        "kind": "app" if standing.is_app else "command",
        "status": standing.status,
        "wanted": standing.wanted,
        "ready": standing.ready,
        "processes": [{"pid": process.pid, "wid": process.wid} for process in group.processes],
        "generation": tally.generation,
        "starts": tally.starts,
        "exits": {ending.value: count for ending, count in tally.exits.items()},
        "reloads": tally.reloads,
        "failed_reloads": tally.failed_reloads,
    }
    if counts is not None:
        told["requests"] = counts.counters[Count.REQUESTS]
        told["errors"] = counts.counters[Count.STATUS_5XX]
        told["busy"], told["waiting"] = counts.busy, counts.waiting
        told["windows"], told["routes"] = windows.of(group.name), windows.of_routes(group.name)
    return told
