# Bare socket: a socket as C has it, without what Python's class adds, or gevent's.
#
# (A file of its own: compiled code cannot extend a class with slots.)

from __future__ import annotations

import _socket
from typing import Any

AnySocket = _socket.socket  # a bare one, one of Python's class, or of gevent's, which is no subclass


class BareSocket(_socket.socket):
    """The socket of C, to which OpenSSL's object can refer weakly. It is made in a third of the time."""

    __slots__ = ("__weakref__",)


def bare(sock: Any) -> AnySocket:
    """Return what OpenSSL takes for a socket: itself, or what gevent's class is about."""
    found: AnySocket = sock if isinstance(sock, _socket.socket) else sock._sock
    return found
