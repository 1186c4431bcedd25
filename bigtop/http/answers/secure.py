# Handlers that move clients to HTTPS: http requests for known hosts are redirected, and browsers are told to
# come by https from then on (RFC 6797).
#
# Rule: nobody is sent to a host that nobody has configured, whatever a request names (as open redirects do).
# How a request came is the transport's word, or that of a trusted proxy.

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Draft, Reply, refusal_of
from bigtop.http.messages import Request

_PORT: Final = re.compile(r":[0-9]*$")


class HttpsRedirect:
    """Redirects requests that came by http (--https-redirect). `hosts` are names, perhaps with the port to go
    to; "*.example.com" stands for all names one level below."""

    __slots__ = ("_ports",)

    def __init__(self, hosts: Sequence[str]) -> None:
        self._ports: dict[str, str] = {}
        for host in hosts:
            name, colon, port = host.lower().partition(":")
            self._ports[name] = colon + port

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        if peer.origin(request.headers).scheme == "https":
            return None
        host = host_of(request)
        port = self._ports.get(host)
        if port is None:
            port = self._ports.get("*." + host.partition(".")[2])
        if port is None:
            return refusal_of(421, "this host is not served here")
        location = f"https://{host}{port}{path_and_query(request.target)}"
        return Reply("308 Permanent Redirect", [("Location", location), ("Content-Length", "0")], [])


class Hsts:
    """Has browsers come by https alone (--hsts). As a handler it sees how a request came, as a filter it says
    so to those that came encrypted, unless the application did."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        request.is_secure = peer.origin(request.headers).scheme == "https"
        return None

    def filter(self, request: Request, draft: Draft) -> None:
        if request.is_secure and draft.header("strict-transport-security") is None:
            draft.headers.append(("Strict-Transport-Security", self._value))


def host_of(request: Request) -> str:
    """Return the host that a request names, in lower case and without its port."""
    for name, value in request.headers:
        if name.lower() == b"host":
            return _PORT.sub("", value.decode("latin-1").lower()).removesuffix(".")
    return ""


def path_and_query(target: bytes) -> str:
    """Return the path and the query of a target, which may be a whole URL."""
    text = target.decode("latin-1")
    if text.startswith("/"):
        return text
    _, _, rest = text.partition("://")
    return "/" + rest.partition("/")[2]
