# Cards: threads, preloading, a new connection in each worker, and memory handed back after each request.

import ctypes
import os

from witness import note

os.environ["CARDS_PRELOAD"] = "1"

bind = f"127.0.0.1:{os.environ['PORT']}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
threads = int(os.environ.get("WEB_THREADS", 4))
timeout = 120
graceful_timeout = 30
keepalive = 5
preload_app = True
max_requests = 800
max_requests_jitter = 200
accesslog = "-"
errorlog = "-"

_libc = ctypes.CDLL(None) if hasattr(ctypes.CDLL(None), "malloc_trim") else None


def post_request(worker, req, environ, resp):
    if _libc is not None:
        _libc.malloc_trim(0)


def post_fork(server, worker):
    import store

    store.renew()
    note("post_fork", store.pool.owner == worker.pid)
