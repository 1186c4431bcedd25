# Applications of a file that end with the program, and the sockets that only they have.
#
# Rule: a socket is left when the last application that has it begins to end. Those that a command has, too,
# stay open until all is over.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from bigtop.config.file.apps import AppSpec
from bigtop.launch.app import App
from bigtop.launch.run.listening import Listening
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.processes.workers.last_drain import LastDrain
from bigtop.supervisor.runtime import Watchers


class Leaving:
    """Event loop only. `apps` are those that run, by name."""

    def __init__(self, watchers: Watchers, listening: Listening, apps: Mapping[str, App]) -> None:
        self._watchers = watchers
        self._listening = listening
        self._apps = apps
        self._left: set[str] = set()

    def begin(self, specs: Iterable[AppSpec]) -> None:
        """The program ends: so does each application, for good, when its turn has come."""
        every = {spec.name: spec for spec in specs}
        for name, spec in every.items():
            if name in self._apps and (pool := self._apps[name].pool).last_drain is None:
                leave, is_time = partial(self._leave, spec, every), partial(self._is_ending, name)
                pool.last_drain = LastDrain(pool.servers, pool.drain, leave, is_time)

    def _is_ending(self, name: str) -> bool:
        return self._watchers.machine(name).status is Status.STOPPING

    def _leave(self, spec: AppSpec, every: Mapping[str, AppSpec]) -> None:
        self._left.add(spec.name)
        machines = map(self._watchers.machine, self._watchers.names)
        running = {one.spec.name: one.spec for one in machines if one.status is not Status.STOPPED}
        others = [every[name] for name in running.keys() & every.keys() - self._left]
        self._listening.leave(spec, others, running.values())
