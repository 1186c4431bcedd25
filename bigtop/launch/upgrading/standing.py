# Standing of a program among others: how it was started, what it takes over, what is not its own.

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bigtop.launch.upgrading.fd_store import FdStore
from bigtop.launch.upgrading.upgrade import Attempts, Origin
from bigtop.record import Record, field
from bigtop.system.files import pidfile

if TYPE_CHECKING:
    from bigtop.launch.upgrading.leftovers import Leftovers
    from bigtop.supervisor.policy.spec import WatcherSpec
    from bigtop.supervisor.supervisor import Supervisor


class Takeover(Protocol):
    """What is taken over of another version (takeover.py)."""

    @property
    def state(self) -> Any: ...

    @property
    def origin(self) -> Origin: ...

    @property
    def attempts(self) -> Attempts: ...

    def guarded(self) -> contextlib.AbstractContextManager[None]: ...

    def done(self) -> None: ...


class Standing(Record, frozen=False):
    """`lock` is the descriptor of the pidfile, `former` that of another file before. `others` are children
    that were there before, `store` has copies of sockets and commands. `left` are commands of a supervisor
    that was killed."""

    started: Origin
    taken: Takeover | None = None
    lock: int | None = None
    former: int | None = None
    others: set[int] = field(default_factory=set)
    store: FdStore = field(default_factory=FdStore)
    left: Leftovers | None = None

    @property
    def state(self) -> Any:
        """What another version left to be gone on with; None: nothing."""
        return None if self.taken is None else self.taken.state

    @property
    def attempts(self) -> Attempts:
        return Attempts() if self.taken is None else self.taken.attempts

    @property
    def stored(self) -> tuple[str, ...] | None:
        """The names in the store that another version knew; None: there was none."""
        return None if self.taken is None else tuple(self.taken.state.stored)

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """Go back to the other version if anything fails inside before it is done()."""
        return contextlib.nullcontext() if self.taken is None else self.taken.guarded()

    @contextlib.contextmanager
    def named(self, path: str | None) -> Iterator[None]:
        """Keep the pidfile `path` while inside, None for none; that of another path is left when there is no
        way back. Raises what pidfile.held() does."""
        before = self.lock
        with pidfile.held(path, before) as self.lock:
            self.former = None if before == self.lock else before
            yield

    def done(self) -> None:
        """There is no way back from now on."""
        if self.taken is not None:
            self.taken.done()
        if self.former is not None:
            pidfile.leave(self.former)
            self.former = None

    # ---- of a start that takes nothing over

    def enter(self, supervisor: Supervisor, watchers: Sequence[WatcherSpec]) -> None:
        """Take in watchers, those that are left as they were. Event loop only."""
        if self.left is not None:
            self.left.enter(supervisor, watchers)
            return
        for watcher in watchers:
            supervisor.dispatcher.enter(watcher)

    def start(self, supervisor: Supervisor) -> None:
        """Start them. Event loop only."""
        if self.left is not None:
            self.left.start(supervisor)
        else:
            supervisor.start()
