# A socket that is open and described anew: what it can become as it is, and how to bind another in its place.
#
# Rule: until the caller lets go of `undo`, everything here can be taken back.
#
# Two sockets have one port for a while if both say SO_REUSEPORT, and it is enough to say so now. Once the
# new one has taken its word back, the kernel gives what comes over IPv4 to it, as the latest, and what waits
# in the old one is left to those who still read it. Over IPv6 the two share until the old one is closed.

from __future__ import annotations

import operator
import os
import socket
from collections.abc import Collection
from contextlib import ExitStack

from bigtop.errors import BindError, ConfigError
from bigtop.record import fields, replace
from bigtop.sockets import ListeningSocket, SocketSpec, bind, listen
from bigtop.system.files import unixpaths
from bigtop.system.holders import explain

_NEVER_ASKED_AGAIN = frozenset({"replace", "close_when_unused"})
_PERMISSIONS = frozenset({"mode", "owner", "group"})
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def differences(old: SocketSpec, new: SocketSpec) -> tuple[str, ...]:
    """Return the names of the fields that differ."""
    before, after = _values(old), _values(new)
    return tuple(name for name in before if before[name] != after[name])


def can_become(old: SocketSpec, new: SocketSpec) -> bool:
    """Whether a socket that was bound as `old` says can be what `new` says without being bound anew."""
    possible = set(_NEVER_ASKED_AGAIN)
    if not new.own_queues:  # else there are sockets of processes that were made with the old one
        possible.add("backlog")
    if new.path is not None:  # what was set once cannot be set back: nobody knows what it was before
        values = _values(new)
        possible.update(name for name in _PERMISSIONS if values[name] is not None)
    return possible.issuperset(differences(old, new))


def become(listener: ListeningSocket, spec: SocketSpec, undo: ExitStack) -> None:
    """Make an open socket what `spec` says; can_become() said that this can be. Raises BindError."""
    before = listener.spec
    after = replace(spec, name=before.name, host=before.host, port=before.port, path=before.path)
    try:
        if after.backlog != before.backlog:
            undo.callback(listen, listener.socket, before)
            listen(listener.socket, after)
        if after.path is not None and not _PERMISSIONS.isdisjoint(differences(before, after)):
            status = os.stat(after.path)
            was = status.st_mode & 0o7777, status.st_uid, status.st_gid
            undo.callback(unixpaths.give, after.path, *was, listener.bound_file)
            unixpaths.give(after.path, after.mode, after.owner, after.group, listener.bound_file)
    except LookupError as error:
        raise ConfigError(f"unix:{after.path}: {error}") from error
    except OSError as error:
        raise BindError(explain(error, after.path or (after.host, after.port))) from error
    undo.callback(setattr, listener, "spec", before)
    listener.spec = after


def bind_beside(
    spec: SocketSpec, leaving: Collection[ListeningSocket], undo: ExitStack
) -> list[ListeningSocket]:
    """Bind what `spec` means, even where one of those is bound that are closed in a moment."""
    if spec.path is not None:
        _put_aside(unixpaths.absolute(spec.path), leaving, undo)
    neighbours = [one for one in leaving if spec.path is None and _has_port(one, spec.port)]
    for one in neighbours:
        _share(one, undo)
    bound = bind(replace(spec, reuse_port=True) if neighbours else spec)
    for listener in bound:
        undo.callback(listener.close)
        if neighbours and not spec.reuse_port:
            listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
            listener.spec = replace(listener.spec, reuse_port=False)
    return bound


def _values(spec: SocketSpec) -> dict[str, object]:
    return {one.name: operator.attrgetter(one.name)(spec) for one in fields(SocketSpec)}


def _has_port(listener: ListeningSocket, port: int) -> bool:
    return port != 0 and listener.socket.family in _INTERNET and listener.spec.port == port


def _share(listener: ListeningSocket, undo: ExitStack) -> None:
    before = listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    undo.callback(listener.socket.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEPORT, before)
    listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _put_aside(path: str, leaving: Collection[ListeningSocket], undo: ExitStack) -> None:
    """Give a file another name for the rest of its life: whoever is connected does not mind."""
    for listener in leaving:
        if listener.spec.path == path and not unixpaths.is_abstract(path):
            aside, before = f"{path}.{os.getpid()}", listener.spec
            try:
                os.rename(path, aside)
            except OSError as error:
                raise BindError(explain(error, path)) from error
            undo.callback(setattr, listener, "spec", before)
            undo.callback(os.rename, aside, path)
            listener.spec = replace(before, path=aside)
