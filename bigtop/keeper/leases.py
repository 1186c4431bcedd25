# Leases: who of several keepers, on one machine or on many, does something now.
#
# Each time that a lease is taken it gets the next generation, which is the end of its file's name. Of two
# that want the same generation, one makes the file (O_EXCL); who finds a later generation than his own has
# lost. So a keeper that was stopped for a minute, and took its lease for alive, learns before its next step
# that it is not: check() comes before each step that cannot be taken back.
#
# Rules: a lease is for STALE seconds and renewed well before. On one machine flock(2) tells at once that its
# holder is dead; across machines the clock does, so clocks have to agree within a few seconds. Where they do
# not, or storage is shared by a file system without O_EXCL, two may work at once, and one of them stops at
# its next check().

from __future__ import annotations

import errno
import fcntl
import functools
import json
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from bigtop.errors import BigtopError
from bigtop.keeper.storage import Storage, StorageError
from bigtop.record import Record

STALE: Final = 10.0  # seconds that a lease is for
RENEWED: Final = 4.0  # seconds between its renewals
_WRONG: Final = 60.0 + STALE  # seconds
_MARGIN: Final = 1.0  # before its end it does not count any more for its holder
_FOLDER: Final = "leases"
_FILE: Final = re.compile(r"(.+)\.([0-9]{1,15})")


class LeaseLostError(BigtopError):
    """Somebody else has taken the lease, or may have."""


class Claim(Record):
    """What the file of a lease says: who has it, on which machine (by its boot), until when."""

    owner: str
    machine: str
    expires: float  # seconds since 1970; 0: it was given back

    def encode(self) -> bytes:
        return json.dumps({"owner": self.owner, "machine": self.machine, "expires": self.expires}).encode()

    @classmethod
    def decode(cls, text: bytes) -> Claim:
        """Raises ValueError."""
        found = json.loads(text)
        match found:
            case {"owner": str(owner), "machine": str(machine), "expires": float() | int() as expires}:
                return cls(owner, machine, float(expires))
        raise ValueError("no lease")


def is_free(claim: Claim, now: float, machine: str, is_locked_by_us: bool) -> bool:
    """Whether a lease may be taken from its holder; with the machine's lock in our hands, a holder on this
    machine is dead. Nobody has one for much longer than STALE: that was written by a clock that was wrong."""
    is_over = now >= claim.expires or claim.expires > now + _WRONG
    return is_over or (is_locked_by_us and claim.machine == machine)


class Lease:
    """One that was taken. Its holder renews it every RENEWED seconds, from one thread or with a lock."""

    def __init__(
        self, storage: Storage, name: str, generation: int, expires: float, lock: int | None
    ) -> None:
        self.generation = generation
        self._storage = storage
        self._name = name
        self._expires = expires
        self._lock = lock

    def renew(self, now: float) -> None:
        """Have it until STALE seconds from now. Raises LeaseLostError."""
        self.check(now)
        self._say(now + STALE)

    def check(self, now: float) -> None:
        """Raise LeaseLostError unless it is ours: to be called before each step that cannot be taken back."""
        latest = latest_generation(self._storage, self._name)
        if latest != self.generation:
            raise LeaseLostError(f"{self._name}: another keeper took over (lease {latest})")
        if now >= self._expires - _MARGIN:
            raise LeaseLostError(f"{self._name}: the lease ended before it was renewed")

    def release(self) -> None:
        """Let others have it; without effect if they do."""
        with suppress(BigtopError):
            if latest_generation(self._storage, self._name) == self.generation:
                self._say(0.0)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _say(self, expires: float) -> None:
        self._storage.store(_key(self._name, self.generation), _claim(expires).encode())
        self._expires = expires


def take(storage: Storage, name: str, now: float) -> Lease | None:
    """Return the lease `name`; None while another keeper has it."""
    lock = storage.open_lock(f"{_FOLDER}/{name}.lock")
    lease = None
    try:
        is_locked = _locked(lock)
        if is_locked is not False and _may_take(storage, name, now, bool(is_locked)):
            lease = _made(storage, name, now, lock)
    finally:
        if lease is None:
            os.close(lock)
    return lease


def holder(storage: Storage, name: str) -> Claim | None:
    """Return who has the lease `name`, or had it last."""
    latest = latest_generation(storage, name)
    return _read(storage, name, latest) if latest else None


def latest_generation(storage: Storage, name: str) -> int:
    """Return the generation that counts; 0: the lease was never taken."""
    return max(_generations(storage, name), default=0)


def _may_take(storage: Storage, name: str, now: float, is_locked: bool) -> bool:
    latest = latest_generation(storage, name)
    return latest == 0 or is_free(_read(storage, name, latest), now, _machine(), is_locked)


def _made(storage: Storage, name: str, now: float, lock: int) -> Lease | None:
    generation = latest_generation(storage, name) + 1
    expires = now + STALE
    if not storage.create(_key(name, generation), _claim(expires).encode()):
        return None
    if latest_generation(storage, name) != generation:  # ours was one that others had long done with
        storage.delete(_key(name, generation))
        return None
    for old in _generations(storage, name):
        if old < generation:
            storage.delete(_key(name, old))
    return Lease(storage, name, generation, expires, lock)


def _read(storage: Storage, name: str, generation: int) -> Claim:
    key = _key(name, generation)
    with suppress(StorageError, ValueError):
        text = storage.load(key)
        if text is not None:
            return Claim.decode(text)
    # It is being written, or who wrote it was killed meanwhile.
    return Claim("somebody", "", storage.changed_at(key) + STALE)


def _generations(storage: Storage, name: str) -> list[int]:
    found = map(_FILE.fullmatch, storage.names(_FOLDER))
    return [int(file[2]) for file in found if file is not None and file[1] == name]


def _locked(fd: int) -> bool | None:
    """Lock a file; return False when another process has, None where files cannot be locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            return None
        raise StorageError(f"the lock of a lease: {error.strerror}") from None
    return True


def _key(name: str, generation: int) -> str:
    return f"{_FOLDER}/{name}.{generation}"


def _claim(expires: float) -> Claim:
    return Claim(f"process {os.getpid()} on {socket.gethostname()}", _machine(), expires)


@functools.cache
def _machine() -> str:
    """Return what all processes have in common that see each other's locks: the boot of their kernel."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
