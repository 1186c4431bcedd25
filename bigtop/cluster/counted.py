# Counters of the applications of a node: requests from its stats process, ends of processes from its
# supervisor.
#
# Rule: what cannot be had counts as nothing: health is then judged by processes that end, alone.

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import zmq
import zmq.asyncio

from bigtop.cluster.policy.member import Figures, Load
from bigtop.control.client.async_client import AsyncClient
from bigtop.errors import BigtopError
from bigtop.record import Record

_WINDOW: Final = 60.0  # seconds
_LATELY: Final = 10.0  # seconds that a load is that of, and that it is believed
_UNASKED: Final = ("exit", "error", "signal", "oom", "hung")  # ways to end of processes that fail
_AGAIN: Final = 5.0


class _Counts(Record, frozen=False):
    samples: deque[tuple[float, int, int]]  # time, requests, errors
    p99: float = 0.0
    ended: int = 0
    ended_before: int = 0
    busy: int = 0
    places: int | None = None  # None: it is no application, or nobody said so yet


class Counted:
    """By the supervisor at `endpoint`. Event loop only."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._counts: dict[str, _Counts] = {}

    def begin(self, app: str) -> None:
        """The code of an application changed: what was counted before is not its doing."""
        if (counts := self._counts.get(app)) is not None:
            self._counts[app] = _Counts(deque(list(counts.samples)[-1:]), 0.0, counts.ended, counts.ended)

    def apps(self) -> set[str]:
        """Return the applications that there are."""
        return {name for name, counts in self._counts.items() if counts.places is not None}

    def figures(self, app: str) -> Figures:
        counts = self._counts.get(app)
        if counts is None:
            return Figures()
        samples = counts.samples
        first, last = (samples[0], samples[-1]) if samples else ((0.0, 0, 0), (0.0, 0, 0))
        requests, errors = last[1] - first[1], last[2] - first[2]
        return Figures(requests, errors, counts.p99, counts.ended - counts.ended_before)

    def loads(self) -> dict[str, Load]:
        """Return what each application does at the moment."""
        now = asyncio.get_running_loop().time()
        return {
            name: _load(counts, counts.places, now)
            for name, counts in self._counts.items()
            if counts.places is not None
        }

    async def look(self) -> dict[str, dict[str, Any]]:
        """Ask the supervisor who runs; return that by name."""
        async with AsyncClient(self._endpoint) as client:
            told = await client.call("overview")
        found = {str(one["name"]): one for one in told["watchers"]}
        for name, one in found.items():
            ended = sum(int(one["exits"].get(way, 0)) for way in _UNASKED)
            counts = self._counts.setdefault(name, _Counts(deque(), ended_before=ended))
            counts.ended = ended
            is_app = one["kind"] == "app"
            counts.places = len(one["processes"]) * (one["threads"] or 1) if is_app else None
        for gone in self._counts.keys() - found.keys():
            self._counts[gone].places = None
        return found

    async def follow(self) -> None:
        """Hear the stats process for ever, if there is one."""
        context = zmq.asyncio.Context()
        try:
            while True:
                with suppress(BigtopError, OSError, zmq.ZMQError):
                    await self._hear(context)
                await asyncio.sleep(_AGAIN)
        finally:
            context.destroy(linger=0)

    async def _hear(self, context: zmq.asyncio.Context) -> None:
        async with AsyncClient(self._endpoint) as client:
            told = await client.call("overview")
        if not (where := told.get("stats_endpoint")):
            return
        with context.socket(zmq.SUB) as socket:
            socket.subscribe(b"http.")
            socket.connect(where)
            while True:
                topic, text = await socket.recv_multipart()
                self._take(topic.decode().removeprefix("http."), json.loads(text))

    def _take(self, app: str, said: Mapping[str, Any]) -> None:
        now = asyncio.get_running_loop().time()
        counts = self._counts.setdefault(app, _Counts(deque()))
        counts.samples.append((now, int(said["requests"]), int(said["errors"])))
        counts.busy = int(said["busy"])
        while counts.samples[0][0] < now - _WINDOW:
            counts.samples.popleft()
        age = now - counts.samples[0][0]
        window = said.get("windows", {}).get("60" if age > 30 else "10" if age > 5 else "1") or {}
        latency = window.get("latency") or {}
        counts.p99 = float(latency.get("p99") or 0.0)


def _load(counts: _Counts, places: int, now: float) -> Load:
    lately = [one for one in counts.samples if one[0] >= now - _LATELY]
    if len(lately) < 2:
        return Load(0, places)
    (began, requests, errors), (ended, last_requests, last_errors) = lately[0], lately[-1]
    seconds = max(ended - began, 0.001)
    rate, failed = (last_requests - requests) / seconds, (last_errors - errors) / seconds
    return Load(counts.busy, places, round(max(0.0, rate), 2), round(max(0.0, failed), 2), counts.p99 or None)
