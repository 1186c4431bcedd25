# Upgrade in place: the supervisor becomes its new version by exec, and everything that it started goes on.
#
# Rules: what is on the disk is asked first, in a process of its own, whether it can read what it would get
# (the probe); only then anything happens. From the last look at everything until the exec nothing runs in
# between, so what was written down is how it is. Signals wait in the kernel meanwhile. All of this is
# imported at the start: what stands in the installation now may be the new version already.

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol

import bigtop
from bigtop.errors import CommandError, one_line
from bigtop.ipc import snapshot
from bigtop.launch import program
from bigtop.launch.upgrading import trampoline
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.processes import killing
from bigtop.supervisor.processes.child import Process, spawn
from bigtop.supervisor.streams.reader import LineReader, hold_back
from bigtop.system.files import workdir

logger = get_logger("bigtop.supervisor")

VARIABLE: Final = "BIGTOP_UPGRADE"  # says that this process is a probe, or takes over
LIMIT: Final = 30  # seconds for the probe, and once more for the new version until it has taken over
_PATIENCE: Final = 30.0  # seconds for what is under way, however often something new is
_LOOK: Final = 0.02
_REPLIES: Final = 0.1  # seconds for replies, and lines of outputs, that are on their way to clients
# What was said to this process alone, and is over.
_OVER: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "BIGTOP_DAEMON_FD", VARIABLE)


class Origin(Record):
    """How this program was started, in words that lead to whatever stands there now."""

    command: tuple[str, ...]  # without what is behind it: an interpreter with -m bigtop, or a script
    flags: tuple[str, ...]  # of the interpreter
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    folder: str

    @property
    def is_ours(self) -> bool:
        """Whether it is the program `bigtop`, and not somebody's who uses it as a library."""
        return self.command[-2:] == ("-m", "bigtop") or os.path.basename(self.command[-1]) == "bigtop"


class Place(Record):
    """Where a version of Bigtop is: its interpreter and its paths, with no link in them that may move."""

    python: str
    flags: tuple[str, ...]
    path: tuple[str, ...]
    environ: Mapping[str, str]
    argv: tuple[str, ...]

    def order(self) -> dict[str, Any]:
        return {
            "python": self.python,
            "flags": list(self.flags),
            "path": list(self.path),
            "environ": dict(self.environ),
            "argv": list(self.argv),
        }


class Attempts(Record, frozen=False):
    """How often an upgrade was tried, and what the last one came to; "": the version that runs took over."""

    count: int = 0
    refused: str = ""


def origin() -> Origin:
    """Return how this process was started; to be asked before anybody changes its environment."""
    count = len(sys.argv) - 1
    words = sys.orig_argv[: len(sys.orig_argv) - count] or [sys.executable]  # of a program that embeds us
    is_module = words[-2:] == ["-m", "bigtop"]
    flags = words[1:-2] if is_module else words[1:-1]
    command = [sys.executable, *flags, "-m", "bigtop"] if is_module else [words[-1]]
    if not is_module and not os.access(words[-1], os.X_OK):
        command = [sys.executable, *flags, words[-1]]
    environ = {name: value for name, value in os.environ.items() if name not in _OVER}
    return Origin(tuple(command), tuple(flags), tuple(sys.argv[1:]), environ, workdir.current())


def here(started: Origin) -> Place:
    """Return where the version that runs is; to be asked at its start, before a link leads elsewhere."""
    folder, name = os.path.split(sys.executable)
    environ = dict(started.environ)
    if paths := environ.get("PYTHONPATH"):
        environ["PYTHONPATH"] = os.pathsep.join(map(_real, paths.split(os.pathsep)))
    return Place(
        python=os.path.join(os.path.realpath(folder), name),
        flags=started.flags,
        path=tuple(map(_real, sys.path)),
        environ=environ,
        argv=("bigtop", *started.arguments),
    )


def _real(path: str) -> str:
    return os.path.realpath(path) if path else ""


class Holding(Protocol):
    """Where events wait, between hold() and release()."""

    def hold(self) -> None: ...

    def release(self) -> None: ...


