# Why an address cannot be had: what the kernel's errno means here, who holds the address, and how to go on.
#
# Rule: this runs only after a failure, so it may be slow (it reads the descriptors of every process); and it
# is a kindness, so whatever cannot be found out is left out.

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

_PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def explain(error: OSError, address: Any) -> str:
    """Return the message for `error`; `address` is a unix path or a (host, port, ...) tuple."""
    if isinstance(address, str):
        return f"cannot listen on unix:{address}: {_unix_reason(error, address)}"
    host, port = address[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"cannot listen on {where}: {_tcp_reason(error, host, port)}"


def _tcp_reason(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"it is {_held_by(_tcp_holders(host, port))}; stop that or bind another port"
        case errno.EACCES if port < _first_free_port():
            return (
                f"ports below {_first_free_port()} need a privilege; start as root and let --user drop it, "
                "grant CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), have systemd bind the port "
                "(socket activation), or lower net.ipv4.ip_unprivileged_port_start"
            )
        case errno.EADDRNOTAVAIL:
            return "no interface of this machine has that address; bind one that it has, or :PORT for all"
        case errno.EAFNOSUPPORT:
            return "this machine has no IPv6; bind an IPv4 address"
        case _:
            return os.strerror(error.errno or 0)


def _unix_reason(error: OSError, path: str) -> str:
    directory = os.path.dirname(path)
    match error.errno:
        case errno.EADDRINUSE:
            return f"it is {of_unix(path)}; stop that or choose another path"
        case errno.EEXIST:
            return "that file exists and is not a socket; remove it yourself or choose another path"
        case errno.ENOENT:
            return f"there is no directory {directory}; create it first (systemd: RuntimeDirectory=)"
        case errno.EACCES | errno.EROFS:
            return f"user {os.geteuid()} may not create files in {directory} ({os.strerror(error.errno)})"
        case errno.EPERM:
            return "only root may give the socket to another owner; start as root or leave the owner out"
        case _:
            return os.strerror(error.errno or 0)


def of_unix(path: str) -> str:
    """Return who listens on a unix socket, as what the socket is: "held by process 4711 (...)"."""
    return _held_by(_unix_holders(path))


def _first_free_port() -> int:
    try:
        with open(_PORT_START) as file:
            return int(file.read())
    except OSError:  # not Linux
        return 1024


def _held_by(pids: Iterator[int]) -> str:
    import psutil  # here, because no worker needs it and it costs every start 20 ms

    holders = []
    for pid in set(pids):
        try:
            process = psutil.Process(pid)
            holders.append(
                (process.create_time(), pid, " ".join(process.cmdline()).strip() or process.name())
            )
        except psutil.Error:  # it ended meanwhile, or is not ours to look at
            continue
    if not holders:
        return "in use by a process of another user (as root, `ss -lxtp` shows which)"
    # A server and its workers hold the same socket; the eldest is the one to stop.
    _, pid, command = min(holders)
    others = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
    itself = ", this very process: is the address listed twice?" if pid == os.getpid() else ""
    return f"held by process {pid} ({command[:120]}){others}{itself}"


def _tcp_holders(host: str, port: int) -> Iterator[int]:
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr:
            held = connection.laddr
            if held.port == port and (held.ip == host or not {held.ip, host}.isdisjoint(_WILDCARDS)):
                yield connection.pid


def _unix_holders(path: str) -> Iterator[int]:
    import psutil

    for connection in psutil.net_connections("unix"):
        if connection.pid and str(connection.laddr) == path:
            yield connection.pid
