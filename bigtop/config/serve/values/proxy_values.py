# Text to value, about requests that other servers answer.
#
# Rule: as in values.py.

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bigtop.http.declarations import ProxyRoute

_PREFIX: Final = re.compile(r"/|(/[\w.~-]+)+/?", re.ASCII)
_BASE: Final = re.compile(r"|/|(/[\w.~%:@!$&'()*+,;=-]+)+/?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", re.ASCII)
_LONGEST_SOCKET: Final = 107  # bytes of its path, as Linux has it


def proxy_routes(texts: Sequence[str]) -> tuple[ProxyRoute, ...]:
    """PATH=URL, each path once."""
    routes = tuple(map(proxy_route, texts))
    seen: set[str] = set()
    for route in routes:
        if route.prefix in seen:
            raise ValueError(f"the path {route.prefix} is given twice")
        seen.add(route.prefix)
    return routes


def proxy_route(given: str) -> ProxyRoute:
    """PATH=http://HOST[:PORT][/BASE], or PATH=unix:SOCKET[:/BASE]."""
    prefix, equals, url = given.partition("=")
    if not equals or not url or _PREFIX.fullmatch(prefix) is None:
        raise _wrong(given)
    if any(segment in (".", "..") for segment in prefix.split("/")):
        raise ValueError(f"the path has no segments . and .., got {given!r}")
    if url.startswith("https://"):
        raise ValueError(f"other servers are spoken to over http:// or unix:, got {given!r}")
    rest = url.removeprefix("http://")
    if rest.startswith("unix:"):
        place, _, base = rest.removeprefix("unix:").partition(":")
        if not place.startswith("/") or len(place.encode()) > _LONGEST_SOCKET or "\0" in place:
            raise ValueError(f"a unix socket is a path such as unix:/run/x.sock, got {given!r}")
        return ProxyRoute(prefix, "", 0, place, _base(base, given))
    if rest == url:
        raise _wrong(given)
    authority, slash, path = rest.partition("/")
    host, port = _authority(authority, given)
    return ProxyRoute(prefix, host, port, "", _base(slash + path, given))


def _authority(text: str, given: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", text)
    if match is None:
        raise _wrong(given)
    port = int(match[2]) if match[2] else 80
    if not 0 < port < 65536:
        raise ValueError(f"a port is a number from 1 to 65535, got {given!r}")
    host = match[1]
    if host.startswith("["):
        import ipaddress  # here: few have such servers

        try:
            return str(ipaddress.IPv6Address(host[1:-1])), port
        except ValueError:
            raise _wrong(given) from None
    if _NAME.fullmatch(host) is None:
        raise _wrong(given)
    return host, port


def _base(path: str, given: str) -> str:
    if _BASE.fullmatch(path) is None:
        raise ValueError(f"the path in the URL has no query, no blank and no empty segment, got {given!r}")
    return path


def _wrong(given: str) -> ValueError:
    return ValueError(
        "must be a path and a server such as /ws/=http://127.0.0.1:9000 or /ws/=unix:/run/ws.sock, "
        f"got {given!r}"
    )
