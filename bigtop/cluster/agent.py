# Agent of a node: `python -m bigtop.cluster.agent FOLDER ENDPOINT ROLE`, the process that answers for it.
#
# Rules: it connects outwards only, and believes nothing that the signer of its cluster has not signed. It may
# die, and the hub may be gone for ever: nothing that runs here notices.

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bigtop
from bigtop import log
from bigtop.cluster import keys, link, places
from bigtop.cluster.applier import Applier
from bigtop.cluster.counted import Counted
from bigtop.cluster.keys import ForgedError
from bigtop.cluster.policy.fence import Word
from bigtop.cluster.policy.member import Condition
from bigtop.control.addresses import UnreachableError
from bigtop.control.client.async_client import AsyncClient
from bigtop.errors import BigtopError, ConfigError
from bigtop.log import logger as get_logger
from bigtop.record import as_dict

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

logger = get_logger("bigtop.cluster")

_BEAT: Final = 5.0  # seconds, 20 % more or less
_LONGEST: Final = 30.0  # seconds until who was not let in tries again
_HELLO: Final = 300.0
_TO_ANSWER: Final = 600.0  # seconds that a command may take


class Agent:
    """Of the node in `folder`. `role` is the most that commands from the cluster may do here."""

    def __init__(self, folder: Path, endpoint: str, role: str) -> None:
        self._folder, self._membership = folder, places.read_membership(folder)
        self._endpoint, self._role = endpoint, role
        self.name = self._membership.identity.name
        self._news = asyncio.Event()
        self._counted = Counted(endpoint)
        self._applier = Applier(folder, self.name, endpoint, self._changed)
        self._standing: dict[str, Condition] = {}
        self._boot, self._sequence = os.urandom(8).hex(), 0
        self._replies: dict[tuple[int, int], dict[str, Any]] = {}

    async def run(self, over: asyncio.Event) -> None:
        """Answer until it is `over`."""
        self._applier.begin()
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(one) for one in (self._counted.follow(), self._live())
        ]
        ending = asyncio.create_task(over.wait())
        try:
            await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            ending.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, ending, return_exceptions=True)
            await self._applier.close()

    def _subject(self, word: str) -> str:
        return f"bt.{self._membership.cluster.name}.{word}.{self.name}"

    async def _live(self) -> None:
        """Be connected, and go on with that where a hub does not want us: who joined anew is let in."""
        pause, told = 1.0, ""
        while True:
            try:
                await self._connect_and_beat()
                pause, why = 1.0, "the hub closed the connection"
            except UnreachableError as error:
                pause, why = min(2 * pause, _LONGEST), str(error)
            if why != told:  # once for each trouble, not for each try
                logger.warning("node %s: %s", self.name, why)
            told = why
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            found = places.read_membership(self._folder)
            if (found.cluster.name, found.identity.name) != (self._membership.cluster.name, self.name):
                raise ConfigError(f"{self._folder}: this is another node now")
            self._membership = found

    async def _connect_and_beat(self) -> None:
        client = await link.connected(self._membership.cluster, self._membership.identity, patient=True)
        try:
            await client.subscribe(self._subject("cmd"), cb=self._hear)
            logger.info("node %s: joined cluster %s", self.name, self._membership.cluster.name)
            hello = asyncio.create_task(self._say_hello(client))
            try:
                await self._beat(client)
            finally:
                hello.cancel()
        finally:
            if client.is_connected:
                await client.publish(self._subject("bye"), b"")
                with suppress(Exception):  # of the hub, which may be gone: so is this process
                    await client.flush(1)
            await client.close()

    # ---- what it says

    def _changed(self) -> None:
        for name, app in self._applier.apps.items():
            if self._standing.get(name) is not app.condition:
                self._standing[name] = app.condition
                self._counted.begin(name)
        self._news.set()

    async def _beat(self, client: Client) -> None:
        while not client.is_closed:
            self._news.clear()
            try:
                found = await self._counted.look()
            except BigtopError:  # it stops, or is upgraded
                found = {}
            if client.is_connected:
                self._sequence += 1
                said = self._said(found, client.client_id)
                await client.publish(self._subject("hb"), json.dumps(said).encode())
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._news.wait()

    def _said(self, found: Mapping[str, Mapping[str, Any]], connection: int) -> dict[str, Any]:
        return {
            "boot": self._boot,
            "sequence": self._sequence,
            "version": bigtop.__version__,
            "epoch": self._applier.seal,
            "connection": connection,
            "apps": {name: self._report(name) for name in {*self._applier.apps, *self._counted.apps()}},
            "watchers": {
                name: [one["status"], one["wanted"], one["ready"]]
                for name, one in found.items()
                if one["kind"] != "helper"
            },
            "loads": {name: as_dict(load) for name, load in self._counted.loads().items()},
        }

    def _report(self, name: str) -> dict[str, Any]:
        """Return how an application does, also one that was never assigned: others are compared with it."""
        app = self._applier.apps.get(name)
        return {
            "number": app.assigned.get("number", 0) if app else 0,
            "revision": app.serving if app else 0,
            "condition": (app.condition if app else Condition.APPLIED).value,
            "why": app.why[:2000] if app else "",
            "figures": as_dict(self._counted.figures(name)),
        }

    async def _say_hello(self, client: Client) -> None:
        """Ask now and then for what was missed."""
        while True:
            await asyncio.sleep(random.uniform(0, 2))  # noqa: S311
            with suppress(Exception):  # nobody leads at the moment, say
                reply = await client.request(self._subject("ask"), b"", timeout=10)
                for one in json.loads(reply.data):
                    self._take(str(one).encode())
            await asyncio.sleep(_HELLO)

    # ---- what it hears

    async def _hear(self, message: Msg) -> None:
        # A command may last: the next one is not to wait for it.
        task = asyncio.create_task(self._answer(message))
        task.add_done_callback(_tell)

    async def _answer(self, message: Msg) -> None:
        try:
            answer = self._take(message.data)
            if answer is None:
                answer = await self._command(self._opened(message.data))
        except BigtopError as error:
            answer = {"status": "refused", "reason": str(error)}
            logger.warning("refused: %s", error)
        except (KeyError, TypeError, ValueError) as error:
            answer = {"status": "refused", "reason": f"no sense in it: {error!r}"}
        if message.reply:
            await message.respond(json.dumps(answer).encode())

    def _opened(self, data: bytes) -> dict[str, Any]:
        cluster = self._membership.cluster
        body = keys.opened(data, {cluster.signer})
        if body.get("to") != self.name or body.get("cluster") != cluster.name:
            raise ForgedError("signed for somebody else")
        return body

    def _take(self, data: bytes) -> dict[str, Any] | None:
        """Take an assignment; None: it is none. BigtopError, KeyError, TypeError, ValueError: it is wrong."""
        body = self._opened(data)
        if body["kind"] != "assign":
            return None
        before = self._applier.fence.epoch
        try:
            word = self._applier.assign(body)
        finally:
            self._heard_of(body, before)
        self._changed()
        return {"status": "ok", "word": word.value}

    def _heard_of(self, body: Mapping[str, Any], before: int) -> None:
        """Keep what proves that an epoch began; who led in the one `before` is to hear of it now."""
        if self._applier.fence.epoch > before:
            self._applier.seal = str(body.get("seal", ""))
            self._applier.save()
            self._news.set()

    async def _command(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["kind"] != "command":
            raise ForgedError("what was signed is neither an assignment nor a command")
        place = int(body["epoch"]), int(body["number"])
        before = self._applier.fence.epoch
        try:
            word = self._applier.fence.command(place[1], place[0])
        finally:
            self._heard_of(body, before)
        if word is Word.REPEATED:
            return self._replies.get(place, {"status": "refused", "reason": "it came before"})
        self._applier.save()
        timeout = min(float(body.get("timeout", _TO_ANSWER)), _TO_ANSWER)
        try:
            async with AsyncClient(self._endpoint, timeout=timeout, role=self._role) as client:
                reply = await client.call(str(body["command"]), **dict(body["properties"]))
            answer = {"status": "ok", "reply": reply}
        except BigtopError as error:
            answer = {"status": "refused", "reason": str(error)}
        self._replies = {place: answer}  # of the last one alone
        return answer


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a word from the cluster: %r", error)


async def _main(folder: Path, endpoint: str, role: str) -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await Agent(folder, endpoint, role).run(over)


def main(words: Sequence[str]) -> int:
    """Run until a signal ends it; return the exit status."""
    folder, endpoint, role = words
    log.configure("info")
    try:
        asyncio.run(_main(Path(folder), endpoint, role))
    except BigtopError as error:
        logger.critical("%s", error)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
