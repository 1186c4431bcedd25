# Overlap of addresses: which two listeners cannot both be had.
#
# Rules: pure, and nobody is asked what a name stands for, so only what is certain counts. Linux lets no two
# sockets listen on one port of one address, and counts 0.0.0.0 and :: as every address of their family
# (inet_csk_get_port() in its net/ipv4/inet_connection_sock.c), unless both ask for SO_REUSEPORT, or each is
# bound to another interface. Streams and datagrams have ports of their own.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bigtop.sockets import SocketSpec
from bigtop.system.files import unixpaths

_EVERY = {"inet": "0.0.0.0", "inet6": "::"}  # noqa: S104 - compared, not bound


def pairs(specs: Sequence[SocketSpec]) -> Iterator[tuple[int, int]]:
    """Yield where those that cannot be had are, each behind the first one that is in its way."""
    for later, spec in enumerate(specs):
        for earlier in range(later):
            if overlap(specs[earlier], spec):
                yield earlier, later
                break


def overlap(one: SocketSpec, other: SocketSpec) -> bool:
    """Whether only one of two can be bound on one machine."""
    if one.path is not None or other.path is not None:
        return _file(one) == _file(other)
    if one.fd is not None or other.fd is not None or one.kind != other.kind or one.kind == "raw":
        return False
    if one.port != other.port or one.port == 0 or (one.reuse_port and other.reuse_port):
        return False
    if one.interface and other.interface and one.interface != other.interface:
        return False
    return any(_same(first, second) for first in _hosts(one) for second in _hosts(other))


def _file(spec: SocketSpec) -> str | None:
    return None if spec.path is None else unixpaths.absolute(spec.path)


def _hosts(spec: SocketSpec) -> list[tuple[str, str]]:
    """Return (family, address) of what is bound; the family of a name is "", unless it is given."""
    if not spec.host:
        families = [spec.family] if spec.family else list(_EVERY)
        return [(family, _EVERY[family]) for family in families]
    if spec.host == "localhost":
        return [("inet6", "::1") if spec.family == "inet6" else ("inet", "127.0.0.1")]
    import ipaddress

    try:
        address = ipaddress.ip_address(spec.host)
    except ValueError:
        return [(spec.family, spec.host.lower())]
    if address.version == 4:
        return [("inet", str(address))]
    both = spec.dual_stack and address.is_unspecified
    return [("inet6", str(address)), *([("inet", _EVERY["inet"])] if both else [])]


def _same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    if one[0] != other[0]:
        return False
    return one[1] == other[1] or _EVERY.get(one[0]) in (one[1], other[1])
