# gunicorn's way to be embedded in a program, under gunicorn's names: `import bigtop.gunicorn.app.base` for
# `import gunicorn.app.base`.
#
# The names below are imported when they are first used (PEP 562), as those of bigtop/__init__.py are.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigtop.gunicorn.app.base import Application, BaseApplication
    from bigtop.gunicorn.app.wsgiapp import WSGIApplication

__all__ = ["Application", "BaseApplication", "WSGIApplication"]

_HOMES = {
    "Application": "bigtop.gunicorn.app.base",
    "BaseApplication": "bigtop.gunicorn.app.base",
    "WSGIApplication": "bigtop.gunicorn.app.wsgiapp",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bigtop.gunicorn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
