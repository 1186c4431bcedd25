# Service that trains models: every hook that there is, most settings that there are, and some that are not.

import gc
import os

from witness import note

bind = f"127.0.0.1:{os.environ['PORT']}"
backlog = 2048
workers = 1
worker_class = "sync"
worker_connections = 1000
max_requests = 1000
max_requests_jitter = 50
timeout = int(os.environ.get("WORKER_TIMEOUT", "60"))
keepalive = 2
graceful_timeout = 30
accesslog = "-"
errorlog = "-"
loglevel = "debug"
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s'
proc_name = "training_service"
preload_app = True
daemon = False
pidfile = os.environ["PIDFILE"]
user = None
group = None
umask = 0
tmp_upload_dir = None
keyfile = None
certfile = None
ssl_version = 2
cert_reqs = 0
spew = False
reload = False
max_worker_memory = 512 * 1024 * 1024  # nobody's setting
worker_tmp_dir = "/dev/shm"
raw_env = [f"TRAINING_LIMIT={int(os.environ.get('TRAINING_TIMEOUT', '50'))}", f"WORKER_TIMEOUT={timeout}"]


def on_starting(server):
    server.log.info("training: starts")
    note("on_starting")


def when_ready(server):
    server.log.info(f"training: ready, {workers} workers, {timeout} seconds")
    note("when_ready")


def on_reload(server):
    server.log.info("training: reloads")
    note("on_reload")


def pre_fork(server, worker):
    server.log.info(f"training: forks worker {worker.age}")


def post_fork(server, worker):
    server.log.info(f"training: worker pid {worker.pid} was forked")
    note("post_fork", worker.age)


def post_worker_init(worker):
    worker.log.info("training: worker is ready")
    note("post_worker_init", worker.age)


def worker_int(worker):
    worker.log.info("training: worker was interrupted")
    note("worker_int", worker.age)


def worker_abort(worker):
    worker.log.info("training: worker was aborted")


def pre_exec(server):
    server.log.info("training: forks another master")


def pre_request(worker, req):
    worker.log.debug(f"training: > {req.method} {req.path}")
    note("pre_request", req.path)


def post_request(worker, req, environ, resp):
    worker.log.debug(f"training: < {req.method} {req.path} {resp.status}")
    note("post_request", req.path, resp.status)


def child_exit(server, worker):
    server.log.info(f"training: worker {worker.age} has ended")
    note("child_exit", worker.age)


def worker_exit(server, worker):
    server.log.info(f"training: worker {worker.age} ends")
    note("worker_exit", worker.age)


def nworkers_changed(server, new_value, old_value):
    server.log.info(f"training: {new_value} workers after {old_value}")
    note("nworkers_changed", new_value, old_value)


def on_exit(server):
    server.log.info("training: is over")
    note("on_exit")


def worker_timeout(worker):
    """No hook of gunicorn's."""


def tune():
    gc.set_threshold(700, 10, 10)
    os.environ["OMP_NUM_THREADS"] = "1"


tune()
