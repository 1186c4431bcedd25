# Archive: its own worker class, and the hooks of gunicorn's example file, pre_exec among them.

import os
import sys
import threading
import traceback

bind = f"127.0.0.1:{os.getenv('ARCHIVE_PORT', 8000)}"
workers = int(os.getenv("ARCHIVE_WORKERS", 1))
worker_class = os.getenv("ARCHIVE_WORKER_CLASS", "workers.PlacedWorker")
timeout = 120
loglevel = "debug"


def pre_fork(server, worker):
    pass


def pre_exec(server):
    server.log.info("archive: another program takes over")


def when_ready(server):
    server.log.info("archive: ready, workers come next")


def worker_int(worker):
    worker.log.info("archive: worker was interrupted")
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        worker.log.debug(f"archive: stack of {names.get(number, '?')}, {'archive' in stack}")


def worker_abort(worker):
    worker.log.info("archive: worker was aborted")
