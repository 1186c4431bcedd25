# Challenges: how a CA finds out whose a name is, and what it expects there.
#
# HTTP-01 (RFC 8555, 8.3): a text at http://NAME/.well-known/acme-challenge/TOKEN. DNS-01 (8.4): a TXT record.
# TLS-ALPN-01 (RFC 8737): a certificate made for the purpose, for who asks for the protocol acme-tls/1.

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Final

from cryptography import x509

from bigtop.keeper import signing
from bigtop.keeper.acme import kinds
from bigtop.keeper.acme.jose import encoded
from bigtop.keeper.certificates import Pair
from bigtop.record import Record

HTTP: Final = kinds.HTTP
ALPN: Final = kinds.ALPN
DNS: Final = kinds.DNS
KINDS: Final = (HTTP, ALPN, DNS)
PATH: Final = "/.well-known/acme-challenge/"
PROTOCOL: Final = "acme-tls/1"  # what a CA offers in ALPN
_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,180}")
_DAYS: Final = 7.0


class Challenge(Record):
    """One that is to be met: `name` is the host without a star, `answer` the key authorisation."""

    kind: str
    name: str
    token: str
    answer: str
    url: str = ""


def is_token(text: str) -> bool:
    """Whether a text can be a token: what else strangers ask for is nobody's."""
    return _TOKEN.fullmatch(text) is not None


def txt_record(challenge: Challenge) -> tuple[str, str]:
    """Return name and content of the TXT record for DNS-01."""
    digest = hashlib.sha256(challenge.answer.encode()).digest()
    return f"_acme-challenge.{challenge.name}", encoded(digest)


def alpn_pair(challenge: Challenge, now: float) -> Pair:
    """Return the certificate for TLS-ALPN-01."""
    digest = hashlib.sha256(challenge.answer.encode()).digest()
    extension = x509.UnrecognizedExtension(_IDENTIFIER, b"\x04\x20" + digest)  # an OCTET STRING
    return signing.self_signed(challenge.name, extension, now, _DAYS)


def server_name(challenge: Challenge) -> str:
    """Return what a CA sends as SNI for TLS-ALPN-01; of an address that is its reverse name (RFC 8738)."""
    try:
        return ipaddress.ip_address(challenge.name).reverse_pointer
    except ValueError:
        return challenge.name
