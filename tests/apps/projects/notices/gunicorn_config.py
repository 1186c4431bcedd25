# Notices: greenlets, defaults out of a library, and hooks that are there when the environment asks for them.

import os

from defaults import settle
from witness import note

settle(globals())


def child_exit(server, worker):
    from prometheus_client import multiprocess

    note("child_exit", worker.age)
    multiprocess.mark_process_dead(worker.pid)


workers = 1
worker_class = "gevent"
worker_connections = 256
keepalive = 32
timeout = int(os.getenv("SERVE_TIMEOUT_SECONDS", 30))
threshold = os.getenv("SLOW_REQUEST_SECONDS")

if threshold:
    running = 0

    def pre_request(worker, req):
        global running
        running += 1
        req._began = os.times().elapsed

    def post_request(worker, req, environ, resp):
        global running
        took = os.times().elapsed - req._began
        note("post_request", running, req.path, environ["PATH_INFO"], resp.status)
        if took > float(threshold):
            note("slow", req.path)
        running -= 1
