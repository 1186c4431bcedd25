# Folder in which the workers of one application count for prometheus_client, from the supervisor's side.
#
# It has a name that nobody can guess, and is made by whoever first needs it, as the user of the application
# (workers/app_metrics.py). So each start of Bigtop begins with none, and most applications never have one.
#
# Rule: the application may have put anything in its place. Names are looked up in the folder itself, opened
# without following links, and only names of our own making are removed while workers run.

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from bigtop.ipc.scoreboard import View

_MEMORY: Final = "/dev/shm"  # noqa: S108 (the name is a secret, and no file is needed after a restart)
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Modes of gauges that count living processes only.
_LIVE: Final = ("liveall", "livemax", "livemin", "livemostrecent", "livesum")


class MetricsFolder:
    """Told of workers by the scoreboard. `path` is "" where no folder can be written to: then each worker
    counts for itself."""

    def __init__(self) -> None:
        parent = _parent()
        self.path = os.path.join(parent, f"bigtop-metrics-{os.urandom(8).hex()}") if parent else ""

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
        try:
            folder = os.open(self.path, _FOLDER)
        except OSError:
            return
        try:
            for name in names:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)


def _parent() -> str:
    """Return "" where there is no place."""
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        return _MEMORY
    from tempfile import gettempdir  # here: with all that hangs on it, which most never need

    try:
        return gettempdir()
    except OSError:
        return ""
