# Bare socket: a socket as OpenSSL wants it, whatever stands in the place of Python's class (gevent's does).
#
# (A file of its own: compiled code cannot extend a class with slots.)

from __future__ import annotations

import _socket

AnySocket = _socket.socket  # a bare one, one of Python's class, or of gevent's, which is no subclass


class BareSocket(_socket.socket):
    """The socket of C, to which OpenSSL's object can refer weakly."""

    __slots__ = ("__weakref__",)
