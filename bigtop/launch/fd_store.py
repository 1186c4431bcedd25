# Store of listening sockets that systemd keeps for a service (systemd.service(5), FileDescriptorStoreMax=).
#
# A supervisor that crashed gets them back when it is started again: clients waited in their queues meanwhile,
# and no port can be taken by anybody else. Rule: who stops on purpose takes them out first, because a port
# that nobody will serve has to refuse.

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Final

from bigtop.ipc import snapshot
from bigtop.ipc.snapshot import Descriptor, SnapshotError
from bigtop.launch import listener_states
from bigtop.launch.listener_states import ListenerState
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.sockets import ListeningSocket, SocketSpec
from bigtop.system.activation import STORED, stored
from bigtop.system.notify import Notifier, Starter

logger = get_logger("bigtop.supervisor")

_STATE: Final = f"{STORED}state"


class KeptSockets(Record):
    """Sockets by name: as they are described, and as they are bound. In the store the number of a descriptor
    is that in its name there."""

    specs: Mapping[str, SocketSpec]
    bound: Mapping[str, tuple[ListenerState, ...]]


class FdStore:
    """Of the service that `notifier` speaks to, if that has one; `before` are the names that are in it."""

    def __init__(self, notifier: Notifier | None = None, before: Iterable[str] = ()) -> None:
        self._notifier = notifier if notifier is not None and notifier.room else None
        self.names = list(before)

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
        if len(fds) + 1 > notifier.room:
            logger.warning("FileDescriptorStoreMax=%d is too small for %d sockets", notifier.room, len(fds))
            return
        with open(os.memfd_create("bigtop-kept"), "wb", buffering=0) as file:
            file.write(json.dumps(snapshot.plain(kept)).encode())
            self.names = [*(f"{STORED}{number}" for number in range(len(fds))), _STATE]
            for name, fd in zip(self.names, [*fds, file.fileno()], strict=True):
                notifier.store(name, fd)

    def forget(self) -> None:
        """Have nothing be kept any more."""
        if self._notifier is not None:
            for name in self.names:
                self._notifier.remove(name)
        self.names = []


def of(starter: Starter, before: Iterable[str] | None) -> FdStore:
    """Return the store of whoever started us; `before` are the names in it that another version knew, None
    where there was none."""
    names = stored(os.environ) if before is None else before
    return FdStore(starter if isinstance(starter, Notifier) else None, names)


def found(environ: Mapping[str, str], specs: Mapping[str, SocketSpec]) -> dict[str, list[ListeningSocket]]:
    """Return those that the service kept and that are described by `specs` as before; all others are closed.
    To be asked before the sockets of an activation are taken."""
    fds = stored(environ)
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
