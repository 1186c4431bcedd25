# The site of `bigtop serve` as the control channel sees it, and the stats process.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bigtop.errors import CommandError
from bigtop.launch.app import App
from bigtop.launch.control.last_notices import LastNotices
from bigtop.launch.stopping import Stopping
from bigtop.launch.upgrading.upgrade import Upgrade
from bigtop.record import replace
from bigtop.sockets import ListeningSocket
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from bigtop.launch.serve.site_helpers import SiteHelpers

# What cannot be asked of one application that was described by flags.
_ONE = "bigtop serve runs one application and nothing else; bigtop run FILE runs other programs beside it"
_FLAGS = "bigtop serve was told by flags how to run: all that can be changed meanwhile is numprocesses"
_NO_FILE = "new flags need a new start; HUP loads new code, and reads the file of --config again"
_NOWHERE = "bigtop serve was told by flags how to run and has no file to write to: change the flags"
_NO_TAIL = "workers of bigtop serve write to where its own log goes (--error-logfile)"


class Steered(Protocol):
    """What of the site is passed on."""

    supervisor: Supervisor
    notices: LastNotices
    over: asyncio.Event
    stopping: Stopping
    upgrade: Upgrade

    def stop(self) -> None: ...


class Single:
    """A site as the control channel sees it: one application, which was described by flags."""

    has_file = False

    def __init__(self, site: Steered, app: App, helpers: Callable[[], SiteHelpers | None]) -> None:
        self.supervisor, self.notices, self.over, self.stop = (
            site.supervisor,
            site.notices,
            site.over,
            site.stop,
        )
        self.stopping, self.upgrade = site.stopping, site.upgrade
        self.apps = {app.spec.name: app}
        self._helpers = helpers

    def named_sockets(self) -> list[tuple[str, ListeningSocket]]:
        return [(name, listener) for name, app in self.apps.items() for listener in app.listeners]

    def dropped(self) -> Mapping[str, int]:
        return {}  # workers write without us

    @property
    def figures_at(self) -> str | None:
        helpers = self._helpers()
        if helpers is None or helpers.statistics is None:
            return None
        return helpers.statistics.endpoint

    def options(self) -> Mapping[str, object]:
        helpers = self._helpers()
        has_any = helpers is not None and helpers.statistics is not None
        return {"stats_endpoint": self.figures_at} if has_any else {}

    def look_for_certificates(self) -> None:
        helpers = self._helpers()
        if helpers is not None:
            helpers.look()

    def add(self, _spec: WatcherSpec) -> None:
        raise CommandError(_ONE)

    def remove(self, _name: str, *, nostop: bool) -> None:
        raise CommandError(_ONE)

    def update(self, name: str, spec: WatcherSpec) -> None:
        if replace(self.supervisor.watchers.machine(name).spec, numprocesses=spec.numprocesses) != spec:
            raise CommandError(_FLAGS)
        self.supervisor.scale(name, spec.numprocesses)

    def reload_config(self, *, dry_run: bool) -> Sequence[str]:
        raise CommandError(_NO_FILE)

    def save(self, *, dry_run: bool) -> str:
        raise CommandError(_NOWHERE)

    def tail(self, _name: str, _lines: int) -> list[Chunk]:
        raise CommandError(_NO_TAIL)
