# Reload of a site: its configuration read again where that is a file, hooks called, new code loaded.

from __future__ import annotations

from collections.abc import Callable

from bigtop.config.serve.serve import ServeSpec
from bigtop.errors import BigtopError
from bigtop.launch.app import App
from bigtop.launch.serve.master_hooks import MasterHooks
from bigtop.launch.serve.rereading import Rereading, change
from bigtop.launch.stopping import Stopping
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.supervisor import Supervisor

logger = get_logger("bigtop.supervisor")


class SiteReload:
    """Event loop only. `refused` is called when one comes to nothing before new code is looked at."""

    def __init__(
        self,
        app: App,
        supervisor: Supervisor,
        hooks: MasterHooks,
        rereading: Rereading | None,
        stopping: Stopping,
        refused: Callable[[], None],
    ) -> None:
        self._app = app
        self._supervisor = supervisor
        self._hooks = hooks
        self._rereading = rereading
        self._stopping = stopping
        self._refused = refused
        self._before: ServeSpec | None = None  # what one that fails goes back to

    def begin(self) -> None:
        if self._hooks.names or (self._rereading is not None and self._rereading.has_file):
            self._supervisor.dispatcher.later(self._in_order())
        else:
            self._load()

    def _load(self) -> None:
        self._supervisor.dispatcher.feed(self._app.spec.name, messages.Reload())

    async def _in_order(self) -> None:
        try:
            spec = None if self._rereading is None else await self._rereading.read()
            if spec is not None and self._stopping.urgency is None:
                self._before = self._before or self._app.spec
                change(self._app, self._supervisor, spec)
            await self._hooks.reloading(self._app.spec.hooks)
        except BigtopError as error:
            for line in str(error).split("\n"):
                logger.error("reload: %s; nothing changes", line)
            self._refused()
        else:
            if self._stopping.urgency is None:
                self._load()

    def over(self, notice: messages.Reloaded | messages.ReloadFailed) -> None:
        before, self._before = self._before, None
        if before is not None and isinstance(notice, messages.ReloadFailed):
            # Hooks are those of the file as it is now: it is what their process executes.
            change(self._app, self._supervisor, replace(before, hooks=self._app.spec.hooks))
