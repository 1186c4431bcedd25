# Cluster that a console shows: its leading controller is asked while somebody looks, and told what a person
# asks for, with the role of that person.
#
# Rules: event loop only. The controller enforces the role. Nobody is asked while nobody looks.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bigtop.cluster import asking
from bigtop.cluster.places import Authority
from bigtop.cluster.policy import overview
from bigtop.cluster.policy.overview import NodeRow, Told
from bigtop.record import as_dict
from bigtop.top.cluster.watch import ClusterWatch
from bigtop.web.rules import rollouts
from bigtop.web.rules.flows import View
from bigtop.web.rules.verdict import BAD, Concern


class ShownCluster:
    """The one whose keys are in `authority`."""

    def __init__(self, authority: Authority) -> None:
        self.name = authority.cluster.name
        self._authority = authority
        self._watch: ClusterWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sight: tuple[Told, list[NodeRow], list[overview.Concern]] = ({}, [], [])

    # ---- looking

    def look(self, changed: Callable[[], None]) -> None:
        """Ask from now on, until look_away()."""
        if self._watching is None:
            self._watch = ClusterWatch(self._authority, changed)
            self._watching = asyncio.create_task(self._watch.run())

    async def look_away(self) -> None:
        task, self._watching = self._watching, None
        self._watch = None  # what was known is old
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    @property
    def _told(self) -> Told:
        return self._watch.told if self._watch is not None else {}

    def _seen(self) -> tuple[list[NodeRow], list[overview.Concern]]:
        """Return rows and concerns of what was told last: made once for all pages, and all who look."""
        if self._sight[0] is not self._told:
            rows = overview.rows(self._told)
            self._sight = self._told, rows, overview.concerns(self._told, rows)
        return self._sight[1:]

    @property
    def _trouble(self) -> str:
        return self._watch.trouble if self._watch is not None else ""

    def nodes(self) -> View:
        """Return what the page of the nodes shows."""
        if not (told := self._told):
            return View({"nodes": {}}, self._of_nobody())
        rows, found = self._seen()
        level, words = overview.verdict(rows, found)
        values = {
            "verdict": {"level": level, "words": words},
            "concerns": [as_dict(one) for one in found],
            "totals": as_dict(overview.totals(rows)),
            "leader": {"name": told["leader"], "epoch": told["epoch"]},
            "trouble": self._trouble,
        }
        return View({"nodes": {row.name: row._asdict() for row in rows}}, values)

    def rollouts(self) -> View:
        """Return what the page of the rollouts shows."""
        rows = rollouts.rows(self._told["apps"]) if self._told else {}
        return View({"rollouts": rows}, {"trouble": self._trouble, "is_known": bool(self._told)})

    def _of_nobody(self) -> dict[str, Any]:
        level, words = ("bad", f"{self.name}: {self._trouble}") if self._trouble else ("asked", "Asking…")
        return {"verdict": {"level": level, "words": words}, "concerns": [], "trouble": self._trouble}

    def concerns(self) -> list[Concern]:
        """Return what needs attention, for the page that shows all of that."""
        name = f"cluster {self.name}"
        trouble = [Concern(BAD, name, "", self._trouble, page="nodes")] if self._trouble else []
        if not self._told:
            return trouble
        return trouble + [
            Concern(one.level, name, "", one.what, page="rollouts" if one.app else "nodes")
            for one in self._seen()[1]
        ]

    # ---- acting

    async def call(
        self, role: str, command: str, properties: Mapping[str, Any], timeout: float | None = 10.0
    ) -> dict[str, Any]:
        """Return the reply to what somebody with that role asks for. CommandError: the controller says no;
        UnreachableError: nobody leads."""
        said = {**properties, "role": role}
        try:
            return await asking.ask(self._authority, command, said, timeout or asking.TIMEOUT)
        finally:
            if self._watch is not None:
                self._watch.ask_soon()
