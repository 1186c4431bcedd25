# Errors of an application that are no Exception: SystemExit and its kind.
#
# Rule 1: in a call they cost that one request, as any other error does; the worker goes on.
# Rule 2: a process that the application forked inside a call has the worker's sockets, and its loop on the
# stack, and is no worker. sys.exit() there means the end of that process, as in any program, and so does
# every other error that comes out of the call.

from __future__ import annotations

import os
import sys
from contextlib import suppress

from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")


def contain(error: BaseException) -> None:
    """Raise what somebody else's server takes for a failed request, if `error` would end the server."""
    if not isinstance(error, Exception):
        raise RuntimeError(f"the application raised {error!r}") from error


_worker = 0


def serve_here() -> None:
    """This process is a worker: leave_fork() goes on in no other."""
    global _worker
    _worker = os.getpid()


def leave_fork(error: BaseException) -> None:
    """End this process if it is no worker but was forked from one; `error` is what ended its call."""
    if os.getpid() == _worker:
        return
    status = 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    else:
        log.error("a process that the application forked ends", exc_info=error)
    # No handlers of atexit: they are the worker's. As multiprocessing does it.
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status & 0xFF)
