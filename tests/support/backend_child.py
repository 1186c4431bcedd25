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

from bigtop.backends.registry import load
from bigtop.backends.transfer import Transfer
from bigtop.handoff import Handoff
from bigtop.http.routes import Routes
from bigtop.scoreboard import Scoreboard
from tests.support.life import WorkerLife


def main() -> None:
    setup = pickle.loads(base64.b64decode(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    board = Scoreboard(setup["scoreboard"])
    handoff = Handoff(setup["handoff"], board, 0) if setup["handoff"] else None
    transfer = Transfer(setup["passages"], Routes(setup["routes"], 0)) if setup["routes"] else None
    line = socket.socket(fileno=setup["line"])
    life = WorkerLife(line, board.slot(0), setup["access"], handoff=handoff, transfer=transfer)
    listeners = [socket.socket(fileno=fd) for fd in setup["listeners"]]
    backend = load(setup["backend"])(setup["options"])
    backend.prepare()
    module, _, name = setup["app"].partition(":")
    app = getattr(importlib.import_module(module), name)
    backend.serve(listeners, app, life)
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
