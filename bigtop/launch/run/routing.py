# The queues between applications that share sockets: see backends/native/app_queues.py.
#
# Rule: there is one queue for a name for as long as Bigtop runs, whatever becomes of the application.
# Workers of its neighbours were told of it when they were forked, and those of the next generation too.

from __future__ import annotations

from collections.abc import Mapping

from bigtop.backends.native.app_queues import AppQueue
from bigtop.config.file.apps import AppSpec
from bigtop.ipc.snapshot import Descriptor
from bigtop.workers.bootstrap import Routing


class QueuesByApp:
    """All of them, by the names of applications."""

    def __init__(self) -> None:
        self._by_name: dict[str, AppQueue] = {}

    def of_app(self, spec: AppSpec) -> tuple[int | None, Routing | None]:
        """Return what a routed application needs: its seats, which the others look at, and who gets
        what. ConfigError when the kernel is in the way."""
        if not spec.table:
            return None, None
        names = list(dict.fromkeys(name for name, _ in spec.table))
        queues = [self._queue(name) for name in names]
        table = tuple((route.host, route.path, names.index(name)) for name, route in spec.table)
        fds = tuple(fd for queue in queues for fd in queue.fds)
        paths = (route.path for name, route in spec.table if name == spec.name and route.path)
        mounted = tuple(dict.fromkeys(paths)) if spec.mounted else ()
        return self._queue(spec.name).seats, Routing(names.index(spec.name), table, fds, mounted)

    def held(self) -> Mapping[str, tuple[Descriptor, ...]]:
        """Return what each consists of."""
        return {name: tuple(map(Descriptor, one.parts)) for name, one in self._by_name.items()}

    def resume(self, parts: Mapping[str, tuple[Descriptor, ...]]) -> None:
        """Go on with those of another supervisor."""
        for name, descriptors in parts.items():
            self._by_name[name] = AppQueue(tuple(one.number for one in descriptors))

    def close(self) -> None:
        for queue in self._by_name.values():
            queue.close()
        self._by_name.clear()

    def _queue(self, name: str) -> AppQueue:
        if name not in self._by_name:
            self._by_name[name] = AppQueue()
        return self._by_name[name]
