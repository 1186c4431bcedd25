# The last seconds of a worker's process: its exit handlers run, whatever else hangs.
#
# Python waits for threads before it calls exit handlers (atexit), and for those of a ThreadPoolExecutor, in
# which frameworks run what is not async, it waits for ever. So somebody looks at the clock.

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from _thread import allocate_lock, start_new_thread  # by name, as sleep: gevent puts its own in their modules
from contextlib import suppress
from time import sleep
from typing import Final, NoReturn

from bigtop.log import logger as get_logger

log = get_logger("bigtop.worker")

EXIT_SECONDS: Final = 10.0  # for threads that are finishing something, and for exit handlers
_leaving: Final = allocate_lock()  # held by the thread that calls the exit handlers


def expect(seconds: float, status: int = 0) -> None:
    """End this process with `status` if it does not end by itself within `seconds`. Main thread only; call
    when nothing but to return from main() is left to do."""
    begun: list[bool] = []  # exit handlers run: Python has no more threads to wait for
    atexit.register(begun.append, True)  # the last one that was registered is called first
    start_new_thread(_watch, (seconds, status, begun))


def _watch(seconds: float, status: int, begun: list[bool]) -> None:
    sleep(seconds)  # the process ends meanwhile, and this thread with it
    if begun:
        log.error("the worker ends in the middle of its exit handlers: they take more than %g s", seconds)
        _flush()
        os._exit(status)
    main = threading.main_thread()
    hanging = [one.name for one in threading.enumerate() if not one.daemon and one is not main]
    log.error("the worker ends without waiting longer for its threads: %s", ", ".join(hanging) or "none")
    leave(status)


def leave(status: int) -> NoReturn:
    """End this process from any thread, with its exit handlers called once, although another one hangs."""
    if not _leaving.acquire(blocking=False):
        sleep(EXIT_SECONDS)  # the process ends meanwhile
        _flush()
        os._exit(status)
    atexit._run_exitfuncs()  # what Python calls from the main thread, which does not get there
    logging.shutdown()
    _flush()
    os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or its reader is gone
            stream.flush()
