# The other end of a connection, as far as all that looks at requests knows it.
#
# What WSGI and ASGI make of it besides is in wsgi.py and scope.py.

from __future__ import annotations

from typing import Any

from bigtop.http.clients.forwarded import Fields, Forwarding, Origin
from bigtop.http.clients.tls_session import TlsSession
from bigtop.http.policy import Policy

Address = tuple[Any, ...] | str | bytes | None  # as socket.getsockname() and getpeername() give it


class BasePeer:
    """A client, or the proxy in front of it. `address` and `port` are "" for those of unix sockets.

    `scheme` is how it speaks to us, `session` what was agreed on where that is encrypted; `policy` says which
    of its requests are let through, and whether it is trusted to speak for others.
    """

    __slots__ = ("address", "forwarding", "label", "policy", "port", "scheme", "session")

    def __init__(self, client: Address, forwarding: Forwarding, scheme: str) -> None:
        self.address, self.port = host_and_port(client)
        self.label = self.address.encode()  # for the scoreboard
        self.scheme = scheme
        self.session: TlsSession | None = None
        self.forwarding = forwarding
        self.policy: Policy = forwarding.policy(self.address)

    def origin(self, fields: Fields) -> Origin:
        """Return where a request with `fields` came from, as far as this peer is believed."""
        origin = Origin(self.address, self.port, self.scheme)
        return self.forwarding.origin(fields, origin) if self.policy.claims else origin


def host_and_port(address: Address) -> tuple[str, str]:
    """Return both as texts; a port of 0 stands for one that is not known, as in scopes of ASGI."""
    if isinstance(address, tuple):
        return str(address[0]), str(address[1] or "")
    return "", ""
