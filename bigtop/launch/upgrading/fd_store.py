# Store of descriptors that systemd keeps for a service (systemd.service(5), FileDescriptorStoreMax=).
#
# A supervisor that was killed gets them back when it is started again: clients waited in the queues of its
# sockets meanwhile, no port can be taken by anybody else, and its commands are known by their pidfds
# (leftovers.py). Rule: who stops on purpose takes sockets out first, because a port that nobody will serve
# has to refuse. A command is in it for as long as anything of it lives.

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from bigtop.ipc import snapshot
from bigtop.ipc.snapshot import Descriptor, SnapshotError
from bigtop.launch import listener_states
from bigtop.launch.listener_states import ListenerState
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.sockets import ListeningSocket, SocketSpec
from bigtop.system.activation import STORED, stored
from bigtop.system.notify import Notifier, Starter

if TYPE_CHECKING:
    from bigtop.supervisor.processes.commands.command_pool import CommandState

logger = get_logger("bigtop.supervisor")

COMMAND: Final = f"{STORED}command-"  # begins the names of those of one command, which end with its key
_STATE: Final = f"{STORED}state"


class KeptSockets(Record):
    """Sockets by name: as they are described, and as they are bound. In the store the number of a descriptor
    is that in its name there."""

    specs: Mapping[str, SocketSpec]
    bound: Mapping[str, tuple[ListenerState, ...]]


class FdStore:
    """Of the service that `notifier` speaks to, if that has one; `before` are the names that are in it, each
    as often as there are descriptors of that name."""

    def __init__(self, notifier: Notifier | None = None, before: Iterable[str] = ()) -> None:
        self._notifier = notifier if notifier is not None and notifier.room else None
        self._held = Counter(before)
        self._is_full = False  # which was told

    @property
    def names(self) -> list[str]:
        return list(self._held.elements())

    @property
    def commands(self) -> FdStore | None:
        """What keeps commands; None: nobody does."""
        return None if self._notifier is None else self

    def keep(self, specs: Mapping[str, SocketSpec], bound: Mapping[str, Iterable[ListeningSocket]]) -> None:
        """Have these be kept, in place of those before."""
        notifier = self._notifier
        if notifier is None:
            return
        self.forget()
        fds: list[int] = []

        def numbered(listener: ListeningSocket) -> ListenerState:
            fds.append(listener.fileno())
            return replace(listener_states.of(listener), socket=Descriptor(len(fds) - 1))

        kept = KeptSockets(specs, {name: tuple(map(numbered, every)) for name, every in bound.items()})
        if not self._has_room(len(fds) + 1):
            logger.warning("FileDescriptorStoreMax=%d is too small for %d sockets", notifier.room, len(fds))
            return
        with open(os.memfd_create("bigtop-kept"), "wb", buffering=0) as file:
            file.write(json.dumps(snapshot.plain(kept)).encode())
            names = [*(f"{STORED}{number}" for number in range(len(fds))), _STATE]
            for name, fd in zip(names, [*fds, file.fileno()], strict=True):
                notifier.store(name, fd)
            self._held.update(names)

    def forget(self) -> None:
        """Have no socket be kept any more."""
        for name in [name for name in self._held if not name.startswith(COMMAND)]:
            self._remove(name)

    def put(self, state: CommandState, pidfd: int) -> None:
        """Have a command be found again, or have known what has become of one that is there."""
        from bigtop.launch.upgrading import (
            command_memory,  # of no use to those that nobody keeps anything for
        )

        name = f"{COMMAND}{state.key}"
        file, fds = command_memory.written(state)
        with file:
            every = [file.fileno()] if name in self._held else [file.fileno(), pidfd, *fds]
            if self._notifier is None or not self._has_room(len(every)):
                self._tell_full()
                return
            self._notifier.store(name, *every)
            self._held[name] += len(every)

    def drop(self, key: int) -> None:
        """Have a command be forgotten, of which nothing is left."""
        self._remove(f"{COMMAND}{key}")

    def _has_room(self, count: int) -> bool:
        return self._notifier is not None and self._held.total() + count <= self._notifier.room

    def _tell_full(self) -> None:
        if self._notifier is not None and not self._is_full:
            self._is_full = True
            text = "FileDescriptorStoreMax=%d is too small: a command more would not be found after a crash"
            logger.warning(text, self._notifier.room)

    def _remove(self, name: str) -> None:
        if self._notifier is not None and self._held.pop(name, 0):
            self._notifier.remove(name)


def of(starter: Starter, before: Iterable[str] | None) -> FdStore:
    """Return the store of whoever started us; `before` are the names in it that another version knew, None
    where there was none."""
    names = [name for name, _ in stored(os.environ)] if before is None else before
    return FdStore(starter if isinstance(starter, Notifier) else None, names)


def commands(environ: Mapping[str, str]) -> dict[int, list[int]]:
    """Return the descriptors of commands that the service kept, by key."""
    found: dict[int, list[int]] = {}
    for name, fd in stored(environ):
        key = name.removeprefix(COMMAND)
        if key != name and key.isdecimal():
            found.setdefault(int(key), []).append(fd)
    return found


def found(environ: Mapping[str, str], specs: Mapping[str, SocketSpec]) -> dict[str, list[ListeningSocket]]:
    """Return those that the service kept and that are described by `specs` as before; all other sockets are
    closed. To be asked before the sockets of an activation are taken."""
    fds = {name: fd for name, fd in stored(environ) if not name.startswith(COMMAND)}
    if not fds:
        return {}
    kept = _read(fds)
    taken: dict[str, list[ListeningSocket]] = {}
    used: set[int] = set()
    for name, states in kept.bound.items():
        numbers = [fds.get(f"{STORED}{state.socket.number}", -1) for state in states]
        if kept.specs.get(name) == specs.get(name) and all(number >= 0 for number in numbers):
            taken[name] = [
                listener_states.resumed(replace(state, socket=Descriptor(fd)))
                for state, fd in zip(states, numbers, strict=True)
            ]
            used.update(numbers)
    for fd in set(fds.values()) - used:
        os.close(fd)
    if taken:
        logger.warning("the last supervisor crashed: its sockets were kept by the service manager")
    return taken


def _read(fds: Mapping[str, int]) -> KeptSockets:
    """Return what is said of them; nothing where that cannot be known."""
    classes = snapshot.known((KeptSockets, ListenerState, SocketSpec))
    with contextlib.suppress(OSError, ValueError, SnapshotError):
        fd = fds.get(_STATE, -1)
        kept = snapshot.read(json.loads(os.pread(fd, os.fstat(fd).st_size, 0)), classes)
        if isinstance(kept, KeptSockets):
            return kept
    return KeptSockets({}, {})
