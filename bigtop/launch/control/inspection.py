# Inspection of processes for who asks over the control channel: three sources put together.
#
# The scoreboard tells the requests, also of workers that hang. Workers tell their stacks when they are asked
# (supervisor/processes/workers/reports.py). The kernel tells what each thread waits for (system/threads.py).
#
# Rule: of a request nobody is told more than method and path. What follows "?" stays here.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bigtop.errors import CommandError
from bigtop.ipc.scoreboard import RequestRecord
from bigtop.launch.app import App
from bigtop.log import logger as get_logger
from bigtop.record import Record, as_dict
from bigtop.supervisor.processes.workers import tracer
from bigtop.supervisor.processes.workers.reports import HERTZ, Found, Report, lines_of
from bigtop.supervisor.supervisor import Supervisor
from bigtop.system import threads
from bigtop.system.signals import STACK_SIGNAL
from bigtop.system.threads import Thread

logger = get_logger("bigtop.supervisor")

Row = dict[str, Any]


class Place(Record):
    """One process of a watcher; `key` is the supervisor's number for it."""

    watcher: str
    key: int
    wid: int
    pid: int

    @property
    def word(self) -> str:
        return f"{self.watcher}/{self.wid}"


class Inspector:
    """Looks at what `supervisor` runs; event loop only."""

    def __init__(self, supervisor: Supervisor, apps: Mapping[str, App]) -> None:
        self._supervisor = supervisor
        self._apps = apps

    def _places(self) -> Iterator[Place]:
        for name, machine in self._supervisor.watchers.machines().items():
            for key, proc in machine.processes.items():
                if proc.pid is not None:
                    yield Place(name, key, proc.wid, proc.pid)

    # ---- requests

    def requests(self, name: str | None, slow: float) -> Sequence[Row]:
        now = time.monotonic_ns()
        found = [
            _row(place, record, now)
            for place, app in self._workers(name)
            for record in app.board.of(place.wid - 1).present()
        ]
        return sorted((row for row in found if row["seconds"] >= slow), key=_age, reverse=True)

    def recent(self, name: str | None, slow: float) -> Sequence[Row]:
        now, wall = time.monotonic_ns(), time.time()
        found = []
        for place, app in self._workers(name):
            for record in app.board.of(place.wid - 1).finished():
                row = _row(place, record, record.ended)
                row |= {
                    "status_code": record.status,
                    "ended": wall - (now - record.ended) / 1e9,
                    "route": record.route,
                }
                found.append(row)
        return sorted((row for row in found if row["seconds"] >= slow), key=lambda row: float(row["ended"]))

    def _workers(self, name: str | None) -> Iterator[tuple[Place, App]]:
        for place in self._places():
            if place.watcher in self._apps and name in (None, place.watcher):
                yield place, self._apps[place.watcher]

    # ---- stacks

    def _find(self, target: str) -> Place:
        return find(target, list(self._places()), self.requests(None, 0.0))

    async def stack(self, target: str, wait: float, *, native: bool) -> Row:
        place = self._find(target)
        app = self._apps.get(place.watcher)
        if app is None or native:
            return await self._traced(place, native=native, worker=app is not None)
        reports = app.pool.reports(place.key)
        kernel = await asyncio.to_thread(threads.of, place.pid)  # before it is woken
        # Signals that nobody takes would wait, and all be answered later.
        report = await reports.ask(wait) if _listens(kernel) else Report("")
        what = f"{place.word} (pid {place.pid})"
        if report.author == "python":
            logger.info("%s: what it does, as was asked:\n%s", what, "\n".join(lines_of(report)))
        else:
            logger.info("%s: asked what it does, and no Python code of it answers", what)
        running = [row for row in self.requests(place.watcher, 0.0) if row["pid"] == place.pid]
        stacks = [_stack(found, running, kernel) for found in report.stacks]
        mine = [one for one in stacks if one["request"] and one["request"]["id"] == target[:40]]
        return {
            **_named(place),
            "author": report.author,
            "note": _note(report, kernel, wait),
            "stacks": mine or sorted(stacks, key=lambda one: one["request"] is None),
            "left_out": report.left_out,
            "threads": [as_dict(one) for one in kernel],
            "requests": running,
        }

    async def _traced(self, place: Place, *, native: bool, worker: bool) -> Row:
        """Ask a tool, which needs no answer of the process: C frames, or a command in Python."""
        kernel = await asyncio.to_thread(threads.of, place.pid)
        author, text, note = "", "", ""
        if worker or await asyncio.to_thread(threads.is_python, place.pid):
            try:
                author, text = await tracer.stacks(place.pid, native=native)
            except CommandError as error:
                note = str(error)
        else:
            note = f"{place.watcher} is no Python program: this is what the kernel knows"
        return {
            **_named(place),
            "author": author,
            "note": note,
            "stacks": [],
            "left_out": 0,
            "text": text,
            "threads": [as_dict(one) for one in kernel],
            "requests": [row for row in self.requests(place.watcher, 0.0) if row["pid"] == place.pid],
        }

    async def profile(self, target: str, seconds: int) -> Row:
        place = self._find(target)
        app = self._apps.get(place.watcher)
        if app is None:
            raise CommandError(
                f"{place.watcher} is a command, which nothing of Bigtop's runs in; "
                f"py-spy record --pid {place.pid} profiles it if it is Python"
            )
        profile = await app.pool.reports(place.key).profile(seconds)
        return {
            **_named(place),
            "seconds": seconds,
            "hertz": HERTZ,
            "looks": profile.looks,
            "stacks": profile.counts,
        }


