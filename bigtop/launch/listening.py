# The sockets of a configuration file, by name, as they come and go with it.
#
# Rule: what is bound stays bound while the file says the same of it, so no connection is lost by a reload;
# and a file that cannot be followed changes nothing.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace

from bigtop.config.apps import AppSpec
from bigtop.sockets import ListeningSocket, SocketSpec, bind
from bigtop.supervisor.preparation import sockets_named_by, sockets_used
from bigtop.supervisor.spec import WatcherSpec


class Listening:
    """All of them. A name stands for one address or more; the first has the descriptor of that name."""

    def __init__(self) -> None:
        self._specs: dict[str, SocketSpec] = {}
        self._open: dict[str, list[ListeningSocket]] = {}

    def become(self, sockets: Iterable[SocketSpec], apps: Iterable[AppSpec]) -> None:
        """Bind what is not bound yet. Raises BindError, with everything as it was, when one cannot be had."""
        wanted = {spec.name: spec for spec in sockets}
        for app in apps:
            wanted |= {_own(app, number): spec for number, spec in enumerate(app.site.binds)}
        with ExitStack() as undo:
            fresh: dict[str, list[ListeningSocket]] = {}
            for name, spec in wanted.items():
                if not self._has(name, spec):
                    fresh[name] = bind(spec)
                    for listener in fresh[name]:
                        undo.callback(listener.close)
            undo.pop_all()
        for name in fresh.keys() & self._open.keys():
            self._close(name)
        self._open |= fresh
        self._specs |= wanted

    def moved(self, sockets: Iterable[SocketSpec]) -> set[str]:
        """Return the names of those that would be bound anew: who has the old ones would not hear of it."""
        return {spec.name for spec in sockets if spec.name in self._open and not self._is(spec.name, spec)}

    def forget(self, sockets: Iterable[SocketSpec], apps: Iterable[AppSpec]) -> None:
        """Close what is not named any more."""
        named = {spec.name for spec in sockets}
        named |= {_own(app, number) for app in apps for number in range(len(app.site.binds))}
        for name in self._specs.keys() - named:
            self._close(name)
            self._open.pop(name, None)
            del self._specs[name]

    def fds(self) -> Mapping[str, int]:
        return {name: listeners[0].fileno() for name, listeners in self._open.items()}

    def for_watcher(self, spec: WatcherSpec, own: Callable[[int], None]) -> Mapping[str, int]:
        """Return the descriptors for one process, those that `spec` uses bound again if they were shut.

        `own` takes those that are for this process alone. Raises BindError.
        """
        for name in sockets_used(spec, self._specs.keys() - self._open.keys()):
            self._open[name] = bind(self._specs[name])
        fds = dict(self.fds())
        for name in sockets_named_by(spec, self._open):
            if self._specs[name].own_queues:
                fds[name] = self._open[name][0].clone().socket.detach()
                own(fds[name])
        return fds

    def shut(self, users: Iterable[WatcherSpec], apps: Iterable[AppSpec]) -> None:
        """Close those that are to be open only while somebody uses them, and that nobody does."""
        idle = {name for name in self._open if self._specs[name].close_when_unused}
        for user in users:
            idle -= sockets_used(user, idle)
        for app in apps:
            idle.difference_update(app.sockets)
        for name in idle:
            self._close(name)
            del self._open[name]

    def of_app(self, app: AppSpec) -> list[ListeningSocket]:
        names = [*app.sockets, *(_own(app, number) for number in range(len(app.site.binds)))]
        return [listener for name in names for listener in self._open[name]]

    def named(self) -> list[tuple[str, ListeningSocket]]:
        """Return those that the file names, not the ones that applications bind for themselves."""
        return [(name, sockets[0]) for name, sockets in self._open.items() if " " not in name]

    def close(self) -> None:
        for name in self._open:
            self._close(name)
        self._open.clear()

    def _has(self, name: str, spec: SocketSpec) -> bool:
        before = self._specs.get(name)
        if before is None or not self._is(name, spec):
            return False
        if before.backlog != spec.backlog and spec.kind == "stream" and not spec.own_queues:
            for listener in self._open.get(
                name, ()
            ):  # listen(2) may be called again, and changes nothing else
                listener.socket.listen(spec.backlog)
        return True

    def _is(self, name: str, spec: SocketSpec) -> bool:
        """Whether it is bound as `spec` says; how many may wait in it can be changed."""
        return replace(self._specs[name], backlog=spec.backlog) == spec

    def _close(self, name: str) -> None:
        for listener in self._open.get(name, ()):
            listener.close()


def _own(app: AppSpec, number: int) -> str:
    """A name that no [socket:NAME] can have."""
    return f"{app.name} {number}"
