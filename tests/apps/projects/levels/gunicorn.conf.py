# Levels: what is harmless goes to stdout, what is not to stderr, whoever says it.

import logging
import os


class Below(logging.Filter):
    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record):
        return record.levelno < self.level


bind = f"127.0.0.1:{os.getenv('PORT', '8000')}"
workers = int(os.getenv("WEB_CONCURRENCY", "4"))
worker_class = "uvicorn.workers.UvicornWorker"
timeout = int(os.getenv("WORKER_TIMEOUT", "120"))
accesslog = "-"
errorlog = "-"
loglevel = os.getenv("LOG_LEVEL", "info")

_both = {"level": loglevel.upper(), "handlers": ["out", "err"], "propagate": False}
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"harmless": {"()": Below, "level": logging.WARNING}},
    "formatters": {
        "standard": {"format": "[%(levelname)s] %(name)s: %(message)s"},
        "access": {"format": "%(message)s"},
    },
    "handlers": {
        "out": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "standard",
            "filters": ["harmless"],
        },
        "err": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
            "formatter": "standard",
            "level": "WARNING",
        },
        "access": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "access"},
    },
    "root": {"level": loglevel.upper(), "handlers": ["out", "err"]},
    "loggers": {
        "gunicorn.error": _both,
        "uvicorn": _both,
        "uvicorn.error": _both,
        "gunicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
        "uvicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
    },
}
