# Hooks that gunicorn calls in its master, as the supervisor has them called: in a process of the site's user.
#
# Rule: calls are made in the order in which things happened, one after the other, and the supervisor waits
# for none, but for those at the start, at a reload and at the end. A hook that fails ends the site, as it
# ends gunicorn. The process that calls them is replaced when it dies.

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Final

from bigtop.hooks.names import MASTER
from bigtop.hooks.spec import HookSpec
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.policy.processtable import Proc
from bigtop.supervisor.processes import killing
from bigtop.supervisor.processes.child import Process, spawn
from bigtop.supervisor.streams.reader import LineReader

logger = get_logger("bigtop.supervisor")

_TIME_TO_END: Final = 5.0  # seconds for a process that has nothing more to do


class HookError(Exception):
    """A hook raised something, or the process died in it."""


class HookProcessError(HookError):
    """The process cannot be started, ended in the middle of a hook or before it, or is out of its senses."""


class MasterHooks:
    """Event loop only. `bootstrap` are the orders of workers, which the process is given as well; `failed` is
    told why a site cannot go on."""

    def __init__(
        self,
        spec: HookSpec,
        bootstrap: Callable[[], bytes],
        write: Callable[[bytes], None],
        failed: Callable[[str], None],
    ) -> None:
        self.names = MASTER.intersection(spec.names)
        self._bootstrap = bootstrap
        self._write = write
        self._failed = failed
        self._workers: dict[int, int] = {}  # pid -> age
        self._age = 0
        self._count: int | None = None  # workers that are wanted
        self._began = False
        self._host: _Host | None = None
        self._last: asyncio.Task[None] | None = None

    async def starting(self, count: int) -> None:
        """nworkers_changed, on_starting and when_ready. HookError says why the site cannot start."""
        self._count = count
        await self._ask("nworkers_changed", None, count, None)
        await self._ask("on_starting")
        await self._ask("when_ready")
        self._began = True

    async def reloading(self, spec: HookSpec) -> None:
        """on_reload, after all that was told before, by the hooks that there are from now on."""
        await self._settled()
        host, self._host = self._host, None
        self.names = MASTER.intersection(spec.names)
        if host is not None:
            await host.close()
        self._tell("on_reload")
        await self._settled()

    async def ending(self, seconds: float) -> None:
        """on_exit, within so many seconds, and the end of the process."""
        if self._began:
            self._tell("on_exit")
        try:
            async with asyncio.timeout(seconds or None):
                await self._settled()
        except TimeoutError:
            logger.error("hooks take longer than %g s: the site ends without waiting for them", seconds)
        if self._host is not None:
            await self._host.close()

    def hear(self, notice: messages.Notice, count: int) -> None:
        """Take in what happened; `count` workers are wanted."""
        if self._count is not None and count != self._count:
            before, self._count = self._count, count
            self._tell("nworkers_changed", None, count, before)
        match notice:
            case messages.Born(key, _, pid):
                self._age = max(self._age, key)
                self._tell("pre_fork", (0, key))
                self._workers[pid] = key
            case messages.Reaped(key, _, pid):
                self._workers.pop(pid, None)
                self._tell("child_exit", (pid, key))

    @property
    def is_calling(self) -> bool:
        return self._last is not None and not self._last.done()

    def resume(self, count: int, workers: Iterable[Proc]) -> None:
        """Go on for another supervisor that has started `workers`, of which `count` are wanted."""
        self._began, self._count = True, count
        self._workers = {proc.pid: proc.key for proc in workers if proc.pid is not None}
        self._age = max(self._workers.values(), default=0)

    def reopen_logs(self) -> None:
        """Files were rotated: hooks log where the file of hooks says."""
        if self._host is not None:
            self._host.signal(signal.SIGUSR1)

    # ---- one call after the other

    def _tell(self, hook: str, worker: tuple[int, int] | None = None, *more: object) -> None:
        if hook not in self.names:
            return
        before, call = self._last, self._call(hook, worker, more)

        async def run() -> None:
            if before is not None:
                await before
            try:
                await self._host_of_now().ask(call)
            except HookProcessError as error:
                logger.error("hook %s: %s", hook, error)
            except HookError as error:
                self._failed(f"hook {hook} failed: {error}")

        self._last = asyncio.create_task(run())

    async def _ask(self, hook: str, worker: tuple[int, int] | None = None, *more: object) -> None:
        if hook in self.names:
            try:
                await self._host_of_now().ask(self._call(hook, worker, more))
            except HookError as error:
                raise type(error)(f"hook {hook} failed: {error}") from error

    async def _settled(self) -> None:
        if self._last is not None:
            await self._last

    def _call(self, hook: str, worker: tuple[int, int] | None, more: Sequence[object]) -> dict[str, object]:
        server = {
            "num_workers": self._count,
            "worker_age": self._age,
            "workers": list(self._workers.items()),
        }
        described = None if worker is None else {"pid": worker[0], "age": worker[1]}
        return {"hook": hook, "server": server, "worker": described, "more": list(more)}

    def _host_of_now(self) -> _Host:
        if self._host is None or self._host.is_over:
            if self._host is not None:
                logger.error("the process of hooks is started anew")
            self._host = _Host(self._bootstrap(), self._write)
        return self._host


