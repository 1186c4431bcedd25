# Starts servers that have no command line for several processes, or none at all.
#
#   python -m bench.embed SERVER APP HOST PORT WORKERS
#
# Rule: this is what a user of such a server writes as well: import, listen, fork, run. Nothing is tuned.

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

App = Callable[..., Any]


def bjoern(app: App, host: str, port: int, workers: int) -> None:
    server = import_module("bjoern")
    server.listen(app, host, port)
    fork(workers, server.run)


def fastpysgi(app: App, host: str, port: int, workers: int) -> None:
    server = import_module("fastpysgi").server
    server.init(app, host, port, workers=workers)
    server.run()


def meinheld(app: App, host: str, port: int, workers: int) -> None:
    server = import_module("meinheld").server
    server.listen((host, port))
    fork(workers, lambda: server.run(app))


def fork(workers: int, run: Callable[[], None]) -> None:
    """Run in `workers` children; with one worker in this process, as a single process would be deployed."""
    if workers == 1:
        return run()
    children = []
    for _ in range(workers):
        if (pid := os.fork()) == 0:
            run()
            os._exit(0)
        children.append(pid)

    def pass_on(number: int, _: object) -> None:
        for pid in children:
            os.kill(pid, number)

    signal.signal(signal.SIGTERM, pass_on)
    for pid in children:
        os.waitpid(pid, 0)
    return None


SERVERS = {"bjoern": bjoern, "fastpysgi": fastpysgi, "meinheld": meinheld}

if __name__ == "__main__":
    name, target, host, port, workers = sys.argv[1:]
    module, _, attribute = target.partition(":")
    SERVERS[name](vars(import_module(module))[attribute], host, int(port), int(workers))
