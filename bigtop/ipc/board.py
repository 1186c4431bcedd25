# Board of one application: the slots of its workers (scoreboard.py), as the supervisor makes and reads them.

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final, Protocol

from bigtop.ipc import scoreboard, seats
from bigtop.ipc.scoreboard import View

_EMPTY: Final = View(scoreboard.nothing())


class Keeper(Protocol):
    """Who keeps what workers have counted: their requests (retired.py), or what the application counts."""

    def enter(self, index: int, key: int, slot: int) -> None:
        """The process `key` is to be worker `index`; `slot` is the descriptor of its slot."""

    def add(self, index: int, view: View) -> None:
        """That worker is gone."""


class Scoreboard:
    """The slots of all workers of one application, by number from 0, as the supervisor reads them, and the
    seats that they sit in."""

    def __init__(self, table: seats.Seats, keepers: Sequence[Keeper] = ()) -> None:
        self._seats = table
        self._keepers = keepers
        self._views: dict[int, View] = {}
        self._inodes: dict[int, int] = {}

    def renew(self, index: int, key: int) -> int:
        """Make a slot for the process `key` that is to be; return the descriptor to give it, to be closed
        then."""
        self._forget(index)
        fd = scoreboard.create(index + 1)
        try:
            self.watch(index, fd)
            for keeper in self._keepers:
                keeper.enter(index, key, fd)
        except OSError:
            os.close(fd)
            raise
        self._seats.vacate(index)
        return fd

    def watch(self, index: int, fd: int) -> None:
        """Read the slot behind `fd` as that of worker `index`."""
        self._views[index] = View(scoreboard.attach(fd))
        self._inodes[index] = os.fstat(fd).st_ino

    def take(self, index: int, fd: int) -> None:
        """The same with a descriptor that is nobody else's."""
        self.watch(index, fd)
        os.close(fd)

    def descriptors(self) -> dict[int, int]:
        """Return the descriptors of all slots, by index: those of the mapped memory, which Python keeps."""
        wanted = {self._inodes[index]: index for index in self._views}
        found = {}
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # the one that lists the folder
                index = wanted.get(os.fstat(int(name)).st_ino)
                if index is not None and "bigtop-scoreboard" in os.readlink(f"/proc/self/fd/{name}"):
                    found[index] = int(name)
        return found

    def drop(self, index: int) -> None:
        """Forget the slot of a worker that is gone, but not what it counted."""
        self._forget(index)
        self.vacate(index)

    def _forget(self, index: int) -> None:
        view = self._views.pop(index, None)
        if view is not None:
            for keeper in self._keepers:
                keeper.add(index, view)

    def vacate(self, index: int) -> None:
        """Have its siblings send it no more connections, and take over what is on its way."""
        self._seats.vacate(index)

    def of(self, index: int) -> View:
        """Return the slot of one worker; an empty one where there is none."""
        return self._views.get(index, _EMPTY)
