# Tracker: everything is logged as JSON to stdout, and whoever ends a worker learns what it was doing.

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "said": {"class": "json_lines.Said", "style": "{", "format": "{levelname}{message}"},
        "answered": {"class": "json_lines.Answered", "style": "{", "format": "{message}"},
    },
    "handlers": {
        "out": {"class": "logging.StreamHandler", "formatter": "said", "stream": "ext://sys.stdout"},
        "requests": {"class": "logging.StreamHandler", "formatter": "answered", "stream": "ext://sys.stdout"},
    },
    "root": {"level": "INFO", "handlers": ["out"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO", "handlers": ["out"], "propagate": False, "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO", "handlers": ["requests"], "propagate": False, "qualname": "gunicorn.access",
        },
    },
}  # fmt: skip
going_on: dict[int, list[str]] = {}  # by worker


def _named(req):
    fields = {name.lower(): value for name, value in req.headers}
    target = f"{req.path}?{req.query}" if req.query else req.path
    return f"{req.method} {target} (from {fields.get('x-client', '-')}, {fields.get('x-network', '-')})"


def pre_request(worker, req):
    worker.log.info(f"tracker: begins {_named(req)}")
    going_on.setdefault(worker.pid, []).append(_named(req))


def post_request(worker, req, environ, resp):
    if _named(req) in going_on.get(worker.pid, ()):
        going_on[worker.pid].remove(_named(req))


def worker_abort(worker):
    if busy := going_on.get(worker.pid):
        worker.log.error(f"tracker: aborted in {', '.join(busy)}")


def worker_int(worker):
    if busy := going_on.get(worker.pid):
        worker.log.error(f"tracker: interrupted in {', '.join(busy)}")
