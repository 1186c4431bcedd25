# The scoreboard: what every worker is doing, in shared memory, readable even when a worker hangs.
#
# Each worker has a slot, which is memory of its own: a memfd that the supervisor makes for this one process
# and maps; the worker is given the only other descriptor. Rule 1: a slot has a single writer, the worker it
# was made for. Nobody else can write to it, so what the supervisor reads there, and kills by, was written by
# that worker alone. But it may hold anything: a worker may have been taken over. Readers take what makes no
# sense for nothing and never fail. Rule 2: numbers are aligned 64-bit words written by one store, so a reader
# never sees half of one (x86-64 and AArch64 both promise that for aligned words; CPython memoryviews and
# native struct codes make one 8-byte copy). Rule 3: a record of a request begins and ends with the same
# number, which no other request of the slot has. The first is written first and the last one last; a reader
# takes them in the other order, and tries again when they differ. (0 is none: the place is being written.)
#
# Rule 4: most times are so short that they belong in the first bucket of a histogram. These are not counted
# one by one: they are the requests that no other bucket has, as those with a 2xx are those that no other
# class has. Other buckets and classes are written before REQUESTS and read after it, so such a difference may
# be too small for a moment and never too large.
#
# Layout (VERSION names it):  header | WORDS counters | histogram of latencies | histogram of queue times
# (histogram.py) | RECORDS requests, running or lately finished | counts by route pattern (route_counts.py).
# What workers have to know of each other stands elsewhere, see seats.py; what those that are gone have
# counted, in retired.py.

from __future__ import annotations

import mmap
import os
import struct
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Final

from bigtop.errors import one_line
from bigtop.ipc import histogram, route_counts, seats
from bigtop.ipc.histogram import BOUNDS, FAR, NEAR, QUICK, SHIFT
from bigtop.ipc.request_record import RequestPhase as RequestPhase
from bigtop.ipc.request_record import RequestRecord as RequestRecord
from bigtop.ipc.route_counts import RouteCounts, RouteView
from bigtop.system import kernel

if TYPE_CHECKING:
    from bigtop.ipc.cache_arena import Arena
    from bigtop.ipc.client_table import ClientTable

VERSION: Final = 7
MAGIC: Final = int.from_bytes(b"bigtop\0\0", "little")


class Word(IntEnum):
    """The counters of a slot. Times are CLOCK_MONOTONIC nanoseconds, the same in all processes."""

    PID = 0
    KEY = 1  # the supervisor's number for this process
    GENERATION = 2
    STARTED = 3
    BUSY = 4  # application calls running now
    ACCEPTED = 5  # connections accepted so far, or taken over from other workers
    REQUESTS = 6  # requests answered so far; those that no other word counts, with a 2xx
    ERRORS = 7  # of these, answered with a 5xx
    BYTES_IN = 8
    BYTES_OUT = 9
    CALL_NS = 10  # time inside the application, all calls together; 0 where LATENCY_NS says it
    QUEUE_NS = 11  # time from readable to application called, all calls together
    BEAT = 12  # last turn of the event loop, for backends that run applications in it; kept while BUSY
    WAITING = 13  # complete requests waiting for an application slot
    CUT = 14  # 1 once the worker has said which requests it cuts off
    LATENCY_NS = 15  # time from application called to answer out, all requests together
    # From here on LISTENERS words: connections accepted at each listening socket, in their order; the last
    # word counts those of all further ones. What was taken over from other workers is not in them.
    ACCEPTED_AT = 16
    STATUS_1XX = 24  # of the requests, answered with such a status
    STATUS_3XX = 25
    STATUS_4XX = 26
    HANDED_OFF = 27  # connections given to other workers of the application
    INTERRUPTS = 28  # 1: the worker interrupts requests that are past their time limit
    INTERRUPTED = 29  # requests that were, so far


LISTENERS: Final = 8


def beat_seconds(timeout: float) -> float:
    """Return how often a loop that turns is to say so (Word.BEAT), if `timeout` seconds without that, 0 for
    any, are too many."""
    return min(1.0, timeout / 4) if timeout else 1.0


NOWHERE: Final = -1  # the place of a request that is not shown
_PRESENT: Final = frozenset(RequestPhase) - {RequestPhase.NONE, RequestPhase.DONE}
_BEGUN: Final = frozenset((RequestPhase.APP, RequestPhase.WRITING))

