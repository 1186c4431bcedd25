# The last seconds of a worker's process: its exit handlers run, whatever else hangs.
#
# Python waits for threads before it calls exit handlers (atexit), and for those of a ThreadPoolExecutor, in
# which frameworks run what is not async, it waits for ever. One of these handlers waits as long for what
# multiprocessing started. So somebody looks at the clock.

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
_LATE: Final = 1.0  # for what should be over
_leaving: Final = allocate_lock()  # held by the thread that calls the exit handlers


def expect(seconds: float, status: int = 0, *, processes: float = EXIT_SECONDS) -> None:
    """End this process with `status` if it does not end by itself within `seconds`, and before that, after
    `processes` seconds, what multiprocessing started and Python waits for. Main thread only; call when
    nothing but to return from main() is left to do."""
    begun: list[bool] = []  # exit handlers run: Python has no more threads to wait for
    atexit.register(begun.append, True)  # the last one that was registered is called first
    start_new_thread(_watch, (seconds, status, begun))
    start_new_thread(_end_processes, (max(_LATE, min(processes, seconds - 2 * _LATE)),))


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


def _end_processes(seconds: float) -> None:
    """Have those of them end that still run then: first by SIGTERM, then by force."""
    sleep(seconds)
    module = sys.modules.get("multiprocessing")
    running = module.active_children() if module is not None else []
    if not running:
        return
    names = ", ".join(f"{one.name} (pid {one.pid})" for one in running)
    log.error("the worker ends without waiting longer for its child processes: %s", names)
    for one in running:
        one.terminate()
    sleep(_LATE)
    for one in running:
        if one.is_alive():
            log.error(
                "%s (pid %d) is killed: still there %g seconds after it was asked to end",
                one.name,
                one.pid,
                _LATE,
            )
            one.kill()


def leave(status: int) -> NoReturn:
    """End this process from any thread, with its exit handlers called once, although another one hangs."""
    if not _leaving.acquire(blocking=False):
        sleep(EXIT_SECONDS)  # the process ends meanwhile
        _flush()
        os._exit(status)
    with suppress(RuntimeError):  # Python 3.12 starts no thread any more when it ends
        start_new_thread(_end_processes, (_LATE,))
    atexit._run_exitfuncs()  # what Python calls from the main thread, which does not get there
    logging.shutdown()
    _flush()
    os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or its reader is gone
            stream.flush()
