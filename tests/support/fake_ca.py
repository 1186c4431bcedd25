# A CA for tests, as far as ACME goes: it remembers what it was asked, and has the extensions that pebble
# lacks (ARI, profiles, bindings). It believes each challenge. Faults are put in as answers to come.

from __future__ import annotations

import base64
import datetime
import json
from collections import defaultdict
from typing import Any

from cryptography import x509

from bigtop.keeper import certificates
from bigtop.keeper.acme.messages import Answered, Get, Post
from tests.support.issued import DAY, Issued, between

BASE = "https://ca.test"


def problem(kind: str, detail: str = "", status: int = 403, **fields: str) -> Answered:
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}
    return Answered(status, {name.replace("_", "-"): value for name, value in fields.items()}, _json(body))


class FakeCA:
    """`faults` has, by the last word of a path, answers that are given first."""

    def __init__(self, base: str = BASE) -> None:
        self.base = base
        self.faults: dict[str, list[Answered]] = defaultdict(list)
        self.asked: list[tuple[str, Any]] = []  # path, payload
        self.meta: dict[str, Any] = {"profiles": {"classic": "the usual", "shortlived": "six days"}}
        self.kinds = ["http-01", "tls-alpn-01", "dns-01"]
        self.window: tuple[float, float] | None = None
        self.lifetime = 90 * DAY
        self.now = 0.0
        self.orders: list[dict[str, Any]] = []
        self.certificates: list[bytes] = []

    def answer(self, question: Get | Post, now: float) -> Answered:
        payload = None if isinstance(question, Get) else question.payload
        return self.answer_to(question.url.removeprefix(self.base), payload, now)

    def answer_to(self, path: str, payload: Any, now: float) -> Answered:
        self.now = now
        self.asked.append((path, payload))
        word, _, number = path.strip("/").partition("/")
        if self.faults[word]:
            return self.faults[word].pop(0)
        match word:
            case "directory":
                return self._object(self._directory())
            case "account":
                return self._object({"status": "valid"}, 201, location=f"{self.base}/accounts/1")
            case "order" if payload:
                return self._ordered(payload)
            case "orders":
                return self._object(self._order(int(number)))
            case "authorization":
                return self._object(self._authorization(number))
            case "challenge":
                self.orders[int(number.split("-")[0])]["shown"].add(number.split("-")[1])
                return self._object({"status": "processing"})
            case "finalize":
                return self._finalized(int(number), payload)
            case "certificate":
                return Answered(200, {}, self.certificates[int(number)])
            case "ari":
                return self._renewal_info()
        return problem("malformed", f"nothing at {path}", 404)

    def words(self) -> list[str]:
        """Return what was asked for, by the first words of the paths."""
        return [path.split("/")[1] for path, _ in self.asked]

    def _object(self, words: object, status: int = 200, **fields: str) -> Answered:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return Answered(status, named, _json(words))

    def _directory(self) -> dict[str, Any]:
        found = {
            "newNonce": f"{self.base}/nonce",
            "newAccount": f"{self.base}/account",
            "newOrder": f"{self.base}/order",
            "meta": self.meta,
        }
        return {**found, "renewalInfo": f"{self.base}/ari"} if self.window else found

    def _ordered(self, payload: Any) -> Answered:
        self.orders.append({"wanted": payload, "shown": set(), "csr": None, "status": ""})
        number = len(self.orders) - 1
        return self._object(self._order(number), 201, location=f"{self.base}/orders/{number}")

    def _order(self, number: int) -> dict[str, Any]:
        order = self.orders[number]
        names = order["wanted"]["identifiers"]
        status = "ready" if len(order["shown"]) == len(names) else "pending"
        found = {
            "status": order["status"] or ("valid" if order["csr"] else status),
            "identifiers": names,
            "authorizations": [f"{self.base}/authorization/{number}-{index}" for index in range(len(names))],
            "finalize": f"{self.base}/finalize/{number}",
        }
        if order["csr"]:
            found["certificate"] = f"{self.base}/certificate/{order['csr'] - 1}"
        return found

    def _authorization(self, number: str) -> dict[str, Any]:
        order, index = number.split("-")
        kinds = [
            {"type": kind, "url": f"{self.base}/challenge/{number}-{kind}", "token": f"token-{number}"}
            for kind in self.kinds
        ]
        return {
            "status": "valid" if index in self.orders[int(order)]["shown"] else "pending",
            "identifier": self.orders[int(order)]["wanted"]["identifiers"][int(index)],
            "challenges": kinds,
        }

    def _finalized(self, number: int, payload: Any) -> Answered:
        text = payload["csr"] + "=" * (-len(payload["csr"]) % 4)
        request = x509.load_der_x509_csr(base64.urlsafe_b64decode(text))
        assert request.is_signature_valid
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *found.get_values_for_type(x509.DNSName),
            *map(str, found.get_values_for_type(x509.IPAddress)),
        ]
        assert sorted(names) == sorted(one["value"] for one in self.orders[number]["wanted"]["identifiers"])
        made = Issued(
            *names, by=between(), begin=self.now - 60, end=self.now + self.lifetime, key=_Public(request)
        )
        self.certificates.append(made.pem + between().pem)
        self.orders[number]["csr"] = len(self.certificates)
        return self._object(self._order(number))

    def _renewal_info(self) -> Answered:
        assert self.window is not None
        start, end = (datetime.datetime.fromtimestamp(each, datetime.UTC).isoformat() for each in self.window)
        return self._object({"suggestedWindow": {"start": start, "end": end}}, retry_after="3600")


class _Public:
    """The key of a request, of which a CA has the public half only."""

    def __init__(self, request: x509.CertificateSigningRequest) -> None:
        self._request = request

    def public_key(self) -> certificates.Key:
        return self._request.public_key()  # type: ignore[return-value]


def _json(words: object) -> bytes:
    return json.dumps(words).encode()
