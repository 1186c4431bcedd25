# --daemon: the program in the background, once it is known that it runs.
#
# It is started anew, in a session of its own, and not forked off: nothing of this process goes on in it.
# Until it is ready it writes to our terminal, so whatever is wrong is seen where the command was given, and
# the exit status is its own.

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

import click

from bigtop.sockets import SocketSpec
from bigtop.system import descriptors
from bigtop.system.notify import WAITING


def detach(sockets: Iterable[SocketSpec]) -> None:
    """Return in the process that shall be in the background; in the other one, end when that is ready.

    Of the descriptors that we inherited it gets those that `sockets` name, and systemd's.
    """
    if "BIGTOP_UPGRADE" in os.environ:  # it is there already
        return
    if WAITING in os.environ:
        if os.environ.get("LISTEN_PID") == str(os.getppid()):
            os.environ["LISTEN_PID"] = str(os.getpid())
        return
    inherited = {*descriptors.activated(os.environ), *(one.fd for one in sockets if one.fd is not None)}
    reader, writer = os.pipe()
    child = subprocess.Popen(
        [sys.executable, *_arguments()],
        start_new_session=True,
        pass_fds=(writer, *filter(_is_open, inherited)),  # what is not is told by who wants it
        env={**os.environ, WAITING: str(writer)},
        stdin=subprocess.DEVNULL,
    )
    os.close(writer)
    if os.read(reader, 1):
        click.echo(f"bigtop: runs in the background as process {child.pid}")
        sys.exit(0)
    status = child.wait()  # it ended: its message is on the screen
    sys.exit(status if status > 0 else 128 - status)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _arguments() -> list[str]:
    """Return what this interpreter was called with: options of its own, a script or -m, and all behind."""
    return sys.orig_argv[1:]
