# TLS session: what was agreed on with the client of an encrypted connection.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple


class ClientCertificate(NamedTuple):
    """The certificate of a client, checked. Names are as RFC 4514 writes them."""

    subject: str
    common_name: str
    issuer: str
    serial: str
    pem: str


class TlsSession(NamedTuple):
    """One connection's; "" is what is not known."""

    version: str  # as OpenSSL names it: "TLSv1.3"
    cipher: str
    cipher_id: int  # its two bytes on the wire
    name: str  # that the client asked for (SNI), in lower case
    resumed: bool
    client: ClientCertificate | None = None  # None: it has none, or was not asked for one


_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def ssl_variables(session: TlsSession) -> dict[str, str]:
    """Return what environs have of a session, under the names of Apache's mod_ssl."""
    client = session.client
    variables = {
        "HTTPS": "on",
        "SSL_PROTOCOL": session.version,
        "SSL_CIPHER": session.cipher,
        "SSL_TLS_SNI": session.name,
        "SSL_SESSION_RESUMED": "Resumed" if session.resumed else "Initial",
        "SSL_CLIENT_VERIFY": "NONE" if client is None else "SUCCESS",
    }
    if client is not None:
        variables |= {
            "SSL_CLIENT_S_DN": client.subject,
            "SSL_CLIENT_S_DN_CN": client.common_name,
            "SSL_CLIENT_I_DN": client.issuer,
            "SSL_CLIENT_M_SERIAL": client.serial,
            "SSL_CLIENT_CERT": client.pem,
        }
    return variables


def tls_extension(session: TlsSession) -> dict[str, object]:
    """Return what scopes have of a session (ASGI's TLS extension 0.2)."""
    client = session.client
    return {
        "server_cert": None,
        "client_cert_chain": () if client is None else (client.pem,),  # nobody can change it for others
        "client_cert_name": None if client is None else client.subject,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(session.version),
        "cipher_suite": session.cipher_id,
    }


_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_SPECIAL: Final = re.compile(r'[,+"\\<>;=]|^[# ]| $|[\x00-\x1f\x7f]')
_RELATIVE = tuple[tuple[str, str], ...]


def client_of(found: Mapping[str, Any], pem: str) -> ClientCertificate:
    """Return what a certificate says, as the ssl module read it."""
    subject = found.get("subject", ())
    names = [value for relative in subject for name, value in relative if name == "commonName"]
    return ClientCertificate(
        _name(subject),
        names[-1] if names else "",
        _name(found.get("issuer", ())),
        str(found.get("serialNumber", "")),
        pem,
    )


def _name(parts: Sequence[_RELATIVE]) -> str:
    """Return a name as RFC 4514 writes it, the most special part first."""
    return ",".join("+".join(map(_attribute, relative)) for relative in reversed(parts))


def _attribute(pair: tuple[str, str]) -> str:
    name, value = pair
    return f"{_SHORT.get(name, name)}={_SPECIAL.sub(_escaped, value)}"


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return f"\\{char}" if char >= " " and char != "\x7f" else f"\\{ord(char):02X}"
