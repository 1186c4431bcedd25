# Retired record of one application: what its workers that are gone have counted, and who the others are.
#
# It is shared memory that the supervisor alone writes, and anybody who may look at the supervisor can map for
# reading, as the slots. So what is counted can be read in another process, whatever the supervisor is doing.
#
# Rule 1: when a worker is gone, what stands in its slot is added to the totals, and its entry in the
# directory is cleared, between two changes of one word, SEQUENCE: odd while that is done. Who reads copies
# the record, and again if SEQUENCE was odd or has changed. So each worker is either in the totals or in the
# directory. Its slot can be read later: it only grows, and the worker writes nothing after its end. The same
# holds for what it has counted by route pattern.
# Rule 2: which memory is whose slot stands here, as the number of its inode. A descriptor of the supervisor
# with another one is something else by now.

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from bigtop.ipc import counters, route_counts, scoreboard
from bigtop.ipc.counters import LENGTH, ROUTED, Counters
from bigtop.ipc.scoreboard import View
from bigtop.system import kernel

VERSION: Final = 2
MAGIC: Final = int.from_bytes(b"retired\0", "little")
PREFIX: Final = "bigtop-retired-"  # of its name in /proc/PID/fd, before that of the application
CAPACITY: Final = 2048  # entries; what further workers count is read when they are gone

