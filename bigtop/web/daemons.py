# Daemons that a console shows: how each is asked, by role, and what it tells.
#
# Rules: one that is away hurts no other one, and is there again when it answers. Nobody is asked for figures
# while nobody looks; events are heard all the time, since they are rare and nobody tells them later. A
# command goes out with the role of the person who gave it, and with a key of that role where there are keys:
# the daemon enforces it.

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from bigtop.control.client.client import Identity, Properties
from bigtop.errors import BigtopError, ConfigError
from bigtop.record import replace
from bigtop.top.model.node import Node
from bigtop.top.places import Place
from bigtop.top.watch import Watch
from bigtop.web import preflight
from bigtop.web.access.roles import ROLES, VIEW
from bigtop.web.rules.flows import Ring
from bigtop.web.rules.verdict import Happened

_AGAIN: Final = 2.0  # seconds
_EVENTS: Final = 2000


class Daemon:
    """One of them; event loop only."""

    def __init__(self, name: str, endpoint: str, keys: Path | None) -> None:
        self.name = name
        self._endpoint = endpoint
        self._keys = keys
        self._node = Node(name)
        self._watching: asyncio.Task[None] | None = None

    @property
    def node(self) -> Node:
        return self._node

    def place(self, role: str) -> Place:
        """Return how to ask for somebody with that role. ConfigError: there is no key for it."""
        return Place(self.name, self._endpoint, self._identity(role), role=role)

    def _identity(self, role: str) -> Identity | None:
        if self._keys is None:
            return None
        there = preflight.keys_of(self._keys)
        for one in ROLES[ROLES.index(role) :]:
            if one in there:
                return Identity(there[one], str(self._keys / preflight.SERVER))
        raise ConfigError(f"{self._keys} has no key of the role {role}")

    async def call(
        self, role: str, command: str, properties: Properties, timeout: float | None = 10.0
    ) -> Properties:
        """Return the reply to a command of somebody with that role; BigtopError as AsyncClient.call()."""
        async with replace(self.place(role)).client(timeout) as client:
            return await client.call(command, **properties)

    # ---- looking

    def look(self, changed: Callable[[], None]) -> None:
        """Ask for figures from now on, until look_away()."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(changed))

    async def _watch(self, changed: Callable[[], None]) -> None:
        while True:
            try:
                await Watch(self._node, self.place(VIEW), changed).run()
            except BigtopError as error:  # no key
                self._node.lose(str(error))
                changed()
            await asyncio.sleep(_AGAIN)

    async def look_away(self) -> None:
        task, self._watching = self._watching, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            name = self._node.name
            self._node = Node(name)  # what was known is old

    @property
    def is_watched(self) -> bool:
        return self._watching is not None


class Daemons:
    """All of them, in order, and what happens to them. Used in an async with statement."""

    def __init__(self, daemons: Iterable[Daemon], heard: Callable[[], None]) -> None:
        self.by_name = {daemon.name: daemon for daemon in daemons}
        self.events = Ring(_EVENTS)
        self._heard = heard
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def nodes(self) -> list[Node]:
        return [daemon.node for daemon in self.by_name.values()]

    async def __aenter__(self) -> Daemons:
        self._tasks = [asyncio.create_task(self._listen(one)) for one in self.by_name.values()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for daemon in self.by_name.values():
            await daemon.look_away()

    async def _listen(self, daemon: Daemon) -> None:
        while True:
            with contextlib.suppress(BigtopError):  # it is away
                async with daemon.place(VIEW).client() as client:
                    async for one in client.events("watcher.", "arbiter."):
                        self._take(daemon.name, one.watcher, one.name, one.payload)
            await asyncio.sleep(_AGAIN)

    def _take(self, daemon: str, watcher: str, name: str, payload: dict[str, Any]) -> None:
        at = float(payload.get("time") or time.time())
        facts = {key: value for key, value in payload.items() if key != "time"}
        self.events.add(Happened(daemon, watcher, name, at, facts))
        self._heard()
