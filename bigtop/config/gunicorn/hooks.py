# The hooks of a gunicorn.conf.py, as rows of the table of settings.

from __future__ import annotations

from typing import Final

from bigtop.config.gunicorn.setting import Hook, SetAside, Setting

_SERVER, _WORKER, _BOTH = ("server",), ("worker",), ("server", "worker")


def _hook(name: str, arguments: tuple[str, ...], when: str, least: int | None = None) -> Setting:
    return Setting(name, Hook(when, arguments, len(arguments) if least is None else least))


HOOKS: Final = (
    _hook("on_starting", _SERVER, "Before the first worker is forked."),
    _hook("when_ready", _SERVER, "When the sockets are open, before the first worker is forked."),
    _hook("on_reload", _SERVER, "At HUP, before new workers are forked."),
    _hook("pre_fork", _BOTH, "When a worker is forked."),
    _hook("post_fork", _BOTH, "In a worker, as its life begins."),
    _hook(
        "post_worker_init",
        _WORKER,
        "In a worker, when the application is imported, before the first request.",
    ),
    _hook("worker_int", _WORKER, "In a worker that ends at once, because of INT or QUIT."),
    _hook("worker_abort", _WORKER, "In a worker whose application takes longer than --timeout."),
    _hook("worker_exit", _BOTH, "In a worker, as its life ends."),
    _hook("child_exit", _BOTH, "When a worker has ended."),
    _hook(
        "nworkers_changed", ("server", "new", "old"), "Once at the start, and when more or fewer are wanted."
    ),
    _hook("on_exit", _SERVER, "When the last worker has ended."),
    _hook("pre_request", ("worker", "req"), "In a worker, before the application is called."),
    _hook("post_request", ("worker", "req", "environ", "resp"), "In a worker, when the answer was given.", 1),
    Setting("pre_exec", SetAside("a supervisor is not replaced by another one, and HUP loads new code")),
)
