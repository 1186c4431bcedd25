# Seats: what the workers of an application show each other, and its neighbours, in shared memory.
#
# One seat per worker number: is anybody there, and who has room for a connection? It is for the hand-off
# (handoff.py) and the queues of applications (backends/native/app_queues.py) alone. All workers of the
# application can write to all of it. So a worker that was taken over can have connections go astray, those
# of its own application, and nothing else hangs on it: by what the supervisor kills and counts stands in
# memory of each worker's own (scoreboard.py).
#
# Rule: a number is an aligned 64-bit word with one writer, as there. A seat is a cache line, so that workers
# do not slow each other down.

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from typing import Final

from bigtop.system import kernel


class Seat(IntEnum):
    """The words of a seat."""

    STATE = 0  # see State
    CONNECTIONS = 1  # open client connections
    OPEN = 2  # 1 while new connections can be served at once
    IDLE = 3  # 1 while a worker with several threads has nothing at all to do


class SeatState(IntEnum):
    EMPTY = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


CAPACITY: Final = 2048
SEAT_SIZE: Final = 64
SIZE: Final = CAPACITY * SEAT_SIZE  # pages that nobody touched cost nothing


def create() -> int:
    """Return the descriptor of empty seats, which nobody can make shorter: who looks would die of SIGBUS."""
    return kernel.shared_memory("bigtop-seats", SIZE)


class Seats:
    """All seats behind a descriptor. Who is to look only is given one that was opened so."""

    def __init__(self, fd: int, *, read_only: bool = False) -> None:
        if (size := os.fstat(fd).st_size) != SIZE:
            raise ValueError(f"descriptor {fd} is no table of seats: it has {size} bytes")
        protection = mmap.PROT_READ if read_only else mmap.PROT_READ | mmap.PROT_WRITE
        self._memory = memoryview(mmap.mmap(fd, SIZE, prot=protection))

    def words(self, index: int) -> memoryview:
        """Return the live words of one seat; index with Seat. Beyond the last one there are words that nobody
        sees: such a worker serves, and is given nothing."""
        if index >= CAPACITY:
            return nowhere()
        return self._memory[index * SEAT_SIZE : (index + 1) * SEAT_SIZE].cast("Q")

    def vacate(self, index: int) -> None:
        words = self.words(index)
        for word in Seat:
            words[word] = 0


def nowhere() -> memoryview:
    """Return the words of a seat among no others."""
    return memoryview(bytearray(SEAT_SIZE)).cast("Q")
