# The ways between applications that share sockets: see backends/transfer.py.
#
# Rule: there is one passage for a name for as long as Bigtop runs, whatever becomes of the application.
# Workers of its neighbours were told of it when they were forked, and those of the next generation too.

from __future__ import annotations

from bigtop.backends.transfer import Passage
from bigtop.config.apps import AppSpec
from bigtop.scoreboard import Scoreboard
from bigtop.workers.bootstrap import Routing


class Passages:
    """All of them, by the names of applications."""

    def __init__(self) -> None:
        self._by_name: dict[str, Passage] = {}

    def of_app(self, spec: AppSpec) -> tuple[Scoreboard | None, Routing | None]:
        """Return what a routed application needs: its scoreboard, which the others look at, and who gets
        what. ConfigError when the kernel is in the way."""
        if not spec.table:
            return None, None
        names = list(dict.fromkeys(name for name, _ in spec.table))
        passages = [self._passage(name) for name in names]
        table = tuple((route.host, route.path, names.index(name)) for name, route in spec.table)
        fds = tuple(fd for passage in passages for fd in passage.fds)
        paths = (route.path for name, route in spec.table if name == spec.name and route.path)
        mounted = tuple(dict.fromkeys(paths)) if spec.mounted else ()
        return self._passage(spec.name).board, Routing(names.index(spec.name), table, fds, mounted)

    def close(self) -> None:
        for passage in self._by_name.values():
            passage.close()
        self._by_name.clear()

    def _passage(self, name: str) -> Passage:
        if name not in self._by_name:
            self._by_name[name] = Passage()
        return self._by_name[name]
