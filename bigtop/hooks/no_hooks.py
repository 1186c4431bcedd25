# Hooks of a worker that has none, and what each kind of them can be told.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bigtop.http.access_log.access_format import AccessRecord


class NoHooks:
    """Where nobody defines a hook, a worker pays nothing for them."""

    def born(self) -> None:
        """The worker's life begins. AppError, with a traceback: it cannot boot."""

    def loaded(self, app: Any, interface: str) -> Any:
        """The application is imported; return what is to be served in its place. AppError as in born()."""
        return app

    @property
    def accesses(self) -> Callable[[AccessRecord], None] | None:
        """What is told of answered requests in place of the access log; None: the access log."""
        return None

    def reopen_logs(self) -> None:
        """Files were rotated."""

    @property
    def interrupted(self) -> Callable[[], None] | None:
        """What is told when there is no time for open requests, which still run; perhaps more than once.
        Main thread only. None: nobody asks."""
        return None

    def over(self, *, at_once: bool) -> None:
        """The worker's life ends; `at_once`: with no time for open requests."""
