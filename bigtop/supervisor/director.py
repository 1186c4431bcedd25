# When it is whose turn, and what follows from what was told.
#
# Rules: a wish that has to wait (for a dependency, for its turn, for a hook) waits here by name and holds up
# nobody else; advance() looks who may go on, and is called whenever something was told. Hooks that are told
# of something run beside everything; a hook that refuses stops its watcher.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bigtop.supervisor import messages, ordering
from bigtop.supervisor.machine import RUNNING, Status
from bigtop.supervisor.messages import Urgency
from bigtop.supervisor.spec import WatcherSpec
from bigtop.supervisor.stage import MakeSpawner, Publish, Stage
from bigtop.supervisor.triggers import Triggers


class Director(Stage):
    """A stage on which watchers come and go in their order. Event loop only.

    `sockets` are the listening descriptors by name, as they are now.
    """

    def __init__(
        self,
        publish: Publish,
        make_spawner: MakeSpawner,
        sockets: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        super().__init__(publish, make_spawner)
        self.coming: dict[str, bool] = {}  # have to start, until they do; True: it is their turn
        self.going: dict[str, Urgency] = {}  # have to stop, until they do
        self.removing: dict[str, WatcherSpec | None] = {}  # when they have stopped; what comes in their place
        self.triggers = Triggers(self.feed, self._start_now, sockets, self.machines, {}, {})
        self._stumbled: set[str] = set()  # died at their start: no courtesy for them
        self._leaving: set[str] = set()  # of those going: it is their turn
        self._advancing = False
        self.warmup = ordering.Warmup()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    def specs(self) -> dict[str, WatcherSpec]:
        return {name: entry.machine.spec for name, entry in self.entries.items()}

    def settled(self, name: str) -> asyncio.Future[None]:
        """Return what is done when nothing is under way for `name`: no start, stop, reload, removal."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, done))
        self.stepped()
        return done

    def stepped(self) -> None:
        for name in [n for n in self.coming if self.entries[n].machine.status in RUNNING]:
            del self.coming[name]
        for name in [n for n in self.going if self.entries[n].machine.status not in RUNNING]:
            self.forget_stop(name)
        for name, done in list(self._waiting):
            entry = self.entries.get(name)
            busy = any(name in wishes for wishes in (self.coming, self.going, self.removing))
            if done.done() or entry is None or (entry.settled and not busy):
                self._waiting.remove((name, done))
                if not done.done():
                    done.set_result(None)

    # ---- whose turn it is

    def forget_stop(self, name: str) -> None:
        """It was done, or a start came after it."""
        self.going.pop(name, None)
        self._leaving.discard(name)

    def advance(self) -> None:
        """Let those go on whose turn has come; what follows from that at once is looked at once more."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while (self.coming and self._advance_starts()) or (self.going and self._advance_stops()):
                pass
        finally:
            self._advancing = False

    def _advance_starts(self) -> bool:
        specs, machines = self.specs(), self.machines()
        active = {n for n, m in machines.items() if m.status is Status.ACTIVE or self.triggers.armed(n)}
        starting = {n for n, m in machines.items() if m.status is Status.STARTING}
        rivals = ({*self.coming} | starting) - self._stumbled
        turn = [
            name
            for name, called in self.coming.items()
            if not called and ordering.may_start(name, specs, active, rivals)
        ]
        chosen = self.warmup.choose(turn, asyncio.get_running_loop().time())
        for name in chosen:
            self._start_now(name)
        if chosen and self.warmup.delay:
            asyncio.get_running_loop().call_later(self.warmup.delay, self.advance)
        return bool(chosen)

    def _advance_stops(self) -> bool:
        specs = self.specs()
        stopping = {n for n, m in self.machines().items() if m.status is Status.STOPPING}
        running = self.going.keys() | stopping
        turn = [
            name
            for name in self.going
            if name not in self._leaving and ordering.may_stop(name, specs, running)
        ]
        for name in turn:
            self._leaving.add(name)
            if self.entries[name].hooks.has("before_stop"):
                self.later(self._tell_and_stop(name))
            else:
                self.feed(name, messages.Stop(self.going[name]))
        return bool(turn)

    def want(self, spec: WatcherSpec) -> None:
        """Have a watcher started when its turn comes, or its trigger fires."""
        if self.triggers.applies(spec):
            self.triggers.arm(spec)
        else:
            self.coming.setdefault(spec.name, False)

    def _start_now(self, name: str) -> None:
        self._stumbled.discard(name)
        if self.entries[name].machine.status in RUNNING:
            self.coming.pop(name, None)
            return
        self.coming[name] = True
        if self.entries[name].hooks.has("before_start"):
            self.later(self._ask_and_start(name))
        else:
            self.feed(name, messages.Start())

    async def _ask_and_start(self, name: str) -> None:
        allowed = await self.entries[name].hooks.run("before_start")
        if name in self.coming and allowed:
            self.feed(name, messages.Start())
        elif name in self.coming:
            del self.coming[name]
            self._drop_dependants(name)
        self.advance()
        self.stepped()

    async def _tell_and_stop(self, name: str) -> None:
        await self.entries[name].hooks.run("before_stop")
        if name in self.going:  # else a start came meanwhile
            self.feed(name, messages.Stop(self.going[name]))

    # ---- what follows

    def hear(self, name: str, notice: messages.Notice) -> None:
        super().hear(name, notice)
        if name not in self.entries:
            return
        match notice:
            case messages.Started():
                self.triggers.weigh()
            case messages.Died() | messages.NotSpawned():
                self._stumbled.add(name)
            case messages.GaveUp():
                self._drop_dependants(name)
            case messages.Stopped():
                self.triggers.stopped(name)
        if self.entries[name].hooks.hooks:
            self.entries[name].call_hooks(notice)
        if name in self.removing and isinstance(notice, messages.Stopped):
            self.removed(name)
        self.advance()

    def introduce(self, spec: WatcherSpec) -> None:
        """Take in a watcher, and say so."""
        self.enter(spec)
        self.hear(spec.name, messages.Added())

    def removed(self, name: str) -> None:
        """Forget a watcher, and take in what comes in its place."""
        self.triggers.disarm(name)
        self.coming.pop(name, None)
        self.forget_stop(name)
        successor = self.removing.pop(name, None)
        self.leave(name)
        self.hear(name, messages.Removed())
        if successor is not None:
            self.introduce(successor)
            if successor.lifetime.autostart:
                self.want(successor)

    def _drop_dependants(self, name: str) -> None:
        """Whoever waits for `name` waits in vain."""
        specs = self.specs()
        for other in list(self.coming):
            if other in self.coming and name in specs[other].depends:
                del self.coming[other]
                self.hear(other, messages.GaveUp(f"it depends on {name}, which cannot start"))


def tried_forever(director: Director, name: str) -> list[str]:
    """Return those that `name` waits for (itself, what it depends on) whose start may fail without end."""
    if name not in director.entries or name in director.going or name in director.removing:
        return []
    names = ordering.with_dependencies([name], director.specs()) if name in director.coming else [name]
    machines = {each: director.watcher(each) for each in names}
    return [
        each
        for each, machine in machines.items()
        if machine.status is Status.STARTING and machine.spec.restart.max_retry < 0
    ]
