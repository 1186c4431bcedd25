# The scoreboard: what every worker is doing, in shared memory, readable even when a worker hangs.
#
# One slot per worker. Rule 1: a slot has a single writer, the worker that owns it; the supervisor clears it
# before a new owner is born and only reads it afterwards. Rule 2: numbers are aligned 64-bit words written by
# one store, so a reader never sees half of one (x86-64 and AArch64 both promise that for aligned words;
# CPython memoryviews and native struct codes make one 8-byte copy). Rule 3: a record of a request begins and
# ends with the same number, which no other request of the slot has. The first is written first and the last
# one last; a reader takes them in the other order, and tries again when they differ. (0 is none: the place is
# being written.)
#
# Layout (VERSION names it):  header page | slot 0 | slot 1 | ...
#     slot = WORDS counters | BUCKETS latency histogram | RECORDS requests, running or lately finished
# The memory is a memfd: pages that nobody touched cost nothing, so there are more slots than anybody needs.

from __future__ import annotations

import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import Final

VERSION: Final = 3
MAGIC: Final = int.from_bytes(b"bigtop\0\0", "little")


class Word(IntEnum):
    """The counters of a slot. Times are CLOCK_MONOTONIC nanoseconds, the same in all processes."""

    PID = 0
    KEY = 1  # the supervisor's number for this process
    GENERATION = 2
    STATE = 3  # see State
    STARTED = 4
    BUSY = 5  # application calls running now
    CONNECTIONS = 6  # open client connections
    ACCEPTED = 7  # connections accepted so far, or taken over from other workers
    REQUESTS = 8  # requests answered so far
    ERRORS = 9  # of these, answered with a 5xx
    BYTES_IN = 10
    BYTES_OUT = 11
    CALL_NS = 12  # time inside the application, all calls together
    QUEUE_NS = 13  # time from readable to application called, all calls together
    BEAT = 14  # last turn of the event loop, for backends that run applications in it; kept while BUSY
    WAITING = 15  # complete requests waiting for an application slot
    OPEN = 16  # 1 while new connections can be served at once
    IDLE = 17  # 1 while a worker with several threads has nothing at all to do


class State(IntEnum):
    EMPTY = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class Phase(IntEnum):
    """What a request is doing."""

    NONE = 0
    APP = 1  # inside the application
    WRITING = 2  # the application is done or held back, the client reads slowly
    DONE = 3


WORDS: Final = 32  # half of them free, for later versions of the table
BUCKETS: Final = 32  # bucket i counts requests of less than 2**i microseconds; the last one all longer ones
RECORDS: Final = 32  # running requests and, in the others, the last finished ones
SHARED: Final = RECORDS - 1  # the place of those that found no other
SLOT_COUNT: Final = 2048

