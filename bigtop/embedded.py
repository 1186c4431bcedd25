# A supervisor for a program: Arbiter for those with threads, Supervisor for those with an event loop.
#
# It is a process of its own, below the program's. A supervisor adopts orphans, collects every child that ends
# and takes signals, and would get into the way of whatever else the program does with processes. So the
# program keeps its signals, its threads and its children; what runs is asked for through the control channel,
# on a unix socket in a private folder; and when the program ends, however it ends, everything stops.

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from bigtop.config.file import daemon as config
from bigtop.control.addresses import UnreachableError
from bigtop.control.client.async_client import AsyncClient
from bigtop.control.client.client import Client, Event, Events
from bigtop.errors import BigtopError, BindError, ConfigError
from bigtop.system import descriptors

Options = Mapping[str, Any]


def get_arbiter(
    watchers: Sequence[Options],
    *,
    background: bool = False,
    sockets: Sequence[Options] = (),
    env: Mapping[str, str] | None = None,
    **options: object,
) -> Arbiter:
    """Return an Arbiter for `watchers`, each with a `cmd` and whatever else a [watcher:NAME] section takes.

    A watcher without a `name` is called like its program. `sockets` are as in [socket:NAME], `env` is for all
    watchers, and `options` are those of [circus]. Raises ConfigError for what is wrong in them.
    """
    return Arbiter(_tables(watchers, sockets, env, options), background=background)


def get_trainer(cmd: str, numprocesses: int = 1, **options: object) -> Arbiter:
    """Return an Arbiter in background mode for one watcher, that keeps `numprocesses` of `cmd` alive."""
    return get_arbiter([{"cmd": cmd, "numprocesses": numprocesses, **options}], background=True)


