# Hub of a console: asks daemons while somebody looks, and makes views for all who do.
#
# Rules: event loop only. It asks once a second however many look, and not at all when nobody does. A view is
# made once for all tabs.

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import zmq.asyncio

import bigtop
from bigtop.control.client import connection
from bigtop.control.client.client import event
from bigtop.control.events import topic_word
from bigtop.errors import BigtopError
from bigtop.record import as_dict
from bigtop.top.model.node import Node
from bigtop.top.model.rows import tree
from bigtop.top.watch import clock
from bigtop.web.access.roles import ADMIN, VIEW
from bigtop.web.access.sessions import Person
from bigtop.web.daemons import Daemon, Daemons
from bigtop.web.progress import Progress
from bigtop.web.rules import deploys, facts, verdict
from bigtop.web.rules.actions import DeclinedError
from bigtop.web.rules.facts import Clock
from bigtop.web.rules.flows import LEASE, Ring, View
from bigtop.web.store import Store

if TYPE_CHECKING:
    from bigtop.web.cluster import ShownCluster

_EVERY: Final = 1.0  # seconds
_LEAST: Final = 0.25  # between two views
_POINTS: Final = 3600
_CHARTS: Final = 60  # watchers whose figures are kept for charts
_PATIENCE: Final = 3.0  # seconds for the past
_SHORTLY: Final = 0.3  # of these for which a page waits
_AUDITED: Final = 300


