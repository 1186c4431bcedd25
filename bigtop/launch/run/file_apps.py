# The applications of a file: those that run, and those that it describes.
#
# Rule: one that changed is another one, which runs when the old one is gone. What is counted never goes back.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bigtop.config.file.apps import AppSpec
from bigtop.launch.app import App, AppState
from bigtop.launch.run.file_keeper import FileKeeper
from bigtop.launch.run.listening import Listening
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import WatcherSpec

logger = get_logger("bigtop.supervisor")


class FileApps:
    """`tell` is called with what happens to one; `resumed` are those of another version, to go on with."""

    def __init__(
        self,
        listening: Listening,
        tell: Callable[[str, messages.Notice], None],
        resumed: Mapping[str, AppState] | None,
    ) -> None:
        self.running: dict[str, App] = {}
        self._described: dict[str, App] = {}
        self._listening = listening
        self._tell = tell
        self._resumed = dict(resumed or {})

    def describe(self, spec: AppSpec, keeper: FileKeeper) -> WatcherSpec:
        """Return the watcher of an application, which is made anew if it changed."""
        listeners = self._listening.of_app(spec)
        shared_seats, routing = self._listening.app_queues.of_app(spec)
        running, described = self.running.get(spec.name), self._described.get(spec.name)
        if running and running.become(spec.site, listeners, routing):
            app = running
        else:
            resumed = self._resumed.pop(spec.name, None)
            app = App(spec.site, listeners, shared_seats, routing, keeper.of(spec), resumed)
            app.tell = lambda notice: self._tell(spec.name, notice)
            addresses = ", ".join(listener.address() for listener in listeners)
            logger.info("%s: listening on %s", spec.name, addresses)
        if described is not None and described not in (running, app):
            described.close()  # it never got to run
        self._described[spec.name] = app
        app.own_access_log()
        return app.watcher(spec.depends, spec.priority)

    def begin(self, name: str) -> App:
        """Return the one that runs from now on."""
        before, app = self.running.get(name), self._described[name]
        if before is not None and before is not app:
            app.retired.go_on_from(before.retired)
            before.close()
        self.running[name] = app
        return app

    def keep(self, names: Iterable[str]) -> None:
        """Describe no others any more."""
        for name in self._described.keys() - set(names):
            del self._described[name]

    def removed(self, name: str) -> None:
        """Its watcher is gone."""
        if name in self.running and name not in self._described:
            self.running.pop(name).close()

    @property
    def forking(self) -> bool:
        """Whether a worker may exist whose pid we do not know yet."""
        return any(app.pool.servers.forking for app in self.running.values())

    def reopen_logs(self) -> None:
        for app in self.running.values():
            app.reopen_logs()

    def renew(self) -> None:
        """Have certificates read again."""
        for app in self.running.values():
            if app.certificates.fd is not None:
                app.renew()

    def close(self) -> None:
        for app in self.running.values():
            app.close()
