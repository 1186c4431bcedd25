# Access log as Caddy writes it: one JSON object for a request, for programs that read Caddy's.
#
# Rule: as there, fields with secrets are named and not told.

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from bigtop.http.access_log.access_format import AccessRecord, Formatter, host_of, user_of
from bigtop.http.clients.tls_session import TlsSession

_SECRETS: Final = frozenset(("Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie"))
_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def compile_caddy() -> Formatter:
    """Return what writes an access as one JSON object (RFC 8259) in ASCII, with Caddy's names."""

    def line(access: AccessRecord) -> str:
        request = access.request
        facts: dict[str, Any] = {
            "remote_ip": access.address,
            "client_ip": access.address,
            "proto": f"HTTP/{request.version}" if request.version else "",
            "method": request.method,
            "host": host_of(access) or "",
            "uri": request.target.decode("latin-1"),
            "headers": _fields(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers
            ),
        }
        if access.session is not None:
            facts["tls"] = _tls(access.session)
        whole: dict[str, Any] = {
            "level": "error" if access.status >= 500 else "info",
            "ts": access.when,
            "logger": "http.log.access",
            "msg": "handled request",
            "request": facts,
            "bytes_read": request.content_length or 0,
            "user_id": user_of(access) or "",
            "duration": access.duration / 1_000_000,
            "size": access.sent,
            "status": access.status,
            "resp_headers": _fields(access.headers),
        }
        return json.dumps(whole)

    return line


def _fields(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return fields by their names as Go writes them: Content-Type, Etag."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        name = "-".join(word[:1].upper() + word[1:].lower() for word in name.split("-"))
        if name not in _SECRETS:
            found.setdefault(name, []).append(value)
        else:
            found[name] = ["REDACTED"]
    return found


def _tls(session: TlsSession) -> dict[str, Any]:
    return {
        "resumed": session.resumed,
        "version": _VERSIONS.get(session.version, 0),
        "cipher_suite": session.cipher_id,
        "proto": "http/1.1",
        "server_name": session.name,
    }
