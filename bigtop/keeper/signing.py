# Making of keys, requests and certificates.
#
# Rules: pure but for chance: time is an argument, in seconds since 1970, and nothing is kept. Keys are ECDSA
# on P-256, which everything understands. What is made begins an hour early, for clocks that are slow.

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bigtop.keeper import certificates
from bigtop.keeper.certificates import DAY, Pair
from bigtop.keeper.local import local_names

_EARLY: Final = 3600.0
_LONGEST_COMMON_NAME: Final = 64


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request(names: Sequence[str], key: certificates.Key) -> bytes:
    """Return a certificate signing request for hosts, as DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([*map(general_name, names)]), critical=False)
    return builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.DER)


def root(title: str, now: float, days: float, is_for_hosts: bool) -> Pair:
    """Return a root; one for hosts is constrained to local names (local_names.py)."""
    key = new_key()
    builder = _builder(title, title, key.public_key(), now, now + days * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    if is_for_hosts:
        permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in local_names.DOMAINS]
        permitted += [x509.IPAddress(network) for network in local_names.networks()]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return _pair((builder.sign(key, hashes.SHA256()),), key)


def leaf(by: Pair, names: Sequence[str], now: float, days: float) -> Pair:
    """Return a certificate for hosts, with its root behind it."""
    key = new_key()
    title = next((name for name in names if len(name) <= _LONGEST_COMMON_NAME), "local")
    builder = _below(by, title, key, now, days, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName([*map(general_name, names)]), critical=False)
    return _pair((builder.sign(by.key, _digest(by.key)), by.leaf), key)


def client(by: Pair, name: str, now: float, days: float) -> Pair:
    """Return a certificate that proves a person or a program to be `name`."""
    key = new_key()
    builder = _below(by, name, key, now, days, ExtendedKeyUsageOID.CLIENT_AUTH)
    if name.isascii() and name.count("@") == 1 and not name.startswith("@") and not name.endswith("@"):
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(name)]), critical=False)
    return _pair((builder.sign(by.key, _digest(by.key)), by.leaf), key)


def p12(pair: Pair, title: str, password: str) -> bytes:
    """Return a pair as browsers and keychains import it (PKCS #12), encrypted."""
    how = serialization.BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(title.encode(), pair.key, pair.leaf, pair.chain[1:], how)


def self_signed(name: str, extension: x509.ExtensionType, now: float, days: float) -> Pair:
    """Return a certificate for one host that nobody is to trust, with a critical extension."""
    key = new_key()
    builder = _builder("challenge", "challenge", key.public_key(), now, now + days * DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([general_name(name)]), critical=False)
    builder = builder.add_extension(extension, critical=True)
    return _pair((builder.sign(key, hashes.SHA256()),), key)


def general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _below(
    by: Pair, title: str, key: ec.EllipticCurvePrivateKey, now: float, days: float, use: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    end = min(now + days * DAY, by.not_after)
    issuer = by.leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = _builder(title, str(issuer), key.public_key(), now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    issuer_key = by.leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key)
    return builder.add_extension(identifier, critical=False)


def _builder(
    title: str, issuer: str, key: ec.EllipticCurvePublicKey, now: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(title))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now - _EARLY))
        .not_valid_after(_time(end))
    )


def _name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(key: certificates.Key) -> hashes.SHA256 | None:
    return hashes.SHA256() if isinstance(key, certificates.Hashing) else None


def _pair(chain: tuple[x509.Certificate, ...], key: certificates.Key) -> Pair:
    return Pair(chain, key, certificates.chain_text(chain), certificates.key_text(key))
