# Resources of an ACME server: directory, order, authorisation, read from what it sends.
#
# Rule: everything is looked at before it is used. An address that is not https is refused: nobody is sent to
# another place, or in the clear, by a CA.

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from bigtop.errors import one_line
from bigtop.keeper.acme.problems import Problem, of
from bigtop.keeper.certificates import plain
from bigtop.record import Record

_MOST: Final = 200  # names of one order


class MalformedError(Exception):
    """A CA sent something that is not what RFC 8555 says; the message says what."""


class Directory(Record):
    """Where a CA takes what; `renewal_info` is "" if it has none."""

    new_nonce: str
    new_account: str
    new_order: str
    renewal_info: str = ""
    profiles: tuple[str, ...] = ()
    wants_binding: bool = False
    terms: str = ""


class Order(Record):
    """An order of a certificate; `status` is one of the words of RFC 8555, 7.1.6."""

    status: str
    names: tuple[str, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str = ""
    error: Problem | None = None


class Offer(Record):
    """A challenge as a CA offers it."""

    kind: str
    url: str
    token: str
    error: Problem | None = None


class Authorization(Record):
    """Whether somebody is known to have a name, and how that can be shown."""

    status: str
    name: str
    offers: tuple[Offer, ...]


def directory(body: bytes) -> Directory:
    words = _object(body)
    meta = words.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    profiles = meta.get("profiles")
    return Directory(
        _url(words, "newNonce"),
        _url(words, "newAccount"),
        _url(words, "newOrder"),
        _url(words, "renewalInfo") if words.get("renewalInfo") else "",
        tuple(map(str, profiles)) if isinstance(profiles, dict) else (),
        meta.get("externalAccountRequired") is True,
        str(meta.get("termsOfService", "")),
    )


def order(body: bytes) -> Order:
    words = _object(body)
    identifiers = _list(words, "identifiers")
    authorizations = [checked_url(url, "an authorization") for url in _list(words, "authorizations")]
    error = words.get("error")
    return Order(
        _text(words, "status"),
        tuple(plain(_identifier(one)) for one in identifiers),
        tuple(authorizations),
        _url(words, "finalize"),
        _url(words, "certificate") if words.get("certificate") else "",
        of(error) if isinstance(error, dict) else None,
    )


def authorization(body: bytes) -> Authorization:
    words = _object(body)
    offers = [_offer(one) for one in _list(words, "challenges") if isinstance(one, dict)]
    return Authorization(
        _text(words, "status"),
        plain(_identifier(words.get("identifier"))),
        tuple(offer for offer in offers if offer is not None),
    )


def checked_url(value: object, what: str) -> str:
    """Return an address that a CA sent. Raises MalformedError."""
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        is_good = False
    if not is_good or not text.isascii() or not text.isprintable() or " " in text:
        raise MalformedError(f"the address of {what} is {one_line(repr(value)[:200])}, which is no https")
    return text


def _offer(words: Mapping[str, object]) -> Offer | None:
    kind, token = words.get("type"), words.get("token", "")
    if not isinstance(kind, str) or not isinstance(token, str) or not words.get("url"):
        return None
    error = words.get("error")
    return Offer(kind, _url(words, "url"), token, of(error) if isinstance(error, dict) else None)


def _object(body: bytes) -> dict[str, object]:
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("what the CA sent is no JSON") from None
    if not isinstance(words, dict):
        raise MalformedError("what the CA sent is no object of JSON")
    return words


def _list(words: Mapping[str, object], key: str) -> list[object]:
    found = words.get(key)
    if not isinstance(found, list) or len(found) > _MOST:
        raise MalformedError(f"what the CA sent has no list of {key}")
    return found


def _text(words: Mapping[str, object], key: str) -> str:
    found = words.get(key)
    if not isinstance(found, str):
        raise MalformedError(f"what the CA sent has no {key}")
    return found


def _url(words: Mapping[str, object], key: str) -> str:
    return checked_url(words.get(key), key)


def _identifier(words: object) -> str:
    match words:
        case {"type": "dns" | "ip", "value": str(name)}:
            return name
    raise MalformedError("what the CA sent has no identifier")
