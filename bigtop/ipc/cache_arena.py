# Arena of the response cache: records by keys, in shared memory that all workers of an application have.
#
# A record lies in a ring, as a whole, and a slot says where. Who keeps one takes the next bytes of the ring;
# what lay there is forgotten. A record that is asked for shortly before that is written anew, so that what is
# wanted stays. A key may be in one of a few slots, its set. So memory is bounded, and nothing is searched.
#
# Rule 1: nobody who looks something up waits, or holds others up. What is read may be changed meanwhile, by
# a process that dies in the middle of it: a slot and a record have a checksum each, and the ring tells if
# it has come around. What does not fit is not there.
# Rule 2: slots are changed under a lock, which ends with the process that holds it. Who does not get it soon
# keeps nothing.
# Rule 3: who fills a key says so in its slot (Claim): which process, and by when at the latest. Who is dead,
# or late, has no claim any more. A claim is no lock: nothing is lost if two fill the same.
# Rule 4: a purge is a number. What was begun before one is not kept after it.

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from threading import Lock
from typing import Final, NamedTuple
from zlib import crc32

from bigtop.ipc.cache_layout import (
    ALIGNED,
    COUNTS,
    COUNTS_AT,
    HEAD,
    PREFIX,
    PURGES,
    SETS_AT,
    WAYS,
    Count,
    bytes_of,
    rounded,
    size_of,
)
from bigtop.ipc.cache_slot import EMPTY, SLOT_SIZE, Slot, bytes_of_slot, is_claimed, slot_in
from bigtop.ipc.seats import CAPACITY
from bigtop.system import kernel

_SHARE: Final = 8  # of the ring, that one record may have
_SECRET_AT: Final = 64
_SECRET: Final = 32
_KEY_SIZE: Final = 16
_TRIES: Final = 500
_BEGINNING: Final = 16384  # bytes of a record by which it may be purged


class Claim(NamedTuple):
    """The right to fill a key; `number` is that of its slot."""

    key: bytes
    number: int
    token: int
    purges: int


def create(size: int, name: str = "") -> int:
    """Return the descriptor of an empty arena of `size` bytes, for the application `name`; pages that nobody
    touched cost nothing."""
    fd = kernel.shared_memory(PREFIX + name.replace("\0", "")[:200], rounded(size))
    os.pwrite(fd, os.urandom(_SECRET), _SECRET_AT)
    return fd


class Counts:
    """What workers have counted, in `words`; this one counts in those from `mine` on. Threads of one worker
    may lose a count to each other."""

    def __init__(self, words: memoryview, mine: int) -> None:
        self._words = words
        self._mine = mine

    def add(self, what: Count) -> None:
        self._words[self._mine + what] += 1


