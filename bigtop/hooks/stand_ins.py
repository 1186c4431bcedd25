# Stand-ins for gunicorn where it is not installed: the names that files of its users import from it.
#
# Rule: only in processes that execute such a file, and only where Python finds no gunicorn itself. Anything
# else of gunicorn is missing there as before.

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from bigtop.errors import AppError, ConfigError
from bigtop.hooks import log
from bigtop.hooks.cfg import Cfg
from bigtop.hooks.objects import Server, Worker
from bigtop.hooks.requests import Request, Response

_VERSION: Final = (27, 0, 0)  # whose names these are


def _top() -> dict[str, Any]:
    version = ".".join(map(str, _VERSION))
    return {
        "__version__": version,
        "version_info": _VERSION,
        "SERVER": "gunicorn",
        "SERVER_SOFTWARE": f"gunicorn/{version}",
    }


def _load_class(uri: Any, default: str = "", section: str = "") -> Any:
    return uri if isinstance(uri, type) else pkgutil.resolve_name(uri)


def _kind(name: str) -> Callable[[], dict[str, Any]]:
    """Give a class of workers, which a file may derive one from before that is refused."""
    return lambda: {name: type(name, (Worker,), {})}


def _nothing() -> dict[str, Any]:
    return {}


MODULES: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "gunicorn": _top,
    "gunicorn.arbiter": lambda: {"Arbiter": Server},
    "gunicorn.config": lambda: {"Config": Cfg},
    "gunicorn.errors": lambda: {"ConfigError": ConfigError, "AppImportError": AppError},
    "gunicorn.glogging": lambda: {
        "CONFIG_DEFAULTS": log.defaults(),
        "Logger": log.Logger,
        "SafeAtoms": log.SafeAtoms,
    },
    "gunicorn.http": lambda: {"Request": Request},
    "gunicorn.http.message": lambda: {"Request": Request},
    "gunicorn.http.wsgi": lambda: {"Response": Response},
    "gunicorn.util": lambda: {"getcwd": os.getcwd, "load_class": _load_class},
    "gunicorn.workers": _nothing,
    "gunicorn.workers.base": lambda: {"Worker": Worker},
    "gunicorn.workers.ggevent": _kind("GeventWorker"),
    "gunicorn.workers.gthread": _kind("ThreadWorker"),
    "gunicorn.workers.sync": _kind("SyncWorker"),
}
_PACKAGES: Final = frozenset(name.rpartition(".")[0] for name in MODULES)


class _Finder:
    """Asked for modules that nobody else has found."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=name in _PACKAGES) if name in MODULES else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Have Python make an empty one."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(MODULES[module.__name__]())


def install() -> None:
    """Have `import gunicorn` succeed in this process from now on."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    found = importlib.util.find_spec("gunicorn")
    # A folder by that name, in which a file of gunicorn's may lie, has no origin.
    if found is None or found.origin is None:
        sys.meta_path.append(_Finder())
