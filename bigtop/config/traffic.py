# The options of `bigtop serve` about many clients, slow clients and slow calls; see options.py for the rules.

from __future__ import annotations

from typing import Final

from bigtop.backends.base import ServeOptions
from bigtop.config import values
from bigtop.config.option import Group, Option
from bigtop.config.values import each, one
from bigtop.http.limits import Limits

_DEFAULTS: Final = ServeOptions()
_LIMITS: Final = Limits()


# ---- workers

MAIN_THREAD = Option(
    "--main-thread",
    Group.WORKERS,
    one(values.switch),
    "Call the application in the main thread only; during a call the worker does nothing else.",
    default=("off",),
)
SWITCH_INTERVAL = Option(
    "--switch-interval",
    Group.WORKERS,
    one(values.duration),
    "Time after which a thread that computes lets another one of its worker run.",
    "SECONDS",
    (f"{_DEFAULTS.switch_interval:g}",),
)
WORKER_CONNECTIONS = Option(
    "--worker-connections",
    Group.WORKERS,
    one(values.whole(1)),
    "Connections that a worker has open at most; the limit of open files counts too.",
    "N",
    (str(_DEFAULTS.worker_connections),),
)

MONKEY = Option(
    "--monkey",
    Group.WORKERS,
    one(values.switch),
    "For gevent: make the standard library cooperative before the application is imported.",
    default=("on",),
)

# ---- times

MIN_HEADER_RATE = Option(
    "--min-header-rate",
    Group.TIMES,
    one(values.size(0)),
    "Bytes of a head per second that a client has to send, after 5 seconds; 0 is no limit.",
    "SIZE",
    (str(_LIMITS.header_rate),),
)
MIN_BODY_RATE = Option(
    "--min-body-rate",
    Group.TIMES,
    one(values.size(0)),
    "Bytes of a body per second that a client has to send, after 5 seconds; 0 is no limit.",
    "SIZE",
    (str(_LIMITS.body_rate),),
)
MIN_SEND_RATE = Option(
    "--min-send-rate",
    Group.TIMES,
    one(values.size(0)),
    "Bytes of a response per second that a client has to take, after 5 seconds; 0 is no limit.",
    "SIZE",
    (str(_LIMITS.send_rate),),
)

# ---- limits

MAX_BUFFERED = Option(
    "--max-buffered",
    Group.LIMITS,
    one(values.size(0)),
    "Bytes of a response in a temporary file for a slow client, before the application has to wait.",
    "SIZE",
    (f"{_LIMITS.send_file >> 20}M",),
)
STREAM_BODIES = Option(
    "--stream-bodies",
    Group.LIMITS,
    each(values.path_pattern),
    "Call the application before the body is here where the path is like PATTERN, as in /upload/*.",
    "PATTERN",
    many=True,
)
LIMIT_ADDRESS_CONNECTIONS = Option(
    "--limit-address-connections",
    Group.LIMITS,
    one(values.whole(0)),
    "Connections of one client address in a worker; 503 beyond it. 0 is no limit.",
    "N",
    (str(_DEFAULTS.address_connections),),
)
LIMIT_ADDRESS_RATE = Option(
    "--limit-address-rate",
    Group.LIMITS,
    one(values.whole(0, 1_000_000)),
    "Requests per second of one client address in a worker; 429 beyond it. 0 is no limit.",
    "N",
    (str(_DEFAULTS.address_rate),),
)
