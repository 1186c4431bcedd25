# The watch of a supervisor that goes away, comes back, or lets us only look.

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bigtop.control import keys
from bigtop.control.client.client import Identity
from bigtop.top import places, watch
from bigtop.top.model import rows
from bigtop.top.model.node import Node
from bigtop.top.model.rows import View
from bigtop.top.places import Place
from bigtop.top.watching import Watching
from tests.support import procfs
from tests.support.controlled import Controlled
from tests.support.site import DEADLINE
from tests.support.stack import Stack

FILE = '[watcher.mail]\ncmd = "sleep 1000"\n'
WITH_STATS = FILE + "[stats]\ninterval = 0.1\n"


async def wait_for(condition: Callable[[], object], what: str, node: Node) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        said = f"{node.trouble!r} {node.source!r}"
        assert time.monotonic() < end, f"waited {DEADLINE:g} s in vain for {what}: {said}"
        await asyncio.sleep(0.02)


def watched(place: Place) -> tuple[Watching, Node]:
    watching = Watching([place])
    return watching, watching.nodes[0]


def test_who_comes_back_is_seen_again() -> None:
    """Another process, and with a stats process of its own now."""
    with Stack(FILE) as stack:
        stack.wait_for("mail: started")
        place = Place("site", stack.endpoint)

        async def scenario() -> None:
            watching, node = watched(place)
            async with watching:
                await wait_for(node.is_complete, "all figures", node)
                first = stack.pid
                assert (node.overview["pid"], node.source) == (first, "stats process of its own")
                await asyncio.to_thread(stack.stop)
                await wait_for(lambda: node.trouble, "the loss", node)
                stack.write(WITH_STATS)
                stack.start()
                await wait_for(lambda: node.overview["pid"] != first and not node.trouble, "the other", node)
                await wait_for(lambda: node.source == "stats process" and node.is_complete(), "figures", node)
                watching.check()

        asyncio.run(scenario())


def test_what_happens_is_seen_before_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_EVERY", 1000.0)  # seconds between two questions, if nothing happens
    with Stack(WITH_STATS) as stack:
        stack.wait_for("mail: started")

        async def scenario() -> None:
            watching, node = watched(Place("site", stack.endpoint))
            async with watching:
                await wait_for(lambda: node.overview, "what runs", node)
                while not node.events:  # until it hears
                    await asyncio.to_thread(stack.call, "restart", name="mail", waiting=True)
                (pid,) = await asyncio.to_thread(stack.pids, "mail")
                os.kill(pid, signal.SIGKILL)
                await wait_for(lambda: pid not in pids(node), "its end", node)
                await wait_for(lambda: pids(node), "the next one", node)

        asyncio.run(scenario())


def pids(node: Node) -> list[int]:
    return [one["pid"] for watcher in node.overview["watchers"] for one in watcher["processes"]]


def test_a_stats_process_that_dies_is_followed_by_another() -> None:
    with Stack(FILE) as stack:
        stack.wait_for("mail: started")

        async def scenario() -> None:
            watching, node = watched(Place("site", stack.endpoint))
            async with watching:
                await wait_for(node.is_complete, "all figures", node)
                (first,) = stats_processes()
                first.kill()
                await wait_for(lambda: node.source.startswith("the stats process ended"), "its end", node)
                await wait_for(lambda: node.source == "stats process of its own", "another", node)
                await wait_for(node.is_complete, "figures of that", node)
            assert stats_processes() == []

        asyncio.run(scenario())


def stats_processes() -> list[psutil.Process]:
    """Return those that this process started, and that were up once: then they have their title."""
    return [one for one in psutil.Process().children() if "bigtop: stats" in procfs.words(one)]


def test_who_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    stack = Stack(f'[circus]\nendpoint = "ipc://{tmp_path}/ctl"\n{FILE}')

    async def scenario() -> None:
        watching, node = watched(Place("site", f"ipc://{tmp_path}/ctl"))
        async with watching:
            await wait_for(lambda: node.trouble, "the trouble", node)
            assert node.trouble == "nobody answers, or this user may not ask"
            with stack.attempt():
                await wait_for(node.is_complete, "all figures", node)
                assert not node.trouble

    asyncio.run(scenario())


def test_a_key_that_may_only_look_is_enough(tmp_path: Path) -> None:
    keys.generate(tmp_path, "server", "")
    keys.generate(tmp_path, "viewer", "view")
    (tmp_path / "clients").mkdir()
    shutil.copy(tmp_path / "viewer.key", tmp_path / "clients")
    settings = {
        "server_key": str(tmp_path / "server.key_secret"),
        "client_keys": str(tmp_path / "clients"),
        "statsd": "yes",
        "stats_endpoint": "tcp://127.0.0.1:0",
    }
    identity = Identity(tmp_path / "viewer.key_secret", str(tmp_path / "server.key"))
    with Controlled(**settings) as daemon:

        async def scenario() -> None:
            (place,) = places.find([daemon.endpoint], identity, None)
            watching, node = watched(place)
            async with watching:
                await wait_for(node.is_complete, "all figures", node)
                assert node.source == "stats process"
                shown = rows.arranged(rows.tree([node]), View(filter="sleeper"))
                assert [one.row.kind.value for one in shown] == ["node", "watcher", "worker", "worker"]
                assert all(one.row.memory for one in shown)

        asyncio.run(scenario())
