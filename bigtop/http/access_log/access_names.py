# Formats of the access log by name, and in nginx's language: both become a text in gunicorn's.
#
# Rule: a $variable without an equal is an error that says so; nothing is left out of a line in silence.

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Final

from bigtop.errors import ConfigError
from bigtop.http.access_log.access_format import JSON, Formatter, compile_format, compile_json

CADDY: Final = "caddy"

# nginx's `combined` is built in, its `main` is in the nginx.conf that its packages bring.
_COMMON: Final = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
_COMBINED: Final = _COMMON + ' "$http_referer" "$http_user_agent"'
_FORMATS: Final = {
    "common": _COMMON,
    "combined": _COMBINED,
    "main": _COMBINED + ' "$http_x_forwarded_for"',
}
NAMES: Final = (*_FORMATS, JSON, CADDY)

# A $variable -> our atom, where that has another name.
_ATOMS: Final = {
    "remote_addr": "h",
    "remote_user": "u",
    "request": "r",
    "status": "s",
    "body_bytes_sent": "B",
    "request_method": "m",
    "uri": "U",
    "document_uri": "U",
    "args": "q",
    "query_string": "q",
    "server_protocol": "H",
    "request_id": "id",
    "http_referer": "f",
    "http_user_agent": "a",
}
_SAME: Final = frozenset(
    ("time_local", "time_iso8601", "msec", "request_time", "upstream_cache_status",
     "upstream_response_time", "request_uri", "host", "scheme", "pid", "ssl_protocol", "ssl_cipher",
     "ssl_server_name", "ssl_session_reused", "ssl_client_s_dn")
)  # fmt: skip
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<bare>\w+))|(?P<percent>%)", re.ASCII)


def translated(text: str) -> str:
    """Return a format in gunicorn's language for a name, or for one in nginx's; JSON and CADDY stay names.

    Raises ConfigError for a $variable that has no equal.
    """
    if text in (JSON, CADDY):
        return text
    text = _FORMATS.get(text, text)
    if "%(" in text or not re.search(r"\$[a-z{]", text):
        return text
    return _VARIABLE.sub(_atom, text)


def _atom(match: re.Match[str]) -> str:
    if match["percent"]:
        return "%%"
    name = match["braced"] or match["bare"]
    if name in _ATOMS:
        return f"%({_ATOMS[name]})s"
    if name in _SAME:
        return f"%({name})s"
    for prefix, kind in (("sent_http_", "o"), ("http_", "i")):
        if name.startswith(prefix) and name != prefix:
            return f"%({{{name.removeprefix(prefix).replace('_', '-')}}}{kind})s"
    known = " ".join(f"${one}" for one in sorted([*_ATOMS, *_SAME]))
    raise ConfigError(
        f"access log format: ${name} has no equal; known are {known}, $http_NAME, $sent_http_NAME"
    )


def formatter_of(text: str, zone: tzinfo | None = None) -> Formatter:
    """Return what writes an access as `text` says: a name, or a format in gunicorn's or in nginx's language.

    Raises ConfigError for what does not exist. `zone` is that of times; None: the system's.
    """
    if text == JSON:
        return compile_json()
    if text == CADDY:
        from bigtop.http.access_log.access_caddy import compile_caddy

        return compile_caddy()
    return compile_format(translated(text), zone)