class Upgrade:
    """Of one program. Event loop only.

    `hold` returns all that the program holds, or what has to come to its end first, which is waited for at
    most for `patience` seconds; those in `hear` are called after an attempt that was refused. Events wait in
    `channels` from the last moment on.
    """

    def __init__(
        self,
        started: Origin,
        hold: Callable[[], Record | str],
        attempts: Attempts,
        patience: float = _PATIENCE,
    ) -> None:
        self._patience = patience
        self._origin = started
        self._here = here(started)
        self._package = os.path.realpath(os.path.dirname(bigtop.__file__))
        self._hold = hold
        self.hear: set[Callable[[], None]] = set()
        self.channels: set[Holding] = set()
        self.attempts = attempts
        self._task: asyncio.Task[None] | None = None

    @property
    def started(self) -> Origin:
        return self._origin

    def event(self) -> tuple[str, Mapping[str, object]]:
        """Return the event of the last attempt, and its facts."""
        facts: dict[str, object] = {"attempt": self.attempts.count, "version": bigtop.__version__}
        if reason := self.attempts.refused:
            return "upgrade_refused", facts | {"reason": reason}
        return "upgraded", facts

    def begin(self, limit: int = LIMIT) -> asyncio.Future[Mapping[str, object]]:
        """Try it; return what is done, with the number of this attempt and the new version, just before it
        happens. CommandError, at once or then: it cannot be."""
        if not self._origin.is_ours:
            raise CommandError("only what `bigtop serve` or `bigtop run` started can be upgraded in place")
        if self._task is not None and not self._task.done():
            raise CommandError("an upgrade is under way")
        asked: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        asked.add_done_callback(_heard)
        self._task = asyncio.create_task(self._try(limit, asked))
        return asked

    async def _try(self, limit: int, asked: asyncio.Future[Mapping[str, object]]) -> None:
        logger.info("upgrade: the new version is asked whether it can take over")
        try:
            to, version = await self._probe(limit)
            if not asked.done():
                asked.set_result({"attempt": self.attempts.count + 1, "version": version})
            await self._go(to, limit)
        except CommandError as error:
            self._refuse(error, asked)
        except Exception as error:  # a fault, or an answer that makes no sense: who asked has to hear of it
            logger.exception("upgrade: this should not have happened")
            self._refuse(CommandError(one_line(f"{type(error).__name__}: {error}")), asked)

    def _refuse(self, error: CommandError, asked: asyncio.Future[Mapping[str, object]]) -> None:
        if not asked.done():
            asked.set_exception(error)
        self.attempts.count += 1
        self.attempts.refused = str(error)
        for line in str(error).split("\n"):
            logger.error("upgrade refused: %s", line)
        for tell in self.hear:
            tell()

    def _until(self) -> float:
        """Return until when there is patience with what is under way."""
        return asyncio.get_running_loop().time() + self._patience

    async def _held(self, until: float) -> Record:
        """Wait until nothing is under way, and return how it is then."""
        while isinstance(held := self._hold(), str):
            self._insist(held, until)
            await asyncio.sleep(_LOOK)
        return held

    def _insist(self, held: str, until: float) -> None:
        if asyncio.get_running_loop().time() > until:
            raise CommandError(f"{held}, for {self._patience:g} seconds already")

    async def _probe(self, limit: int) -> tuple[Place, str]:
        """Ask what is on the disk whether it can take over; return where it is, and its version."""
        fd, fds = self._written(await self._held(self._until()), self._here, limit)
        answer = os.memfd_create("bigtop-answer", os.MFD_CLOEXEC)
        said: list[bytes] = []
        try:
            status = await self._run_probe(fd, answer, said, limit)
            told = os.pread(answer, 1 << 20, 0)
        finally:
            os.close(fd)
            os.close(answer)
        if not told:
            words = b"".join(said).decode("utf-8", "replace").strip().split("\n")
            raise CommandError(
                f"the new version cannot take over: {_last(words) or f'it ended with {status}'}"
            )
        found = json.loads(told)
        if found["package"] == self._package and found["version"] != bigtop.__version__:
            logger.warning(
                "upgrade: version %s was installed over %s, so if it fails there is nothing to go back to",
                found["version"],
                bigtop.__version__,
            )
        logger.info("upgrade: version %s can take over %d descriptors", found["version"], len(fds))
        argv = ("bigtop", *self._origin.arguments)
        environ, flags = self._origin.environ, self._origin.flags
        return Place(found["python"], flags, tuple(found["path"]), environ, argv), found["version"]

    async def _run_probe(self, fd: int, answer: int, said: list[bytes], limit: int) -> object:
        ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        read_end, write_end = os.pipe()
        environ = {**self._origin.environ, VARIABLE: f"probe:{fd}:{answer}"}
        argv = [*self._origin.command, *self._origin.arguments]
        try:
            workdir.enter(self._origin.folder)
            pid = spawn(argv, environ, (fd, answer), stdout=write_end, stderr=write_end)
            reader = LineReader(read_end, said.append)
        except OSError as error:
            os.close(read_end)
            raise CommandError(f"the new version cannot be started: {argv[0]}: {error.strerror}") from error
        finally:
            os.close(write_end)
        try:
            process = Process(pid, ended.set_result)
        except OSError as error:
            killing.unwatched(pid, "the new version", error)
            raise CommandError(f"the new version cannot be watched: {error.strerror}") from error
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(ended)
        except TimeoutError:
            killing.process(process, "the new version", f"it has not answered within {limit} seconds")
            raise CommandError(f"the new version has not answered within {limit} seconds") from None
        finally:
            reader.catch_up()
            reader.close()

    def _written(self, held: Record, to: Place, limit: int) -> tuple[int, set[int]]:
        order = {
            "to": to.order(),
            "back": self._here.order(),
            "folder": self._origin.folder,
            "limit": limit,
            "blocked": [int(number) for number in program.HANDLED],
            "version": bigtop.__version__,
            "attempts": self.attempts.count + 1,
            "origin": snapshot.plain(self._origin),
        }
        try:
            return snapshot.sealed(order, held)
        except OSError as error:
            raise CommandError(f"there is no room for what is to be handed over: {error.strerror}") from error

    async def _go(self, to: Place, limit: int) -> None:
        """Become the new version; returns by a CommandError only."""
        until = self._until()
        while True:
            await self._held(until)
            release = self._hold_back()
            await asyncio.sleep(_REPLIES)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, program.HANDLED)
            try:
                for _ in range(3):  # what came before that is on its way through the event loop
                    await asyncio.sleep(0)
                if not isinstance(held := self._hold(), str):
                    self._execute(held, to, limit)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                release()
            self._insist(held, until)

    def _hold_back(self) -> Callable[[], None]:
        """Have outputs and events wait until what is returned is called."""
        channels, release = [*self.channels], hold_back()
        for channel in channels:
            channel.hold()

        def go_on() -> None:
            release()
            for channel in channels:
                channel.release()

        return go_on

    def _execute(self, held: Record, to: Place, limit: int) -> NoReturn:
        fd, fds = self._written(held, to, limit)
        words = [to.python, *to.flags, "-c", trampoline.SOURCE, str(fd), "over", ""]
        try:
            workdir.enter(self._origin.folder)
            _inherit((fd, *fds), inheritable=True)
            os.execve(to.python, words, dict(to.environ))  # noqa: S606 - no shell
        except OSError as error:
            _inherit((fd, *fds), inheritable=False)
            os.close(fd)
            raise CommandError(f"{to.python}: {error.strerror}") from error


def at_signal(upgrade: Upgrade) -> None:
    logger.info("SIGUSR2: upgrading")
    try:
        upgrade.begin()
    except CommandError as error:
        logger.error("upgrade refused: %s", error)


def _inherit(fds: Sequence[int], *, inheritable: bool) -> None:
    for each in fds:
        os.set_inheritable(each, inheritable)


def _heard(asked: asyncio.Future[Mapping[str, object]]) -> None:
    """Nobody may have waited."""
    if not asked.cancelled():
        asked.exception()


def _last(words: Sequence[str]) -> str:
    return one_line(words[-1]).removeprefix("bigtop: ")
