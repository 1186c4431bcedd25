# A running plugin: its connection to the supervisor, its turns, and events as they come.
#
# Rules: whatever a plugin does, the supervisor is asked no more than one client may ask, and events that it
# is too slow for are dropped here. What it raises ends its process.

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, Final

import zmq.asyncio

from bigtop.control.client import connection
from bigtop.control.client.async_client import AsyncClient
from bigtop.control.client.client import event as opened
from bigtop.control.client.connection import Way
from bigtop.log import logger as get_logger
from bigtop.plugins import alarm, topics
from bigtop.plugins.backlog import Backlog
from bigtop.plugins.orders import Orders
from bigtop.plugins.plugin import Event, Plugin, Turn, called, configured
from bigtop.plugins.state import State

ROOM: Final = 1000  # events that wait
_PATIENCE: Final = 30.0  # seconds for a reply
_TOPIC: Final = "watcher."


class RunningHost:
    """The world of a plugin, in its own process. Event loop only."""

    def __init__(
        self, name: str, state: MutableMapping[str, Any], client: AsyncClient, group: asyncio.TaskGroup
    ) -> None:
        self.name = name
        self.log: logging.Logger = get_logger("bigtop")
        self.state = state
        self._client = client
        self._group = group

    def every(self, seconds: float, turn: Turn) -> None:
        self._group.create_task(_turns(seconds, turn))

    def background(self, work: Coroutine[Any, Any, object]) -> None:
        self._group.create_task(work)

    async def call(self, command: str, properties: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call(command, **properties)

    async def cast(self, command: str, properties: Mapping[str, object]) -> None:
        await self._client.cast(command, **properties)


async def run(kind: type[Plugin], orders: Orders, endpoint: str, events: str, over: asyncio.Event) -> None:
    """Run a plugin until `over`. Raises OptionError, and whatever the plugin raises."""
    values, problems = configured(kind, orders.given)
    if problems:
        raise problems[0]
    client = AsyncClient(endpoint, timeout=_PATIENCE)
    try:
        supervisor = int((await client.call("version"))["pid"])
        async with asyncio.TaskGroup() as group:
            group.create_task(alarm.keep_off(orders.hang_timeout, supervisor))
            host = RunningHost(orders.name, State(str(orders.state_file)), client, group)
            plugin = kind(host)
            vars(plugin).update(values)
            await plugin.check()
            life = group.create_task(_live(plugin, client, events))
            await over.wait()
            life.cancel()
            await plugin.stop()
            raise _StopError  # ends the tasks of every()
    except* _StopError:
        pass
    finally:
        await client.close()


class _StopError(Exception):
    """The plugin was told to end, and has."""


async def _turns(seconds: float, turn: Turn) -> None:
    clock = asyncio.get_running_loop().time
    due = clock() + seconds
    while True:
        await asyncio.sleep(due - clock())
        await called(turn())
        due = max(due + seconds, clock())


async def _live(plugin: Plugin, client: AsyncClient, events: str) -> None:
    backlog, news = Backlog(ROOM), asyncio.Event()
    patterns = topics.checked(plugin.topics)
    with connection.subscriber(client.context, Way(events), (_TOPIC,)) as socket:
        async with asyncio.TaskGroup() as group:
            group.create_task(_hear(socket, patterns, backlog, news))
            await plugin.start()
            while True:
                await news.wait()
                news.clear()
                while backlog:
                    await called(plugin.on_event(backlog.take()))
                    await asyncio.sleep(0)  # who never waits must not keep others here from their turn


async def _hear(
    socket: zmq.asyncio.Socket, patterns: Sequence[str], backlog: Backlog, news: asyncio.Event
) -> None:
    while True:
        found = opened(await socket.recv_multipart())
        if topics.chosen(patterns, found.watcher, found.name):
            backlog.put(Event(found.watcher, found.name, found.payload))
            news.set()
