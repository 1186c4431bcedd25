# Watch of one supervisor: asks it each second, subscribes to its events and figures, and tells a Node.
#
# Rules: it reads once a second, however it is shown. Who does not answer is asked again and again, and is
# there when it answers. Figures come from its stats process; where it has none, from one of ours; where we
# may not look, from the control channel.

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import zmq.asyncio

from bigtop.control.client import connection
from bigtop.control.client.async_client import AsyncClient
from bigtop.control.client.client import Event, Properties, event
from bigtop.control.client.connection import Way
from bigtop.control.protocol import Errno, RefusedError
from bigtop.errors import BigtopError
from bigtop.top.model import roster
from bigtop.top.model.node import Node
from bigtop.top.own_stats import OwnStats, obstacle
from bigtop.top.places import Place

_EVERY: Final = 1.0  # seconds
_LEAST: Final = 0.1  # after an answer, before the next question
_AGAIN: Final = 3.0  # seconds until a stats process that ended is followed by another
_AT_ONCE: Final = 200  # messages, then others have a turn

clock = time.monotonic


class Watch:
    """Of the supervisor at `place`; event loop only. `changed` is called when there is something new."""

    def __init__(self, node: Node, place: Place, changed: Callable[[], None]) -> None:
        self.node = node
        self.place = place
        self.changed = changed
        self._news = asyncio.Event()  # something has happened since it was asked last
        self._figures: asyncio.Task[None] | None = None
        self._figures_of: tuple[object, object] | None = None

    async def run(self) -> None:
        """Watch until it is cancelled."""
        while True:
            try:
                async with self.place.client() as client, asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._hear_events(client))
                    try:
                        await self._ask(client)
                    finally:
                        await self._end_figures()
            except BigtopError as error:  # it cannot even be asked
                self._lose(error)
                self.changed()
                await asyncio.sleep(_EVERY)

    async def act(self, command: str, properties: Mapping[str, Any]) -> Properties:
        """Give a command, and return the reply whenever that comes."""
        async with self.place.client(None) as client:
            return await client.call(command, **properties)

    async def output(self, topic: str) -> AsyncIterator[Event]:
        """Yield events of a topic until it is closed."""
        async with self.place.client() as client:
            async for one in client.events(topic):
                yield one

    # ---- asking

    async def _ask(self, client: AsyncClient) -> None:
        while True:
            began = clock()
            try:
                overview = await client.call("overview")
                requests = (await client.call("requests"))["requests"]
            except BigtopError as error:
                self._lose(error)
            else:
                self.node.hear(overview, requests, clock())
                await self._look_for_figures(client)
            self.changed()
            took = clock() - began
            # What has happened is seen at once; of many things at once, what came of them.
            await asyncio.sleep(min(_EVERY, max(_LEAST, 4 * took)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + _EVERY - (clock() - began)):
                    await self._news.wait()
            self._news.clear()

    def _lose(self, error: BigtopError) -> None:
        if isinstance(error, RefusedError) and error.errno is Errno.UNKNOWN_COMMAND:
            self.node.lose("it is an older Bigtop, which does not tell what top shows")
        else:
            self.node.lose(str(error).removeprefix(f"{self.place.endpoint}: "))

    async def _hear_events(self, client: AsyncClient) -> None:
        while True:
            with contextlib.suppress(BigtopError):
                async for one in client.events("watcher.", "arbiter."):
                    self.node.happen(one.watcher, one.name, one.payload)
                    self._news.set()
                    self.changed()
            await asyncio.sleep(_EVERY)

    # ---- figures

    async def _look_for_figures(self, client: AsyncClient) -> None:
        """See to it that figures come; anew where another supervisor answers than before."""
        overview = self.node.overview
        there = (overview["pid"], overview["stats_endpoint"])
        ended = self._figures is None or self._figures.done()
        if there != self._figures_of or ended:
            await self._end_figures()
            self._figures_of = there
            self._figures = asyncio.create_task(self._measure(client))

    async def _end_figures(self) -> None:
        if self._figures is not None:
            self._figures.cancel()
            await asyncio.wait([self._figures])
            self._figures = None

    async def _measure(self, client: AsyncClient) -> None:
        overview = self.node.overview
        if overview["stats_endpoint"]:
            way = connection.way_to_events(client.way, overview["stats_endpoint"])
            self.node.begin("stats process")
            await self._listen(way)
            return
        if reason := obstacle(client.way, overview["pid"]):
            self.node.begin(f"control channel: {reason}", is_poor=True)
            await self._ask_for_figures(client)
            return
        try:
            own = OwnStats(lambda: roster.of(self.node.overview, 0))
        except OSError as error:
            self.node.begin(f"control channel: no stats process: {error.strerror}", is_poor=True)
            await self._ask_for_figures(client)
            return
        self.node.begin("stats process of its own")
        try:
            await self._listen(Way(own.endpoint), own.failure)
        finally:
            own.close()

    async def _listen(self, way: Way, failure: Callable[[], str] = lambda: "") -> None:
        context: zmq.asyncio.Context = zmq.asyncio.Context()
        try:
            with connection.subscriber(context, way, ("stat.", "http.")) as figures:
                while not (reason := failure()):
                    if await figures.poll(int(_EVERY * 1000)):
                        self._take(figures)
            self.node.source = f"the stats process ended: {reason}"
        except BigtopError as error:
            self.node.source = f"stats process: {error}"
        finally:
            context.destroy(linger=0)
        await asyncio.sleep(_AGAIN)

    def _take(self, figures: zmq.asyncio.Socket) -> None:
        """Take in what is there: to wait for each message costs more than to read it."""
        quick: zmq.Socket[bytes] = zmq.Socket.shadow(figures.underlying)
        with contextlib.suppress(zmq.Again):
            for _ in range(_AT_ONCE):
                one = event(quick.recv_multipart(zmq.NOBLOCK))
                self.node.measure(one.topic, one.payload, clock())

    async def _ask_for_figures(self, client: AsyncClient) -> None:
        while True:
            began = clock()
            with contextlib.suppress(BigtopError):
                self.node.measure_all((await client.call("stats"))["infos"], clock())
            await asyncio.sleep(max(0.0, _EVERY - (clock() - began)))
