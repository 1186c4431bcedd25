# Certificates as OpenSSL reads them: what one says, and how a context is given one with its key.
#
# Rule 1: texts (PEM) in, no names of files: who serves need not be able to read those. OpenSSL wants files,
# so it gets some that are in memory, for the moment, and have no names.
# Rule 2: this is all that serving takes, and needs Python alone. Who makes certificates, or tells a person
# what is wrong with one, has cryptography (keeper/certificates.py). Of what both read they say the same.

from __future__ import annotations

import os
import ssl

# The only way to what OpenSSL makes of names, without a connection.
from _ssl import _test_decode_cert as decode  # type: ignore[attr-defined]
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, Final

from bigtop.errors import ConfigError
from bigtop.record import Record

# In a certificate these stand in front of its public key only (RFC 3279, RFC 5480).
_KINDS: Final = {
    "RSA": bytes.fromhex("06092a864886f70d010101"),
    "EC": bytes.fromhex("06072a8648ce3d0201"),
}
_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: how long it is valid is told besides
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class CertificateFacts(Record):
    """What a certificate says."""

    names: tuple[str, ...]  # hosts, in lower case, and addresses
    begins: float  # POSIX time
    ends: float
    serial: str
    kind: str  # of its key: "RSA", "EC" or "other"
    issuer: str  # its name, "" if it has none


def facts_of(pem: str) -> CertificateFacts:
    """Return what the first certificate in `pem` says; ConfigError: there is none."""
    begin, end = pem.find(_BEGIN), pem.find(_END)
    if begin < 0 or end < begin:
        raise ConfigError("it has no certificate (PEM)")
    first = pem[begin : end + len(_END)] + "\n"
    try:
        with _file(first) as path:
            found: dict[str, Any] = decode(path)
        der = b64decode("".join(first.splitlines()[1:-1]))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"its certificate cannot be read: {error}") from None
    return CertificateFacts(
        names=tuple(_hosts(found.get("subjectAltName", ()))),
        begins=float(ssl.cert_time_to_seconds(found["notBefore"])),
        ends=float(ssl.cert_time_to_seconds(found["notAfter"])),
        serial=found["serialNumber"],
        kind=next((kind for kind, mark in _KINDS.items() if mark in der), "other"),
        issuer=_title(found.get("issuer", ())),
    )


def _hosts(names: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Leave out names that are none of hosts, such as addresses of mail; write the others in one way."""
    for kind, value in names:
        if kind == "DNS":
            yield value.lower().removesuffix(".")
    for kind, value in names:
        if kind == "IP Address":
            with suppress(ValueError):
                yield str(ip_address(value.strip()))


def _title(parts: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Return the word of a name that a person knows it by."""
    words = {kind: text for part in parts for kind, text in part}
    return words.get("commonName") or words.get("organizationName") or ""


def load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Give a context a certificate, with those that lead to its issuer, and its key; ConfigError: these do
    not belong together, or OpenSSL does not take them."""
    if "ENCRYPTED" in key:
        raise ConfigError("the key is encrypted: openssl pkey -in KEY -out PLAIN takes that off")
    try:
        with _file(f"{certificate}\n{key}\n") as path:
            context.load_cert_chain(path)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        if "MISMATCH" in reason:
            raise ConfigError("the key does not belong to the certificate") from None
        raise ConfigError(f"OpenSSL does not take it: {reason.lower().replace('_', ' ')}") from None


def chain_problem(certificate: str, key: str) -> str:
    """Return why clients who know only who has issued the last certificate of a pair cannot follow its chain,
    "" if they can. OpenSSL is asked: one side shows it, and the other one trusts the last and no more."""
    chain = [_BEGIN + one for one in certificate.split(_BEGIN)[1:]]
    if len(chain) < 2:
        with _file(certificate) as path:
            found: dict[str, Any] = decode(path)
        return "" if found.get("issuer") == found.get("subject") else "that of its issuer is missing"
    server, client = (ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    load(server, certificate, key)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        client.load_verify_locations(cadata=chain[-1])
        _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message)
    except ssl.SSLError as error:
        return str(error.reason or error)
    return ""


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    while sides:
        for side in sides.copy():
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                sides.remove(side)


def revoke(context: ssl.SSLContext, crl: str) -> None:
    """Have a context refuse the certificates in `crl`, lists (PEM) of issuers that it trusts; ConfigError:
    there is none."""
    try:
        with _file(f"{crl}\n") as path:
            context.load_verify_locations(path)
    except ssl.SSLError:
        pass  # with what was read before, if anything was
    if not context.cert_store_stats()["crl"]:
        raise ConfigError(
            "--client-crl: it has no list of revoked certificates (PEM; openssl crl -inform DER -in OLD "
            "-out NEW makes that of another one)"
        )
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


@contextmanager
def _file(text: str) -> Iterator[str]:
    fd = os.memfd_create("bigtop-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "w") as file:
            file.write(text)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
