# Scripted agents: many nodes of a cluster in one process, each with a connection, a key and a fence of its
# own, and no supervisor. What each thinks of a revision is in its script.
#
# Rule: they speak as real agents do, and keep what those keep. What they know of time is how long a beat is.

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

from bigtop.cluster import keys, link
from bigtop.cluster.keys import USER, ForgedError, KeyPair
from bigtop.cluster.places import Authority, Cluster, Identity
from bigtop.cluster.policy.fence import Fence, StaleError, Word

# By revision: what a node, by its name, thinks of it: refuses, errors, slow, respawns; else it is good.
Opinions = dict[int, Callable[[str], str]]

AT_ONCE = 50  # connections that are being made


class Scripted:
    """One node."""

    def __init__(self, cluster: Cluster, identity: Identity, opinions: Opinions, beat: float) -> None:
        self.name, self.identity, self.epochs = identity.name, identity, [0]
        self.revision, self.ever = 0, {0}
        self.since: dict[int, float] = {}  # by revision, when it came last; seconds of the monotonic clock
        self.client: Any = None
        self.refused: list[str] = []
        self._cluster, self._opinions, self._pause = cluster, opinions, beat
        self._fence, self._seal = Fence(), ""
        self._number, self._condition = 0, "applied"
        self._sequence, self._boot = 0, f"{random.getrandbits(64):x}"
        self._beating: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self.client = await link.connected(self._cluster, self.identity, patient=True)
        await self.client.subscribe(self._subject("cmd"), cb=self._hear)
        self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Go without a goodbye."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        if self.client is not None:
            await self.client.close()

    async def tell(self) -> None:
        """Say how it does, now."""
        self._sequence += 1
        likes = self._thinks(self.revision)
        figures = {
            "requests": 200,
            "errors": 60 if likes == "errors" else 1,
            "p99": 0.5 if likes == "slow" else 0.05,
            "respawns": 3 if likes == "respawns" else 0,
        }
        report = {
            "number": self._number,
            "revision": self.revision,
            "condition": self._condition,
            "why": "it will not" if self._condition == "refused" else "",
            "figures": figures,
        }
        said = {
            "boot": self._boot,
            "sequence": self._sequence,
            "version": "scripted",
            "epoch": self._seal,
            "connection": self.client.client_id or 0,
            "apps": {"site": report},
            "watchers": {"site": ["active", 2, 2], "jobs": ["active", 4, 4]},
        }
        if self.client.is_connected:
            await self.client.publish(self._subject("hb"), json.dumps(said).encode())

    def _thinks(self, revision: int) -> str:
        return self._opinions[revision](self.name) if revision in self._opinions else "good"

    async def _beat(self) -> None:
        while True:
            with suppress(Exception):  # of a hub that went away just now
                await self.tell()
            await asyncio.sleep(self._pause * random.uniform(0.8, 1.2))

    def _subject(self, word: str) -> str:
        return f"bt.{self._cluster.name}.{word}.{self.name}"

    async def _hear(self, message: Any) -> None:
        try:
            body = keys.opened(message.data, {self._cluster.signer})
            answer = self._take(body)
        except (ForgedError, StaleError) as error:
            self.refused.append(str(error))
            answer = {"status": "refused", "reason": str(error)}
        if message.reply:
            await message.respond(json.dumps(answer).encode())
        else:
            await self.tell()

    def _take(self, body: Mapping[str, Any]) -> dict[str, Any]:
        epoch, number = int(body["epoch"]), int(body["number"])
        if body["to"] != self.name:
            raise ForgedError("signed for somebody else")
        before = self._fence.epoch
        try:
            if body["kind"] == "command":
                self._fence.command(number, epoch)
                return {"status": "ok", "reply": {"command": body["command"]}}
            word = self._fence.assignment("site", number, epoch)
        finally:
            if self._fence.epoch > before:
                self.epochs.append(self._fence.epoch)
                self._seal = str(body.get("seal", ""))
        if word is Word.NEW:
            self._number, revision = number, int(body["revision"])
            is_well = self._thinks(revision) != "refuses"
            self._condition = "applied" if is_well else "refused"
            if is_well:
                self.revision = revision
                self.ever.add(revision)
                self.since[revision] = time.monotonic()
        return {"status": "ok", "word": word.value}


class Crowd:
    """Scripted agents in a thread of their own, from the with statement on; `names` are already members."""

    def __init__(
        self, authority: Authority, pairs: Mapping[str, KeyPair], opinions: Opinions, beat: float = 5.0
    ) -> None:
        self.agents = {}
        for name, pair in pairs.items():
            identity = Identity(name, pair.seed, authority.node_claims(name, pair.public, 1))
            self.agents[name] = Scripted(authority.cluster, identity, opinions, beat)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        try:
            self.run(self._all(agent.connect() for agent in self.agents.values()))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._all(agent.close() for agent in self.agents.values()))
        finally:
            self.run(self._rest())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 120.0) -> Any:
        """Return what it comes to, in the thread of the agents."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    @staticmethod
    async def _all(several: Iterable[Coroutine[Any, Any, None]]) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(work: Coroutine[Any, Any, None]) -> None:
            async with at_once:
                await work

        await asyncio.gather(*map(one, several))

    @staticmethod
    async def _rest() -> None:
        """End what nats-py goes on with."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def cut(self, names: Iterable[str]) -> None:
        """Break the connections of some, until restore()."""
        self.run(self._all(self.agents[name].close() for name in names))

    def restore(self, names: Iterable[str]) -> None:
        self.run(self._all(self.agents[name].connect() for name in names))


def pairs(count: int) -> dict[str, KeyPair]:
    return {f"n{number:05}": KeyPair.made(USER) for number in range(count)}


def export(found: Mapping[str, KeyPair], tags: int) -> dict[str, Any]:
    """Return what `import` reads so that they are members, each with one of so many tags."""
    nodes = {
        name: {"key": pair.public, "tags": [f"rack{number % tags}"], "cordoned": False, "issued": 1}
        for number, (name, pair) in enumerate(found.items())
    }
    return {"nodes": nodes, "apps": {}, "revoked": {}}