class Hub:
    """From `async with` on. `news` is set, and replaced, whenever there may be something new."""

    def __init__(self, daemons: Sequence[Daemon], store: Store, cluster: ShownCluster | None = None) -> None:
        self.daemons = Daemons(daemons, self._hear)
        self.cluster = cluster
        self.progress = Progress(self.daemons, store, self._hear, cluster)
        self._store = store
        self._looked_at = -LEASE
        self._turn = asyncio.Event()
        self.news = asyncio.Event()
        self._made: dict[str, View] = {}
        self._points: dict[str, Ring] = {}
        self._pasts: dict[str, asyncio.Task[None]] = {}  # that were asked for, since somebody looks
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Hub:
        await self.daemons.__aenter__()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        ending = [self._task, *self._pasts.values()]
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)
        await self.progress.close()
        if self.cluster is not None:
            await self.cluster.look_away()
        await self.daemons.__aexit__()

    def look(self) -> None:
        """Somebody looks: ask for figures for a while."""
        self._looked_at = clock()
        for daemon in self.daemons.by_name.values():
            daemon.look(self._hear)
        if self.cluster is not None:
            self.cluster.look(self._hear)

    def _hear(self) -> None:
        self._turn.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._turn.wait()
            self._turn.clear()
            if clock() - self._looked_at >= LEASE:
                for one in (*self.daemons.by_name.values(), *([self.cluster] if self.cluster else ())):
                    await one.look_away()
                # The next one who looks wants to see this time, too.
                self._pasts = {key: task for key, task in self._pasts.items() if not task.done()}
            self._remember()
            self._made.clear()
            news, self.news = self.news, asyncio.Event()
            news.set()
            await asyncio.sleep(_LEAST)

    # ---- views

    async def view(self, topic: str, said: Mapping[str, Any], person: Person) -> View:
        """Return what a page about `topic` shows. DeclinedError: there is none such, or not for this
        person."""
        of_cluster = ("nodes", "rollouts") if self.cluster is not None else ()
        if topic in ("front", "requests", "sockets", "events", "progress", *of_cluster):
            if topic not in self._made:
                self._made[topic] = self._view(topic)
            return self._made[topic]
        if topic == "audit":
            if person.role != ADMIN:
                raise DeclinedError("the audit log is for administrators")
            entries = await asyncio.to_thread(self._store.audited, _AUDITED)
            return View(values={"audit": entries})
        if topic not in ("watcher", "generations"):
            raise DeclinedError(f"there is no topic {topic!r:.60}")
        daemon = self.daemon(said.get("daemon"))
        if topic == "generations":
            return await self._generations(daemon)
        return await self._watcher(daemon, str(said.get("watcher")))

    def daemon(self, name: object) -> Daemon:
        """DeclinedError: there is none with that name."""
        found = self.daemons.by_name.get(name) if isinstance(name, str) else None
        if found is None:
            raise DeclinedError(f"there is no daemon {name!r:.60}")
        return found

    def _view(self, topic: str) -> View:
        nodes, at = self.daemons.nodes, Clock(clock(), time.time())
        match topic:
            case "nodes" if self.cluster is not None:
                return self.cluster.nodes()
            case "rollouts" if self.cluster is not None:
                return self.cluster.rollouts()
            case "requests":
                return View(tables={"requests": facts.requests(nodes, at)})
            case "sockets":
                return View(tables={"sockets": facts.sockets(nodes)})
            case "events":
                return View(rings={"events": self.daemons.events})
            case "progress":
                return View(rings={"progress": self.progress.ring})
        branches = tree(nodes)
        tiles = facts.front(nodes, branches, at)
        running = facts.requests(nodes, at).values()
        found = verdict.concerns(nodes, tiles, running, self.daemons.events, at.wall)
        if self.cluster is not None:
            found = sorted([*self.cluster.concerns(), *found], key=lambda one: one.level != verdict.BAD)
        line = verdict.line(nodes, tiles, found)
        if self.cluster is not None and not nodes:
            line = self.cluster.nodes().values["verdict"]
        values = {
            "daemons": facts.daemons(nodes, branches, at),
            "concerns": [as_dict(one) for one in found],
            "verdict": line,
            "version": bigtop.__version__,
        }
        return View(tables={"watchers": tiles}, values=values)

    async def _watcher(self, daemon: Daemon, name: str) -> View:
        points = await self._chart(daemon, name)
        found = facts.watcher(daemon.node, name, Clock(clock(), time.time()))
        rings = {} if points is None else {"points": points}
        values = {"watcher": found, "columns": facts.COLUMNS, "deploy": self._deploy(daemon, found)}
        return View(values=values, rings=rings)

    def _deploy(self, daemon: Daemon, row: dict[str, Any] | None) -> dict[str, Any] | None:
        if row is None:
            return None
        word = topic_word(row["name"])
        events = (one for one in self.daemons.events if (one.daemon, one.watcher) == (daemon.name, word))
        return deploys.latest(row, events)

    async def _generations(self, daemon: Daemon) -> View:
        try:
            found = (await daemon.call(VIEW, "generations", {}))["generations"]
        except BigtopError as error:
            return View(values={"generations": [], "trouble": str(error)})
        return View(values={"generations": found, "trouble": None})

    # ---- the past

    def _remember(self) -> None:
        """Keep the newest figures of applications, and of what somebody has looked at."""
        wall = time.time()
        for node in self.daemons.nodes:
            for each in node.overview.get("watchers", ()):
                key = facts.key_of(node.name, each["name"])
                if each["kind"] == "app" and key not in self._points and len(self._points) < _CHARTS:
                    self._points[key] = Ring(_POINTS)
                ring = self._points.get(key)
                if ring is not None and node.measured_at is not None and _is_due(ring, wall):
                    ring.add(facts.point(node, each["name"], wall))

    async def _chart(self, daemon: Daemon, name: str) -> Ring | None:
        """Return the points of a watcher; None while it is not known what was before somebody looked."""
        key = facts.key_of(daemon.name, name)
        if key not in self._pasts:
            if not daemon.node.overview:  # it has not said yet where the past is
                return None
            self._pasts[key] = asyncio.create_task(self._recall(daemon, name))
            await asyncio.wait([self._pasts[key]], timeout=_SHORTLY)
        if not self._pasts[key].done():
            return None
        return self._points.setdefault(key, Ring(_POINTS))

    async def _recall(self, daemon: Daemon, name: str) -> None:
        key = facts.key_of(daemon.name, name)
        past = await self._past(daemon.node, daemon, name)
        known = list(self._points.pop(key, ()))
        while len(self._points) >= _CHARTS:
            oldest = next(iter(self._points))
            del self._points[oldest]
            if oldest in self._pasts and self._pasts[oldest].done():
                del self._pasts[oldest]
        ring = self._points[key] = Ring(_POINTS)
        for point in facts.merged(past, known):
            ring.add(point)
        self._hear()

    async def _past(self, node: Node, daemon: Daemon, name: str) -> list[Any]:
        """Return what the stats process remembers of a watcher, if there is one that does."""
        endpoint = node.overview.get("stats_endpoint")
        if not endpoint:
            return []
        context: zmq.asyncio.Context = zmq.asyncio.Context()
        try:
            async with daemon.place(VIEW).client() as client:
                way = connection.way_to_events(client.way, endpoint)
            with connection.subscriber(context, way, (f"history.{topic_word(name)}",)) as socket:
                if await socket.poll(int(_PATIENCE * 1000)):
                    return facts.past(event(await socket.recv_multipart()).payload)
        except BigtopError:
            pass
        finally:
            context.destroy(linger=0)
        return []


def _is_due(ring: Ring, wall: float) -> bool:
    return ring.last is None or wall - float(ring.last[0]) >= 0.9 * _EVERY
