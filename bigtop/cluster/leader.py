# Leader: the one controller that decides, from the moment it was elected until it cannot write any more.
#
# Rules: what was decided is stored first and said then. All that is said bears the epoch and is signed. One
# thing happens at a time: steps and what people ask for wait for each other.

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bigtop.cluster.hubs import Hubs
from bigtop.cluster.places import Authority
from bigtop.cluster.policy import deployment as stored
from bigtop.cluster.policy import retention
from bigtop.cluster.policy.allowance import Allowance
from bigtop.cluster.policy.deployment import Deployment
from bigtop.cluster.policy.rollout import Machine
from bigtop.cluster.policy.room import is_changing
from bigtop.cluster.registry import Registry, clean
from bigtop.cluster.roster import Roster
from bigtop.cluster.store import LostError, SilentError, Store
from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger
from bigtop.record import Record

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

logger = get_logger("bigtop.cluster")

_BREATH: Final = 0.1  # seconds between two looks, where a thousand nodes say something
_STEP: Final = 1.0  # seconds between two looks, where nobody says anything
_AGAIN: Final = 5.0  # seconds until an assignment is said again


class App(Record, frozen=False):
    """What is known of one application: `revision` is that of its key in the store. `what` and `written`
    have for each revision of the application its description, and the revision of that in the store."""

    machine: Machine
    revision: int
    what: dict[int, dict[str, Any]]
    written: dict[int, int]


