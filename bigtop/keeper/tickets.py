# Secrets of session tickets in a storage: all machines that share it make the same keys of them.
#
# Each is for one turn of the clock, and the one for the next turn is made well before it counts, so every
# machine has it by then.
#
# Rule 1: who makes one has a lease, and looks once more when it has that.
# Rule 2: what has had its turn is deleted: of what was recorded then, nothing can be read any more.

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Final

from bigtop.errors import BigtopError
from bigtop.ipc.keyring import TURN, TicketSecret
from bigtop.keeper import leases
from bigtop.keeper.storage import Storage, StorageError
from bigtop.log import logger as get_logger

logger = get_logger("bigtop.keeper")
FOLDER: Final = "tickets"
_LEASE: Final = "-tickets"  # no certificate has that name
_SECRET: Final = re.compile(rb"([0-9a-f]{64})\n")
_LOOKED: Final = 600.0  # seconds between looks
_ANOTHER: Final = 2.0  # seconds until it is looked whether another keeper is done
_SKEW: Final = 60.0  # seconds by which another machine's clock may be late


def read(storage: Storage, now: float) -> tuple[TicketSecret, ...]:
    """Return those of this turn and of the next that there are; none is what is damaged. Raises
    TrustError."""
    found = []
    for turn in _turns(now):
        key = f"{FOLDER}/{turn}"
        try:
            text = storage.load(key)
            match = None if text is None else _SECRET.fullmatch(text)
            if text is not None and match is None:
                raise StorageError(f"{storage.place(key)}: this is no secret of session tickets")
        except StorageError as error:
            logger.warning("%s", error)
            continue
        if match is not None:
            found.append(TicketSecret(turn, match[1].decode()))
    return tuple(found)


def provide(storage: Storage, now: float) -> tuple[TicketSecret, ...]:
    """Return those of this turn and of the next, which are made if they are not there; fewer while another
    keeper makes them. Raises TrustError, StorageError and LeaseLostError."""
    found = read(storage, now)
    if len(found) == len(_turns(now)) and not _old(storage, now):
        return found
    lease = leases.take(storage, _LEASE, now)
    if lease is None:
        return found
    try:
        there = {one.since for one in read(storage, now)}
        for turn in _turns(now):
            if turn not in there:
                lease.check(now)
                storage.store(f"{FOLDER}/{turn}", os.urandom(32).hex().encode() + b"\n")
        for name in _old(storage, now):
            storage.delete(f"{FOLDER}/{name}")
    finally:
        lease.release()
    return read(storage, now)


def _turns(now: float) -> tuple[int, int]:
    turn = int(now // TURN)
    return turn, turn + 1


def _old(storage: Storage, now: float) -> list[str]:
    first, _ = _turns(now - _SKEW)
    return [name for name in storage.names(FOLDER) if name.isdecimal() and int(name) < first]


class TicketKeeping:
    """Has them there in time, and tells `publish` what there is; event loop only."""

    def __init__(self, storage: Storage, publish: Callable[[tuple[TicketSecret, ...]], None]) -> None:
        self._storage = storage
        self._publish = publish
        self._said = ""
        self._woken = asyncio.Event()

    def look(self) -> None:
        """Look at the storage now."""
        self._woken.set()

    async def run(self) -> None:
        """Keep them until it is cancelled."""
        while True:
            pause, error = _LOOKED, ""
            try:
                found = await asyncio.to_thread(lambda: provide(self._storage, time.time()))
            except BigtopError as problem:  # the storage cannot be used now
                error = str(problem)
            else:
                if found:
                    self._publish(found)
                if len(found) < 2:
                    pause = _ANOTHER
            if error and error != self._said:
                logger.error("session tickets: %s", error)
            self._said = error
            self._woken.clear()
            try:
                await asyncio.wait_for(self._woken.wait(), pause)
            except TimeoutError:
                continue
