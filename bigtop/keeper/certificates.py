# Certificates with their keys, as PEM: read, checked, described.
#
# (Who serves has a reader of its own, for which Python's ssl is enough: system/certificates.py. The border:
# what is served with, and by which name, is decided there; what a person is told, and what is made, here.)
#
# Rules: pure; time is an argument, in seconds since 1970. What cannot be read is one CertificateError that
# names the file. What can be read and is wrong is a list of findings: those that are faults keep a pair from
# being served, the others are worth a warning.

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from bigtop.errors import ConfigError, one_line
from bigtop.record import Record, field

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Hashing = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey  # whose signatures are of a hash
DAY: Final = 86400.0
_SMALLEST_RSA: Final = 2048  # bits: what OpenSSL and browsers take today
_LONGEST: Final = 1 << 20  # bytes of one file
_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n.*?-----END \1-----[ \t]*(?:\r?\n|$)", re.DOTALL
)
_ORDINALS: Final = {1: "1st", 2: "2nd", 3: "3rd"}


class CertificateError(ConfigError):
    """A certificate or a key cannot be read; the message begins with the file."""


class Finding(Record):
    """What is wrong with a pair, in words for a person; a fault keeps it from being served."""

    text: str
    is_fault: bool = True


class Pair(Record):
    """A certificate with those that lead to its root, and its key. Two are equal when their bytes are."""

    chain: tuple[x509.Certificate, ...] = field(compare=False)  # the certificate itself comes first
    key: Key = field(compare=False)
    chain_pem: bytes
    key_pem: bytes = field(compare=False)
    place: str = field(compare=False, default="")  # the file, or where else it comes from

    def __repr__(self) -> str:
        """Without the key, which must not get into a log."""
        return f"Pair({', '.join(names(self.leaf))!r}, place={self.place!r})"

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def not_before(self) -> float:
        return self.leaf.not_valid_before_utc.timestamp()

    @property
    def not_after(self) -> float:
        return self.leaf.not_valid_after_utc.timestamp()

    @property
    def pem(self) -> bytes:
        """The key and the chain in one text, as OpenSSL reads them from one file."""
        return self.key_pem + self.chain_pem


# ---- reading


def read(chain: bytes, key: bytes, place: str, key_place: str = "") -> Pair:
    """Return the pair that two PEM texts hold, which may be one and the same. Raises CertificateError."""
    certificates = read_chain(chain, place)
    private = read_key(key, key_place or place)
    return Pair(certificates, private, chain_text(certificates), key_text(private), place)


