# States of listening sockets, for a version of Bigtop that goes on with them.

from __future__ import annotations

import socket

from bigtop.ipc.snapshot import Descriptor
from bigtop.record import Record
from bigtop.sockets import ListeningSocket, SocketSpec


class ListenerState(Record):
    """A socket that listens."""

    spec: SocketSpec
    socket: Descriptor
    bound_file: tuple[int, int] | None  # device and inode of a path that is to be removed


def of(listener: ListeningSocket) -> ListenerState:
    return ListenerState(listener.spec, Descriptor(listener.fileno()), listener.bound_file)


def resumed(state: ListenerState) -> ListeningSocket:
    return ListeningSocket(state.spec, socket.socket(fileno=state.socket.number), state.bound_file)
