# The sockets of a configuration file, by name, as they come and go with it.
#
# Rule: what is bound stays bound while the file says the same of it, so no connection is lost by a reload;
# and a file that cannot be followed changes nothing.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager

from bigtop.config.file.apps import AppSpec
from bigtop.errors import BindError
from bigtop.launch.run.routing import QueuesByApp
from bigtop.launch.upgrading import fd_store
from bigtop.launch.upgrading.fd_store import FdStore
from bigtop.record import Record, field, replace
from bigtop.sockets import ListeningSocket, SocketSpec, bind
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.processes.commands.resolve import sockets_named_by, sockets_used
from bigtop.system import rebinding


class SocketChanges(Record):
    """From the sockets that there are to those of a file, by name."""

    wanted: dict[str, SocketSpec]
    gone: Set[str]
    new: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)  # bound anew: who has the old ones would not hear of it
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)  # changed as they are, and in what

    def words(self) -> list[str]:
        """Say what is done to those that the file names."""
        named = [name for name in self.wanted if not _is_own(name)]
        return [
            *(f"close socket {name}" for name in sorted(self.gone) if not _is_own(name)),
            *(f"bind socket {name}" for name in named if name in self.new),
            *(f"bind socket {name} anew" for name in named if name in self.moved),
            *(f"change socket {name}: {', '.join(self.kept[name])}" for name in named if name in self.kept),
        ]


