# Hooks in a worker, called where gunicorn calls them.

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

from bigtop import loader
from bigtop.hooks.calls import Around
from bigtop.hooks.load import LoadedHooks, fitting
from bigtop.hooks.no_hooks import NoHooks
from bigtop.hooks.objects import Counts, Server, of_this_process
from bigtop.hooks.requests import Request, environ_of, response_of
from bigtop.http.access_log.access_format import AccessRecord
from bigtop.log import logger as get_logger

log = get_logger("bigtop.hooks")


class WorkerHooks(NoHooks):
    """The hooks of this worker, which is the `age`th and a child of `supervisor`. Main thread only."""

    def __init__(self, loaded: LoadedHooks, age: int, supervisor: int, counts: Counts) -> None:
        self._loaded = loaded
        self._log = loaded.log
        self._functions = loaded.functions
        self._server = Server(loaded.cfg, loaded.log, supervisor)
        if loaded.logs_accesses:
            self.reopen_logs()  # the fork server, which does not hear of rotations, has opened them
        self._is_interrupted = False
        self._worker = of_this_process(self._server, age, counts)

    def born(self) -> None:
        """post_fork; AppError with its traceback when that fails: the worker cannot boot."""
        if "worker_abort" in self._functions:
            signal.signal(signal.SIGABRT, self._abort)
        with self._booting("post_fork") as hook:
            hook(self._server, self._worker)

    def loaded(self, app: Any, interface: str) -> Any:
        """post_worker_init, which may put another application in place; return what is to be served."""
        self._worker.wsgi = self._worker.app.callable = app
        with self._booting("post_worker_init") as hook:
            hook(self._worker)
        self._worker.booted = True
        before, after = self._functions.get("pre_request"), self._functions.get("post_request")
        if before is None and after is None:
            return self._worker.wsgi
        around = Around(self._worker, before, after and fitting(after, 4))
        return around.asgi(self._worker.wsgi) if interface == "asgi" else around.wsgi(self._worker.wsgi)

    @property
    def accesses(self) -> Callable[[AccessRecord], None] | None:
        return self._access if self._loaded.logs_accesses else None

    def _access(self, access: AccessRecord) -> None:
        environ = environ_of(access)
        try:
            took = timedelta(microseconds=access.duration)
            self._log.access(response_of(access), Request(environ), environ, took)
        except Exception:  # whatever other people's class raises: the answer is given
            log.exception("a request cannot be logged")

    def reopen_logs(self) -> None:
        self._loaded.reopen_logs()

    @property
    def interrupted(self) -> Callable[[], None] | None:
        return self._interrupt if "worker_int" in self._functions else None

    def _interrupt(self) -> None:
        """worker_int, once: it may say which requests are being answered."""
        self._worker.alive = False
        if not (self._is_interrupted or self._worker.aborted):
            self._is_interrupted = True
            self._told("worker_int", self._worker)

    def over(self, *, at_once: bool) -> None:
        """worker_int, if the worker ends at once and has not heard of it, and worker_exit."""
        self._worker.alive = False
        if at_once:
            self._interrupt()
        self._told("worker_exit", self._server, self._worker)

    def _abort(self, _number: int, _frame: FrameType | None) -> None:
        self._worker.aborted = True
        self._told("worker_abort", self._worker)

    def _told(self, name: str, *arguments: object) -> None:
        hook = self._functions.get(name)
        if hook is None:
            return
        try:
            hook(*arguments)
        except (Exception, SystemExit):  # whatever other people's hook raises: the worker ends anyway
            log.exception("hook %s failed", name)

    @contextlib.contextmanager
    def _booting(self, name: str) -> Iterator[Callable[..., Any]]:
        try:
            yield self._functions.get(name, _nothing)
        except (Exception, SystemExit) as error:  # likewise, and the worker cannot boot
            raise loader.failure(f"hook {name} failed", error) from error


def _nothing(*_arguments: object) -> None:
    """What is called where there is no hook."""