WORDS: Final = 32  # some of them free, for later versions of the table
BUCKETS: Final = histogram.SIZE  # of each histogram
RECORDS: Final = 32  # running requests and, in the others, the last finished ones
SHARED: Final = RECORDS - 1  # the place of those that found no other

# A record: its number, six words (indexes below), method, client address, path, X-Request-ID, its number.
# Native packing ("@") copies a word at once, which "=" and "<" do not; it clears the whole place and then
# writes in this order. So who reads the phase first never meets a new phase with an old beginning or end.
# What begins with 0 is left to the clearing, and phase and status share a word: values cost, bytes do not.
_NUMBER: Final = 0
_BEGAN: Final = 1
_ENDED: Final = 2
_ENDED_AT: Final = _ENDED * 8
_PHASE: Final = 3  # and, times _STATUS, the status
_BYTES: Final = 4
_ROUTE: Final = 5  # the number of its row in route_counts.py, 0 for none
_DEADLINE: Final = 6  # when it is past a time limit of its own, 0 for none
_STATUS: Final = 8  # bits up
_RECORD: Final = struct.Struct("@7Q16s48s160s40sQ")
_BEGIN: Final = struct.Struct("@2Q8xQ24x16s48s160s40sQ")  # without what begins with 0
_HEAD: Final = struct.Struct("@7Q")
_FINISH: Final = struct.Struct("@3Q")  # ended, phase and status, bytes
_LAST: Final = struct.Struct("@Q")
RECORD_SIZE: Final = _RECORD.size
_LAST_AT: Final = RECORD_SIZE - _LAST.size
# The same numbers without the enum: a look-up of a member costs as much as a store, and these are hot.
_APP: Final = int(RequestPhase.APP)
_WRITING: Final = int(RequestPhase.WRITING)
_DONE: Final = int(RequestPhase.DONE)
_PHASES: Final = {int(phase): phase for phase in RequestPhase}
_HEADER: Final = struct.Struct("@2Q")  # MAGIC, VERSION
_WORDS_AT: Final = 64  # a cache line
_BUCKETS_AT: Final = _WORDS_AT + WORDS * 8
_WAITS_AT: Final = _BUCKETS_AT + BUCKETS * 8
_RECORDS_AT: Final = _WAITS_AT + BUCKETS * 8
_ROUTES_AT: Final = 16384
_FIRST_ROUTE_AT: Final = _ROUTES_AT + route_counts.FIRST_REQUESTS
SIZE: Final = -(-(_ROUTES_AT + route_counts.SIZE) // mmap.PAGESIZE) * mmap.PAGESIZE
_PLACES: Final = range(_RECORDS_AT, _RECORDS_AT + RECORDS * RECORD_SIZE, RECORD_SIZE)
_TRIES: Final = 200  # to catch a record between two stores
assert _PLACES.stop <= _ROUTES_AT
assert _BEGIN.size == RECORD_SIZE == RECORD_SIZE // 8 * 8


def create(number: int) -> int:
    """Return the descriptor of an empty slot for worker `number`."""
    fd = kernel.shared_memory(f"bigtop-scoreboard-{number}", SIZE)
    os.pwrite(fd, _HEADER.pack(MAGIC, VERSION), 0)
    return fd


def attach(fd: int, *, read_only: bool = False) -> memoryview:
    """Map a slot; ValueError for what is none. The descriptor can be closed then."""
    size = os.fstat(fd).st_size
    if size != SIZE:
        raise ValueError(f"descriptor {fd} is not a scoreboard: it has {size} bytes")
    protection = mmap.PROT_READ if read_only else mmap.PROT_READ | mmap.PROT_WRITE
    memory = memoryview(mmap.mmap(fd, SIZE, prot=protection))
    if _HEADER.unpack_from(memory) != (MAGIC, VERSION):
        raise ValueError(f"descriptor {fd} is not a scoreboard of version {VERSION}")
    return memory


def nothing() -> memoryview:
    """Return memory like that of an empty slot, which only takes what is written to."""
    memory = memoryview(mmap.mmap(-1, SIZE))
    _HEADER.pack_into(memory, 0, MAGIC, VERSION)
    return memory


class Slot:
    """A worker's own slot, for the worker itself; `seat` is what its siblings see of it, `clients` what all
    of them know of clients, `arena` where they keep answers; None: each does so for itself.

    Words are changed by `words[Word.X] = n`. A backend with threads sees to it that each word has one writer
    at a time and that end() is never called by two threads at once; begin() may be.

    `latency_ns` is for whoever posts LATENCY_NS.
    """

    __slots__ = (
        "_at", "_counts", "_ends", "_free", "_heads", "_memory", "_number", "_routes", "_waits",
        "arena", "buckets", "clients", "latency_ns", "seat", "waits", "words",
    )  # fmt: skip

    def __init__(self, memory: memoryview, seat: memoryview | None = None) -> None:
        self.seat = seats.nowhere() if seat is None else seat
        self.clients: ClientTable | None = None
        self.arena: Arena | None = None
        self.words = memory[_WORDS_AT:_BUCKETS_AT].cast("Q")
        self.buckets = memory[_BUCKETS_AT:_WAITS_AT].cast("Q")
        self.waits = memory[_WAITS_AT:_RECORDS_AT].cast("Q")
        self._routes = RouteCounts(memory[_ROUTES_AT : _ROUTES_AT + route_counts.SIZE])
        self._counts: list[int] = self.buckets.tolist()
        self._waits: list[int] = self.waits.tolist()
        self.latency_ns = 0
        self._memory = memory
        self._at = list(_PLACES)
        self._ends = [at + _ENDED_AT for at in _PLACES]
        self._heads = [memory[record : record + _HEAD.size].cast("Q") for record in self._at]
        self._number = count(1).__next__  # which any thread may call
        # The longest finished one is used first, so that the others stay readable. The last record is never
        # in here: it is the one that is shared when all others run.
        self._free = deque(range(SHARED))

    @classmethod
    def unseen(cls) -> Slot:
        """Return the slot of a worker that nobody looks at."""
        return cls(nothing())

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
        _BEGIN.pack_into(
            self._memory, self._at[place], number, began, _APP, method, client, path, request_id, number
        )
        return place

    def arrive(self, phase: RequestPhase, since: int, method: bytes, client: bytes, path: bytes) -> int:
        """Show a request that is not in the application yet; return its place, for leave(). NOWHERE: half of
        all places are taken, and the others are for those that are.

        For requests that come in several pieces, or wait: most are begun with at once.
        """
        if len(self._free) <= RECORDS // 2:
            return NOWHERE
        place, number = self._free.popleft(), self._number()
        self._heads[place][_NUMBER] = number
        _BEGIN.pack_into(
            self._memory, self._at[place], number, since, int(phase), method, client, path, b"", number
        )
        return place

    def leave(self, place: int) -> None:
        """It goes on elsewhere, or nowhere."""
        self._heads[place][_PHASE] = 0
        self._free.appendleft(place)

    def moved(self, place: int, count: int) -> None:
        """So many bytes of it have been sent, or received, by now."""
        self._heads[place][_BYTES] = count

    def writing(self, place: int) -> None:
        """The application is done with (or held back by) the client, which reads slowly."""
        self._heads[place][_PHASE] = _WRITING

    def limit(self, place: int, began: int, deadline: int) -> None:
        """The request at `place` that began then, if it is not over, has a time limit of its own."""
        head = self._heads[place]
        if head[_BEGAN] == began:
            head[_DEADLINE] = deadline

    def running(self) -> list[RequestRecord]:
        """Return the requests that are in progress, oldest first."""
        return View(self._memory).running()

    def latencies(self) -> list[int]:
        """Return the histogram of latencies."""
        return View(self._memory).latencies()

    def end(self, place: int, began: int, ended: int, status: int, sent: int = 0) -> None:
        """The request is answered with `sent` bytes: count its latency; its record stays until others need
        the place."""
        _FINISH.pack_into(self._memory, self._ends[place], ended, status << _STATUS | _DONE, sent)
        took = ended - began
        self.latency_ns += took
        if took > QUICK:  # as histogram.bucket_of() does it
            if took < FAR:
                bucket = NEAR[took >> SHIFT]
                if took > BOUNDS[bucket]:
                    bucket += 1
            else:
                bucket = bisect_left(BOUNDS, took)
            self._counts[bucket] = self.buckets[bucket] = self._counts[bucket] + 1
        if place != SHARED:
            self._free.append(place)

    def route(self, place: int, pattern: str, took: int, status: int) -> None:
        """The request that is about to end() was one for that route pattern."""
        self._heads[place][_ROUTE] = self._routes.count(pattern, took, status)

    def waited(self, time: int) -> None:
        """A request waited for so many nanoseconds, more than QUICK, before the application was called."""
        bucket = histogram.bucket_of(time)
        self._waits[bucket] = self.waits[bucket] = self._waits[bucket] + 1


class View:
    """A slot for those who read it."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.words = memory[_WORDS_AT:_BUCKETS_AT].cast("Q")  # live; index with Word
        # Whether anything is counted by route pattern: mostly not, and then nobody has to look further.
        self._routes: RouteView | None = None
        self.routed = memory[_FIRST_ROUTE_AT : _FIRST_ROUTE_AT + 8].cast("Q")

    @property
    def routes(self) -> RouteView:
        """What is counted by route pattern."""
        if self._routes is None:
            self._routes = RouteView(self._memory[_ROUTES_AT : _ROUTES_AT + route_counts.SIZE])
        return self._routes

    def latencies(self) -> list[int]:
        """Return the histogram of latencies."""
        return self._filled(_BUCKETS_AT, _WAITS_AT)

    def waits(self) -> list[int]:
        """Return the histogram of queue times, an empty one where nobody measures them."""
        if not self.words[Word.QUEUE_NS]:
            return [0] * BUCKETS
        return self._filled(_WAITS_AT, _RECORDS_AT)

    def _filled(self, begin: int, end: int) -> list[int]:
        requests = self.words[Word.REQUESTS]
        counts: list[int] = self._memory[begin:end].cast("Q").tolist()
        counts[0] = max(0, requests - sum(counts[1:]))
        return counts

    def running(self) -> list[RequestRecord]:
        """Return the requests that the application was called for and that are in progress, oldest first."""
        return [record for record in self.present() if record.phase in _BEGUN]

    def present(self) -> list[RequestRecord]:
        """Return these, and those that arrive or wait."""
        live = (r for r in self._records() if r.phase in _PRESENT)
        return sorted(live, key=lambda record: record.began)

    def finished(self) -> list[RequestRecord]:
        """Return the last finished requests, oldest first."""
        done = (r for r in self._records() if r.phase is RequestPhase.DONE)
        return sorted(done, key=lambda record: record.ended)

    def soonest(self, limit: int) -> int:
        """Return when the first running application call is past its time limit, which is `limit` nanoseconds
        where it has none of its own, 0 for ever. 0: none ever is.

        Reads words only, so it is cheap enough to be asked about every worker each second.
        """
        soonest = 0
        for at in _PLACES:
            (last,) = _LAST.unpack_from(self._memory, at + _LAST_AT)
            _number, began, _ended, phase, _bytes, _route, deadline = _HEAD.unpack_from(self._memory, at)
            if phase != _APP or not (deadline or limit):
                continue
            until = deadline or began + limit
            # Where they differ a call begins this very moment, `began` may be its predecessor's.
            if (
                (not soonest or until < soonest)
                and last != 0
                and last == _HEAD.unpack_from(self._memory, at)[_NUMBER]
            ):
                soonest = until
        return soonest

    def elapsed(self, now: int, most: int) -> int:
        """Return for how long the application calls that run have been running, all together; none for more
        than `most`. Reads words only; calls that found no place of their own are not in it."""
        total = 0
        for at in _PLACES:
            (last,) = _LAST.unpack_from(self._memory, at + _LAST_AT)
            number, began, _ended, phase, _bytes, _route, _deadline = _HEAD.unpack_from(self._memory, at)
            if phase == _APP and last != 0 and last == number:
                total += min(most, max(0, now - began))
        return total

    def _records(self) -> Iterator[RequestRecord]:
        for at in _PLACES:
            for _ in range(_TRIES):  # a writer that died half-way leaves it half for ever
                (last,) = _LAST.unpack_from(self._memory, at + _LAST_AT)
                # The phase comes first: what was written before it is then seen as well.
                state = _HEAD.unpack_from(self._memory, at)[_PHASE]
                phase = _PHASES.get(state & ((1 << _STATUS) - 1), RequestPhase.NONE)
                values = _RECORD.unpack_from(self._memory, at)
                if last == _HEAD.unpack_from(self._memory, at)[_NUMBER]:
                    break
                time.sleep(0)  # let the writer, perhaps on this core, finish its few stores
            else:
                continue
            if last and phase is not RequestPhase.NONE:
                number, began, ended, _state, count, route, deadline, *texts, _last = values
                status = state >> _STATUS
                if phase is not RequestPhase.DONE:
                    ended = status = 0
                method, client, path, name = map(_str, texts)
                pattern = self.routes.pattern(route) if route else ""
                yield RequestRecord(
                    *(phase, began, ended, status, method, client, path, name, count, pattern),
                    number,
                    deadline,
                )


def _str(field: bytes) -> str:
    return one_line(field.rstrip(b"\0").decode("latin-1"))