class Arbiter:
    """Keeps processes alive from start() to stop(). From any thread, one call at a time."""

    def __init__(self, tables: Options, *, background: bool) -> None:
        self._background = background
        self._process = _Process(tables)
        self._client: Client | None = None

    def __enter__(self) -> Arbiter:
        self._background = True
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """Where clients send commands."""
        return self._process.endpoint

    def start(self) -> None:
        """Start every watcher. In background mode return when all are ready, else when stop() was called.
        That may be before they are: by another thread, or in a signal handler.

        Raises BigtopError when the supervisor cannot run; a watcher that cannot is told by statuses().
        """
        self._process.start()
        if not self._process.runs():
            return  # stop() was called meanwhile
        try:
            self._client = Client(self.endpoint, timeout=None)
        except UnreachableError:
            if self._process.runs():
                raise
            return  # nor is there anybody to ask any more
        if not self._background:
            try:
                self._process.wait()
            finally:
                self.stop()

    def stop(self) -> None:
        """Stop every watcher, gracefully, and the supervisor; return when all are gone."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._process.stop()

    def call(self, command: str, **properties: object) -> dict[str, Any]:
        """Send a command of the control channel, such as call("incr", name="web", nb=2, waiting=True)."""
        if self._client is None:
            raise BigtopError("the arbiter is not started")
        return self._client.call(command, **properties)

    def statuses(self) -> dict[str, str]:
        """Return name -> "active", "starting", "stopping" or "stopped"."""
        return dict(self.call("status")["statuses"])

    def pids(self, name: str) -> list[int]:
        return list(self.call("list", name=name)["pids"])

    def add_watcher(self, name: str, cmd: str, **options: object) -> None:
        """Add a watcher and start it."""
        self.call("add", name=name, cmd=cmd, options=options, start=True, waiting=True)

    def rm_watcher(self, name: str) -> None:
        """Stop a watcher and forget it."""
        self.call("rm", name=name, waiting=True)

    def events(self, *topics: str, timeout: float | None = None) -> Events:
        """As Client.events()."""
        if self._client is None:
            raise BigtopError("the arbiter is not started")
        return self._client.events(*topics, timeout=timeout)


class Supervisor:
    """The same for programs with an event loop: `async with Supervisor([{"cmd": ...}]) as supervisor`."""

    def __init__(
        self,
        watchers: Sequence[Options],
        *,
        sockets: Sequence[Options] = (),
        env: Mapping[str, str] | None = None,
        **options: object,
    ) -> None:
        """As get_arbiter()."""
        self._process = _Process(_tables(watchers, sockets, env, options))
        self._client: AsyncClient | None = None

    async def __aenter__(self) -> Supervisor:
        # In a thread, since processes are started and waited for by system calls that wait.
        await asyncio.to_thread(self._process.start)
        self._client = AsyncClient(self.endpoint, timeout=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
        await asyncio.to_thread(self._process.stop)

    @property
    def endpoint(self) -> str:
        """Where clients send commands."""
        return self._process.endpoint

    async def call(self, command: str, **properties: object) -> dict[str, Any]:
        """As Arbiter.call(); calls may overlap."""
        if self._client is None:
            raise BigtopError("a Supervisor runs inside of `async with`")
        return await self._client.call(command, **properties)

    async def statuses(self) -> dict[str, str]:
        """As Arbiter.statuses()."""
        return dict((await self.call("status"))["statuses"])

    async def pids(self, name: str) -> list[int]:
        return list((await self.call("list", name=name))["pids"])

    async def add(self, name: str, cmd: str, **options: object) -> None:
        """Add a watcher; return when it is ready."""
        await self.call("add", name=name, cmd=cmd, options=options, start=True, waiting=True)

    async def remove(self, name: str) -> None:
        """Stop a watcher and forget it."""
        await self.call("rm", name=name, waiting=True)

    async def start(self, name: str) -> None:
        await self.call("start", name=name, waiting=True)

    async def stop(self, name: str) -> None:
        await self.call("stop", name=name, waiting=True)

    async def restart(self, name: str) -> None:
        await self.call("restart", name=name, waiting=True)

    async def reload(self, name: str) -> None:
        """Replace the processes of a watcher, one by one."""
        await self.call("reload", name=name, waiting=True)

    async def scale(self, name: str, numprocesses: int) -> None:
        await self.call("set", name=name, options={"numprocesses": numprocesses}, waiting=True)

    async def events(self, *topics: str) -> AsyncIterator[Event]:
        """Iterate over what happens: all of it, or what has a topic that begins with one of `topics`."""
        if self._client is None:
            raise BigtopError("a Supervisor runs inside of `async with`")
        async for event in self._client.events(*topics):
            yield event


# ---- the process


class _Process:
    """The supervisor's process, and the line to it. Its methods may wait."""

    def __init__(self, tables: Options) -> None:
        config.of_tables(_SOURCE, tables)  # what is wrong is told here and now
        self._tables = tables
        self._folder = ""
        self._line: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False  # since the last start() began

    def runs(self) -> bool:  # another thread may change it between two lines, so this is no property
        return self._child is not None

    @property
    def endpoint(self) -> str:
        given = self._tables["circus"].get("endpoint")
        return str(given or f"ipc://{self._folder}/supervisor.ctl")

    def start(self) -> None:
        """Return when everything is started, or was given up; or when stop() was called and all is gone."""
        if self._child is not None:
            raise BigtopError("it is started already")
        self._stopped = False
        try:
            self._folder = tempfile.mkdtemp(prefix="bigtop-")  # mode 0700
        except OSError as error:
            raise ConfigError(f"no folder for the control channel: {error.strerror}; see TMPDIR") from error
        try:
            self._launch()
        except BaseException:  # whatever it is goes on, but leaves nothing behind
            self.stop()
            raise

    def _launch(self) -> None:
        circus = {
            "endpoint": self.endpoint,
            "pubsub_endpoint": f"ipc://{self._folder}/supervisor.events",
            "loglevel": "warning",
            **self._tables["circus"],
        }
        orders = {"source": _SOURCE, "tables": {**self._tables, "circus": circus}, "path": sys.path}
        descriptors.open_standard()  # else one end could become what the supervisor prints to
        ours, theirs = socket.socketpair()
        self._line = ours
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "bigtop.launch.owned", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is the program's, which stops us as it likes
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        answer: dict[str, Any] = {}
        with contextlib.suppress(OSError), ours.makefile("rb") as reader:  # it may end at any moment
            ours.sendall(json.dumps(orders).encode() + b"\n")
            answer = json.loads(reader.readline() or b"{}")
        if self._stopped:
            self.stop()  # the first may have come before there was a process to end
        elif "ready" not in answer:
            kind = _KINDS.get(answer.get("kind", ""), BigtopError)
            raise kind(answer.get("error", "the supervisor ended before it was ready"))

    def wait(self) -> None:
        """Return when the process has ended.

        Not by Popen.wait(): that holds a lock, for which a stop() in a signal handler would wait for ever.
        """
        line = self._line
        if line is not None:
            with contextlib.suppress(OSError):  # a stop() in another thread may have closed it
                line.recv(1)  # nothing comes behind the first answer but the end

    def stop(self) -> None:
        """Hang up, which stops everything, and wait for the end. Of several calls at once one does it all."""
        self._stopped = True
        line, self._line = self._line, None
        child, self._child = self._child, None
        folder, self._folder = self._folder, ""
        if line is not None:
            with contextlib.suppress(OSError):  # it may have ended
                line.shutdown(socket.SHUT_WR)
        if child is not None:
            child.wait()
        if line is not None:
            line.close()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


_SOURCE = "watchers"
_KINDS = {"BindError": BindError, "ConfigError": ConfigError}


def _tables(
    watchers: Sequence[Options],
    sockets: Sequence[Options],
    env: Mapping[str, str] | None,
    options: Mapping[str, object],
) -> dict[str, Any]:
    """Return the tables of a TOML file that would say the same."""
    named: dict[str, dict[str, Any]] = {}
    variables: dict[str, Any] = dict(env or {})
    for given in watchers:
        keys = dict(given)
        name = str(keys.pop("name", "") or _name_of(keys.get("cmd")))
        if name in named:
            raise ConfigError(f"two watchers are called {name!r}: give one of them another name")
        if own := keys.pop("env", None):
            variables[name] = dict(own)
        named[name] = keys
    circus = {"output_prefix": False, **options}  # what a program started writes as it does without us
    if "controller" in circus:  # as Circus' get_arbiter() calls it
        circus["endpoint"] = circus.pop("controller")
    tables: dict[str, Any] = {"circus": circus, "watcher": named, "env": variables}
    if sockets:
        tables["socket"] = {str(given["name"]): _without_name(given) for given in sockets}
    return tables


def _name_of(cmd: object) -> str:
    """Return the name of a command's program, as Circus calls a watcher without a name."""
    if not isinstance(cmd, str) or not cmd.strip():
        raise ConfigError('each watcher needs a cmd, such as {"cmd": "myprogram --flag"}')
    with contextlib.suppress(ValueError):  # an open quote: told when it is looked at as a command
        return os.path.basename(shlex.split(cmd)[0])
    return os.path.basename(cmd.split()[0])


def _without_name(given: Options) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != "name"}
