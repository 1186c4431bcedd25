# Layout of the arena of the response cache (cache_arena.py): where it has what, and how much of it. For who
# only reads what was counted, too.

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from bigtop.ipc.cache_slot import SLOT_SIZE
from bigtop.ipc.seats import CAPACITY

PREFIX: Final = "bigtop-cache-"  # of its name in /proc/PID/fd, before that of the application
SMALLEST: Final = 1 << 20  # bytes of an arena
WAYS: Final = 8  # slots of a set
ALIGNED: Final = 8
_PER_SLOT: Final = 2048  # bytes of the ring for each slot: smaller answers than this leave some of it unused

# Words of 8 bytes at the beginning.
HEAD: Final = 0  # how many bytes of the ring were ever given out
PURGES: Final = 1
COUNTS_AT: Final = 128
COUNTS: Final = 8  # words for each seat
SETS_AT: Final = COUNTS_AT + CAPACITY * COUNTS * 8


class Count(IntEnum):
    """What is counted, in each worker."""

    HITS = 0
    MISSES = 1
    STALE = 2  # given although they were not fresh any more
    PASSED = 3  # requests, or answers, that are not for a cache
    STORED = 4
    EVICTED = 5  # to make room


class Totals(NamedTuple):
    """What an arena holds, and what was done with it. Counts begin anew with another arena."""

    used: int  # bytes of records; as soon as the ring has come around, all that it has
    size: int  # bytes of records that there is room for
    counts: Mapping[Count, int]


def rounded(size: int) -> int:
    """Return how many bytes an arena has of which somebody wants `size`."""
    return max(size, SMALLEST)


def size_of(wanted: int) -> tuple[int, int]:
    """Return how many slots and how many bytes for records an arena of `wanted` bytes has."""
    room = rounded(wanted) - SETS_AT
    slots = max(WAYS, room // (_PER_SLOT + SLOT_SIZE) // WAYS * WAYS)
    return slots, (room - slots * SLOT_SIZE) // ALIGNED * ALIGNED


def bytes_of(fd: int) -> int:
    """Return how many bytes the arena behind `fd` has; ValueError if it is none."""
    size = os.fstat(fd).st_size
    if size < SMALLEST:
        raise ValueError(f"descriptor {fd} is no arena of a cache: it has {size} bytes")
    return size


def totals_of(fd: int) -> Totals:
    """Return them for the arena behind `fd`, which may be for reading only; ValueError if it is none."""
    _, ring_size = size_of(bytes_of(fd))
    words = memoryview(os.pread(fd, SETS_AT, 0)).cast("Q")
    counts = words[COUNTS_AT // 8 :].tolist()
    found = {what: sum(counts[what::COUNTS]) for what in Count}
    return Totals(min(words[HEAD], ring_size), ring_size, found)
