# Session with a CA: questions signed by an account's key, each with a nonce that the CA gave.
#
# Rule: a CA may refuse any nonce, and gives a new one with the refusal (RFC 8555, 6.5). That is no failure
# until it has happened many times in a row.

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from bigtop.keeper.acme import jose, problems
from bigtop.keeper.acme.messages import Answered, Get, Post, Unreachable
from bigtop.keeper.ordering.https import Https

_NONCES: Final = 20  # that are refused in a row: of one question, even if a CA refuses every second one
_MOST: Final = 10  # nonces that are kept


class Session:
    """One thread at a time."""

    def __init__(self, https: Https, key: ec.EllipticCurvePrivateKey) -> None:
        self._https = https
        self._key = key
        self._nonces: list[str] = []

    def ask(self, question: Get | Post) -> Answered | Unreachable:
        """Ask, and return what comes back."""
        if isinstance(question, Get):
            return self._heard(self._https.ask("GET", question.url))
        answer: Answered | Unreachable = Unreachable("")
        for _ in range(_NONCES):
            nonce = self._nonce(question.new_nonce)
            if isinstance(nonce, Unreachable):
                return nonce
            answer = self._heard(self._posted(question, nonce))
            if isinstance(answer, Unreachable) or answer.status != 400:
                return answer
            if problems.read(answer.status, answer.body).kind != "badNonce":
                return answer
        return answer

    def _posted(self, question: Post, nonce: str) -> Answered | Unreachable:
        who = {"kid": question.account} if question.account else {"jwk": jose.jwk(self._key)}
        body = jose.signed(self._key, {"url": question.url, "nonce": nonce, **who}, question.payload)
        fields = {"Content-Type": "application/jose+json"}
        return self._https.ask("POST", question.url, body, fields)

    def _nonce(self, url: str) -> str | Unreachable:
        if not self._nonces:
            answer = self._heard(self._https.ask("HEAD", url))
            if isinstance(answer, Unreachable):
                return answer
            if not self._nonces:
                return Unreachable(f"{url} gives no nonce")
        return self._nonces.pop()

    def _heard(self, answer: Answered | Unreachable) -> Answered | Unreachable:
        """Keep the nonce that comes with an answer."""
        nonce = answer.fields.get("replay-nonce", "") if isinstance(answer, Answered) else ""
        if nonce.isascii() and nonce.isprintable() and 0 < len(nonce) < 1000:
            self._nonces = [*self._nonces[1 - _MOST :], nonce]
        return answer
