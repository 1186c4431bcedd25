# Options of `bigtop serve` that only some backends look at; part of the table in options.py.

from __future__ import annotations

from bigtop.config import values
from bigtop.config.option import Group, Option
from bigtop.config.values import one

WORKER_CONNECTIONS = Option(
    "--worker-connections",
    Group.WORKERS,
    one(values.whole(1)),
    "Connections at once in a worker, for backends that count them: gevent, granian, cheroot, waitress.",
    "N",
    ("1000",),
)
MONKEY = Option(
    "--monkey",
    Group.WORKERS,
    one(values.switch),
    "For gevent: make the standard library cooperative before the application is imported.",
    default=("on",),
)