class Arena:
    """The arena behind `fd`, which stays open, for the worker in seat number `mine`; any of its threads."""

    def __init__(self, fd: int, mine: int = 0) -> None:
        size = bytes_of(fd)
        self._fd = fd
        slots, self._ring_size = size_of(size)
        self._sets = slots // WAYS
        self._ring_at = SETS_AT + slots * SLOT_SIZE
        self._memory = memoryview(mmap.mmap(fd, size))
        self._words = self._memory[:_SECRET_AT].cast("Q")
        self._secret = bytes(self._memory[_SECRET_AT : _SECRET_AT + _SECRET])
        words = self._memory[COUNTS_AT:SETS_AT].cast("Q")
        self.counts = Counts(words, min(mine, CAPACITY - 1) * COUNTS)
        self._lock = Lock()  # held for microseconds, and never while anything waits
        self._tokens = 0
        self.largest = self._ring_size // _SHARE

    # ---- looking up

    def digest(self, key: bytes) -> bytes:
        """Return what stands for a key here; nobody outside can find two with the same."""
        return blake2b(key, digest_size=_KEY_SIZE, key=self._secret).digest()

    def find(self, key: bytes) -> tuple[Slot | None, bytes]:
        """Return the slot of a digest, None if it has none, and its record, b"" for none."""
        slot = self.slot_of(key)
        return (None, b"") if slot is None else (slot, self.record(slot))

    def slot_of(self, key: bytes) -> Slot | None:
        """Return the slot of a digest, None if it has none."""
        slot = slot_in(self.raw(key))
        return None if slot is None or slot.key != key else slot

    def raw(self, key: bytes) -> bytes:
        """Return the bytes of the slot of a digest, b"" if it has none: the same mean the same."""
        number = self._number(key)
        begins = SETS_AT + number * SLOT_SIZE
        return bytes(self._memory[begins : begins + SLOT_SIZE]) if number >= 0 else b""

    def _number(self, key: bytes) -> int:
        first = int.from_bytes(key[:8], "little") % self._sets * WAYS
        begins = SETS_AT + first * SLOT_SIZE
        found = bytes(self._memory[begins : begins + WAYS * SLOT_SIZE])
        place = found.find(key)
        while place >= 0 and place % SLOT_SIZE:
            place = found.find(key, place + 1)
        return first + place // SLOT_SIZE if place >= 0 else -1

    def _slot(self, number: int) -> Slot | None:
        """Return what a slot says, None for nothing that makes sense."""
        begins = SETS_AT + number * SLOT_SIZE
        return slot_in(self._memory[begins : begins + SLOT_SIZE])

    def record(self, slot: Slot) -> bytes:
        """Return the record of a slot, b"" if it is not there any more."""
        if not self.is_valid(slot):
            return b""
        begins = self._ring_at + slot.at % self._ring_size
        record = bytes(self._memory[begins : begins + slot.size])
        return record if self.is_valid(slot) and crc32(record) == slot.checksum else b""

    def is_valid(self, slot: Slot) -> bool:
        """Whether the ring still has what a slot was given."""
        head = self._words[HEAD]
        fits = 0 < slot.size <= self.largest and slot.at % self._ring_size + slot.size <= self._ring_size
        return fits and slot.at + slot.size <= head <= slot.at + self._ring_size

    def is_old(self, slot: Slot) -> bool:
        """Whether a record will soon be forgotten."""
        return slot.is_there and self._words[HEAD] - slot.at > self._ring_size * 3 // 4

    # ---- filling

    @property
    def purges(self) -> int:
        """How many there were; modulo 2**32."""
        return self._words[PURGES] & 0xFFFFFFFF

    def claim(self, key: bytes, now: int, until: int, purges: int = -1) -> Claim | None:
        """Return the right to fill `key` until then; None where another one has it, or there is no room, or
        there was a purge since there were `purges`."""
        with self._locked() as locked:
            if not locked or (purges >= 0 and purges != self.purges):
                return None
            number = self._number(key)
            slot = self._slot(number) if number >= 0 else None  # None, too: somebody died as he wrote it
            if number < 0:
                number = self._free(key, now)
            if number < 0 or is_claimed(slot, now):
                return None
            if slot is not None and slot.is_there and not self.is_valid(slot):
                self.counts.add(Count.EVICTED)
            self._tokens = self._tokens % 0xFFFFFFFF + 1
            purges = self.purges
            old = slot or Slot(key, 0, 0, 0, 0, 0, 0, 0, purges)
            taken = old._replace(claimed_until=until, claimant=os.getpid(), token=self._tokens)
            self._put(number, taken)
            return Claim(key, number, self._tokens, purges)

    def _free(self, key: bytes, now: int) -> int:
        """Return the slot of a set that makes room: one that says nothing, or that which is forgotten first;
        -1 if all are being filled."""
        first = int.from_bytes(key[:8], "little") % self._sets * WAYS
        found, oldest = -1, 1 << 64
        for number in range(first, first + WAYS):
            slot = self._slot(number)
            if slot is None:
                return number
            if not is_claimed(slot, now):
                age = slot.at + 1 if slot.is_there else 0
                if age < oldest:
                    found, oldest = number, age
        if found >= 0 and oldest:
            self.counts.add(Count.EVICTED)
        return found

    def keep(self, claim: Claim, record: bytes) -> bool:
        """Keep a record in the slot that was claimed, and give the claim back; False where that is not
        possible: it is too large, it was begun before a purge, or the claim is lost."""
        if len(record) > self.largest or not record:
            self.release(claim, 0)
            return False
        at = self._room(len(record))
        if at < 0:
            return False
        begins = self._ring_at + at % self._ring_size
        self._memory[begins : begins + len(record)] = record
        with self._locked() as locked:
            slot = self._held(claim) if locked else None
            if slot is None:
                return False
            new = Slot(claim.key, at, len(record), crc32(record), 0, 0, 0, 0, claim.purges)
            if not self.is_valid(new) or claim.purges != self.purges:
                self._put(claim.number, slot._replace(claimant=0, claimed_until=0))
                return False
            self._put(claim.number, new)
            self.counts.add(Count.STORED)
            return True

    def release(self, claim: Claim, passes_until: int) -> None:
        """Give a claim back without a record. Until then, if at all, nobody need wait for one."""
        with self._locked() as locked:
            slot = self._held(claim) if locked else None
            if slot is not None:
                self._put(claim.number, slot._replace(claimant=0, claimed_until=0, passes_until=passes_until))

    def _held(self, claim: Claim) -> Slot | None:
        """Return the slot of a claim, None if it is another one's by now."""
        slot = self._slot(claim.number)
        if slot is None or slot.key != claim.key:
            return None
        return slot if (slot.claimant, slot.token) == (os.getpid(), claim.token) else None

    def _room(self, size: int) -> int:
        """Return the place of the next `size` bytes of the ring; -1: it is not to be had now."""
        with self._locked() as locked:
            if not locked:
                return -1
            head = self._words[HEAD]
            if (rest := self._ring_size - head % self._ring_size) < size:
                head += rest
            self._words[HEAD] = head + -(-size // ALIGNED) * ALIGNED
            return int(head)

    # ---- forgetting

    def drop(self, key: bytes) -> bool:
        """Forget what a digest has, and what is being made for it; whether there was a record."""
        with self._locked() as locked:
            number = self._number(key) if locked else -1
            if number < 0:
                return False
            slot = self._slot(number)
            self._put(number, None)
            return slot is not None and self.is_valid(slot)

    def purge(self, is_meant: Callable[[bytes], bool] | None = None) -> int:
        """Forget the records that are meant, all of them if nobody says which, and nothing that was begun
        before this is kept; return how many records were there."""
        count = 0
        with self._locked(100) as locked:
            if not locked:
                raise TimeoutError("the cache is busy")
            self._words[PURGES] += 1
        for number in range(self._sets * WAYS):
            slot = self._slot(number)
            if slot is None or not slot.is_there:
                continue
            beginning = self._beginning(slot)
            if beginning and (is_meant is None or is_meant(beginning)):
                count += self.drop(slot.key)
        return count

    def _beginning(self, slot: Slot) -> bytes:
        """Return what a record begins with, b"" if it is not there any more."""
        if not self.is_valid(slot):
            return b""
        begins = self._ring_at + slot.at % self._ring_size
        return bytes(self._memory[begins : begins + min(slot.size, _BEGINNING)])

    def _put(self, number: int, slot: Slot | None) -> None:
        begins = SETS_AT + number * SLOT_SIZE
        if slot is None:
            self._memory[begins : begins + SLOT_SIZE] = EMPTY
            return
        self._memory[begins : begins + SLOT_SIZE] = bytes_of_slot(slot)

    @contextmanager
    def _locked(self, patience: int = 1) -> Iterator[bool]:
        with self._lock:
            locked = self._try(patience * _TRIES)
            try:
                yield locked
            finally:
                if locked:
                    fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, 0)

    def _try(self, tries: int) -> bool:
        for _ in range(tries):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
                return True
            except OSError:
                os.sched_yield()
        return False
