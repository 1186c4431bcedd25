# The file that holds a daemon's process id.
#
# Rules: a file that names a living process is never taken over; it is written beside its place and moved
# there, so nobody reads half a number; only the process that wrote it removes it.

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from bigtop.errors import ConfigError


@contextlib.contextmanager
def held(path: str | None) -> Iterator[None]:
    """Keep `path` holding our pid while inside; None keeps nothing. ConfigError when it is taken."""
    if path is None:
        yield
        return
    pid = _living(path)
    if pid is not None and pid != os.getpid():
        raise ConfigError(f"--pid {path}: already runs as process {pid}; stop it or choose another file")
    _write(path)
    try:
        yield
    finally:
        if _read(path) == os.getpid():
            with contextlib.suppress(OSError):
                os.unlink(path)


def _write(path: str) -> None:
    draft = f"{path}.{os.getpid()}"
    try:
        with open(draft, "w") as file:
            file.write(f"{os.getpid()}\n")
        os.replace(draft, path)
    except OSError as error:
        raise ConfigError(f"--pid {path}: {error.strerror}") from error


def _read(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _living(path: str) -> int | None:
    pid = _read(path)
    if pid is None or pid <= 0:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # somebody else's process: it lives
        pass
    return pid