class Leader:
    """Of one epoch. `claim` is what it leads by: a name that nobody else has, the revision of that in the
    store, and the time just before it was written."""

    def __init__(
        self, client: Client, store: Store, authority: Authority, hubs: Hubs, claim: tuple[str, int, float]
    ) -> None:
        self._client, self.store, self.authority, self.hubs = client, store, authority, hubs
        self._claimer, self._claim, self._claimed_at = claim
        self.name = self._claimer.partition(" ")[0]
        self.epoch, self._began, self._seal = 0, 0, ""  # `_began`: revision of the epoch in the store
        self.apps: dict[str, App] = {}
        self.roster = Roster(store, authority, hubs, self.check)
        self._said_at: dict[tuple[str, str, int], float] = {}
        self._commands = 0
        self._hellos = Allowance(burst=10, rate=0.2)  # each has all assignments of a node signed
        self._is_warned = False
        self.lost = ""  # what could not be written, and why
        self.lock = asyncio.Lock()
        self._news = asyncio.Event()

    @property
    def registry(self) -> Registry:
        return self.roster.registry

    # ---- from election to loss

    async def begin(self, heard: int) -> None:
        """Know what is stored; have a higher epoch than there was, also than what nodes have `heard` of."""
        found = await self.store.all()
        before, revision = found.get("meta.epoch", (0, 0))
        self.epoch = max(int(before), heard) + 1
        self._began = await self.store.put("meta.epoch", self.epoch, revision)
        about = {"kind": "epoch", "cluster": self.authority.cluster.name, "epoch": self.epoch}
        self._seal = self.authority.signer.signed(about).decode()
        for key, (value, at) in found.items():
            kind, _, name = key.partition(".")
            if kind == "deploy":
                app = self.app(name)
                app.machine, app.revision = Machine(stored.read(value), time.monotonic()), at
            elif kind == "spec":
                name, _, number = name.rpartition(".")
                self.app(name).what[int(number)] = value
                self.app(name).written[int(number)] = at
        self.roster.restore(found)
        logger.info(
            "controller %s leads, epoch %d, %d nodes", self.name, self.epoch, len(self.registry.nodes)
        )

    async def lead(self, hear_people: Callable[[Msg], Awaitable[None]]) -> None:
        """Decide until somebody else does. LostError: that is now."""
        prefix = f"bt.{self.authority.cluster.name}"
        heard: dict[str, Callable[[Msg], Awaitable[None]]] = {
            f"{prefix}.hb.*": self._hear_beat,
            f"{prefix}.bye.*": self._hear_goodbye,
            f"{prefix}.ask.*": self._hear_hello,
            f"{prefix}.join.*": self._hear_joiner,
            f"{prefix}.op": hear_people,
        }
        subscriptions = [await self._client.subscribe(word, cb=call) for word, call in heard.items()]
        self.hubs.hear_of_cut = self._hear_of_cut
        try:
            while True:
                await self._renew()
                async with self.lock:
                    for name in self.apps:
                        await self.step(name)
                    await self.roster.publish()
                await asyncio.sleep(_BREATH)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STEP - _BREATH):
                        await self._news.wait()
                self._news.clear()
        finally:
            self.hubs.hear_of_cut = None
            if self._client.is_connected:
                for one in subscriptions:
                    await one.unsubscribe()
                await self.store.resign(self._claim)

    async def _renew(self) -> None:
        self.check()
        age = time.monotonic() - self._claimed_at
        if self.registry.highest_epoch > self.epoch:
            raise LostError(f"nodes have heard of epoch {self.registry.highest_epoch}")
        if age >= self.authority.cluster.lease / 3:
            at = time.monotonic()
            try:
                self._claim = await self.store.lead(self._claimer, self._claim)
                self._claimed_at, self._is_warned = at, False
            except SilentError as error:  # hubs elect one of them, say: there is time left
                if not self._is_warned:
                    logger.warning("the lease cannot be renewed now: %s", error)
                self._is_warned = True
                self.check()
                await asyncio.sleep(_BREATH)

    def check(self) -> None:
        """LostError: somebody else may lead by now, or what is known here is not what is stored."""
        age = time.monotonic() - self._claimed_at
        if age >= self.authority.cluster.lease - _STEP or self.lost:
            raise LostError(self.lost or f"nothing could be written for {age:.0f} s")

    def is_over(self) -> bool:
        try:
            self.check()
        except LostError:
            return True
        return False

    def app(self, name: str) -> App:
        if name not in self.apps:
            self.apps[name] = App(Machine(Deployment(name), time.monotonic()), 0, {}, {})
        return self.apps[name]

    # ---- decisions

    async def step(self, name: str) -> None:
        """Decide what is next for an application, store that, and say it. Who calls holds the lock."""
        app, now = self.apps[name], time.monotonic()
        members = self.registry.members(name, now)
        app.machine.hear_of(self.registry.number(name))
        if app.machine.step(members, now):
            await self.keep(name)
        await self._prune(name)
        self.check()
        assigned = app.machine.deployment.assigned
        for node, one in members.items():
            if node in assigned and one.liveness.value == "alive" and is_changing(one, assigned[node]):
                key = (name, node, assigned[node].number)
                if now - self._said_at.get(key, -_AGAIN) >= _AGAIN:
                    self._said_at[key] = now
                    await self._client.publish(self._subject("cmd", node), self._assignment(name, node))
        if len(self._said_at) > 4 * len(members) + 100:
            self._said_at = {key: at for key, at in self._said_at.items() if now - at < _AGAIN}

    async def keep(self, name: str) -> None:
        """Store what was decided."""
        app = self.apps[name]
        self.check()
        value = stored.plain(app.machine.deployment)
        app.revision = await self.store.put(f"deploy.{name}", value, app.revision)

    async def describe(self, name: str, number: int, what: dict[str, Any]) -> None:
        """Store what a revision is, which was not there before."""
        app = self.app(name)
        app.written[number] = await self.store.put(f"spec.{name}.{number}", what, 0)
        app.what[number] = what

    async def _prune(self, name: str) -> None:
        """Remove descriptions that nobody needs. LostError: somebody else may need them, and decides now."""
        app = self.apps[name]
        if not (old := retention.outdated(app.machine.deployment, app.what)):
            return
        self.check()
        # Whoever began a later epoch has written this: who slept since it looked removes nothing.
        self._began = await self.store.put("meta.epoch", self.epoch, self._began)
        for number in old:
            await self.store.erase(f"spec.{name}.{number}", app.written[number])
            del app.what[number], app.written[number]

    def _assignment(self, name: str, node: str) -> bytes:
        app = self.apps[name]
        one, rollout = app.machine.deployment.assigned[node], app.machine.deployment.rollout
        is_first = rollout is not None and rollout.new == one.revision and rollout.waves[0][0] == node
        said = {
            "kind": "assign",
            "app": name,
            "number": one.number,
            "revision": one.revision,
            "what": app.what.get(one.revision),
            "is_first": is_first,
        }
        return self._signed(node, said)

    def _signed(self, node: str, said: Mapping[str, Any]) -> bytes:
        about = {"cluster": self.authority.cluster.name, "to": node, "epoch": self.epoch, "seal": self._seal}
        return self.authority.signer.signed({**said, **about})

    def _subject(self, word: str, node: str) -> str:
        return f"bt.{self.authority.cluster.name}.{word}.{node}"

    async def command(
        self, node: str, command: str, properties: Mapping[str, Any], timeout: float
    ) -> dict[str, Any]:
        """Have a node carry a command out; return its answer, or why there is none."""
        from nats.errors import Error

        self.check()
        self._commands += 1
        said = {
            "kind": "command",
            "number": self._commands,
            "command": command,
            "properties": dict(properties),
            "timeout": timeout,
        }
        data = self._signed(node, said)
        try:
            reply = await self._client.request(self._subject("cmd", node), data, timeout=timeout)
            answer = json.loads(reply.data)
        except (Error, OSError, TimeoutError, ValueError, RecursionError) as error:
            return {"status": "silent", "reason": str(error) or type(error).__name__}
        if not isinstance(answer, dict):
            return {"status": "silent", "reason": "no sense in it"}
        if answer.get("status") == "ok" and "reply" in answer:
            return {"status": "ok", "reply": answer["reply"]}
        return {"status": "refused", "reason": clean(str(answer.get("reason")))}

    # ---- what is heard

    async def _hear_beat(self, message: Msg) -> None:
        is_news = self.registry.heard(message.subject.rpartition(".")[2], message.data, time.monotonic())
        if is_news and any(not _is_settled(app.machine.deployment) for app in self.apps.values()):
            self._news.set()

    async def _hear_goodbye(self, message: Msg) -> None:
        self.registry.left(message.subject.rpartition(".")[2], time.monotonic())

    def _hear_of_cut(self, key: str, connection: int) -> None:
        self.registry.cut(key, connection, time.monotonic())
        self._news.set()

    async def _hear_hello(self, message: Msg) -> None:
        node = message.subject.rpartition(".")[2]
        if node not in self.registry.nodes or not self._hellos.take(node, time.monotonic()):
            return
        said = [
            self._assignment(name, node).decode()
            for name, app in self.apps.items()
            if node in app.machine.deployment.assigned
        ]
        await message.respond(json.dumps(said).encode())

    async def _hear_joiner(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        try:
            async with self.lock:
                answer = {"jwt": await self.roster.join(token, json.loads(message.data))}
        except BigtopError as error:
            if isinstance(error, LostError):
                self.lost = str(error)
            answer = {"error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            answer = {"error": f"no sense in it: {error!r}"}
        await message.respond(self._signed(token, answer))

    def look_soon(self) -> None:
        self._news.set()


def _is_settled(deployment: Deployment) -> bool:
    return deployment.rollout is None or deployment.rollout.phase.is_over
