# Self-check: what will keep a CA from meeting a challenge, as far as it can be seen from here.
#
# Rule: a warning, never a refusal. Behind a router that does not let its own inside come in again, or with a
# DNS of one's own, a CA outside sees what nobody sees here.

from __future__ import annotations

import http.client
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from bigtop.errors import one_line
from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from bigtop.record import Record

_PATIENCE: Final = 3.0  # seconds for an address
_MOST: Final = 4  # addresses that are looked at


class Seen(Record):
    """What was found at one address: a status and a body, or a trouble."""

    address: str
    port: int
    trouble: str = ""
    status: int = 0
    body: str = ""


class SelfCheck:
    """Looks from here; any thread. The ports are 80 and 443, but in tests."""

    def __init__(self, http_port: int = 80, tls_port: int = 443) -> None:
        self._ports = {challenges.HTTP: http_port, challenges.ALPN: tls_port}

    def look(self, challenge: Challenge) -> list[str]:
        """Return what is wrong, in words. Takes seconds where nobody answers."""
        addresses, trouble = resolved(challenge.name)
        port = self._ports.get(challenge.kind, 0)
        if trouble or not port:
            return [trouble] if trouble else []
        seen = [_seen(challenge, address, port) for address in addresses[:_MOST]]
        return words(challenge, seen)


def resolved(name: str) -> tuple[list[str], str]:
    """Return the addresses of a name, and what is wrong with that."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = one_line(str(error.strerror if isinstance(error, OSError) else error))
        return [], f"its name cannot be found from here ({reason}): does it have an A or AAAA record?"
    return sorted({str(address[0]) for *_, address in found}), ""


def words(challenge: Challenge, seen: Sequence[Seen]) -> list[str]:
    """Return what is wrong with what was seen, in words for a person."""
    return [text for text in (_word(challenge, one) for one in seen) if text]


def _word(challenge: Challenge, seen: Seen) -> str:
    place = f"{seen.address}, port {seen.port}"
    if not ipaddress.ip_address(seen.address.partition("%")[0]).is_global:
        return f"it leads to {seen.address}, which is no public address: a CA outside cannot get there"
    if seen.trouble:
        return (
            f"nobody answers at {place} ({seen.trouble}): that port has to be open, and lead to this machine"
        )
    if challenge.kind == challenges.HTTP and seen.status == 200 and seen.body != challenge.answer:
        return f"something else answers at {place}: it leads to another server, or a proxy in front answers"
    if challenge.kind == challenges.HTTP and seen.status not in (200, 301, 302, 307, 308):
        return f"something else answers at {place}, with {seen.status}: does it lead to this machine?"
    return ""


def _seen(challenge: Challenge, address: str, port: int) -> Seen:
    try:
        if challenge.kind == challenges.HTTP:
            return _asked(challenge, address, port)
        socket.create_connection((address, port), _PATIENCE).close()
    except TimeoutError:
        return Seen(address, port, f"no answer within {_PATIENCE:.0f} seconds")
    except (OSError, http.client.HTTPException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return Seen(address, port, one_line(reason))
    return Seen(address, port)


def _asked(challenge: Challenge, address: str, port: int) -> Seen:
    connection = http.client.HTTPConnection(address, port, timeout=_PATIENCE)
    try:
        connection.request("GET", challenges.PATH + challenge.token, headers={"Host": challenge.name})
        answer = connection.getresponse()
        body = answer.read(2 * len(challenge.answer) + 2).decode("ascii", "replace")
        return Seen(address, port, status=answer.status, body=body.rstrip())
    finally:
        connection.close()
