# What workers count, read by another process while they are killed: it only grows, and is what clients saw.

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from bigtop.ipc.counters import LATENCIES, Count, Counters
from bigtop.stats.figures import Figures
from tests.support.load import Load
from tests.support.site import Site, until
from tests.support.wire import Client

WORKERS = 10
ROUNDS = int(os.environ.get("BIGTOP_KILLS", "30")) // WORKERS
CLIENTS = 4


@contextmanager
def watched(figures: Figures, name: str = "tests") -> Iterator[list[Counters]]:
    """Look again and again; a counter that goes back is an error."""
    looks: list[Counters] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            looks.append(figures.look()[name].counters)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join(30)
    for before, now in pairwise(looks):
        assert all(late >= early for early, late in zip(before, now, strict=True))


def replace_one(site: Site, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in site.workers() and len(site.workers()) == WORKERS, "its successor")


def reload(site: Site, times: int) -> None:
    """Have every worker replaced: who comes then has no deaths behind it, and is not made to wait."""
    before = site.workers().keys()
    site.send(signal.SIGHUP)
    site.wait_for("reloaded, every worker", times=times)
    until(lambda: before.isdisjoint(site.workers()), "the old ones to be gone")


def test_counters_of_workers_that_are_killed() -> None:
    with Site("tests.apps.site:app", "--workers", str(WORKERS)) as site:
        until(lambda: len(site.workers()) == WORKERS, "all workers")
        figures = Figures(site.pid)
        with watched(figures) as looks, Load(site.port, CLIENTS) as load:
            for number in range(ROUNDS):
                for pid in list(site.workers()):
                    seen = load.answered
                    until(lambda seen=seen: load.answered > seen + 20, "requests")  # type: ignore[misc]
                    replace_one(site, pid)
                reload(site, number + 1)
            until(lambda: load.answered > 1000, "many requests")
        counted = looks[-1][Count.REQUESTS]
        # What a worker did in the turn of its loop in which it was killed may be told by one of both alone.
        kills = ROUNDS * WORKERS
        print(kills, counted, load.answered, len(load.failures), len(looks))
        assert load.answered - kills * CLIENTS <= counted <= load.answered + len(load.failures)

        # And exactly, where none is killed with a request in hand.
        def settled(more: int) -> bool:
            now = figures.look()["tests"]
            done = now.counters[Count.REQUESTS] - before[Count.REQUESTS]
            assert done <= more
            return done == more and now.busy == 0

        before = figures.look()["tests"].counters
        for number, pid in enumerate(list(site.workers())[:3], 1):
            for _ in range(10):
                site.get("/pid")
            until(lambda number=number: settled(number * 10), "them to be counted")  # type: ignore[misc]
            replace_one(site, pid)
            until(lambda number=number: settled(number * 10), "them to be counted once")  # type: ignore[misc]
        total = figures.look()["tests"].counters
        grown = [late - early for early, late in zip(before, total, strict=True)]
        assert grown[Count.REQUESTS] == grown[Count.STATUS_2XX] == sum(grown[LATENCIES]) == 30


LIAR = """
import gc, mmap, os
from bigtop.ipc import scoreboard
from bigtop.ipc.scoreboard import Slot

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/lie"):
        number, honest = map(int, path.removeprefix("/lie/").split("/"))
        for found in gc.get_objects() if os.getpid() != honest else ():
            if isinstance(found, mmap.mmap) and len(found) == scoreboard.SIZE:
                slot = Slot(memoryview(found))
                for words in (slot.words, slot.buckets, slot.waits):
                    for word in range(len(words)):
                        words[word] = number
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.case("E9")
def test_a_worker_that_lies_costs_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "liar.py").write_text(LIAR)
    with Site("liar:app", "--workers", "2", cwd=tmp_path) as site:
        until(lambda: len(site.workers()) == 2, "both workers")
        figures = Figures(site.pid)

        def look() -> Counters:
            return figures.look()["liar"].counters

        with watched(Figures(site.pid), "liar"), ExitStack() as clients:

            def client() -> Client:
                return clients.enter_context(Client(("127.0.0.1", site.port)))

            honest = client()
            mine = int(honest.get("/").body)
            asked = 1
            until(lambda: look()[Count.REQUESTS] == 1, "one request")
            lied = mine
            while lied == mine:  # those that stay are shared out among the workers
                liar = client()
                lied = int(liar.get("/").body)
                asked += 1
            for number in (2**64 - 1000, 7, 2**63, 0):
                assert int(liar.get(f"/lie/{number}/{mine}").body) == lied
            before = look()[Count.REQUESTS]
            for _ in range(50):
                assert int(honest.get("/").body) == mine
            asked += 4 + 50
            until(lambda: look()[Count.REQUESTS] >= before + 50, "them to be counted")
        assert look()[Count.REQUESTS] < asked + 10  # a lie that could be true is believed: seven
        assert max(look()[LATENCIES]) < 1000
