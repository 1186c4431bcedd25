"""Bigtop: an application server for WSGI and ASGI with a process and socket manager underneath.

The names below are the library. serve() is imported when it is first used (PEP 562): every worker comes
through here and needs nothing of what hangs on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bigtop.errors import AppError, BigtopError, BindError, ConfigError

if TYPE_CHECKING:
    from bigtop.library import serve

__all__ = ["AppError", "BigtopError", "BindError", "ConfigError", "serve"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "serve":
        from bigtop.library import serve

        return serve
    raise AttributeError(f"module 'bigtop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "serve"]
