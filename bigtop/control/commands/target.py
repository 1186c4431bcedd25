# Target of commands: what the control channel needs of the program that it controls, and nothing more.
#
# Rule 1: a call that steers only says what is wanted and returns at once; whoever wants to know how it went
# awaits settled(). So commands are obeyed in the order in which they come, for one watcher the newest wins,
# and none ever waits for another. Rule 2: everything here is called on the event loop.

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bigtop.supervisor.policy.messages import Urgency
from bigtop.supervisor.policy.scaling import Bounds, Explanation
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import Status

if TYPE_CHECKING:
    from bigtop.stats.processes.usage import Figures  # with psutil, which no client needs


class Process(Protocol):
    @property
    def wid(self) -> int: ...

    @property
    def pid(self) -> int | None:
        """None until it is spawned."""


class Watcher(Protocol):
    @property
    def spec(self) -> WatcherSpec: ...

    @property
    def status(self) -> Status: ...

    @property
    def numprocesses(self) -> int:
        """How many are wanted."""

    @property
    def generation(self) -> int:
        """The wanted one."""

    @property
    def processes(self) -> Mapping[int, Process]:
        """Those that there are, by key."""


class Listener(Protocol):
    """A socket that the supervisor holds open. Either `path`, or `host` and `port`."""

    @property
    def name(self) -> str: ...

    @property
    def fd(self) -> int: ...

    @property
    def backlog(self) -> int: ...

    @property
    def host(self) -> str | None: ...

    @property
    def port(self) -> int | None: ...

    @property
    def path(self) -> str | None: ...


class Supervisor(Protocol):
    @property
    def names(self) -> Sequence[str]: ...

    @property
    def sockets(self) -> Iterable[Listener]: ...

    def watcher(self, name: str) -> Watcher: ...

    def start(self, name: str) -> None: ...

    def stop(self, name: str, urgency: Urgency = Urgency.GRACEFUL) -> None: ...

    def restart(self, name: str) -> None: ...

    def reload(self, name: str, *, graceful: bool, sequential: bool) -> None: ...

    def rollback(self, name: str | None) -> Sequence[str]:
        """Go back to the generation before; return whose. CommandError: there is none."""

    def steps(self, name: str) -> Sequence[str]:
        """Return what new code has shown since the last thing that was wanted of a watcher."""

    def scale(self, name: str, count: int) -> None: ...

    def bound(self, name: str, bounds: Bounds) -> None:
        """Have the number of processes follow the load between these."""

    def explain(self, name: str) -> Explanation | None:
        """Return how the number of processes has come about; None: it does not follow the load."""

    def kill(self, name: str, pid: int, signum: int | None, grace: float | None) -> Awaitable[str]:
        """End one process; its watcher may replace it. Awaited until it is gone: why it was killed, "" if it
        ended by itself."""

    def signal(self, name: str, pid: int, signum: int, *, children: bool, recursive: bool) -> None:
        """Signal the process; with `children` only its children; with `recursive` all descendants as well."""

    def signal_child(self, name: str, pid: int, child: int, signum: int) -> None:
        """Signal one child of the process. CommandError: it is none of its children."""

    def add(self, spec: WatcherSpec) -> None: ...

    def remove(self, name: str, *, nostop: bool) -> None: ...

    def update(self, name: str, spec: WatcherSpec) -> None:
        """Let the watcher become what `spec` says; processes are replaced only where that is necessary."""

    def settled(self, name: str) -> Awaitable[Mapping[int, str]]:
        """Done when the watcher is as it is wanted, or is gone: why processes of it were killed, by pid.

        Raises CommandError with the reason where what was wanted cannot be, or has to wait after a death.
        """

    async def extended_stats(self, name: str, pid: int, stats: dict[str, object]) -> None:
        """Let the hook extended_stats of the watcher, if it has one, add to `stats`."""


class Inspector(Protocol):
    """What processes are doing. Times are seconds."""

    def requests(self, name: str | None, slow: float) -> Sequence[Mapping[str, object]]:
        """Return the requests in progress of the watchers that serve an application, oldest first; those
        alone that last for `slow` already."""

    def recent(self, name: str | None, slow: float) -> Sequence[Mapping[str, object]]:
        """Return the last finished ones that living workers remember, oldest first."""

    def stack(self, target: str, wait: float, *, native: bool) -> Awaitable[Mapping[str, object]]:
        """Return what every thread of a process does; `wait` for its own answer. Raises CommandError."""

    def profile(self, target: str, seconds: int) -> Awaitable[Mapping[str, object]]:
        """Return where a process spends its time. Raises CommandError."""


class Daemon(Protocol):
    """The running program around the supervisor."""

    def certificates(self, *, again: bool) -> Sequence[Mapping[str, object]]:
        """Return what is served with, one entry for each certificate of a watcher; read files `again` before
        that. CommandError: they cannot be served with, and what was read before is."""

    def caches(self, name: str | None) -> Sequence[Mapping[str, object]]:
        """Return what the caches of applications hold and did: of one watcher, None: of all."""

    def purge(self, name: str | None, url: str | None) -> Mapping[str, int]:
        """Have the caches forget a URL, or what URLs begin with and a *; None: everything. Return how many
        answers there were, by watcher."""

    @property
    def supervisor(self) -> Supervisor: ...

    @property
    def figures(self) -> Figures: ...

    @property
    def environ(self) -> Mapping[str, str]:
        """What a watcher with copy_env begins with."""

    @property
    def has_file(self) -> bool:
        """Whether there is a configuration to read anew."""

    def global_options(self) -> Mapping[str, object]:
        """Return endpoint, pubsub_endpoint, stats_endpoint, check_delay, multicast_endpoint."""

    def version(self) -> Mapping[str, object]: ...

    def upgrade(self, limit: int) -> Awaitable[Mapping[str, object]]:
        """Become the version that is installed now, which may take `limit` seconds. Done, with the number of
        this attempt and that version, just before it happens: version() says then how it went.

        Raises CommandError, at once or when awaited, where that cannot be.
        """

    def generations(self, name: str) -> Sequence[Mapping[str, object]]:
        """Return those of a watcher, the oldest first, with what each costs."""

    def overview(self) -> Mapping[str, object]:
        """Return every watcher with its processes, Bigtop's own processes, and listening sockets."""

    def quit(self) -> Awaitable[None]:
        """Begin to end; done when every watcher is stopped and every socket is closed but ours."""

    def reload_config(self, *, dry_run: bool) -> Awaitable[Sequence[str]]:
        """Become what the file says now; done, with the steps in words, when that is so.

        Raises CommandError at once, with nothing changed, when the file is wrong.
        """

    def save(self, *, dry_run: bool) -> str:
        """Write what was changed back to the file; return the difference in text.

        Raises CommandError, with nothing written, where that cannot be.
        """

    def tail(self, name: str, lines: int) -> Sequence[Mapping[str, object]]:
        """Return the last lines of output, oldest first: {"time", "pid", "stream", "line"}."""

    @property
    def inspector(self) -> Inspector: ...
