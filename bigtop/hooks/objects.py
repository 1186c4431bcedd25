# Objects `server` and `worker` of hooks, with the attributes of gunicorn's arbiter and workers.
#
# Rule: they show how things are and change nothing. Who sets `alive`, or the like, is not obeyed.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bigtop.hooks.cfg import Cfg

BOOTING = "[booting]"  # the pid of a worker that is none yet


class Application:
    """What is called app: of a server, and of a worker, whose `callable` is the application itself."""

    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        self.callable: Any = None
        self.app_uri = cfg.wsgi_app

    def wsgi(self) -> Any:
        return self.callable


class Server:
    """The supervisor, as hooks see it; `pid` is its own."""

    def __init__(self, cfg: Cfg, log: Any, pid: int) -> None:
        self.cfg = cfg
        self.log = log
        self.app = Application(cfg)
        self.pid = pid
        self.address = cfg.address
        self.proc_name = cfg.proc_name
        self.timeout = cfg.timeout
        self.num_workers: int = cfg.workers
        self.worker_age = 0
        self.WORKERS: dict[int, Worker] = {}
        self.LISTENERS: list[Any] = []  # those who are given this have no sockets of the supervisor's

    def __str__(self) -> str:
        return f"<Server {self.pid}>"


class Heartbeat:
    """What is called tmp: a file by which gunicorn's workers show that they live."""

    def notify(self) -> None:
        """Nothing to be done."""

    def last_update(self) -> float:
        return time.monotonic()


class Counts(NamedTuple):
    """What a worker counts: requests that it has answered, connections that are open."""

    requests: Callable[[], int] = lambda: 0
    connections: Callable[[], int] = lambda: 0


UNKNOWN = Counts()  # of a worker that is another process


class Worker:
    """A worker, as hooks see it."""

    sockets: Sequence[Any] = ()
    alive = True
    booted = False
    aborted = False
    wsgi: Any = None

    def __init__(self, server: Server, age: int, pid: int | str, counts: Counts = UNKNOWN) -> None:
        self.cfg = server.cfg
        self.log = server.log
        self.app = Application(server.cfg)
        self.age = age
        self.pid = pid
        self.ppid = server.pid
        self.timeout = server.timeout
        self.tmp = Heartbeat()
        self._counts = counts

    @property
    def nr(self) -> int:
        return self._counts.requests()

    @property
    def nr_conns(self) -> int:
        return self._counts.connections()

    def notify(self) -> None:
        self.tmp.notify()

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"


def of_this_process(server: Server, age: int, counts: Counts) -> Worker:
    return Worker(server, age, os.getpid(), counts)
