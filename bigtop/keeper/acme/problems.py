# Problem documents of a CA (RFC 7807, RFC 8555, 6.7), and what they mean, in words for a person.
#
# Rule: what the CA says is quoted, never believed to be plain text: it passes through one_line().

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from typing import Final

from bigtop.errors import one_line
from bigtop.keeper.acme import challenges
from bigtop.record import Record

_NAMESPACE: Final = "urn:ietf:params:acme:error:"
_LONGEST: Final = 500  # letters that are quoted


class Fault(enum.Enum):
    """Whose fault a failure is, which decides what is tried next."""

    NAME = "name"  # the name does not lead here, or not from everywhere: the same with each CA
    ISSUER = "issuer"  # the CA cannot, or will not: another one may
    SETUP = "setup"  # a person has to change something


class Problem(Record):
    """`kind` is the last word of the type, "" if that is not one of ACME's."""

    kind: str
    detail: str
    status: int = 0
    name: str = ""  # the host that a part of the problem is about
    parts: tuple[Problem, ...] = ()


def read(status: int, body: bytes) -> Problem:
    """Return what an answer with an error says."""
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        words = {}
    return of(words if isinstance(words, dict) else {}, status)


def of(words: Mapping[str, object], status: int = 0) -> Problem:
    """Return the problem that an object of JSON is."""
    parts = words.get("subproblems")
    return Problem(
        str(words.get("type", "")).removeprefix(_NAMESPACE)
        if str(words.get("type", "")).startswith(_NAMESPACE)
        else "",
        str(words.get("detail", "")),
        status,
        _name(words),
        tuple(of(part) for part in parts if isinstance(part, dict)) if isinstance(parts, list) else (),
    )


def _name(words: Mapping[str, object]) -> str:
    match words.get("identifier"):
        case {"value": str(name)}:
            return name
    return ""


# kind -> whose fault it is, and what a person should know; NAME stands for the host.
_MEANINGS: Final = {
    "accountDoesNotExist": (Fault.ISSUER, "the CA does not know the account"),
    "badCSR": (Fault.SETUP, "the CA refuses the request for these names"),
    "badNonce": (Fault.ISSUER, "the CA refused each nonce that it had given"),
    "badPublicKey": (Fault.SETUP, "the CA refuses the key"),
    "badSignatureAlgorithm": (Fault.SETUP, "the CA does not take ES256 signatures"),
    "caa": (Fault.ISSUER, "a CAA record in the DNS forbids this CA to make certificates for NAME"),
    "compound": (Fault.NAME, "several names failed"),
    "connection": (Fault.NAME, "the CA cannot connect to NAME"),
    "dns": (Fault.NAME, "the CA finds no address of NAME, or no TXT record: look at its DNS"),
    "externalAccountRequired": (Fault.SETUP, "the CA takes accounts of its own only: it wants a key for EAB"),
    "incorrectResponse": (Fault.NAME, "NAME answers the CA something else: does it lead to this machine?"),
    "invalidContact": (Fault.SETUP, "the CA refuses the e-mail address"),
    "invalidProfile": (Fault.SETUP, "the CA does not have this profile"),
    "malformed": (Fault.ISSUER, "the CA does not understand the request"),
    "orderNotReady": (Fault.ISSUER, "the CA takes the order for not ready"),
    "rateLimited": (Fault.ISSUER, "a limit of the CA is reached"),
    "rejectedIdentifier": (Fault.ISSUER, "the CA makes no certificates for NAME"),
    "serverInternal": (Fault.ISSUER, "the CA has a fault of its own"),
    "tls": (Fault.NAME, "the CA cannot speak TLS with NAME, port 443"),
    "unauthorized": (Fault.NAME, "NAME answers the CA something else: does it lead to this machine?"),
    "unsupportedContact": (Fault.SETUP, "the CA takes no such address for messages"),
    "unsupportedIdentifier": (Fault.ISSUER, "the CA makes no certificates for this kind of name"),
    "userActionRequired": (Fault.SETUP, "the CA wants somebody to agree to its new terms"),
}
_CONNECTING: Final = {
    challenges.HTTP: "port 80 has to be open to the Internet, and lead to this machine",
    challenges.ALPN: "port 443 has to be open to the Internet, and lead to this machine",
}


def fault(problem: Problem) -> Fault:
    """Return whose fault a problem is."""
    if problem.kind in _MEANINGS:
        return _MEANINGS[problem.kind][0]
    return Fault.ISSUER


def words(problem: Problem, name: str = "", challenge: str = "") -> str:
    """Return one line for a person; `name` is the host it is about, `challenge` the kind that failed."""
    return "; ".join(_lines(problem, name, challenge))


def _lines(problem: Problem, name: str, challenge: str) -> Iterator[str]:
    name = problem.name or name
    _, meaning = _MEANINGS.get(problem.kind, (None, f"the CA answers {problem.status or 'an error'}"))
    text = meaning.replace("NAME", name or "the name")
    if problem.kind == "connection" and challenge in _CONNECTING:
        text = f"{text}: {_CONNECTING[challenge]}"
    detail = one_line(problem.detail[:_LONGEST].strip())
    yield f"{text} (the CA says: {detail})" if detail else text
    for part in problem.parts[:10]:
        yield from _lines(part, name, challenge)