def find(target: str, places: Sequence[Place], requests: Sequence[Row]) -> Place:
    """Return the process that is meant: by its pid, by WATCHER/WID, by a watcher with one process, or by the
    id of a request that it answers. CommandError: none, or several."""
    tests: list[Callable[[Place], bool]] = [
        lambda place: str(place.pid) == target,
        lambda place: place.word.lower() == target.lower(),
        lambda place: place.watcher.lower() == target.lower(),
    ]
    asked = {row["pid"] for row in requests if target and row["id"] and row["id"] == target[:40]}
    tests.append(lambda place: place.pid in asked)
    for test in tests:
        found = [place for place in places if test(place)]
        if len(found) == 1:
            return found[0]
        if found:
            words = ", ".join(place.word for place in found[:20])
            raise CommandError(f"{target} has {len(found)} processes: name one of {words}")
    raise CommandError(f"{target}: neither a process of ours (WATCHER/WID or pid) nor a request that runs")


def _age(row: Row) -> float:
    return float(row["seconds"])


def _named(place: Place) -> Row:
    return {"worker": place.word, "watcher": place.watcher, "wid": place.wid, "pid": place.pid}


def _row(place: Place, record: RequestRecord, now: int) -> Row:
    return {
        **_named(place),
        "method": record.method,
        "path": record.path.partition("?")[0],
        "client": record.client,
        "id": record.id,
        "phase": record.phase.name.lower(),
        "seconds": max(0, now - record.began) / 1e9,
        "bytes": record.bytes,
    }


def _stack(found: Found, running: Sequence[Row], kernel: Sequence[Thread]) -> Row:
    stack = found.stack
    waits = next((one.waits for one in kernel if stack.tid and one.tid == stack.tid), "")
    return {
        **as_dict(stack),
        "request": _request(stack.request, running),
        "waits": waits,
        "frames": [as_dict(frame) for frame in found.frames],
    }


def _request(words: str, running: Sequence[Row]) -> Row | None:
    """Return the request that a worker says a stack is for, as the scoreboard shows it if it does."""
    method, _, rest = words.partition(" ")
    path, _, name = rest.rpartition(" ")
    if not words:
        return None
    for row in running:
        if (row["id"] and row["id"] == name[:40]) or (row["method"], row["path"]) == (method, path):
            return {key: row[key] for key in ("method", "path", "id", "phase", "seconds")}
    return {"method": method, "path": path, "id": name, "phase": "", "seconds": None}


def _listens(kernel: Sequence[Thread]) -> bool:
    return any(one.state not in "TtZ" and not one.blocks(STACK_SIGNAL) for one in kernel)


def _note(report: Report, kernel: Sequence[Thread], wait: float) -> str:
    """Say what it means that a worker did not answer as it should; "" if it did."""
    if report.author == "python":
        return "" if report.whole else "it stopped in the middle of its answer: there is more"
    if not kernel:
        return "it has ended"
    main = f"its main thread {kernel[0].waits}"
    if all(one.state in "Tt" for one in kernel):
        return f"it {kernel[0].waits}: it answers nothing before it is continued (SIGCONT)"
    if not _listens(kernel):
        return f"nothing in it can be asked, because all its threads block all signals; {main}"
    silent = f"the interpreter does not answer: no Python code of it ran for {wait:g} s"
    if not report.author:
        return f"{silent}, nor a signal's handler in C; {main}"
    if any(one.state == "R" for one in kernel):
        silent += "; a thread computes in C and lets no other run (it holds the interpreter lock)"
    else:
        silent += f"; {main}"
    return f"{silent}; the stacks are from a signal's handler in C"