class _Host:
    """One process of hooks, which runs code of other people: whatever it says is no fault of ours.

    HookProcessError when it cannot be started.
    """

    def __init__(self, bootstrap: bytes, write: Callable[[bytes], None]) -> None:
        self.is_over = False
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        try:
            with ExitStack() as stack:
                self._start(bootstrap, write, stack)
        except OSError as error:
            raise HookProcessError(f"cannot be called: {error.strerror}") from error
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def _start(self, bootstrap: bytes, write: Callable[[bytes], None], failed: ExitStack) -> None:
        """Close with `failed` what is of no use if anything goes wrong."""
        with ExitStack() as passed:
            ours, theirs = socket.socketpair()
            failed.callback(ours.close)
            passed.callback(theirs.close)
            read_end, write_end = os.pipe()
            failed.callback(os.close, read_end)
            passed.callback(os.close, write_end)
            orders = os.memfd_create("bigtop-bootstrap")
            passed.callback(os.close, orders)
            os.write(orders, bootstrap)
            argv = [sys.executable, "-P", "-m", "bigtop.workers.hook_process"]
            argv += [str(theirs.fileno()), str(orders)]
            pid = spawn(argv, os.environ, (theirs.fileno(), orders), stderr=write_end)
        failed.pop_all()
        self._process = Process(pid, self._on_exit)
        self._stderr = LineReader(read_end, write)
        self._socket = ours

    def _on_exit(self, status: ExitStatus) -> None:
        self.is_over = True
        self._stderr.catch_up()
        self._stderr.close()
        if not self._ended.done():
            self._ended.set_result(status)

    async def ask(self, call: dict[str, object]) -> None:
        """Have a hook called, and wait until it has returned. HookError says what went wrong."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(sock=self._socket)
            reader, writer = self._streams
            writer.write(json.dumps(call).encode() + b"\n")
            answer = await reader.readline()
        except (OSError, ValueError):  # it is gone, or its line is too long
            answer = b""
        error = _error(answer)
        if error is None:
            await self.close("it gave no answer")
            raise HookProcessError(f"the process of hooks ended with {self._ended.result()}")
        if error:
            raise HookError(error)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def close(self, reason: str = "it has nothing more to do") -> None:
        """Have the process end, as it does when its line does, and wait for that."""
        self.is_over = True
        if self._streams is not None:
            self._streams[1].close()
        self._socket.close()
        try:
            async with asyncio.timeout(_TIME_TO_END):
                await asyncio.shield(self._ended)
        except TimeoutError:
            reason = f"{reason}, and has not ended within {_TIME_TO_END:g} s"
            killing.process(self._process, "process of hooks", reason)
            await self._ended


def _error(answer: bytes) -> str | None:
    """Return what went wrong in a hook, "" if nothing did, None for what is no answer."""
    try:
        error = json.loads(answer)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return error if isinstance(error, str) else None
