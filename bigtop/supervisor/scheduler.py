# Scheduler: whose turn it is to start or to stop.
#
# Rules: a wish that has to wait (for a dependency, for its turn, for a hook) waits here by name and holds up
# nobody else; advance() looks who may go on, and is called whenever something was told. The newest wish wins.
# A hook that is asked and refuses stops its watcher.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bigtop.supervisor.dispatcher import Dispatcher, Hear
from bigtop.supervisor.policy import dependencies, messages
from bigtop.supervisor.policy.messages import Urgency
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import RUNNING, Status
from bigtop.supervisor.runtime import Watchers
from bigtop.supervisor.triggers import Triggers


class Scheduler:
    """Event loop only.

    `sockets` are the listening descriptors by name, as they are now; `hear` is told every notice.
    """

    def __init__(
        self,
        watchers: Watchers,
        dispatcher: Dispatcher,
        hear: Hear,
        sockets: Callable[[], Mapping[str, int]],
    ) -> None:
        self.coming: dict[str, bool] = {}  # have to start, until they do; True: it is their turn
        self.going: dict[str, Urgency] = {}  # have to stop, until they do
        self.warmup = dependencies.Warmup()
        self.triggers = Triggers(dispatcher.feed, self._start_now, sockets, watchers.machines, {}, {})
        self._watchers = watchers
        self._dispatcher = dispatcher
        self._hear = hear
        self._stumbled: set[str] = set()  # died at their start: no courtesy for them
        self._leaving: set[str] = set()  # of those going: it is their turn
        self._advancing = False

    # ---- what is wanted

    def start(self, name: str) -> None:
        """Have a watcher started when its turn comes, or its trigger fires."""
        self._forget_stop(name)
        machine = self._watchers.machine(name)
        if machine.status not in RUNNING and not self._is_armed(machine.spec):
            self.coming.setdefault(name, False)

    def stop(self, name: str, urgency: Urgency) -> None:
        """Have it stopped when its turn comes. NOW does not wait for anybody."""
        awaited = self.coming.pop(name, None)
        self._watchers.runtime(name).restarting = False
        self.triggers.disarm(name)
        status = self._watchers.machine(name).status
        if urgency is Urgency.NOW or status is Status.STOPPING:
            self._dispatcher.feed(name, messages.Stop(urgency))
        elif status is not Status.STOPPED or awaited:
            self.going[name] = urgency

    def forget(self, name: str) -> None:
        """Nothing is wanted of it any more."""
        self.triggers.disarm(name)
        self.coming.pop(name, None)
        self._forget_stop(name)

    def rearm(self, name: str) -> None:
        """Have what starts a watcher look at how it is described now."""
        if self.triggers.armed(name):
            self.triggers.disarm(name)
            if not self._is_armed(self._watchers.machine(name).spec):
                self.coming.setdefault(name, False)

    def _is_armed(self, spec: WatcherSpec) -> bool:
        """Whether a trigger, if it is to have one, waits for the moment to start it."""
        if not self.triggers.applies(spec):
            return False
        try:
            self.triggers.arm(spec)
        except OSError as error:  # no descriptor is free to watch its sockets with
            reason = f"its sockets cannot be watched, so it is started at once: {error.strerror}"
            self._hear(spec.name, messages.Degraded(reason))
            return False
        return True

    def _forget_stop(self, name: str) -> None:
        """It was done, or a start came after it."""
        self.going.pop(name, None)
        self._leaving.discard(name)

    # ---- whose turn it is

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
        specs, machines = self._watchers.specs(), self._watchers.machines()
        active = {n for n, m in machines.items() if m.status is Status.ACTIVE or self.triggers.armed(n)}
        starting = {n for n, m in machines.items() if m.status is Status.STARTING}
        rivals = ({*self.coming} | starting) - self._stumbled
        turn = [
            name
            for name, called in self.coming.items()
            if not called and dependencies.may_start(name, specs, active, rivals)
        ]
        chosen = self.warmup.choose(turn, asyncio.get_running_loop().time())
        for name in chosen:
            self._start_now(name)
        if chosen and self.warmup.delay:
            asyncio.get_running_loop().call_later(self.warmup.delay, self.advance)
        return bool(chosen)

    def _advance_stops(self) -> bool:
        specs = self._watchers.specs()
        stopping = {n for n, m in self._watchers.machines().items() if m.status is Status.STOPPING}
        running = self.going.keys() | stopping
        turn = [
            name
            for name in self.going
            if name not in self._leaving and dependencies.may_stop(name, specs, running)
        ]
        for name in turn:
            self._leaving.add(name)
            if self._watchers.runtime(name).hooks.has("before_stop"):
                self._dispatcher.later(self._tell_and_stop(name))
            else:
                self._dispatcher.feed(name, messages.Stop(self.going[name]))
        return bool(turn)

    def _start_now(self, name: str) -> None:
        runtime = self._watchers.runtime(name)
        self._stumbled.discard(name)
        if runtime.machine.status in RUNNING:
            self.coming.pop(name, None)
            return
        self.coming[name] = True
        if runtime.hooks.has("before_start"):
            self._dispatcher.later(self._ask_and_start(name))
        else:
            self._dispatcher.feed(name, messages.Start())

    async def _ask_and_start(self, name: str) -> None:
        allowed = await self._watchers.runtime(name).hooks.run("before_start")
        if name in self.coming and allowed:
            self._dispatcher.feed(name, messages.Start())
        elif name in self.coming:
            del self.coming[name]
            self._drop_dependants(name)
        self.advance()
        self._dispatcher.stepped()

    async def _tell_and_stop(self, name: str) -> None:
        await self._watchers.runtime(name).hooks.run("before_stop")
        if name in self.going:  # else a start came meanwhile
            self._dispatcher.feed(name, messages.Stop(self.going[name]))

    # ---- what happened

    def follow(self, name: str, notice: messages.Notice) -> None:
        """Take in what was told of a watcher."""
        match notice:
            case messages.Started():
                self.triggers.weigh()
            case messages.Died() | messages.NotSpawned() | messages.Short():
                self._stumbled.add(name)
            case messages.GaveUp():
                self._drop_dependants(name)
            case messages.Stopped():
                self.triggers.stopped(name)

    def _drop_dependants(self, name: str) -> None:
        """Whoever waits for `name` waits in vain."""
        specs = self._watchers.specs()
        for other in list(self.coming):
            if other in self.coming and name in specs[other].depends:
                del self.coming[other]
                self._hear(other, messages.GaveUp(f"it depends on {name}, which cannot start"))

    def drop_done(self) -> None:
        """Forget those that have started or stopped."""
        for name in [n for n in self.coming if self._watchers.machine(n).status in RUNNING]:
            del self.coming[name]
        for name in [n for n in self.going if self._watchers.machine(n).status not in RUNNING]:
            self._forget_stop(name)