class Listening:
    """All of them. A name stands for one address or more; the first has the descriptor of that name.

    `app_queues` are the ways between applications that share some. `store` has copies, for a crash."""

    def __init__(self, store: FdStore | None = None) -> None:
        self._store = store or FdStore()
        self._specs: dict[str, SocketSpec] = {}
        self._open: dict[str, list[ListeningSocket]] = {}
        self._is_left = False  # some of them, for good
        self.app_queues = QueuesByApp()

    def resume_kept(
        self, environ: Mapping[str, str], sockets: Iterable[SocketSpec], apps: Iterable[AppSpec]
    ) -> set[str]:
        """Go on with what the service manager kept of these when the last supervisor crashed; return the
        names of the others."""
        wanted = self.change(sockets, apps).wanted
        found = fd_store.found(environ, wanted)
        if found:
            self._be({name: wanted[name] for name in found}, found)
        return wanted.keys() - found.keys()

    def become(self, sockets: Iterable[SocketSpec], apps: Iterable[AppSpec]) -> None:
        """Bind them. Raises BindError, with everything as it was, when one cannot be had."""
        with self.changed(self.change(sockets, apps)):
            pass

    def change(self, sockets: Iterable[SocketSpec], apps: Iterable[AppSpec]) -> SocketChanges:
        """Return what it would take to be these. BindError: some were left, and the program ends."""
        if self._is_left:
            raise BindError("this Bigtop ends, and so does what it listens on")
        wanted = described(sockets, apps)
        change = SocketChanges(wanted, gone=self._specs.keys() - wanted.keys())
        for name, spec in wanted.items():
            before = self._specs.get(name)
            if before is None:
                change.new.add(name)
            elif name in self._open and before != spec:
                if rebinding.can_become(before, spec):
                    change.kept[name] = rebinding.differences(before, spec)
                else:
                    change.moved.add(name)
        return change

    @contextmanager
    def changed(self, change: SocketChanges) -> Iterator[None]:
        """Be what was asked for from now on; unless what happens inside fails: then be as before."""
        specs, before = self._specs, self._open
        leaving = [one for name in change.moved | change.gone for one in before.get(name, ())]
        with ExitStack() as undo:
            after = {name: before[name] for name in before.keys() - change.moved - change.gone}
            for name in change.wanted.keys() & (change.new | change.moved):
                after[name] = rebinding.bind_beside(self._as_before(change, name), leaving, undo)
            for name in change.kept:
                for listener in after[name]:
                    rebinding.become(listener, change.wanted[name], undo)
            undo.callback(self._be, specs, before)
            self._be(change.wanted, after)
            yield
            undo.pop_all()
        for listener in leaving:
            listener.close()

    def _be(self, specs: dict[str, SocketSpec], listeners: dict[str, list[ListeningSocket]]) -> None:
        self._specs, self._open = specs, listeners
        self._store.keep(specs, listeners)

    def _as_before(self, change: SocketChanges, name: str) -> SocketSpec:
        """Return the description, with the port that the system chose if that is left to it once more."""
        spec, before = change.wanted[name], self._specs.get(name)
        if before is None or (spec.host, spec.port, spec.path) != (before.host, 0, None):
            return spec
        return replace(spec, port=self._open[name][0].spec.port)

    def held(self) -> tuple[Mapping[str, SocketSpec], Mapping[str, list[ListeningSocket]]]:
        """Return all by name: how they are described, and those that are open."""
        return self._specs, self._open

    def resume(self, specs: Mapping[str, SocketSpec], listeners: Mapping[str, list[ListeningSocket]]) -> None:
        """Go on with those of another supervisor."""
        self._be(dict(specs), dict(listeners))

    def fds(self) -> Mapping[str, int]:
        return {name: listeners[0].fileno() for name, listeners in self._open.items()}

    def for_watcher(self, spec: WatcherSpec, own: Callable[[int], None]) -> Mapping[str, int]:
        """Return the descriptors for one process, those that `spec` uses bound again if they were shut.

        `own` takes those that are for this process alone. Raises BindError.
        """
        for name in sockets_used(spec, self._specs.keys() - self._open.keys()):
            self._open[name] = bind(self._specs[name])
            self._store.keep(self._specs, self._open)
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
        if idle:
            self._store.keep(self._specs, self._open)

    def leave(self, app: AppSpec, others: Iterable[AppSpec], users: Iterable[WatcherSpec]) -> None:
        """Close the sockets of an application that ends with the program, but for those that somebody else
        has: other applications, and commands."""
        self._is_left = True
        self._store.forget()  # a port that nobody will serve refuses
        names = {*app.sockets, *(_own(app, number) for number in range(len(app.site.binds)))}
        for other in others:
            names.difference_update(other.sockets)
        for user in users:
            names -= sockets_used(user, names)
        for name in names & self._open.keys():
            self._close(name)
            del self._open[name]

    def of_app(self, app: AppSpec) -> list[ListeningSocket]:
        names = [*app.sockets, *(_own(app, number) for number in range(len(app.site.binds)))]
        return [listener for name in names for listener in self._open[name]]

    def named(self) -> list[tuple[str, ListeningSocket]]:
        """Return those that the file names, not the ones that applications bind for themselves."""
        return [(name, sockets[0]) for name, sockets in self._open.items() if not _is_own(name)]

    def close(self) -> None:
        self._store.forget()
        for name in self._open:
            self._close(name)
        self._open.clear()
        self.app_queues.close()

    def _close(self, name: str) -> None:
        for listener in self._open.get(name, ()):
            listener.close()


def described(sockets: Iterable[SocketSpec], apps: Iterable[AppSpec]) -> dict[str, SocketSpec]:
    """Return all that these ask for, by name."""
    wanted = {spec.name: spec for spec in sockets}
    for app in apps:
        wanted |= {_own(app, number): spec for number, spec in enumerate(app.site.binds)}
    return wanted


def differ(before: Mapping[str, SocketSpec], after: Mapping[str, SocketSpec]) -> list[str]:
    """Return the sockets, and the applications, for which two descriptions say something else."""
    names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return sorted({name.rpartition(" ")[0] if _is_own(name) else name for name in names})


def _own(app: AppSpec, number: int) -> str:
    """A name that no [socket:NAME] can have."""
    return f"{app.name} {number}"


def _is_own(name: str) -> bool:
    return " " in name
