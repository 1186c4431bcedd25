# The scoreboard: what every worker is doing, in shared memory, readable even when a worker hangs.
#
# One slot per worker. Rule 1: a slot has a single writer, the worker that owns it; the supervisor clears it
# before a new owner is born and only reads it afterwards. Rule 2: numbers are aligned 64-bit words written by
# one store, so a reader never sees half of one (x86-64 and AArch64 both promise that for aligned words, and
# CPython's memoryview assigns with one 8-byte copy). Rule 3: the text of a request is guarded by a counter in
# its own record (a seqlock): odd while it is written; a reader that meets an odd or a changed counter tries
# again.
#
# Layout (VERSION names it):  header page | slot 0 | slot 1 | ...
#     slot = WORDS counters | BUCKETS latency histogram | RECORDS requests, running or lately finished
# The memory is a memfd: pages that nobody touched cost nothing, so there are more slots than anybody needs.

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

VERSION: Final = 1
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
    ACCEPTED = 7  # connections accepted so far
    REQUESTS = 8  # requests answered so far
    ERRORS = 9  # of these, answered with a 5xx
    BYTES_IN = 10
    BYTES_OUT = 11
    CALL_NS = 12  # time inside the application, all calls together
    QUEUE_NS = 13  # time from readable to application called, all calls together
    BEAT = 14  # last turn of the event loop, for backends that run applications in it
    WAITING = 15  # complete requests waiting for an application slot


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
SLOT_COUNT: Final = 2048

# A record: five words (indexes below), then method, client address, path.
_SEQ, _PHASE, _BEGAN, _ENDED, _STATUS = range(5)
_TEXT: Final = struct.Struct("=16s48s160s")
_TEXT_AT: Final = 5 * 8
RECORD_SIZE: Final = _TEXT_AT + _TEXT.size
_RECORDS_AT: Final = (WORDS + BUCKETS) * 8
SLOT_SIZE: Final = 12288  # whole pages, so that an unused slot has no memory at all
HEADER_SIZE: Final = 4096
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


class Slot:
    """A worker's own row: only its owner calls these.

    Words are changed by `words[Word.X] = n`. A backend with threads sees to it that each word has one writer at
    a time and that begin() is never called by two threads at once; end() touches its own record only.
    """

    __slots__ = ("_heads", "_memory", "_next", "_texts", "buckets", "words")

    def __init__(self, memory: memoryview, index: int) -> None:
        at = HEADER_SIZE + index * SLOT_SIZE
        end = at + WORDS * 8
        self.words = memory[at:end].cast("Q")
        self.buckets = memory[end : end + BUCKETS * 8].cast("Q")
        self._memory = memory
        self._texts = [at + _RECORDS_AT + n * RECORD_SIZE + _TEXT_AT for n in range(RECORDS)]
        self._heads = [memory[text - _TEXT_AT : text].cast("Q") for text in self._texts]
        self._next = 0

    def begin(self, began: int, method: bytes, client: bytes, path: bytes) -> int:
        """Show a request that enters the application; return the number of its record, for end().

        With more than RECORDS requests running at once, the last record is shared: they are counted, but only
        one of them is described.
        """
        number = self._next
        for _ in range(RECORDS):
            number = (number + 1) % RECORDS
            if self._heads[number][_PHASE] in (Phase.NONE, Phase.DONE):
                break
        self._next = number
        head = self._heads[number]
        seq = head[_SEQ]
        head[_SEQ] = seq + 1
        _TEXT.pack_into(self._memory, self._texts[number], method, client, path)
        head[_BEGAN] = began
        head[_ENDED] = 0
        head[_PHASE] = Phase.APP
        head[_SEQ] = seq + 2
        return number

    def writing(self, number: int) -> None:
        """The application is done with (or held back by) the client, which reads slowly."""
        self._heads[number][_PHASE] = Phase.WRITING

    def end(self, number: int, ended: int, status: int) -> None:
        """The request is answered: count its latency; its record stays until others need the place."""
        head = self._heads[number]
        head[_ENDED] = ended
        head[_STATUS] = status
        head[_PHASE] = Phase.DONE
        bucket = ((ended - head[_BEGAN]) // 1000).bit_length()
        self.buckets[bucket if bucket < BUCKETS else BUCKETS - 1] += 1


class Scoreboard:
    """The whole table. Made once by the supervisor; children map it by descriptor."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        self.fd = fd
        self._map = mmap.mmap(fd, size)
        self._memory = memoryview(self._map)
        head = self._memory[:24].cast("Q")
        if head[0] != MAGIC or head[1] != VERSION:
            raise ValueError(f"descriptor {fd} is not a scoreboard of version {VERSION}")
        self.capacity = int(head[2])

    @classmethod
    def create(cls, capacity: int = SLOT_COUNT) -> Scoreboard:
        """Make an empty scoreboard in anonymous memory (memfd_create(2), close-on-exec)."""
        fd = os.memfd_create("bigtop-scoreboard")
        os.ftruncate(fd, HEADER_SIZE + capacity * SLOT_SIZE)
        with mmap.mmap(fd, HEADER_SIZE) as head:
            head[:24] = struct.pack("<QQQ", MAGIC, VERSION, capacity)
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
        began = 0
        base = HEADER_SIZE + index * SLOT_SIZE + _RECORDS_AT
        for number in range(RECORDS):
            head = self._memory[base + number * RECORD_SIZE :][:_TEXT_AT].cast("Q")
            if head[_PHASE] == Phase.APP and (not began or head[_BEGAN] < began):
                began = head[_BEGAN]
        return began

    def _records(self, index: int) -> Iterator[RequestRecord]:
        base = HEADER_SIZE + index * SLOT_SIZE + _RECORDS_AT
        for number in range(RECORDS):
            at = base + number * RECORD_SIZE
            head = self._memory[at : at + _TEXT_AT].cast("Q")
            for _ in range(1000):  # a writer that died half-way leaves an odd counter for ever
                before = head[_SEQ]
                _, phase, began, ended, status = head.tolist()
                method, client, path = _TEXT.unpack_from(self._memory, at + _TEXT_AT)
                if before % 2 == 0 and before == head[_SEQ]:
                    break
                time.sleep(0)  # let the writer, perhaps on this core, finish its few stores
            else:
                continue
            if phase != Phase.NONE:
                yield RequestRecord(
                    Phase(phase), began, ended, status, _str(method), _str(client), _str(path)
                )


def _str(field: bytes) -> str:
    return field.rstrip(b"\0").decode("latin-1")
