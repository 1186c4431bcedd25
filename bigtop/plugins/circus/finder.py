# Finder of modules by Circus' names, so that plugins written for Circus run where it is not installed.
#
# Rules: it comes last, so an installed Circus is never hidden. A module has one object, by whichever name.

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_HERE: Final = "bigtop.plugins.circus"
# Circus' name -> ours.
MODULES: Final = {
    "circus": f"{_HERE}.package",
    "circus.client": f"{_HERE}.client",
    "circus.consumer": f"{_HERE}.consumer",
    "circus.exc": f"{_HERE}.exceptions",
    "circus.fixed_threading": f"{_HERE}.threads",
    "circus.util": f"{_HERE}.tools",
    "circus.plugins": f"{_HERE}.plugin",
    "circus.plugins.command_reloader": f"{_HERE}.command_reloader",
    "circus.plugins.flapping": f"{_HERE}.flapping",
    "circus.plugins.http_observer": f"{_HERE}.http_observer",
    "circus.plugins.redis_observer": f"{_HERE}.redis_observer",
    "circus.plugins.resource_watcher": f"{_HERE}.resource_watcher",
    "circus.plugins.statsd": f"{_HERE}.statsd",
    "circus.plugins.watchdog": f"{_HERE}.watchdog",
}


def install() -> None:
    """Serve these names in this process, where nobody else does."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES:
            return None
        return ModuleSpec(fullname, _Loader(), is_package=fullname in ("circus", "circus.plugins"))


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(MODULES[spec.name])
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # what imported it took it for one of its own
