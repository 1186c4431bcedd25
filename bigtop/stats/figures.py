# Figures of all applications of a supervisor, as another process reads them.
#
# Rules: they are the slots of the workers and what those that are gone have counted. Everything is mapped for
# reading, and found among the descriptors of the supervisor, which is not asked and need not answer. A slot
# stays mapped until the record says that it was added to the totals, so what a worker counted is there once,
# whenever one looks.

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping

from bigtop.ipc import cache_layout, counters, retired
from bigtop.ipc.counters import Counters, RouteSums, Sums
from bigtop.ipc.retired import RetiredView
from bigtop.ipc.scoreboard import View, Word
from bigtop.record import Record

_SLOT = "bigtop-scoreboard-"
_MOST = 10**6
_SEARCH = 10.0  # seconds between two looks for applications that are new


class AppFigures(Record):
    """What the workers of one application have counted together, and do now."""

    counters: Counters
    workers: int
    busy: int
    waiting: int
    routes: Mapping[str, Counters] = retired.NO_ROUTES  # by route pattern
    elapsed: int = 0  # nanoseconds, of the calls that run, which no counter has yet
    cache: cache_layout.Totals | None = None  # None: it has none


class Figures:
    """Of the supervisor with process id `pid`, for one thread. OSError where it is gone or another user's."""

    def __init__(self, pid: int) -> None:
        self._folder = f"/proc/{pid}/fd"
        self._apps: dict[str, _App] = {}
        self._arenas: dict[str, tuple[str, int]] = {}  # descriptor and inode of its cache, by application
        self._search_at = 0.0

    def look(self) -> dict[str, AppFigures]:
        """Return the figures by name of the application; counters of each never go back."""
        if (now := time.monotonic()) >= self._search_at:
            self._search_at = now + _SEARCH
            self._find_apps()
        links: dict[int, str] | None = None
        found = {}
        for name, app in self._apps.items():
            if app.needs_slots():
                links = self._slots() if links is None else links
                app.map(links)
            found[name] = app.figures(self._cache(name))
        return found

    def _cache(self, name: str) -> cache_layout.Totals | None:
        link, inode = self._arenas.get(name, ("", 0))
        with contextlib.suppress(OSError, ValueError):  # it has none, or another one since
            if link:
                with _opened(link) as fd:
                    return cache_layout.totals_of(fd) if os.fstat(fd).st_ino == inode else None
        return None

    def _find_apps(self) -> None:
        seen = {}
        for link, name in self._memory(retired.PREFIX):
            with contextlib.suppress(OSError, ValueError), _opened(link) as fd:
                inode = os.fstat(fd).st_ino
                known = self._apps.get(name)
                is_known = known is not None and known.inode == inode
                seen[name] = known if known is not None and is_known else _App(RetiredView(fd), inode)
        self._apps = seen
        self._arenas = {}
        for link, name in self._memory(cache_layout.PREFIX):
            with contextlib.suppress(OSError):
                self._arenas[name] = link, os.stat(link).st_ino

    def _slots(self) -> dict[int, str]:
        """Return where the slots are, by inode."""
        found = {}
        for link, _ in self._memory(_SLOT):
            with contextlib.suppress(OSError):
                found[os.stat(link).st_ino] = link
        return found

    def _memory(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield descriptors of shared memory whose name begins so, each with the rest of its name."""
        for number in os.listdir(self._folder):
            link = f"{self._folder}/{number}"
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                name = os.readlink(link)
                if name.startswith(f"/memfd:{prefix}"):
                    yield link, name.removeprefix(f"/memfd:{prefix}").removesuffix(" (deleted)")


class _App:
    """One application."""

    def __init__(self, record: RetiredView, inode: int) -> None:
        self.inode = inode
        self._record = record
        self._sums = Sums()
        self._routes = RouteSums()
        self._views: dict[int, View] = {}  # by inode
        self._state = retired.State([0] * counters.LENGTH, (), retired.NO_ROUTES)

    def needs_slots(self) -> bool:
        """Take in who is there; say whether some of them were never seen."""
        self._state = self._record.state() or self._state
        inodes = {entry.inode for entry in self._state.workers}
        self._views = {inode: view for inode, view in self._views.items() if inode in inodes}
        return inodes != self._views.keys()

    def map(self, links: dict[int, str]) -> None:
        for inode in (entry.inode for entry in self._state.workers if entry.inode not in self._views):
            if inode in links:  # or gone meanwhile: it will be in the totals
                with contextlib.suppress(OSError), _opened(links[inode]) as fd:
                    view = retired.slot(fd, inode)
                    if view is not None:
                        self._views[inode] = view

    def figures(self, cache: cache_layout.Totals | None) -> AppFigures:
        now = time.monotonic_ns()
        there = [
            (entry, self._views[entry.inode]) for entry in self._state.workers if entry.inode in self._views
        ]
        workers = {entry.key: (counters.read(view), now - entry.since) for entry, view in there}
        self._sums.take(self._state.totals, workers)
        self._routes.take(self._state.routes, {entry.key: (view, now - entry.since) for entry, view in there})
        return AppFigures(
            self._sums.total,
            sum(view.words[Word.PID] > 0 for _, view in there),
            sum(_sane(view.words[Word.BUSY]) for _, view in there),
            sum(_sane(view.words[Word.WAITING]) for _, view in there),
            self._routes.totals,
            sum(view.elapsed(now, now - entry.since) for entry, view in there if view.words[Word.BUSY]),
            cache,
        )


def _sane(number: int) -> int:
    """Return how many requests a worker has at once; 0 if it cannot be that many."""
    return number if number < _MOST else 0


@contextlib.contextmanager
def _opened(link: str) -> Iterator[int]:
    fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)
