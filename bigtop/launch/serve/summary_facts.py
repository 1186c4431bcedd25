# Facts for the summary at the start of a site.

from __future__ import annotations

import os
from collections.abc import Callable

from bigtop.backends import catalogue
from bigtop.config.serve.serve import ServeSpec
from bigtop.launch.app import App
from bigtop.record import Record


class SummaryFacts(Record):
    """What a start-up summary can tell, once it is known."""

    spec: ServeSpec
    interface: str
    backend: str
    preload: str  # "yes", or why not
    addresses: tuple[str, ...]
    pid: int


Summary = Callable[[SummaryFacts], None]


def facts(app: App) -> SummaryFacts:
    spec, interface = app.spec, app.pool.interface
    backend = _backend(spec.backend, interface)
    return SummaryFacts(spec, interface, backend, app.preload, bound(app), os.getpid())


def bound(app: App) -> tuple[str, ...]:
    return tuple(listener.address() for listener in app.listeners)


def _backend(asked: str | None, interface: str) -> str:
    """Return the backend's name, and why it is this one where nobody asked for it."""
    if asked:
        return catalogue.canonical(asked)
    return f"{interface}, since the application speaks {interface.upper()}"
