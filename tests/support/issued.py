# Certificates for tests, made on the spot: a root, what is between, and whatever is wrong on purpose.

from __future__ import annotations

import datetime
import functools
import ipaddress
import shutil
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="apt install openssl")
DAY = 86400.0
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC).timestamp()


class Issued:
    """A certificate and its key; it can issue others."""

    def __init__(
        self,
        *names: str,
        by: Issued | None = None,
        begin: float = NOW - DAY,
        end: float = NOW + 89 * DAY,
        key: Any = None,
        title: str = "",
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)] if title else [])
        self.issuer = by
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(by.subject if by else self.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime.fromtimestamp(begin, datetime.UTC))
            .not_valid_after(datetime.datetime.fromtimestamp(end, datetime.UTC))
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        )
        signer = by.key if by else self.key
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([*map(general, names)]), critical=False
            )
        self.certificate = builder.sign(signer, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key_as(serialization.PrivateFormat.PKCS8)

    def key_as(self, form: serialization.PrivateFormat, password: bytes = b"") -> bytes:
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, how)


def general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@functools.cache
def root() -> Issued:
    return Issued(title="A Root", end=NOW + 3650 * DAY)


@functools.cache
def between() -> Issued:
    return Issued(by=root(), title="An Issuer", end=NOW + 900 * DAY)


@functools.cache
def small_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)
