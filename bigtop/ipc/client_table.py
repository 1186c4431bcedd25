# Client table: what all workers of an application know together of the addresses of clients, in shared
# memory: how much of its rate each has used up, and how many connections it has open.
#
# An address is a key here, a number of 64 bits that nobody can foresee: it is hashed with a secret of the
# table. A key has a set of places that it may be in. Of a full set that makes room which would be forgotten
# first anyway; a connection that finds no room is counted by its worker alone. So memory is bounded.
#
# Rule 1: a set is changed under a lock of its own, which ends with who holds it. Who does not get it soon
# goes on without: a worker that was stopped in the middle must not stop the others.
# Rule 2: a count of connections has one writer, the worker in that seat (seats.py). Those of a seat that is
# empty are not counted: whoever sat there is gone, and so are its connections.

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final

from bigtop.ipc.seats import Seat, Seats
from bigtop.system import kernel

WAYS: Final = 8  # places of a set
RATE_SETS: Final = 4096
ROW_SETS: Final = 512
WIDTH: Final = 128  # seats whose connections are counted; those beyond count for themselves
MOST: Final = 65535  # connections of one address in one worker, as far as they are counted
_SECRET: Final = 16  # bytes
_RATES_AT: Final = 64
_KEYS_AT: Final = _RATES_AT + RATE_SETS * WAYS * 16
_COUNTS_AT: Final = _KEYS_AT + ROW_SETS * WAYS * 8
SIZE: Final = _COUNTS_AT + ROW_SETS * WAYS * WIDTH * 2  # pages that nobody touched cost nothing
_TRIES: Final = 500
NOWHERE: Final = -1


def create() -> int:
    """Return the descriptor of an empty table."""
    fd = kernel.shared_memory("bigtop-clients", SIZE)
    os.pwrite(fd, os.urandom(_SECRET), 0)
    return fd


def used(full_at: int, now: int, price: int, depth: int) -> tuple[bool, int]:
    """Return whether a bucket that will be full then, and holds `depth`, has `price` in it now; and when it
    will be full after that. (A leaky bucket as GCRA keeps it: one that is full says nothing.)"""
    after = (full_at if full_at > now else now) + price
    return (True, after) if after - now <= depth else (False, full_at)


class ClientTable:
    """The table behind `fd`, which stays open, for the worker in seat number `mine`."""

    def __init__(self, fd: int, seats: Seats, mine: int) -> None:
        if (size := os.fstat(fd).st_size) != SIZE:
            raise ValueError(f"descriptor {fd} is no table of clients: it has {size} bytes")
        self._fd = fd
        self._seats = seats
        self._mine = mine
        memory = memoryview(mmap.mmap(fd, SIZE))
        self.secret = bytes(memory[:_SECRET])
        self._rates = memory[_RATES_AT:_KEYS_AT].cast("Q")
        self._keys = memory[_KEYS_AT:_COUNTS_AT].cast("Q")
        self._counts = memory[_COUNTS_AT:].cast("H")
        self._own: dict[int, tuple[int, int]] = {}  # key -> its row, NOWHERE for none; connections here
        if mine < WIDTH:
            self._clear()

    def _clear(self) -> None:
        """Forget what somebody counted who sat here before."""
        for row, key in enumerate(self._keys.tolist()):
            if key:
                self._counts[row * WIDTH + self._mine] = 0

    # ---- rates

    def use(self, key: int, now: int, price: int, depth: int) -> tuple[bool, int]:
        """Take `price` out of the bucket of `key`, which holds `depth`, if there is as much in it. Times are
        monotonic nanoseconds. Return whether there was, and when the bucket is full again."""
        number = key % RATE_SETS
        at = number * 2 * WAYS
        locked = self._lock(number)
        try:
            keys = self._rates[at : at + WAYS].tolist()
            if key in keys:
                place = at + WAYS + keys.index(key)
                full_at = self._rates[place]
            else:
                ends = self._rates[at + WAYS : at + 2 * WAYS].tolist()
                place = at + WAYS + ends.index(min(ends))
                full_at = now
            enough, full_at = used(full_at, now, price, depth)
            if enough:
                self._rates[place] = full_at
                self._rates[place - WAYS] = key
            return enough, full_at
        finally:
            if locked:
                self._unlock(number)

    # ---- connections

    def enter(self, key: int) -> int:
        """Count a connection more of `key`; return how many it has with that, in all workers."""
        row, count = self._own.get(key, (NOWHERE, 0))
        number = key % ROW_SETS
        locked = self._mine < WIDTH and self._lock(RATE_SETS + number)
        try:
            if row == NOWHERE and self._mine < WIDTH:
                row = self._row(key, number)
            count += 1
            self._own[key] = row, count
            if row == NOWHERE:
                return count
            self._keys[row] = key
            self._counts[row * WIDTH + self._mine] = min(count, MOST)
            return self._total(row)
        finally:
            if locked:
                self._unlock(RATE_SETS + number)

    def leave(self, key: int) -> None:
        """Count a connection less."""
        row, count = self._own.pop(key)
        if count > 1:
            self._own[key] = row, count - 1
        if row != NOWHERE:
            self._counts[row * WIDTH + self._mine] = min(count - 1, MOST)

    def _row(self, key: int, number: int) -> int:
        """Return the row that is for `key`, or may become that; NOWHERE if others have all of them."""
        first = number * WAYS
        keys = self._keys[first : first + WAYS].tolist()
        if key in keys:
            return first + int(keys.index(key))
        for row in range(first, first + WAYS):
            if not self._keys[row] or not self._total(row):
                return row
        return NOWHERE

    def _total(self, row: int) -> int:
        """Return the connections in a row, those of workers that are there."""
        counts = self._counts[row * WIDTH : (row + 1) * WIDTH].tolist()
        total = sum(counts)
        if total == counts[self._mine]:
            return total
        return sum(
            count
            for seat, count in enumerate(counts)
            if count and (seat == self._mine or self._seats.words(seat)[Seat.STATE])
        )

    # ---- the lock

    def _lock(self, number: int) -> bool:
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return True
            except OSError:
                os.sched_yield()
        return False

    def _unlock(self, number: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)


def alone() -> ClientTable:
    """Return the table of a worker that shares nothing."""
    from bigtop.ipc import seats

    table = seats.create()
    try:
        return ClientTable(create(), Seats(table), 0)
    finally:
        os.close(table)
