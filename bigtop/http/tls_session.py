# TLS session: what was agreed on with the client of an encrypted connection.

from __future__ import annotations

from typing import Final, NamedTuple


class TlsSession(NamedTuple):
    """One connection's; "" is what is not known."""

    version: str  # as OpenSSL names it: "TLSv1.3"
    cipher: str
    cipher_id: int  # its two bytes on the wire
    name: str  # that the client asked for (SNI), in lower case
    resumed: bool


_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def ssl_variables(session: TlsSession) -> dict[str, str]:
    """Return what environs have of a session, under the names of Apache's mod_ssl."""
    return {
        "HTTPS": "on",
        "SSL_PROTOCOL": session.version,
        "SSL_CIPHER": session.cipher,
        "SSL_TLS_SNI": session.name,
        "SSL_SESSION_RESUMED": "Resumed" if session.resumed else "Initial",
    }


def tls_extension(session: TlsSession) -> dict[str, object]:
    """Return what scopes have of a session (ASGI's TLS extension 0.2)."""
    return {
        "server_cert": None,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(session.version),
        "cipher_suite": session.cipher_id,
    }
