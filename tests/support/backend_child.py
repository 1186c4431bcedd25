# The process in which a backend under test runs: `python -m tests.support.backend_child SETUP` where SETUP is
# a pickled, base64-coded dict made by backend_server.py. Descriptors come by inheritance.

from __future__ import annotations

import base64
import importlib
import logging
import os
import pickle
import socket
import sys
from pkgutil import resolve_name

from bigtop.backends.native.app_queues import AppQueues
from bigtop.backends.native.transport.encryption import Encryption
from bigtop.backends.registry import load
from bigtop.http.paths.routes import Routes
from bigtop.ipc import keyring, scoreboard
from bigtop.ipc.handoff import Handoff
from bigtop.ipc.scoreboard import Slot
from bigtop.ipc.seats import Seats
from tests.support.life import WorkerLife


def main() -> None:
    setup = pickle.loads(base64.b64decode(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    seats = Seats(setup["seats"])
    slot = Slot(scoreboard.attach(setup["scoreboard"]), seats.words(0))
    handoff = Handoff(setup["handoff"], seats, 0, slot.words) if setup["handoff"] else None
    routes = Routes(setup["routes"], 0)
    app_queues = AppQueues(setup["app_queues"], routes, setup["listeners"]) if setup["routes"] else None
    line = socket.socket(fileno=setup["line"])
    life = WorkerLife(line, slot, setup["access"], handoff=handoff, app_queues=app_queues)
    listeners = [socket.socket(fileno=fd) for fd in setup["listeners"]]
    name = setup["backend"]
    kind = resolve_name(name) if ":" in name else load(name)
    backend = kind(setup["options"])
    backend.prepare()
    if setup["keyring"] >= 0:
        from bigtop.backends.native.transport.tls_contexts import TlsContexts

        contexts = TlsContexts(keyring.read(setup["keyring"]), setup["options"].tls)
        life.encryption = Encryption(contexts, frozenset(range(len(listeners))))
    module, _, name = setup["app"].partition(":")
    app = getattr(importlib.import_module(module), name)
    backend.serve(listeners, app, life)
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
