# The admin listener as somebody asked for it: where it is, and who may ask there.
#
# Rule: what everybody could reach is refused. Whoever lets others in than this machine says whom: by a token,
# or by their addresses.

from __future__ import annotations

import os

from bigtop.errors import ConfigError
from bigtop.record import Record, replace
from bigtop.sockets import SocketSpec, parse_bind
from bigtop.system.files import unixpaths


class AdminSpec(Record):
    """`allow` are addresses and networks, or *; none: whoever reaches it. `hosts`: names of this machine, or
    * for any."""

    bind: SocketSpec
    token_file: str | None = None
    allow: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def spec(
    bind: str, token_file: str | None, allow: tuple[str, ...], hosts: tuple[str, ...], base: str
) -> AdminSpec:
    """Return what these say; relative paths count from `base`. ConfigError, without a place: they say too
    little, or the token cannot be read."""
    where = parse_bind(bind)
    if where.fd is not None:
        raise ConfigError(f"must be HOST:PORT or unix:PATH, got {bind!r}")
    if where.path is not None:
        path = unixpaths.absolute(where.path, base)
        is_file = not unixpaths.is_abstract(path)
        where = replace(where, path=path, mode=0o600 if is_file else None)
        if allow:
            raise ConfigError(f"{bind} is a unix socket: its clients have no addresses that could be allowed")
        if hosts:
            raise ConfigError(f"{bind} is a unix socket: its clients ask no host")
        if not (is_file or token_file):
            raise ConfigError(f"everybody of this machine reaches {bind}: it needs a token")
    elif not (_is_loopback(where.host) or token_file or allow):
        raise ConfigError(
            f"others than this machine reach {bind}: it needs a token, or a list of who is allowed"
        )
    if token_file is not None:
        from bigtop.stats.admin import admission  # of no use to those who have none

        token_file = os.path.join(base, token_file)
        admission.read_token(token_file)
    return AdminSpec(where, token_file, allow, hosts or _own_names(where, token_file))


def _own_names(bind: SocketSpec, token_file: str | None) -> tuple[str, ...]:
    """Return under which names it may be asked, unless somebody says so. (A browser has no token, and reaches
    no unix socket.)"""
    if token_file is not None or bind.path is not None:
        return ("*",)
    return (bind.host.lower(),) if bind.host else ()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or "" for all addresses
        return False
