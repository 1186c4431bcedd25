# The bench for authors of plugins, by the plugin of the documentation.

from __future__ import annotations

import asyncio

import pytest

from bigtop.control.protocol import RefusedError
from bigtop.plugins import Event, OptionError, Plugin, option
from bigtop.plugins.testing import Bench, Call


class QueueScaler(Plugin):
    role = "operate"
    topics = ("*.reap",)
    watcher: str
    per_worker: int = option(100, help="jobs for one worker", minimum=1)

    jobs = 350

    async def check(self) -> None:
        if self.watcher == "nobody":
            raise OptionError("watcher", "nobody does nothing")

    async def start(self) -> None:
        self.state["starts"] = self.state.get("starts", 0) + 1
        self.every(5, self.look)
        self.every(2, self.count)

    async def look(self) -> None:
        await self.call("scale", name=self.watcher, count=1 + self.jobs // self.per_worker)

    def count(self) -> None:
        self.state["counted"] = self.state.get("counted", 0) + 1

    async def on_event(self, event: Event) -> None:
        reply = await self.call("status", name=event.watcher)
        await self.cast("restart", name=event.watcher, was=reply["status"])

    async def stop(self) -> None:
        self.log.info("gone")
        self.state["stopped"] = True


def test_time_passes_and_events_are_fed() -> None:
    state = {"starts": 3}
    with Bench(QueueScaler, state=state, watcher="web", per_worker=50) as bench:
        assert bench.calls == []
        bench.pass_time(4.9)
        assert (bench.calls, state["counted"]) == ([], 2)
        bench.pass_time(5.1)
        assert bench.calls == [Call("scale", {"name": "web", "count": 8})] * 2
        assert (bench.now, state["counted"]) == (10.0, 5)
        bench.reply("status", status="active")
        bench.calls.clear()
        assert bench.feed("web.reap", process_pid=7)
        assert not bench.feed("web.spawn", process_pid=7)
        assert bench.calls == [
            Call("status", {"name": "web"}),
            Call("restart", {"name": "web", "was": "active"}),
        ]
        assert state["starts"] == 4
    assert state["stopped"] is True


def test_replies_may_depend_on_the_call_and_be_refusals() -> None:
    with Bench(QueueScaler, watcher="web") as bench:
        bench.reply("status", lambda properties: {"status": properties["name"]})
        bench.feed("api.reap")
        assert bench.calls[-1] == Call("restart", {"name": "api", "was": "api"})
        bench.refuse("scale", "needs a key")
        with pytest.raises(RefusedError, match="needs a key"):
            bench.pass_time(5)


class Beside(Plugin):
    async def start(self) -> None:
        self.background(self.work())

    async def work(self) -> None:
        while self.state.setdefault("turns", 0) < 2:
            self.state["turns"] += 1
            await asyncio.sleep(0)
        raise KeyError("enough")

    async def on_event(self, event: Event) -> None:
        await asyncio.sleep(0)


def test_what_runs_beside_has_its_turns_and_its_errors_are_seen() -> None:
    def until_it_fails() -> None:
        with Bench(Beside) as bench:
            for _ in range(9):
                bench.feed("web.reap")

    with pytest.raises(KeyError, match="enough"):
        until_it_fails()


def test_options_are_checked_as_in_a_file() -> None:
    with pytest.raises(OptionError, match="per_worker: must be 1 or more"):
        Bench(QueueScaler, watcher="w", per_worker="0")
    with (
        pytest.raises(OptionError, match="watcher: nobody does nothing"),
        Bench(QueueScaler, watcher="nobody"),
    ):
        pass
