# Renewal information: when a CA wants a certificate renewed (ARI, RFC 9773).
#
# Rule: pure, and the same for everybody who asks for the same certificate: the moment in the window is drawn
# by the certificate itself, so neither a restart nor a second machine draws anew.

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from cryptography import x509

from bigtop.errors import one_line
from bigtop.keeper.acme import retry_after
from bigtop.keeper.acme.jose import encoded
from bigtop.keeper.acme.resources import MalformedError
from bigtop.record import Record

_SOONEST, _LATEST = 60.0, 86400.0  # seconds until it is asked again, whatever the CA says
_USUAL: Final = 6 * 3600.0


class RenewalInfo(Record):
    """A window, and when to ask again; all in seconds since 1970."""

    start: float
    end: float
    ask_again: float
    explanation: str = ""


def identifier(certificate: x509.Certificate) -> str:
    """Return what a CA calls a certificate; "" for one that does not say who made it."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return ""
    if found.key_identifier is None:
        return ""
    serial = certificate.serial_number
    return f"{encoded(found.key_identifier)}.{encoded(serial.to_bytes(serial.bit_length() // 8 + 1, 'big'))}"


def read(body: bytes, fields: Mapping[str, str], now: float) -> RenewalInfo:
    """Return what a CA answers. Raises MalformedError."""
    try:
        words = json.loads(body)
        window = words["suggestedWindow"]
        start, end = _time(window["start"]), _time(window["end"])
        explanation = str(words.get("explanationURL", ""))[:500]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise MalformedError("what the CA sent has no suggestedWindow") from None
    if end <= start:
        raise MalformedError("the suggestedWindow of the CA ends before it begins")
    return RenewalInfo(start, end, _ask_again(fields, now), one_line(explanation))


def not_known(fields: Mapping[str, str], now: float) -> float:
    """Return when to ask again where the CA gave no information."""
    return _ask_again(fields, now)


def moment(info: RenewalInfo, name: str) -> float:
    """Return the moment in the window at which the certificate with this identifier is renewed."""
    drawn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return info.start + drawn * (info.end - info.start)


def _ask_again(fields: Mapping[str, str], now: float) -> float:
    wanted = retry_after.read(fields, now)
    return now + _USUAL if wanted is None else min(max(wanted, now + _SOONEST), now + _LATEST)


def _time(text: str) -> float:
    found = datetime.datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no zone")
    return found.timestamp()
