# Challenges of CAs, answered by workers: HTTP-01 as a handler, TLS-ALPN-01 as a context.
#
# Rule: what nobody has an answer for is left to others: an application may have certificates by itself.

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

from bigtop.errors import ConfigError
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Reply
from bigtop.http.messages import Request
from bigtop.keeper.publishing.publication import token
from bigtop.log import logger as get_logger
from bigtop.system import certificates

log = get_logger("bigtop.backend")
PROTOCOL: Final = "acme-tls/1"  # what a CA offers (RFC 8737)
OFFERED: Final = PROTOCOL.encode()


class ChallengeAnswers:
    """Answers HTTP-01; `answer_of` returns what there is for a token."""

    __slots__ = ("_answer_of",)

    def __init__(self, answer_of: Callable[[str], str | None]) -> None:
        self._answer_of = answer_of

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        if not request.target.startswith(b"/.well-known/acme-challenge/"):
            return None
        asked = token(request.target.decode("latin-1"))
        answer = None if asked is None else self._answer_of(asked)
        if answer is None:
            return None
        log.info("a CA was shown the answer to its challenge at http://%s", _host(request))
        return Reply("200 OK", [("Content-Type", "application/octet-stream")], [answer.encode()])


def context_of(pem: str | None) -> ssl.SSLContext | None:
    """Return the context for a CA that asks for a challenge, None where there is none."""
    if pem is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([PROTOCOL])
    context.num_tickets = 0
    try:
        certificates.load(context, pem, pem)
    except ConfigError as error:
        log.error("the certificate for a challenge: %s", error)
        return None
    return context


def _host(request: Request) -> str:
    for name, value in request.headers:
        if name.lower() == b"host":
            return value.decode("latin-1")
    return ""
