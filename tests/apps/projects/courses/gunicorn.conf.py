# Courses: caches are closed in each new worker, and a worker is replaced after a few requests.

import os

from witness import note

preload_app = False
timeout = 300
bind = f"127.0.0.1:{os.environ['PORT']}"
pythonpath = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib")
max_requests = 3
workers = 1


def pre_request(worker, req):
    worker.log.info(f"courses: {req.method} {req.path}")


def close_caches():
    import courses  # noqa: F401  (its settings name the caches)
    from django.core.cache import caches

    for cache in caches.all(initialized_only=False):
        cache.close()


def post_fork(_server, _worker):
    close_caches()
    note("post_fork", _worker.age)


def worker_exit(server, worker):
    note("worker_exit", worker.age, worker.nr)


def child_exit(server, worker):
    note("child_exit", worker.age)
