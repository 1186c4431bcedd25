# The options that concern ASGI applications: rows of the table in options.py, which lists them all.
#
# Their names are uvicorn's, as those of the others are gunicorn's.

from __future__ import annotations

from typing import Final

from bigtop.config import values
from bigtop.config.option import Group, Option
from bigtop.config.values import commas, one
from bigtop.http.limits import WebSocketLimits

_WEBSOCKET: Final = WebSocketLimits()

LIMIT_CONCURRENCY = Option(
    "--limit-concurrency",
    Group.LIMITS,
    one(values.whole(0)),
    "Requests that a worker runs at once, more are answered 503; 0 is any number. ASGI only.",
    "N",
    ("0",),
)

LOOP = Option(
    "--loop",
    Group.ASGI,
    one(values.choice("auto", "asyncio", "uvloop")),
    "The event loop; auto is uvloop where it is installed.",
    "auto|asyncio|uvloop",
    ("auto",),
)
LIFESPAN = Option(
    "--lifespan",
    Group.ASGI,
    one(values.choice("auto", "on", "off")),
    "Tell the application of start and end; auto: if it understands that.",
    "auto|on|off",
    ("auto",),
)
ROOT_PATH = Option(
    "--root-path",
    Group.ASGI,
    one(values.mount_point),
    "The path below which the application is mounted, when a proxy takes it off.",
    "PATH",
    ("",),
)
SLOW_CALLBACK = Option(
    "--slow-callback",
    Group.ASGI,
    one(values.span),
    "Log what keeps the event loop for longer, such as 100ms; costs speed. 0 is never.",
    "TIME",
    ("0",),
)
WS_MAX_SIZE = Option(
    "--ws-max-size",
    Group.ASGI,
    one(values.size(1)),
    "Bytes of one WebSocket message.",
    "SIZE",
    (f"{_WEBSOCKET.message >> 20}M",),
)
WS_MAX_QUEUE = Option(
    "--ws-max-queue",
    Group.ASGI,
    one(values.whole(1)),
    "WebSocket messages that may wait for the application before nothing more is read.",
    "N",
    (str(_WEBSOCKET.queue),),
)
WS_PING_INTERVAL = Option(
    "--ws-ping-interval",
    Group.ASGI,
    one(values.seconds),
    "Ask WebSocket clients for a sign of life so often; 0 is never.",
    "SECONDS",
    (f"{_WEBSOCKET.ping_interval:g}",),
)
WS_PING_TIMEOUT = Option(
    "--ws-ping-timeout",
    Group.ASGI,
    one(values.seconds),
    "Time for that sign of life; 0 is for ever.",
    "SECONDS",
    (f"{_WEBSOCKET.ping_timeout:g}",),
)
WS_PER_MESSAGE_DEFLATE = Option(
    "--ws-per-message-deflate",
    Group.ASGI,
    one(values.switch),
    "Compress WebSocket messages for clients that ask for it.",
    "true|false",
    ("true",),
    bare="true",
)
WS_ORIGINS = Option(
    "--ws-origins",
    Group.ASGI,
    commas(values.origin),
    "Origins such as https://example.com whose pages may open WebSockets; all of them unless given.",
    "LIST",
)
