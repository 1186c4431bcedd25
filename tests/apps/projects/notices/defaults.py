# Defaults that several services share: a function puts settings and hooks into whatever file calls it.

from __future__ import annotations

import logging
import os
import sys
import traceback

import gunicorn
from gunicorn.glogging import CONFIG_DEFAULTS
from witness import note


def on_starting(server):
    server.log.info("notices: starts %s", os.getenv("APP_NAME"), extra={"app_name": os.getenv("APP_NAME")})
    note("on_starting", os.getenv("APP_NAME"))


def on_exit(server):
    server.log.info("notices: stops %s", os.getenv("APP_NAME"))
    note("on_exit")


def post_fork(server, worker):
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.ERROR)
    note("post_fork", worker.age)


def worker_int(worker):
    worker.log.info("notices: worker pid %s was interrupted", worker.pid)


def worker_abort(worker):
    for stack in sys._current_frames().values():
        worker.log.error("".join(traceback.format_stack(stack)))


class Shaped(logging.Formatter):
    def format(self, record):
        return f"{record.name}|{record.levelname}|{getattr(record, 'app_name', '-')}|{record.getMessage()}"


def settle(into: dict) -> None:
    loggers = CONFIG_DEFAULTS.get("loggers", {})
    into.update(
        bind=f"127.0.0.1:{os.getenv('PORT', '8080')}",
        disable_redirect_access_to_syslog=True,
        logconfig_dict={
            **CONFIG_DEFAULTS,
            "loggers": {
                **loggers,
                "gunicorn.error": {**loggers.get("gunicorn.error", {}), "propagate": False},
                "gunicorn.access": {
                    **loggers.get("gunicorn.access", {}), "level": "CRITICAL", "propagate": False,
                },
            },
            "formatters": {**CONFIG_DEFAULTS.get("formatters", {}), "generic": {"class": "defaults.Shaped"}},
        },
        on_exit=on_exit,
        on_starting=on_starting,
        post_fork=post_fork,
        worker_abort=worker_abort,
        worker_int=worker_int,
    )  # fmt: skip
    gunicorn.SERVER_SOFTWARE = "None"