_HEADER: Final = struct.Struct("@2Q")  # MAGIC, VERSION
_SEQUENCE_AT: Final = 64
_USED_AT: Final = 72  # entries up to the last one that ever was taken
_ROUTES_USED_AT: Final = 80  # rows
_TOTALS_AT: Final = 128
_NUMBER: Final = 16  # bytes of a total, little-endian: no worker can have one run over
_DIRECTORY_AT: Final = _TOTALS_AT + LENGTH * _NUMBER
_ENTRY: Final = struct.Struct("@4Q")  # key, 0 for none; inode; when it was made, monotonic nanoseconds; wid
_ROUTES_AT: Final = _DIRECTORY_AT + CAPACITY * _ENTRY.size
_ROW: Final = route_counts.LONGEST + len(ROUTED) * _NUMBER  # a pattern and its totals
_SIZE: Final = -(-(_ROUTES_AT + route_counts.MOST * _ROW) // mmap.PAGESIZE) * mmap.PAGESIZE
_WORD: Final = struct.Struct("@Q")
_TRIES: Final = 1000


class Entry(NamedTuple):
    """A worker that there is, or that was not added yet."""

    key: int
    inode: int
    since: int
    wid: int


NO_ROUTES: Final[Mapping[str, Counters]] = MappingProxyType({})
_NOBODY: Final = Entry(0, 0, 0, 0)


class State(NamedTuple):
    """What the record says at one moment."""

    totals: Counters
    workers: tuple[Entry, ...]
    routes: Mapping[str, Counters]  # totals by route pattern


class RetiredRecord:
    """The record for the supervisor, which writes it."""

    def __init__(self, name: str, fd: int | None = None) -> None:
        """`fd`: that of another supervisor, which this one goes on for; ValueError: it is none."""
        before = None if fd is None else RetiredView(fd).state()
        if fd is None:
            fd = kernel.shared_memory(PREFIX + name.replace("\0", "")[:200], _SIZE)
            os.pwrite(fd, _HEADER.pack(MAGIC, VERSION), 0)
        self.fd = fd
        self._memory = memoryview(mmap.mmap(self.fd, _SIZE))
        self._words = self._memory.cast("Q")
        self._totals: Counters = list(counters.NONE)
        self._routes: dict[str, Counters] = {}  # in the order of their rows
        self._since: dict[int, int] = {}
        if before is not None:
            self._totals, self._routes = before.totals, dict(before.routes)
            self._since = {entry.wid - 1: entry.since for entry in before.workers}

    def close(self) -> None:
        os.close(self.fd)

    def go_on_from(self, other: RetiredRecord) -> None:
        """Begin with what the workers of a predecessor have counted, of whom none is left."""
        self._totals, self._routes = other._totals, other._routes
        self._write(None, _NOBODY, _packed(self._totals), self._routes)

    def enter(self, index: int, key: int, slot: int) -> None:
        """A worker is to be, with the slot behind the descriptor `slot`."""
        self._since[index] = now = time.monotonic_ns()
        self._write(index, Entry(key, os.fstat(slot).st_ino, now, index + 1))

    def add(self, index: int, view: View) -> None:
        """The worker is gone: what it counted joins the rest."""
        age = time.monotonic_ns() - self._since.pop(index, 0)
        self._totals = counters.added(self._totals, counters.plausible(counters.read(view), age))
        routes = self._add_routes(counters.of_routes(view), age) if view.routed[0] else NO_ROUTES
        self._write(index, _NOBODY, _packed(self._totals), routes)

    def _add_routes(self, said: Mapping[str, Counters], age: int) -> Mapping[str, Counters]:
        """Add up what was counted by route pattern; return the totals that have changed."""
        room = route_counts.MOST - 1 - len(self._routes)
        new = [pattern for pattern in said if pattern not in self._routes][: max(0, room)]
        patterns = self._routes.keys() | set(new)
        for pattern, counts in (told := counters.folded(said, patterns)).items():
            grown = counters.plausible(counts, age)
            known = self._routes.get(pattern)
            self._routes[pattern] = grown if known is None else counters.added(known, grown)
        return {pattern: self._routes[pattern] for pattern in told}

    def _write(
        self, index: int | None, entry: Entry, totals: bytes = b"", routes: Mapping[str, Counters] = NO_ROUTES
    ) -> None:
        self._words[_SEQUENCE_AT // 8] += 1
        self._memory[_TOTALS_AT : _TOTALS_AT + len(totals)] = totals
        for pattern, counts in routes.items():
            at = _ROUTES_AT + list(self._routes).index(pattern) * _ROW
            name = pattern.encode().ljust(route_counts.LONGEST, b"\0")
            self._memory[at : at + _ROW] = name + _packed([counts[count] for count in ROUTED])
            self._words[_ROUTES_USED_AT // 8] = len(self._routes)
        if index is not None and index < CAPACITY:
            _ENTRY.pack_into(self._memory, _DIRECTORY_AT + index * _ENTRY.size, *entry)
            self._words[_USED_AT // 8] = max(self._words[_USED_AT // 8], index + 1)
        self._words[_SEQUENCE_AT // 8] += 1


def _packed(totals: Counters) -> bytes:
    return b"".join([total.to_bytes(_NUMBER, "little") for total in totals])


class RetiredView:
    """The record for who reads it; ValueError for a descriptor of something else."""

    def __init__(self, fd: int) -> None:
        if (size := os.fstat(fd).st_size) != _SIZE:
            raise ValueError(f"descriptor {fd} is no retired record: it has {size} bytes")
        self._memory = memoryview(mmap.mmap(fd, _SIZE, prot=mmap.PROT_READ))
        if _HEADER.unpack_from(self._memory) != (MAGIC, VERSION):
            raise ValueError(f"descriptor {fd} is no retired record of version {VERSION}")

        self._last: tuple[int, State] | None = None  # with its SEQUENCE

    def state(self) -> State | None:
        """Return a state that the record was in; None where its writer has died half-way."""
        for _ in range(_TRIES):
            (before,) = _WORD.unpack_from(self._memory, _SEQUENCE_AT)
            if self._last is not None and self._last[0] == before:
                return self._last[1]
            (used,) = _WORD.unpack_from(self._memory, _USED_AT)
            (routes,) = _WORD.unpack_from(self._memory, _ROUTES_USED_AT)
            copy = bytes(self._memory[: _DIRECTORY_AT + min(used, CAPACITY) * _ENTRY.size])
            end = _ROUTES_AT + min(routes, route_counts.MOST) * _ROW
            rows = bytes(self._memory[_ROUTES_AT:end])
            (after,) = _WORD.unpack_from(self._memory, _SEQUENCE_AT)
            if before == after and before % 2 == 0:
                entries = map(Entry._make, _ENTRY.iter_unpack(copy[_DIRECTORY_AT:]))
                workers = tuple(entry for entry in entries if entry.key)
                state = State(_numbers(copy[_TOTALS_AT:_DIRECTORY_AT]), workers, _routes(rows))
                self._last = before, state
                return state
            time.sleep(0)
        return None


def _numbers(copy: bytes) -> Counters:
    return [int.from_bytes(copy[at : at + _NUMBER], "little") for at in range(0, len(copy), _NUMBER)]


def _routes(copy: bytes) -> Mapping[str, Counters]:
    found = {}
    for at in range(0, len(copy), _ROW):
        name, numbers = copy[at : at + route_counts.LONGEST], copy[at + route_counts.LONGEST : at + _ROW]
        counts = list(counters.NONE)
        for count, number in zip(ROUTED, _numbers(numbers), strict=True):
            counts[count] = number
        found[name.rstrip(b"\0").decode()] = counts
    return found


def slot(fd: int, inode: int) -> View | None:
    """Return the slot behind a descriptor, None if it is no longer that of `inode`."""
    if os.fstat(fd).st_ino != inode:
        return None
    try:
        return View(scoreboard.attach(fd, read_only=True))
    except ValueError:
        return None
