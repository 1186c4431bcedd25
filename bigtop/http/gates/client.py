# The client of a request, as far as limits and lists of addresses go.
#
# Rule: many clients share the address of a trusted proxy. So a request that comes by one is from whom the
# proxy says; where it says nothing, or somebody is at the other end of a unix socket, nobody is known.

from __future__ import annotations

from bigtop.http.clients.peer import BasePeer
from bigtop.http.messages import Request


def client_of(request: Request, peer: BasePeer) -> str:
    """Return the address of who sent a request, "" where that is not known."""
    if not peer.policy.trusted:
        return peer.address
    address = peer.origin(request.headers).address
    return "" if address == peer.address else address