def read_chain(text: bytes, place: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM text, at least one, as they come."""
    found = []
    for number, block in enumerate(_blocks(text, place, "CERTIFICATE"), 1):
        try:
            certificate = x509.load_pem_x509_certificate(block)
            _ = certificate.extensions  # parsed when it is asked for
        except ValueError as error:
            raise CertificateError(
                f"{place}: the {ordinal(number)} certificate cannot be read: {_words(error)}"
            ) from None
        found.append(certificate)
    if not found:
        raise CertificateError(f"{place}: there is no certificate in it{_instead(text)}")
    return tuple(found)


def read_key(text: bytes, place: str) -> Key:
    """Return the private key of a PEM text."""
    blocks = [found[0] for found in _BLOCK.finditer(_sized(text, place)) if found[1].endswith(b"PRIVATE KEY")]
    if len(blocks) != 1:
        what = f"are {len(blocks)} private keys" if blocks else "is no private key"
        raise CertificateError(f"{place}: there {what} in it{_instead(text)}")
    try:
        key = serialization.load_pem_private_key(blocks[0], None)
    except TypeError:
        raise CertificateError(
            f"{place}: the key is encrypted, and nobody is there to type its pass phrase: "
            "`openssl pkey -in OLD -out NEW` writes it without"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{place}: the key cannot be read: {_words(error)}") from None
    if not isinstance(key, Key):
        raise CertificateError(f"{place}: a key of this kind cannot serve TLS: take ECDSA or RSA")
    return key


def chain_text(chain: Iterable[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def key_text(key: Key) -> bytes:
    """Return the key as PEM (PKCS #8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _blocks(text: bytes, place: str, label: str) -> Iterator[bytes]:
    for found in _BLOCK.finditer(_sized(text, place)):
        if found[1].decode() in (label, f"X509 {label}", f"TRUSTED {label}"):
            yield found[0]


def _sized(text: bytes, place: str) -> bytes:
    if len(text) > _LONGEST:
        raise CertificateError(f"{place}: {len(text)} bytes are too many for certificates and keys")
    return text


def _instead(text: bytes) -> str:
    labels = sorted({found[1].decode().lower() for found in _BLOCK.finditer(text)})
    if labels:
        return f", only: {', '.join(labels)}"
    return ": it is empty" if not text.strip() else ": it is not PEM, which begins with -----BEGIN"


def _words(error: Exception) -> str:
    return one_line(str(error).partition("\n")[0].rstrip(".")) or type(error).__name__


# ---- checking


def check(pair: Pair, now: float, wanted: Iterable[str] = ()) -> list[Finding]:
    """Return what is wrong with a pair that is to be served at `now` for the names `wanted`."""
    found = [*_of_key(pair), *_of_chain(pair.chain), *_of_time(pair.leaf, now)]
    covered = names(pair.leaf)
    if not covered:
        found.append(Finding("it names no host: browsers do not look at its subject any more"))
    missing = [name for name in wanted if not covers(covered, name)]
    if missing:
        found.append(
            Finding(f"it is not for {', '.join(missing)}, but for {', '.join(covered) or 'nothing'}")
        )
    return found


def _of_key(pair: Pair) -> Iterator[Finding]:
    if not fits(pair.leaf, pair.key):
        yield Finding("the key belongs to another certificate")
    if isinstance(pair.key, rsa.RSAPrivateKey) and pair.key.key_size < _SMALLEST_RSA:
        yield Finding(f"clients refuse an RSA key of {pair.key.key_size} bits: {_SMALLEST_RSA} at least")


def fits(certificate: x509.Certificate, key: Key) -> bool:
    """Whether the certificate was made for this key."""
    try:
        theirs = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    der, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return theirs.public_bytes(der, form) == key.public_key().public_bytes(der, form)


def _of_chain(chain: tuple[x509.Certificate, ...]) -> Iterator[Finding]:
    for number, (lower, upper) in enumerate(itertools.pairwise(chain), 1):
        if not _signed(lower, upper):
            yield Finding(
                f"the {ordinal(number + 1)} certificate did not sign the {ordinal(number)}: "
                "the site's own comes first, then each one's issuer"
            )
            return
    if len(chain) == 1 and chain[0].issuer != chain[0].subject:
        yield Finding(
            f"its issuer's certificate ({_title(chain[0].issuer)}) is not beside it: "
            "clients that do not know that one refuse",
            is_fault=False,
        )


def _signed(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _of_time(leaf: x509.Certificate, now: float) -> Iterator[Finding]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begin.timestamp():
        yield Finding(f"it is valid from {begin:%Y-%m-%d %H:%M} UTC on: is the clock of this machine right?")
    elif now >= end.timestamp():
        yield Finding(f"it ended at {end:%Y-%m-%d %H:%M} UTC")
    elif end.timestamp() - now < (end - begin).total_seconds() / 3:
        yield Finding(f"{_left(end.timestamp() - now)} left of {(end - begin).days} days", is_fault=False)


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the hosts that a certificate is for: names as they are written, then addresses."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *map(str, addresses))


def covers(names: Iterable[str], host: str) -> bool:
    """Whether a client that asked for `host` takes one of `names` (RFC 9525): `*.` stands for one label, and
    not right below a top-level domain, as with OpenSSL."""
    host = plain(host)
    label, _, rest = host.partition(".")
    wildcard = f"*.{rest}" if label and "." in rest else host
    return any(name in (host, wildcard) for name in map(plain, names))


def plain(host: str) -> str:
    """Return a name or an address in the one form in which two can be compared."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host.lower().removesuffix(".")


# ---- describing


def describe(pair: Pair, now: float) -> str:
    """Return one line: names, kind of key, days left, issuer."""
    left = pair.not_after - now
    until = f"{_left(left)} left" if left > 0 else f"ended {_left(-left)} ago"
    end = pair.leaf.not_valid_after_utc
    title = one_line(", ".join(names(pair.leaf)) or _title(pair.leaf.subject))
    return f"{title}: {kind(pair.key)}, {until} (until {end:%Y-%m-%d}), by {_title(pair.leaf.issuer)}"


def kind(key: Key) -> str:
    """Return what kind of key it is, as "ECDSA P-256" or "RSA 2048"."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return f"ECDSA {key.curve.name.replace('secp', 'P-').removesuffix('r1')}"
        case rsa.RSAPrivateKey():
            return f"RSA {key.key_size}"
    return "Ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "Ed448"


def days_left(pair: Pair, now: float) -> float:
    """Return the days until the certificate ends; less than nothing when it has."""
    return (pair.not_after - now) / DAY


def ordinal(number: int) -> str:
    return _ORDINALS.get(number, f"{number}th")


def _left(seconds: float) -> str:
    days = int(seconds // DAY)
    if days >= 2:
        return f"{days} days"
    hours = int(seconds // 3600)
    return f"{hours} hours" if hours >= 2 else f"{int(seconds // 60)} minutes"


def _title(name: x509.Name) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            return one_line(str(attribute.value))
    return one_line(name.rfc4514_string()) or "an issuer without a name"
