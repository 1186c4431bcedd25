# The process of hooks: calls those that gunicorn calls in its master, one after the other.
#
# Started by launch/serve/master_hooks.py as `python -P -m bigtop.workers.hook_process CONTROL ORDERS`. It
# becomes the user of the site, and no code of others runs in the supervisor. It ends when its line does.
#
# A line of the supervisor's is a call, {"hook": "child_exit", "server": {...}, "worker": {...}, "more": []};
# there is one answer to each, {"error": ""} where all went well. All that a call needs is in it, so that a
# process that died can be replaced.

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from bigtop import log
from bigtop.errors import BigtopError, one_line
from bigtop.hooks import source
from bigtop.hooks.load import LoadedHooks
from bigtop.hooks.objects import BOOTING, Server, Worker
from bigtop.log import logger as get_logger
from bigtop.system import kernel
from bigtop.workers import identity
from bigtop.workers.bootstrap import Bootstrap

logger = get_logger("bigtop.hooks")

# Whoever signals "all of bigtop" means the supervisor.
_NOT_FOR_US = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: list[str]) -> int:
    control = socket.socket(fileno=int(argv[1]))
    control.set_inheritable(False)
    bootstrap = Bootstrap.decode(_take(int(argv[2])))
    kernel.set_title(f"bigtop: hooks [{bootstrap.name}]")
    for number in _NOT_FOR_US:
        signal.signal(number, lambda _number, _frame: None)
    logs = bootstrap.logs
    log.configure(logs.level, json=logs.json, time_zone=logs.time_zone)
    supervisor = os.getppid()
    with suppress(ConnectionError), control, control.makefile("rw", encoding="utf-8") as line:
        try:
            identity.assume(bootstrap.identity)
            for location in bootstrap.hooks.locations:
                source.execute(location)
            loaded = LoadedHooks(bootstrap.hooks)
            signal.signal(signal.SIGUSR1, lambda _number, _frame: loaded.reopen_logs())
            master = Master(loaded, supervisor)
        except BigtopError as error:
            answer(line, str(error))
            return error.exit_status
        for said in line:
            answer(line, master.call(**json.loads(said)))
    return 0


def answer(line: Any, error: str) -> None:
    line.write(json.dumps({"error": error}) + "\n")
    line.flush()


def _take(fd: int) -> bytes:
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


class Master:
    """gunicorn's master, as its hooks see it."""

    def __init__(self, loaded: LoadedHooks, supervisor: int) -> None:
        self._functions = loaded.functions
        self._server = Server(loaded.cfg, loaded.log, supervisor)

    def call(
        self, hook: str, server: dict[str, Any], worker: dict[str, Any] | None, more: list[object]
    ) -> str:
        """Call `hook`; return what went wrong, "" if nothing did."""
        self._server.num_workers = server["num_workers"]
        self._server.worker_age = server["worker_age"]
        self._keep(server["workers"])
        arguments: list[object] = [self._server]
        if worker is not None:
            known = self._server.WORKERS.pop(worker["pid"], None) if hook == "child_exit" else None
            arguments.append(known or self._worker(worker["pid"] or BOOTING, worker["age"]))
        try:
            self._functions[hook](*arguments, *more)
        except (Exception, SystemExit) as error:  # whatever other people's hook raises
            logger.exception("hook %s failed", hook)
            return one_line(f"{type(error).__name__}: {error}")
        return ""

    def _keep(self, workers: list[list[int]]) -> None:
        """Bring WORKERS up to date, with the same object for the same worker."""
        before = self._server.WORKERS
        self._server.WORKERS = {pid: before.get(pid) or self._worker(pid, age) for pid, age in workers}

    def _worker(self, pid: int | str, age: int) -> Worker:
        worker = Worker(self._server, age, pid)
        worker.booted = pid != BOOTING
        return worker


if __name__ == "__main__":
    sys.exit(main(sys.argv))
