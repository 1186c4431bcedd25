# Slot of the arena of the response cache: what 64 bytes of it say, with a checksum.

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple
from zlib import crc32

SLOT_SIZE: Final = 64
EMPTY: Final = bytes(SLOT_SIZE)
_SLOT: Final = struct.Struct("<16sQIIQQIIII")
_SUM: Final = struct.Struct("<I")


class Slot(NamedTuple):
    """Where the record of a key lies, and who makes it anew. Times are monotonic nanoseconds.

    `passes_until`: until then what this key gets is not for a cache, and nobody need wait for it.
    """

    key: bytes
    at: int
    size: int
    checksum: int
    claimed_until: int
    passes_until: int
    claimant: int  # a pid; 0: nobody
    token: int
    purges: int

    @property
    def is_there(self) -> bool:
        return self.size > 0


def slot_in(raw: bytes | memoryview) -> Slot | None:
    """Return what the bytes of a slot say, None for nothing that makes sense."""
    raw = bytes(raw)
    if len(raw) != SLOT_SIZE or raw == EMPTY:
        return None
    *fields, checksum = _SLOT.unpack(raw)
    return Slot(*fields) if crc32(raw[: -_SUM.size]) == checksum else None


def bytes_of_slot(slot: Slot) -> bytes:
    """Return the bytes of a slot."""
    raw = _SLOT.pack(*slot, 0)[: -_SUM.size]
    return raw + _SUM.pack(crc32(raw))


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def is_claimed(slot: Slot | None, now: int) -> bool:
    """Whether somebody is at work on the record of a slot."""
    return slot is not None and slot.claimant > 0 and now < slot.claimed_until and is_alive(slot.claimant)