# A record: its number, four words (indexes below), method, client address, path, X-Request-ID, its number.
# Native packing ("@") copies a word at once, which "=" and "<" do not; it clears the whole place and then
# writes in this order. So who reads the phase first never meets a new phase with an old beginning or end.
_NUMBER: Final = 0
_ENDED: Final = 2
_STATUS: Final = 3
_PHASE: Final = 4
_RECORD: Final = struct.Struct("@5Q16s48s160s40sQ")
_HEAD: Final = struct.Struct("@5Q")
_FINISH: Final = struct.Struct("@3Q")  # ended, status, phase
_LAST: Final = struct.Struct("@Q")
RECORD_SIZE: Final = _RECORD.size
_LAST_AT: Final = RECORD_SIZE - _LAST.size
# The same numbers without the enum: a look-up of a member costs as much as a store, and these are hot.
_APP: Final = int(Phase.APP)
_WRITING: Final = int(Phase.WRITING)
_DONE: Final = int(Phase.DONE)
_RECORDS_AT: Final = (WORDS + BUCKETS) * 8
SLOT_SIZE: Final = 12288  # whole pages, so that an unused slot has no memory at all
HEADER_SIZE: Final = 4096
_HEADER: Final = struct.Struct("@3Q")  # MAGIC, VERSION, number of slots
assert _RECORDS_AT + RECORDS * RECORD_SIZE <= SLOT_SIZE
assert RECORD_SIZE % 8 == 0


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request as the scoreboard shows it; times in monotonic nanoseconds, `ended` is 0 while it runs."""

    phase: Phase
    began: int
    ended: int
    status: int
    method: str
    client: str
    path: str
    id: str  # the beginning of its X-Request-ID; "" where the backend makes none


class Slot:
    """A worker's own row: only its owner calls these.

    Words are changed by `words[Word.X] = n`. A backend with threads sees to it that each word has one writer
    at a time and that end() is never called by two threads at once; begin() may be.
    """

    __slots__ = ("_at", "_counts", "_free", "_heads", "_memory", "_number", "buckets", "words")

    def __init__(self, memory: memoryview, index: int) -> None:
        at = HEADER_SIZE + index * SLOT_SIZE
        end = at + WORDS * 8
        self.words = memory[at:end].cast("Q")
        self.buckets = memory[end : end + BUCKETS * 8].cast("Q")
        self._counts: list[int] = self.buckets.tolist()
        self._memory = memory
        self._at = [at + _RECORDS_AT + n * RECORD_SIZE for n in range(RECORDS)]
        self._heads = [memory[record : record + _HEAD.size].cast("Q") for record in self._at]
        self._number = count(1).__next__  # which any thread may call
        # The longest finished one is used first, so that the others stay readable. The last record is never
        # in here: it is the one that is shared when all others run.
        self._free = deque(range(SHARED))

    def begin(self, began: int, method: bytes, client: bytes, path: bytes, request_id: bytes = b"") -> int:
        """Show a request that enters the application; return the place of its record, for end().

        With RECORDS or more requests running at once, the last record is shared: they are counted, but only
        the newest of them is described.
        """
        try:
            place = self._free.popleft()
        except IndexError:
            place = SHARED
        number = self._number()
        self._heads[place][_NUMBER] = number  # before the place is cleared, in whatever order that is done
        _RECORD.pack_into(
            self._memory, self._at[place],
            number, began, 0, 0, _APP, method, client, path, request_id, number,
        )  # fmt: skip
        return place

    def writing(self, place: int) -> None:
        """The application is done with (or held back by) the client, which reads slowly."""
        self._heads[place][_PHASE] = _WRITING

    def end(self, place: int, began: int, ended: int, status: int) -> None:
        """The request is answered: count its latency; its record stays until others need the place."""
        _FINISH.pack_into(self._memory, self._at[place] + _ENDED * 8, ended, status, _DONE)
        bucket = ((ended - began) // 1000).bit_length()
        if bucket >= BUCKETS:
            bucket = BUCKETS - 1
        self._counts[bucket] += 1
        self.buckets[bucket] = self._counts[bucket]
        if place != SHARED:
            self._free.append(place)


class Scoreboard:
    """The whole table. Made once by the supervisor; children map it by descriptor. Who is to read only may be
    given one that was opened so."""

    def __init__(self, fd: int, *, read_only: bool = False) -> None:
        size = os.fstat(fd).st_size
        if size < HEADER_SIZE:
            raise ValueError(f"descriptor {fd} is not a scoreboard: it has {size} bytes")
        self.fd = fd
        protection = mmap.PROT_READ if read_only else mmap.PROT_READ | mmap.PROT_WRITE
        self._memory = memoryview(mmap.mmap(fd, size, prot=protection))
        magic, version, capacity = _HEADER.unpack_from(self._memory)
        self.capacity: int = capacity
        if magic != MAGIC or version != VERSION or size < HEADER_SIZE + capacity * SLOT_SIZE:
            raise ValueError(f"descriptor {fd} is not a scoreboard of version {VERSION}")

    @classmethod
    def create(cls, capacity: int = SLOT_COUNT) -> Scoreboard:
        """Make an empty scoreboard in anonymous memory (memfd_create(2), close-on-exec)."""
        fd = os.memfd_create("bigtop-scoreboard")
        os.ftruncate(fd, HEADER_SIZE + capacity * SLOT_SIZE)
        os.pwrite(fd, _HEADER.pack(MAGIC, VERSION, capacity), 0)
        return cls(fd)

    def slot(self, index: int) -> Slot:
        """Return the writer's view of slot `index`."""
        if not 0 <= index < self.capacity:
            raise IndexError(f"slot {index} of {self.capacity}")
        return Slot(self._memory, index)

    def clear(self, index: int) -> None:
        """Empty a slot whose owner is gone; supervisor only, never while the owner lives."""
        at = HEADER_SIZE + index * SLOT_SIZE
        self._memory[at : at + SLOT_SIZE] = bytes(SLOT_SIZE)

    # ---- readers, any process

    def words(self, index: int) -> memoryview:
        """Return the live words of a slot; index with Word."""
        at = HEADER_SIZE + index * SLOT_SIZE
        return self._memory[at : at + WORDS * 8].cast("Q")

    def histogram(self, index: int) -> list[int]:
        at = HEADER_SIZE + index * SLOT_SIZE + WORDS * 8
        return self._memory[at : at + BUCKETS * 8].cast("Q").tolist()

    def running(self, index: int) -> list[RequestRecord]:
        """Return the requests that are in progress in a slot, oldest first."""
        live = (r for r in self._records(index) if r.phase is not Phase.DONE)
        return sorted(live, key=lambda record: record.began)

    def finished(self, index: int) -> list[RequestRecord]:
        """Return the last finished requests of a slot, oldest first."""
        done = (r for r in self._records(index) if r.phase is Phase.DONE)
        return sorted(done, key=lambda record: record.ended)

    def oldest(self, index: int) -> int:
        """Return when the longest running application call of a slot began, or 0 when none runs.

        Reads words only, so it is cheap enough to be asked about every worker each second.
        """
        oldest = 0
        for at in self._record_places(index):
            (last,) = _LAST.unpack_from(self._memory, at + _LAST_AT)
            _number, began, _ended, _status, phase = _HEAD.unpack_from(self._memory, at)
            if phase != _APP or (oldest and began >= oldest):
                continue
            # Where they differ a call begins this very moment, `began` may be its predecessor's.
            if last != 0 and last == _HEAD.unpack_from(self._memory, at)[_NUMBER]:
                oldest = began
        return oldest

    def _records(self, index: int) -> Iterator[RequestRecord]:
        for at in self._record_places(index):
            for _ in range(1000):  # a writer that died half-way leaves it half for ever
                (last,) = _LAST.unpack_from(self._memory, at + _LAST_AT)
                # The phase comes first: what was written before it is then seen as well.
                phase = _HEAD.unpack_from(self._memory, at)[_PHASE]
                _number, began, ended, status, _phase, *texts, _last = _RECORD.unpack_from(self._memory, at)
                if last == _HEAD.unpack_from(self._memory, at)[_NUMBER]:
                    break
                time.sleep(0)  # let the writer, perhaps on this core, finish its few stores
            else:
                continue
            if last and phase != Phase.NONE:
                if phase != _DONE:
                    ended = status = 0
                yield RequestRecord(Phase(phase), began, ended, status, *map(_str, texts))

    @staticmethod
    def _record_places(index: int) -> range:
        base = HEADER_SIZE + index * SLOT_SIZE + _RECORDS_AT
        return range(base, base + RECORDS * RECORD_SIZE, RECORD_SIZE)


def _str(field: bytes) -> str:
    return field.rstrip(b"\0").decode("latin-1")
