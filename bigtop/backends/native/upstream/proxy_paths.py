# Paths that other servers answer (--proxy), as a handler: the longest one that fits decides.

from __future__ import annotations

from collections.abc import Sequence

from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.handlers import ProxyPass, Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.http.upstream.request_head import climbs, path_of


class ProxyPaths:
    """Says of requests below these paths where they are answered."""

    __slots__ = ("_routes",)

    def __init__(self, routes: Sequence[ProxyRoute]) -> None:
        ordered = sorted(routes, key=lambda route: -len(route.prefix))
        self._routes = [(route.prefix.encode(), ProxyPass(route)) for route in ordered]

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        if request.target == b"*":
            return None
        target = path_of(request.target)
        for prefix, found in self._routes:
            if target.startswith(prefix) and _is_whole(target, prefix):
                if climbs(target):
                    return refusal_of(400, "A path with the segments . or .. is not passed on.")
                return found
        return None


def _is_whole(target: bytes, prefix: bytes) -> bool:
    """Whether the prefix ends where a segment of the path does: /api is not /apiary."""
    return prefix.endswith(b"/") or target[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?")
