# Commands that change what is described, and the ends of it all.

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

from bigtop.control.commands import parameters, watcher_options
from bigtop.control.commands.base import Command, Role, Steering, find
from bigtop.control.commands.process_commands import changes, settled
from bigtop.control.commands.target import Daemon, Supervisor
from bigtop.control.protocol import RefusedError, Reply
from bigtop.errors import CommandError, ConfigError
from bigtop.record import replace
from bigtop.supervisor.policy import spec


def _limit(value: object) -> int:
    if not 1 <= (number := parameters.whole(value)) <= 3600:
        raise ValueError(f"{value!r} is not from 1 to 3600")
    return number


class Add(Steering, kw_only=True):
    """Add a watcher."""

    word = "add"
    role = Role.ADMIN
    name: str = parameters.argument("its name", parameters.text)
    cmd: str = parameters.argument("the command that it runs", parameters.text, kind=parameters.Kind.WORDS)
    args: object = parameters.option("further arguments", lambda value: value, kind=parameters.Kind.WIRE_ONLY)
    start: bool = parameters.flag("start it at once")
    options: dict[str, object] = parameters.option(
        "an option of it, as KEY=VALUE", parameters.mapping, {}, kind=parameters.Kind.SETTINGS
    )

    def apply(self, daemon: Daemon) -> Reply | Awaitable[Reply]:
        supervisor = daemon.supervisor
        if self.name.lower() in (name.lower() for name in supervisor.names):
            raise CommandError(f"there is a watcher {self.name!r} already")
        described = self._describe(daemon)
        supervisor.add(described)
        if not self.start:
            return {}
        supervisor.start(described.name)
        return self._end(supervisor, described.name)

    def _describe(self, daemon: Daemon) -> spec.WatcherSpec:
        values = dict(self.options)
        if self.args is not None:
            values["args"] = self.args
        if parameters.boolean(values.pop("copy_env", False)):
            values["env"] = {**daemon.environ, **parameters.mapping(values.get("env", {}))}
        try:
            bare = spec.WatcherSpec(self.name, spec.Command(self.cmd))
        except ConfigError as error:
            raise RefusedError(str(error)) from None
        return watcher_options.changed(bare, values)

    async def _end(self, supervisor: Supervisor, name: str) -> Reply:
        await settled(supervisor, [name])
        found = changes(supervisor, name, {name: set()})
        return {"started": found["started"], "kept": found["kept"]}


class Remove(Steering, kw_only=True):
    """Stop a watcher and forget it."""

    word = "rm"
    role = Role.ADMIN
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    nostop: bool = parameters.flag("let its processes run on, unwatched")

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        name = find(daemon.supervisor, self.name)
        daemon.supervisor.remove(name, nostop=self.nostop)
        return self._end(daemon.supervisor, name)

    async def _end(self, supervisor: Supervisor, name: str) -> Reply:
        await supervisor.settled(name)
        return {}


class Set(Steering, kw_only=True):
    """Change options of a watcher; processes are replaced only where that is necessary."""

    word = "set"
    role = Role.ADMIN
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    options: dict[str, object] = parameters.argument(
        "options and their values", parameters.mapping, kind=parameters.Kind.PAIRS, completes="key"
    )

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        watcher = supervisor.watcher(name)
        now = replace(watcher.spec, numprocesses=watcher.numprocesses)
        supervisor.update(name, watcher_options.changed(now, self.options))
        return self._end(supervisor, name)

    async def _end(self, supervisor: Supervisor, name: str) -> Reply:
        await settled(supervisor, [name])
        return {}


class ReloadConfig(Steering, kw_only=True):
    """Read the configuration again and do what has changed; a wrong file changes nothing."""

    word = "reloadconfig"
    role = Role.ADMIN
    dry_run: bool = parameters.flag("only show what would be done")

    def replies_at_end(self) -> bool:
        return self.waiting or self.dry_run

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        return self._done(daemon.reload_config(dry_run=self.dry_run))

    async def _done(self, steps: Awaitable[Sequence[str]]) -> Reply:
        return {"steps": list(await steps)}


class Save(Command, kw_only=True):
    """Write what was changed since the start back into the configuration file."""

    word = "save"
    role = Role.ADMIN
    dry_run: bool = parameters.flag("only show what would be written")

    def apply(self, daemon: Daemon) -> Reply:
        return {"diff": daemon.save(dry_run=self.dry_run)}


class Upgrade(Steering, kw_only=True):
    """Become the version of Bigtop that is installed now; every process goes on."""

    word = "upgrade"
    role = Role.ADMIN
    limit: int = parameters.option(
        "how many seconds the new version may take before the old one goes on", _limit, 30
    )

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        return self._done(daemon.upgrade(self.limit))

    async def _done(self, asked: Awaitable[Mapping[str, object]]) -> Reply:
        return dict(await asked)


class Quit(Steering, kw_only=True):
    """Stop everything, the supervisor included."""

    word = "quit"
    role = Role.ADMIN

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        return self._end(daemon.quit())

    async def _end(self, end: Awaitable[None]) -> Reply:
        await end
        return {}


class IPython(Command, kw_only=True):
    """Say that there is no Python shell inside the supervisor, as Circus can open one."""

    word = "ipython"
    role = Role.ADMIN

    def apply(self, daemon: Daemon) -> Reply:
        return {"shell": False, "msg": "the supervisor runs no code that was not in it when it started"}
