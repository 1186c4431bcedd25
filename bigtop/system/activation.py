# Sockets that systemd bound for this process (sd_listen_fds(3)).

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from bigtop import sockets
from bigtop.errors import ConfigError
from bigtop.sockets import ListeningSocket, SocketSpec

_FIRST_FD = 3  # SD_LISTEN_FDS_START
STORED = "bigtop-"  # begins the names of descriptors that we had the service keep (FDSTORE=1)


def stored(environ: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return name and number of each descriptor that the service kept for us, and changes nothing. Several
    may have one name."""
    names, count = environ.get("LISTEN_FDNAMES", "").split(":"), environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    every = zip(names, range(_FIRST_FD, _FIRST_FD + int(count)), strict=False)
    return [(name, fd) for name, fd in every if name.startswith(STORED)]


def activated(environ: MutableMapping[str, str]) -> list[ListeningSocket]:
    """Return the sockets that systemd (or anything that speaks sd_listen_fds(3)) bound for this process.

    Names come from FileDescriptorName=; equal ones become name, name-2, ... The variables are removed, since
    they are wrong for every child. Variables meant for another process (LISTEN_PID) yield nothing.
    """
    pid, count, names_text = (environ.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES"))
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(f"LISTEN_FDS={count!r} is not a number of sockets")
    names = names_text.split(":") if names_text else []
    listeners: list[ListeningSocket] = []
    seen: dict[str, int] = {}
    for index in range(int(count)):
        fd = _FIRST_FD + index
        name = names[index] if index < len(names) and names[index] else f"fd{fd}"
        if name.startswith(STORED):  # see stored()
            continue
        seen[name] = seen.get(name, 0) + 1
        spec = SocketSpec(sockets.numbered(name, seen[name]), fd=fd)
        sock = sockets.adopted(fd, spec.nodelay, f"systemd's socket {name} (descriptor {fd})")
        listeners.append(ListeningSocket(spec, sock))
    return listeners
