# Metrics of the application across its workers: prometheus_client, set up so that it just works.
#
# It can add up the counts of several processes: each writes files of its own, named after the process, in one
# folder. Named after process ids these never become fewer, for what a dead process counted has to stay. But a
# worker has a number, which nobody else has while it runs and which its successor takes over, with the files.
#
# Rule 1: nothing is imported here, made or set before the application imports prometheus_client; until then
# this is a finder that is asked once for each module.
# Rule 2: who has set PROMETHEUS_MULTIPROC_DIR has made arrangements. Then nothing is done here.
# Rule 3: a process that the application forks itself is another one, and gets another name.
# Rule 4: what the application's own page shows, of the default registry, is the sum. For pages that ask for
# the sum themselves nothing changes.

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from bigtop.log import logger as get_logger

log = get_logger("bigtop.worker")

_VARIABLES: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")  # the second is its old name
_getpid = os.getpid  # applications may put their own in its place


class _Process:
    """Under which name this process counts."""

    def __init__(self) -> None:
        self._name = ""
        self._pid = 0

    def become(self, name: str) -> None:
        self._name, self._pid = name, _getpid()

    def name(self) -> str:
        pid = _getpid()
        return self._name if pid == self._pid else f"{self._name}-{pid}"


_process = _Process()
_finder: _Finder | None = None


def install(folder: str, name: str) -> None:
    """Have prometheus_client count in `folder`, which is made then, as process `name`; "" leaves it alone."""
    global _finder
    if not folder:
        return
    become(name)
    _finder = _Finder(folder)
    sys.meta_path.insert(0, _finder)


def become(name: str) -> None:
    """Count as process `name` from now on."""
    _process.become(name)


def forget_files() -> None:
    """Remove the files of this process, which counts nothing from now on but is forked into those that do.

    It may have begun anew since it made them, and then has not imported anything.
    """
    if _finder is not None:
        with suppress(OSError):
            for file in os.listdir(_finder.folder):
                if file.endswith(f"_{_process.name()}.db"):
                    os.unlink(os.path.join(_finder.folder, file))


class _Finder:
    """Sees prometheus_client being imported, and sets it up."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.is_made = False
        self._collect: Callable[[], Iterator[Any]] = lambda: iter(())
        # Both are small and import next to nothing: no traceback of the application leads through here.
        self._actions = {
            "prometheus_client.values": self._count,
            "prometheus_client.registry": self._add_up,
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        action = self._actions.get(name)
        if action is None or any(os.environ.get(each, self.folder) != self.folder for each in _VARIABLES):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _after(spec.loader, action)
        return spec

    def _count(self, values: ModuleType) -> None:
        """The module that says where counts are kept is there: have them kept in files."""
        try:
            _make(self.folder)
        except OSError as error:
            log.warning("metrics of the application are not added up: %s: %s", self.folder, error.strerror)
            return
        self.is_made = True
        os.environ[_VARIABLES[0]] = self.folder
        vars(values)["ValueClass"] = values.MultiProcessValue(_process.name)

    def _add_up(self, registry: ModuleType) -> None:
        """The module with the default registry is there: have that tell the sum."""
        collect = registry.REGISTRY.collect
        registry.REGISTRY.collect = lambda: self._summed() if self.is_made else collect()
        self._collect = collect

    def _summed(self) -> Iterator[Any]:
        """Yield the sum of all processes, and of what cannot be added up the part of this one."""
        from prometheus_client.multiprocess import MultiProcessCollector  # here: it is the application's

        families = list(MultiProcessCollector(None, self.folder).collect())
        names = {family.name for family in families}
        yield from (family for family in self._collect() if family.name not in names)
        yield from families


def _after(loader: Any, action: Callable[[ModuleType], None]) -> None:
    """Have `action` called with the module that the loader has executed."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        action(module)

    loader.exec_module = exec_module


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:  # a generation before us, or a sibling, has made it
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise
