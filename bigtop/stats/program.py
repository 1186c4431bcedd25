# The stats process: `python -m bigtop.stats.program ORDERS`, a helper watcher of the supervisor.
#
# It answers the admin listener, too, and sends figures to a statsd server or a collector of OpenTelemetry, if
# these are wanted: then that may be all it does.
#
# Rules: it looks at a constant pace for everybody together, and not at all while nobody subscribes and no
# history is kept. It needs the supervisor only to learn who runs, and goes on with what it knows while that
# is busy. It ends with the supervisor.

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import time
from collections.abc import Container, Mapping

from bigtop import log
from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger
from bigtop.stats import feed, publisher
from bigtop.stats.admin import admin_listener
from bigtop.stats.collector import SOCKETS, Collector
from bigtop.stats.export.emitter import Emitter
from bigtop.stats.export.otlp_emitter import OtlpEmitter
from bigtop.stats.figures import AppFigures
from bigtop.stats.history import History
from bigtop.stats.known import Known
from bigtop.stats.orders import Orders
from bigtop.stats.pace import Turns
from bigtop.stats.processes.process_looks import OWN
from bigtop.stats.publisher import Publisher
from bigtop.system import kernel

logger = get_logger("bigtop")


class Stats:
    """Event loop only."""

    def __init__(self, orders: Orders, endpoint: int, known: Known) -> None:
        self._pace = orders.pace
        self._known = known
        self._turns = Turns(orders.pace)
        self._wanted = asyncio.Event()
        self._collector = Collector(orders.pace.details_interval)
        self._history = History() if orders.pace.history else None
        listener = socket.socket(fileno=endpoint)
        self._publisher = Publisher(listener, orders.curve, self._subscribed)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            while not self._is_wanted:
                self._collector.forget()
                self._wanted.clear()
                await self._wanted.wait()
            due = time.monotonic()
            while self._is_wanted:
                await asyncio.sleep(due - time.monotonic())
                at = time.monotonic()
                await self._known.learn()
                self._look(at)
                due += self._pace.step * (1 + (at - due) // self._pace.step)

    @property
    def _is_wanted(self) -> bool:
        return self._history is not None or bool(self._publisher.subscriptions)

    def _subscribed(self, topic: bytes, comes: bool) -> None:
        if comes and self._history is not None and topic.startswith(publisher.HISTORY):
            for name in self._history.names:
                if publisher.topic_of(publisher.HISTORY, name).startswith(topic):
                    self._publisher.publish(publisher.HISTORY, name, self._history.of(name))
            self._publisher.flush()
        self._wanted.set()

    def _look(self, at: float) -> None:
        now = time.time()
        publish, wants = self._publisher.publish, self._publisher.subscriptions.wants_below
        collector, roster = self._collector, self._known.roster
        if not roster.own:  # nobody told us anything yet
            return
        turns = self._turns.take((OWN, SOCKETS, *(group.name for group in roster.groups)), at)
        if self._history is not None or wants(publisher.STAT):
            is_first = not collector.processes.has_looked
            for told in collector.processes.look(roster, at, now, turns):
                if is_first:  # there is nothing to compare it with
                    continue
                publish(publisher.STAT, told.name, told.figure, told.part, told.text)
                if self._history is not None and told.part is None:
                    self._history.add(told.name, now, told.figure)
        if self._history is not None or wants(publisher.HTTP) or wants(publisher.SOCKETS):
            counts = self._known.counts()
            self._remember(counts, now, turns)
            if wants(publisher.HTTP) or wants(publisher.SOCKETS):
                self._tell_counts(counts, at, turns)
        self._publisher.flush()

    def _tell_counts(self, counts: Mapping[str, AppFigures], at: float, turns: Container[str]) -> None:
        publish, roster, windows = self._publisher.publish, self._known.roster, self._known.windows
        for told in self._collector.sockets(roster, counts) if SOCKETS in turns else ():
            publish(publisher.STAT, told.name, told.figure, told.part, told.text)
        for told in self._collector.requests(roster, counts, at, turns):
            figure = {"windows": windows.of(told.name), "routes": windows.of_routes(told.name)}
            publish(publisher.HTTP, told.name, {**told.figure, **figure})

    def _remember(self, counts: Mapping[str, AppFigures], now: float, turns: Container[str]) -> None:
        """Keep what applications did since the last look."""
        if self._history is None:
            return
        for name, figures in counts.items():
            if name in turns:
                told = self._known.windows.last_second(name)
                self._history.add_requests(name, now, (*told, figures.busy, figures.waiting))


async def _until_the_end(orders: Orders) -> None:
    line = await feed.opened(socket.socket(fileno=orders.feed))
    known = Known(line)
    tasks: set[asyncio.Future[None]] = set()
    if orders.admin is not None:
        tasks.add(asyncio.create_task(admin_listener.serve(orders.admin, known)))
    if orders.endpoint is not None:
        tasks.add(asyncio.create_task(Stats(orders, orders.endpoint, known).run()))
    told = asyncio.Event()
    emitters: list[Emitter | OtlpEmitter] = []
    if orders.pace.emission is not None:
        emitters.append(Emitter(orders.pace.emission, known, orders.pace))
    if orders.pace.otlp is not None:
        emitters.append(OtlpEmitter(orders.pace.otlp, known))
    if emitters:  # they have something to do at the end
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        tasks |= {asyncio.create_task(emitter.run()) for emitter in emitters}
        tasks.add(asyncio.create_task(_told_to_end(told)))
    done, _ = await asyncio.wait({*tasks, line.gone}, return_when=asyncio.FIRST_COMPLETED)
    for task in done & tasks:
        task.result()
    await asyncio.gather(*(emitter.end() for emitter in emitters))


async def _told_to_end(told: asyncio.Event) -> None:
    await told.wait()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the supervisor says when we end
    orders = Orders.decode(sys.argv[1])
    kernel.set_title("bigtop: stats")
    gc.freeze()
    log.configure()
    try:
        asyncio.run(_until_the_end(orders))
    except BigtopError as error:
        logger.critical("%s", error)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
