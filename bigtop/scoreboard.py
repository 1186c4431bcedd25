# The scoreboard: what every worker is doing, in shared memory, readable even when a worker hangs.
#
# One slot per worker. Rule 1: a slot has a single writer, the worker that owns it; the supervisor clears it
# before a new owner is born and only reads it afterwards. Rule 2: numbers are aligned 64-bit words written by
# one store, so a reader never sees half of one (x86-64 and AArch64 both promise that for aligned words;
# CPython memoryviews and native struct codes make one 8-byte copy). Rule 3: a record of a request is guarded
# by a counter of its own (a seqlock): odd while the record is begun; a reader that meets an odd or a changed
# counter tries again.
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
from typing import Final

VERSION: Final = 2
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
_SHARED: Final = RECORDS - 1
SLOT_COUNT: Final = 2048

# A record: five words (indexes below), then method, client address, path, X-Request-ID. Native packing ("@")
# copies a word at once, which "=" and "<" do not; it clears the whole place and then writes in this order. So
# who reads the phase first never meets a new phase with an old beginning or end.
_SEQ: Final = 0
_BEGAN: Final = 1
_ENDED: Final = 2
_STATUS: Final = 3
_PHASE: Final = 4
_HEAD: Final = struct.Struct("@5Q")
_START: Final = struct.Struct("@4Q16s48s160s40x")  # all but the counter
_FINISH: Final = struct.Struct("@3Q")  # ended, status, phase
_TEXT: Final = struct.Struct("@16s48s160s40s")
_ID: Final = struct.Struct("@40s")
_TEXT_AT: Final = _HEAD.size
RECORD_SIZE: Final = _TEXT_AT + _TEXT.size
_ID_AT: Final = RECORD_SIZE - _ID.size
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
    at a time and that begin() is never called by two threads at once; the others touch their own record only.
    """

    __slots__ = ("_at", "_free", "_heads", "_memory", "buckets", "words")

    def __init__(self, memory: memoryview, index: int) -> None:
        at = HEADER_SIZE + index * SLOT_SIZE
        end = at + WORDS * 8
        self.words = memory[at:end].cast("Q")
        self.buckets = memory[end : end + BUCKETS * 8].cast("Q")
        self._memory = memory
        self._at = [at + _RECORDS_AT + n * RECORD_SIZE for n in range(RECORDS)]
        self._heads = [memory[record : record + _TEXT_AT].cast("Q") for record in self._at]
        # The longest finished one is used first, so that the others stay readable. The last record is never
        # in here: it is the one that is shared when all others run.
        self._free = deque(range(_SHARED))

    def begin(self, began: int, method: bytes, client: bytes, path: bytes) -> int:
        """Show a request that enters the application; return the number of its record, for end().

        With RECORDS or more requests running at once, the last record is shared: they are counted, but only
        the newest of them is described.
        """
        number = self._free.popleft() if self._free else _SHARED
        head = self._heads[number]
        seq = head[_SEQ] | 1  # a predecessor that died half-way left it odd
        head[_SEQ] = seq
        _START.pack_into(self._memory, self._at[number] + 8, began, 0, 0, _APP, method, client, path)
        head[_SEQ] = seq + 1
        return number

    def name(self, number: int, request_id: str) -> None:
        """Show the X-Request-ID of a request, which is known when its environ is made.

        Without the counter: it is for people, and half of it does no harm.
        """
        _ID.pack_into(self._memory, self._at[number] + _ID_AT, request_id.encode("latin-1"))

    def writing(self, number: int) -> None:
        """The application is done with (or held back by) the client, which reads slowly."""
        self._heads[number][_PHASE] = _WRITING

    def end(self, number: int, ended: int, status: int) -> None:
        """The request is answered: count its latency; its record stays until others need the place."""
        _FINISH.pack_into(self._memory, self._at[number] + _ENDED * 8, ended, status, _DONE)
        bucket = ((ended - self._heads[number][_BEGAN]) // 1000).bit_length()
        self.buckets[bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        if number != _SHARED:
            self._free.append(number)


class Scoreboard:
    """The whole table. Made once by the supervisor; children map it by descriptor."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if size < HEADER_SIZE:
            raise ValueError(f"descriptor {fd} is not a scoreboard: it has {size} bytes")
        self.fd = fd
        self._memory = memoryview(mmap.mmap(fd, size))
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
            seq, began, _ended, _status, phase = _HEAD.unpack_from(self._memory, at)
            if phase != _APP or (oldest and began >= oldest):
                continue
            # An odd or changed counter: a call begins this very moment, `began` may be its predecessor's.
            if seq % 2 == 0 and seq == _HEAD.unpack_from(self._memory, at)[_SEQ]:
                oldest = began
        return oldest

    def _records(self, index: int) -> Iterator[RequestRecord]:
        for at in self._record_places(index):
            for _ in range(1000):  # a writer that died half-way leaves an odd counter for ever
                # The phase comes first: what was written before it is then seen as well.
                seq, _began, _ended, _status, phase = _HEAD.unpack_from(self._memory, at)
                _seq, began, ended, status, _phase = _HEAD.unpack_from(self._memory, at)
                texts = _TEXT.unpack_from(self._memory, at + _TEXT_AT)
                if seq % 2 == 0 and seq == _HEAD.unpack_from(self._memory, at)[_SEQ]:
                    break
                time.sleep(0)  # let the writer, perhaps on this core, finish its few stores
            else:
                continue
            if phase != Phase.NONE:
                if phase != _DONE:
                    ended = status = 0
                yield RequestRecord(Phase(phase), began, ended, status, *map(_str, texts))

    @staticmethod
    def _record_places(index: int) -> range:
        base = HEADER_SIZE + index * SLOT_SIZE + _RECORDS_AT
        return range(base, base + RECORDS * RECORD_SIZE, RECORD_SIZE)


def _str(field: bytes) -> str:
    return field.rstrip(b"\0").decode("latin-1")
