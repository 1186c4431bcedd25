# Standing of a program among others: how it was started, what it takes over, what is not its own.

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from bigtop.launch.fd_store import FdStore
from bigtop.launch.upgrade import Attempts, Origin
from bigtop.record import Record, field


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
    """`lock` is the descriptor of the pidfile, `others` are children that were there before, `store` has
    copies of sockets."""

    started: Origin
    taken: Takeover | None = None
    lock: int | None = None
    others: set[int] = field(default_factory=set)
    store: FdStore = field(default_factory=FdStore)

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

    def done(self) -> None:
        """There is no way back from now on."""
        if self.taken is not None:
            self.taken.done()
