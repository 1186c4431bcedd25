# Analytics: metrics on a port of their own, a thread that watches each worker, logs in a shape of theirs.

import json
import logging
import os
import threading
import time

from prometheus_client import CollectorRegistry, Gauge, multiprocess, start_http_server
from witness import note

loglevel = "error"
keepalive = 120
timeout = 15
grateful_timeout = 120  # not gunicorn's word, so it means nothing

INTERVAL = float(os.getenv("METRICS_SECONDS", 5))


def when_ready(server):
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_http_server(int(os.environ["METRICS_PORT"]), "127.0.0.1", registry=registry)
    note("listeners", len(server.LISTENERS))


def post_fork(server, worker):
    threading.Thread(target=_watch, args=[worker], daemon=True).start()


def worker_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)


def _watch(worker):
    open_now = Gauge("open_connections", "Connections", multiprocess_mode="livesum")
    most = Gauge("most_connections", "Connections that a worker may have", multiprocess_mode="livemax")
    threads = Gauge("threads", "Threads of a worker", multiprocess_mode="livemax")
    most.set(worker.cfg.worker_connections)
    threads.set(worker.cfg.threads)
    while True:
        open_now.set(worker.nr_conns)
        time.sleep(INTERVAL)


class Lines(logging.Formatter):
    def __init__(self, *, with_level: bool) -> None:
        super().__init__()
        self.with_level = with_level

    def format(self, record):
        said = {"event": record.getMessage(), "logger": record.name}
        return json.dumps({**said, "level": record.levelname.lower()} if self.with_level else said)


logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": True,
    "formatters": {"lines": {"()": Lines, "with_level": True}},
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["errors"],
            "propagate": False,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": False},
    },
    "handlers": {
        "errors": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"},
        "console": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"},
    },
}
