# Desk of the leading controller: what people ask for, and what they are answered.
#
# Rules: who asks signs, with a word that the desk gave out a moment ago and that serves once: what was asked
# yesterday cannot be asked again by who heard it. Answers are signed, too: a hub cannot say that all is well.

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bigtop.cluster import keys, places
from bigtop.cluster.leader import Leader
from bigtop.cluster.policy import deployment as stored
from bigtop.cluster.policy import powers
from bigtop.cluster.policy.deployment import Deployment, Phase
from bigtop.cluster.policy.strategy import strategy, waves
from bigtop.cluster.revision import of_plain
from bigtop.cluster.roster import MOST_TAGS, node_of
from bigtop.cluster.store import LostError
from bigtop.errors import BigtopError, CommandError
from bigtop.record import as_dict

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_SERVES: Final = 60.0  # seconds that a word serves
_AT_ONCE: Final = 200  # nodes that a command is given to
_MOST: Final = 1000  # words that are out at once

Said = Mapping[str, Any]
Answer = dict[str, Any]


class Desk:
    """Of one leader."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader
        self._words: dict[str, float] = {}
        self._handlers: dict[str, Callable[[Said], Awaitable[Answer]]] = {
            "status": self._status,
            "apply": self._apply,
            "steer": self._steer,
            "cordon": self._cordon,
            "tags": self._tags,
            "leave": self._leave,
            "command": self._command,
            "export": self._export,
            "import": self._import,
        }

    async def hear(self, message: Msg) -> None:
        """Answer a message; what takes long does not hold up the next one."""
        task = asyncio.create_task(self._answer(message))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _answer(self, message: Msg) -> None:
        word, answer = "", Answer()
        try:
            if self._leader.is_over():
                answer = {"status": "over"}  # somebody else may lead: who asks does so again
            elif message.data == b"hello":
                answer = {"status": "ok", "word": self._word()}
            else:
                said = keys.opened(message.data, {self._leader.authority.signer.public})
                word = str(said.get("word"))
                if time.monotonic() - self._words.pop(word, -_SERVES) >= _SERVES:
                    raise CommandError("what was asked is too old, or was asked before")
                powers.check(said)
                answer = {"status": "ok", **await self._handlers[said["kind"]](said)}
        except BigtopError as error:
            if isinstance(error, LostError):
                self._leader.lost = str(error)
            answer = {"status": "error", "reason": str(error)}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            answer = {"status": "error", "reason": f"no sense in it: {error!r}"}
        await self._respond(message, {**answer, "to": word})

    async def _respond(self, message: Msg, answer: Answer) -> None:
        from nats.errors import MaxPayloadError

        signer = self._leader.authority.signer
        try:
            await message.respond(signer.signed(answer))
        except MaxPayloadError:
            reason = "the answer is larger than a hub passes on: ask fewer nodes at once"
            await message.respond(signer.signed({"status": "error", "reason": reason, "to": answer["to"]}))

    def _word(self) -> str:
        now = time.monotonic()
        self._words = {word: at for word, at in self._words.items() if now - at < _SERVES}
        if len(self._words) >= _MOST:
            raise CommandError("too many ask at once")
        word = os.urandom(16).hex()
        self._words[word] = now
        return word

    # ---- looking

    async def _status(self, _said: Said) -> Answer:
        leader, now = self._leader, time.monotonic()
        apps = {name: _told(app.machine.deployment, app.what) for name, app in sorted(leader.apps.items())}
        nodes = leader.registry.told(now)
        states = [one["state"] for one in nodes.values()]
        return {
            "cluster": leader.authority.cluster.name,
            "leader": leader.name,
            "epoch": leader.epoch,
            "count": {state: states.count(state) for state in ("alive", "suspect", "lost")},
            "apps": apps,
            "nodes": nodes,
        }

    # ---- rollouts

    async def _apply(self, said: Said) -> Answer:
        leader = self._leader
        revision, how = of_plain(said["revision"]), strategy(said["strategy"])
        if revision.prepare_once and how.canary != 1:
            raise CommandError("prepare_once: one node runs it, so canary must be 1")
        name = revision.app
        async with leader.lock:
            members = leader.registry.members(name, time.monotonic())
            tags = {node: one.tags for node, one in members.items() if one.takes}
            if said["dry_run"]:
                return {"waves": [list(wave) for wave in waves(tags, how.canary)]}
            if name not in leader.apps and not tags:
                raise CommandError(f"{name}: no node is there to take a revision")
            app = leader.app(name)
            plain = as_dict(revision)
            number = app.machine.deployment.stable
            if app.what.get(number) == plain and not _is_under_way(app.machine.deployment):
                return {"app": name, "rollout": None, "revision": number}
            number = max(app.what, default=0) + 1
            app.machine.begin(number, how, members, time.monotonic())
            await leader.describe(name, number, plain)
            await leader.keep(name)
            await self._note(said, name)
            leader.look_soon()
            rollout = app.machine.deployment.rollout
            assert rollout is not None
            return {
                "app": name,
                "rollout": rollout.number,
                "revision": number,
                "waves": [list(wave) for wave in rollout.waves],
            }

    async def _steer(self, said: Said) -> Answer:
        leader, name, now = self._leader, self._named(said.get("app")), time.monotonic()
        async with leader.lock:
            machine = leader.apps[name].machine
            steps: dict[str, Callable[[], None]] = {
                "pause": machine.pause,
                "resume": lambda: machine.resume(now),
                "promote": lambda: machine.promote(now),
                "abort": lambda: machine.abort("aborted"),
                "rollback": lambda: machine.rollback(leader.registry.members(name, now), now),
            }
            steps[said["how"]]()
            await leader.keep(name)
            await self._note(said, name)
            leader.look_soon()
            rollout = machine.deployment.rollout
            assert rollout is not None  # none of the steps is possible without
            is_ending = rollout.phase is Phase.REVERTING
            return {"app": name, "rollout": rollout.number, "is_ending": is_ending}

    def _named(self, name: object) -> str:
        """Return the application that is meant: the only one need not be named."""
        apps = self._leader.apps
        if name is None and len(apps) == 1:
            return next(iter(apps))
        if not isinstance(name, str) or name not in apps:
            raise CommandError(f"which application? there are: {', '.join(sorted(apps)) or 'none'}")
        return name

    # ---- nodes

    async def _cordon(self, said: Said) -> Answer:
        await self._change(said, cordoned=bool(said["cordoned"]))
        return {}

    async def _tags(self, said: Said) -> Answer:
        tags = tuple(map(str, said["tags"]))
        if not all(map(places.NAME.fullmatch, tags)):
            raise CommandError("tags have letters, digits, _ and -")
        if len(tags) > MOST_TAGS:
            raise CommandError(f"a node has {MOST_TAGS} tags at most")
        await self._change(said, tags=tags)
        return {}

    async def _change(self, said: Said, **changes: Any) -> None:
        async with self._leader.lock:
            name = self._node(said)
            await self._leader.roster.change(name, **changes)
            await self._note(said, name)

    async def _leave(self, said: Said) -> Answer:
        async with self._leader.lock:
            name = self._node(said)
            await self._leader.roster.drop(name)
            await self._note(said, name)
        return {}

    def _node(self, said: Said) -> str:
        name = str(said["node"])
        if name not in self._leader.registry.nodes:
            raise CommandError(f"there is no node {name}")
        return name

    async def _command(self, said: Said) -> Answer:
        nodes = self._targets(said)
        await self._note(said, ",".join(nodes)[:500])
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def one(node: str) -> Answer:
            async with at_once:
                timeout = float(said["timeout"])
                return await self._leader.command(node, str(said["command"]), said["properties"], timeout)

        answers = await asyncio.gather(*map(one, nodes))
        return {"answers": dict(zip(nodes, answers, strict=True))}

    def _targets(self, said: Said) -> list[str]:
        known, names, tag = self._leader.registry.nodes, said.get("nodes"), said.get("tag")
        if missing := [name for name in names or () if name not in known]:
            raise CommandError(f"there is no node {', '.join(missing)}")
        found = sorted(
            name
            for name, node in known.items()
            if (names is None or name in names) and tag in (None, *node.tags)
        )
        if not found:
            raise CommandError(f"no node has the tag {tag}" if tag else "there is no node")
        return found

    # ---- the store as a file

    async def _export(self, _said: Said) -> Answer:
        leader = self._leader
        return {
            "nodes": {name: as_dict(node) for name, node in leader.registry.nodes.items()},
            "revoked": dict(leader.roster.revoked),
            "apps": {
                name: {
                    "what": {str(number): one for number, one in app.what.items()},
                    "deployment": stored.plain(app.machine.deployment),
                }
                for name, app in leader.apps.items()
            },
        }

    async def _import(self, said: Said) -> Answer:
        """Put back what is not there. LostError follows by itself if somebody else wrote meanwhile."""
        leader = self._leader
        async with leader.lock:
            for name, one in said["nodes"].items():
                if name not in leader.registry.nodes:
                    await leader.roster.put(name, node_of(one))
            await leader.roster.revoke({str(key): int(at) for key, at in said.get("revoked", {}).items()})
            for name, one in said["apps"].items():
                app = leader.app(name)
                for number, what in one["what"].items():
                    if int(number) not in app.what:
                        of_plain(what)
                        await leader.describe(name, int(number), what)
                if not app.revision:
                    app.machine = type(app.machine)(stored.read(one["deployment"]), time.monotonic())
                    await leader.keep(name)
            await self._note(said, "")
        return {}

    async def _note(self, said: Said, about: str) -> None:
        kept = {key: said[key] for key in ("kind", "how", "command", "who", "role") if key in said}
        await self._leader.store.audit({**kept, "about": about, "epoch": self._leader.epoch})


def _is_under_way(deployment: Deployment) -> bool:
    return deployment.rollout is not None and not deployment.rollout.phase.is_over


def _told(deployment: Deployment, what: Mapping[int, Answer]) -> Answer:
    rollout = stored.plain(deployment)["rollout"]
    return {
        "stable": deployment.stable,
        "previous": deployment.previous,
        "artifact": what[deployment.stable]["artifact"] if deployment.stable in what else None,
        "rollout": rollout,
    }
