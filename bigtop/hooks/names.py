# Names of hooks, and where each is called.

from __future__ import annotations

from typing import Final

MASTER: Final = frozenset(
    {
        "on_starting",
        "when_ready",
        "on_reload",
        "pre_fork",
        "child_exit",
        "nworkers_changed",
        "on_exit",
    }
)
WORKER: Final = frozenset({"post_fork", "post_worker_init", "worker_int", "worker_abort", "worker_exit"})
REQUEST: Final = frozenset({"pre_request", "post_request"})
