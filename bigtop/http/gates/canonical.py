# Canonical hosts: requests for other names of a site are redirected to its own (--canonical-host).
#
# Rule: nobody is sent to a host that nobody has configured, whatever a request names.

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bigtop.http.answers.secure import host_of, path_and_query
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Reply
from bigtop.http.messages import Request

_PORT: Final = re.compile(r":[0-9]*$")


class CanonicalHost:
    """Redirects by `rules`: ALIAS=HOST is for requests that name that alias, HOST for all that name another
    one. A host may have a port to go to."""

    __slots__ = ("_aliases", "_hosts", "_rest")

    def __init__(self, rules: Sequence[str]) -> None:
        self._rest = ""
        self._aliases: dict[str, str] = {}
        for rule in rules:
            alias, equals, host = rule.partition("=")
            if equals:
                self._aliases[alias] = host
            else:
                self._rest = rule
        self._hosts = {_PORT.sub("", host) for host in (*self._aliases.values(), self._rest)}

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        origin = peer.origin(request.headers)
        named = _PORT.sub("", origin.host.lower()).removesuffix(".") or host_of(request)
        if not named or named in self._hosts:
            return None
        host = self._aliases.get(named, self._rest)
        if not host:
            return None
        location = f"{origin.scheme}://{host}{path_and_query(request.target)}"
        return Reply("308 Permanent Redirect", [("Location", location), ("Content-Length", "0")], [])
