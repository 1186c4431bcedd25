"""Bigtop: an application server for WSGI and ASGI with a process and socket manager underneath.

The names below are the library. What hangs on much is imported when it is first used (PEP 562): every worker
comes through here and needs nothing of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bigtop.errors import AppError, BigtopError, BindError, ConfigError

if TYPE_CHECKING:
    from bigtop.control.client.async_client import AsyncClient
    from bigtop.control.client.client import Client, Event
    from bigtop.embedded import Arbiter, Supervisor, get_arbiter, get_trainer
    from bigtop.library import serve

__all__ = [
    "AppError",
    "Arbiter",
    "AsyncClient",
    "BigtopError",
    "BindError",
    "Client",
    "ConfigError",
    "Event",
    "Supervisor",
    "get_arbiter",
    "get_trainer",
    "serve",
]
__version__ = "0.1.0"

_HOMES = {
    "Arbiter": "bigtop.embedded",
    "AsyncClient": "bigtop.control.client.async_client",
    "Client": "bigtop.control.client.client",
    "Event": "bigtop.control.client.client",
    "Supervisor": "bigtop.embedded",
    "get_arbiter": "bigtop.embedded",
    "get_trainer": "bigtop.embedded",
    "serve": "bigtop.library",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bigtop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
