# Descriptors that we were started with.
#
# Rule: 0, 1 and 2 are open before anything else is opened, and no other one goes to programs that we start
# unless it is passed on by its number.

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Mapping

_FIRST_OF_SYSTEMD = 3  # SD_LISTEN_FDS_START


def settle() -> None:
    """Do both; for a process that is Bigtop's."""
    open_standard()
    for fd in _open():
        if fd > 2:
            with contextlib.suppress(OSError):  # closed meanwhile: it listed the folder
                os.set_inheritable(fd, False)


def close_others(kept: Collection[int]) -> None:
    """Close all but 0, 1, 2 and `kept`."""
    for fd in _open():
        if fd > 2 and fd not in kept:
            with contextlib.suppress(OSError):  # closed meanwhile: it listed the folder
                os.close(fd)


def open_standard() -> None:
    """Open /dev/null for each of 0, 1 and 2 that is closed.

    Otherwise the next file or socket would get its number, and with it whatever anybody prints.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: fd
    # Python has none for what was closed when it started.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def activated(environ: Mapping[str, str]) -> tuple[int, ...]:
    """Return what systemd, or anything that speaks sd_listen_fds(3), passed on to this process."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return ()
    return tuple(range(_FIRST_OF_SYSTEMD, _FIRST_OF_SYSTEMD + int(count)))


def _open() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except FileNotFoundError:  # no Linux
        return []
