# Folder in which the workers of one application count for prometheus_client, from the supervisor's side.
#
# It has a name that nobody can guess, and is made by whoever first needs it, as the user of the application
# (workers/app_metrics.py). So each start of Bigtop begins with none, and most applications never have one.
#
# Rule 1: the application may have put anything in its place. Names are looked up in the folder itself, opened
# without following links, and only names of our own making are removed while workers run.
# Rule 2: the name tells whose it is: the supervisor's namespace of process ids, its process id, and when it
# was born. What a supervisor left that was killed is removed by the next one of the same user, which must be
# sure that no such process is there.

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from typing import Final

from bigtop.ipc.scoreboard import View
from bigtop.log import logger as get_logger
from bigtop.supervisor.processes import descendants

logger = get_logger("bigtop")

_MEMORY: Final = "/dev/shm"  # noqa: S108 (the name is a secret, and no file is needed after a restart)
_PREFIX: Final = "bigtop-metrics-"
_NAME: Final = re.compile(rf"{_PREFIX}([0-9]+)-([0-9]+)-([0-9]+)-[0-9a-f]{{16}}", re.ASCII)
_MOST: Final = 10_000  # names in what was left: more than that is something else
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Modes of gauges that count living processes only.
_LIVE: Final = ("liveall", "livemax", "livemin", "livemostrecent", "livesum")


class MetricsFolder:
    """Told of workers by the scoreboard. `path` is "" where no folder can be written to: then each worker
    counts for itself. `users` are those whose folders it may be."""

    def __init__(self, users: Iterable[int], path: str | None = None) -> None:
        if path is not None:  # another supervisor made it, and this one goes on for that
            self.path = path
            return
        parent, own = _parent(), "-".join(map(str, _own()))
        self.path = os.path.join(parent, f"{_PREFIX}{own}-{os.urandom(8).hex()}") if parent else ""
        if parent:
            with contextlib.suppress(OSError):
                _remove_left(parent, set(users))

    def enter(self, index: int, key: int, slot: int) -> None:
        """A worker is to be: nothing is made for it."""

    def add(self, index: int, view: View) -> None:
        """The worker is gone, and its gauges with it; what it counted is for its successor to go on with."""
        self._remove(f"gauge_{mode}_{index + 1}.db" for mode in _LIVE)

    def close(self) -> None:
        """Remove it, if it was ever made."""
        with contextlib.suppress(OSError):
            self._remove(os.listdir(self.path))
            os.rmdir(self.path)

    def _remove(self, names: Iterable[str]) -> None:
        with contextlib.suppress(OSError):
            folder = os.open(self.path, _FOLDER)
            try:
                _unlink(names, folder)
            finally:
                os.close(folder)


def _unlink(names: Iterable[str], folder: int) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)


def _own() -> tuple[int, int, int]:
    """Return this process' namespace of process ids, its id there, and when it was born; 0 for what cannot be
    told, which nobody takes for gone."""
    with contextlib.suppress(OSError):
        known = descendants.stat(os.getpid())
        if known is not None:
            return os.stat("/proc/self/ns/pid").st_ino, os.getpid(), known.born
    return 0, 0, 0


def _remove_left(parent: str, users: set[int]) -> None:
    """Remove the folders of supervisors that are gone."""
    namespace, pid, _ = _own()
    for name in os.listdir(parent):
        whose = _NAME.fullmatch(name)
        if whose is None or not pid or int(whose[1]) != namespace:
            continue
        known = descendants.stat(int(whose[2]))
        if known is not None and known.born == int(whose[3]) and known.state not in "ZX":
            continue
        with contextlib.suppress(OSError):  # somebody else was quicker, or made it something else
            path = os.path.join(parent, name)
            folder = os.open(path, _FOLDER)
            try:
                names = os.listdir(folder)
                if os.fstat(folder).st_uid not in users or len(names) > _MOST:
                    continue
                _unlink(names, folder)
            finally:
                os.close(folder)
            os.rmdir(path)
            logger.info("removed %s, which a supervisor left that was killed", path)


def _parent() -> str:
    """Return "" where there is no place."""
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        return _MEMORY
    from tempfile import gettempdir  # here: with all that hangs on it, which most never need

    try:
        return gettempdir()
    except OSError:
        return ""
