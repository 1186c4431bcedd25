# The keeper of a file: there as soon as one of its applications gets certificates by itself.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bigtop.config.file.apps import AppSpec, kept_of
from bigtop.config.serve.tls_sources import KEEPER
from bigtop.launch.control.controlled import Steered
from bigtop.record import Record
from bigtop.supervisor.policy.spec import WatcherSpec

if TYPE_CHECKING:
    from bigtop.launch.app import App
    from bigtop.launch.keeper import Keeper


class FileKeeper:
    """`apps` are those that run; `before` is what another supervisor's keeper held. Event loop only."""

    def __init__(self, apps: Callable[[], Iterable[App]], before: Any = None) -> None:
        self._apps = apps
        self._before = before
        self._keeper: Keeper | None = None
        self._is_wanted = False

    def provide(self, apps: Iterable[AppSpec]) -> None:
        """Have certificates kept for those that want that. ConfigError: this cannot be."""
        kept = kept_of(apps)
        self._is_wanted = kept is not None
        if kept is None:
            return
        if self._keeper is not None:
            self._keeper.become(*kept)
            return
        from bigtop.launch.keeper import Keeper  # of no use to those who want none

        self._keeper = Keeper(*kept, self._before)
        self._keeper.attend(self._apps)

    def held(self) -> Record | None:
        """Return what another supervisor needs to go on with it."""
        return None if self._keeper is None or not self._is_wanted else self._keeper.held()

    def of(self, app: AppSpec) -> Keeper | None:
        """Return who keeps the certificates of an application."""
        return None if app.site.tls.acme is None else self._keeper

    def watchers(self, apps: Iterable[AppSpec]) -> list[WatcherSpec]:
        """Return the description of the helper watcher, if there is to be one."""
        kept = kept_of(apps)
        return [] if self._keeper is None or kept is None else [self._keeper.watcher(*kept)]

    def sockets_for(self, spec: WatcherSpec) -> Mapping[str, int]:
        """Return the descriptors that are for the keeper alone, by name."""
        return {} if self._keeper is None else self._keeper.sockets_for(spec)

    async def begin(self, steered: Steered) -> None:
        """Start it when all else is there, or is known not to be: a CA comes at once, and somebody has to
        answer it."""
        for _ in range(2):  # the first time may see the end of one that is replaced
            await asyncio.gather(*map(steered.settled, steered.names), return_exceptions=True)
            if KEEPER not in steered.names or steered.is_stopping:
                return
            steered.start(KEEPER)

    def look(self) -> None:
        """Have it look at its storage now."""
        if self._keeper is not None:
            self._keeper.look()

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.leave()
            self._keeper.close()
