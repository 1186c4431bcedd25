# Format of the access log: how an answered request becomes a line.
#
# Rule 1: a format is compiled once, when the server starts; a mistake in it is found there, and no request
# pays for reading it.
# Rule 2: a client cannot forge a line or a part of one: whatever came from outside is escaped until nothing
# but printable ASCII is left, with a backslash before every quote. Outside of quotes in the format, what
# stands between fields there (blanks above all) is escaped as well, and what is empty is a dash.
# Rule 3: no clock here; times come with the AccessRecord.

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from bigtop.errors import ConfigError
from bigtop.http.clients.tls_session import ClientCertificate, TlsSession
from bigtop.http.messages import Request, protocol_of
from bigtop.http.response import MONTHS
from bigtop.record import Record


class AccessRecord(Record, frozen=False):
    """What is known of an answered request. `received`, `called` and `ended` are monotonic nanoseconds:
    request readable, application called, last byte given out. Who writes the line adds `when` and `pid`."""

    request: Request
    status: int
    headers: list[tuple[str, str]]  # of the response, as the application gave them
    sent: int  # bytes of the response's body
    address: str  # the client's, "" on a unix socket
    received: int
    called: int
    ended: int
    environ: Mapping[str, Any] | None = None  # None: the application was not called, or there is no environ
    session: TlsSession | None = None  # None: the connection is not encrypted
    when: float = 0.0  # POSIX time of the end
    pid: int = 0

    @property
    def duration(self) -> int:
        """Microseconds from readable to answered."""
        return (self.ended - self.received) // 1000

    @property
    def request_id(self) -> str | None:
        """The X-Request-ID, given by a proxy or made here; None when the application was not called."""
        return _environ(self, "HTTP_X_REQUEST_ID")

    @property
    def queued(self) -> int:
        """Microseconds from readable to the application's start."""
        return (self.called - self.received) // 1000


JSON: Final = "json"  # a name in the place of a format: all that is known, as compile_json() writes it

Formatter = Callable[[AccessRecord], str]
Fact = Callable[[AccessRecord], str | None]

_PORT: Final = re.compile(r":[0-9]*$")
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")


def _escape(text: str) -> str:
    """Return `text` as printable ASCII that neither ends a quoted part nor looks like an escape of ours."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\':
        return "\\" + char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


# ---- the facts


def _path(access: AccessRecord) -> str:
    return access.request.target.partition(b"?")[0].decode("latin-1")


def _query(access: AccessRecord) -> str:
    return access.request.target.partition(b"?")[2].decode("latin-1")


def _request_line(access: AccessRecord) -> str | None:
    request = access.request
    if not request.method:
        return None
    return f"{request.method} {request.target.decode('latin-1') or '-'} {_protocol(access) or '-'}"


def _protocol(access: AccessRecord) -> str:
    """Return HTTP/1.1 or the like; "" of what is no request."""
    version = access.request.version
    return protocol_of(version) if version else ""


def unread(line: bytes) -> Request:
    """Return what the first line of a head says that could not be read, or not to its end; all words may be
    missing."""
    method, _, rest = line.partition(b" ")
    target, _, version = rest.partition(b" ")
    request = Request(method.decode("latin-1"), target)
    request.version = version.partition(b" ")[0].removeprefix(b"HTTP/").decode("latin-1")
    return request


def _request_header(access: AccessRecord, name: bytes) -> str | None:
    """Return the value of the request's fields `name` (lower case), joined when there are several."""
    found = [value for field, value in access.request.headers if field.lower() == name]
    return b",".join(found).decode("latin-1") if found else None


def _response_header(access: AccessRecord, name: str) -> str | None:
    found = [value for field, value in access.headers if field.lower() == name]
    return ",".join(found) if found else None


def _environ(access: AccessRecord, name: str) -> str | None:
    environ = access.environ or {}
    for key in (name, name.upper(), name.lower()):
        if key in environ:
            return str(environ[key])
    return None


def user_of(access: AccessRecord) -> str | None:
    """Return the name that the client gave by basic authentication (RFC 7617); nobody has checked it here."""
    scheme, _, token = (_request_header(access, b"authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name = binascii.a2b_base64(token.strip(), strict_mode=True).partition(b":")[0]
    except binascii.Error:
        return None
    return name.decode("utf-8", "replace") or None


def host_of(access: AccessRecord) -> str | None:
    """Return the host that a request names, as it does."""
    return _request_header(access, b"host")


def _host(access: AccessRecord) -> str | None:
    """Return it in lower case and without a port, as nginx does."""
    return _PORT.sub("", (host_of(access) or "").lower()) or None


def _scheme(access: AccessRecord) -> str:
    return "https" if access.session is not None else _environ(access, "wsgi.url_scheme") or "http"


def _client(access: AccessRecord) -> ClientCertificate | None:
    return None if access.session is None else access.session.client


# ---- the format


def _common(at: datetime) -> str:
    """Return a time as the common log format has it."""
    # Not %b: that name follows the locale.
    return f"{at:%d}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S %z}"


_CLOCKS: Final[dict[str, Callable[[datetime], str]]] = {
    "t": lambda at: f"[{_common(at)}]",
    "time_local": _common,
    "time_iso8601": lambda at: at.isoformat(timespec="seconds"),
}


def _clock(zone: tzinfo | None, words: Callable[[datetime], str]) -> Formatter:
    """Return what writes the time of an access in `words`; `zone` None is the system's."""
    last = (-1, "")

    def clock(access: AccessRecord) -> str:
        nonlocal last
        second = int(access.when)
        known, text = last
        if second != known:
            at = datetime.fromtimestamp(second, UTC).astimezone(zone)
            text = words(at)
            last = (second, text)
        return text

    return clock


def _seconds(microseconds: int) -> str:
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds // 1_000_000}.{microseconds // 1000 % 1000:03d}"


def _quoted(fact: Fact) -> Formatter:
    """Make an atom of a fact that came from outside and stands in quotes."""

    def atom(access: AccessRecord) -> str:
        value = fact(access)
        return _escape(value) if value is not None else "-"

    return atom


def _field(fact: Fact, dividers: str) -> Formatter:
    """Make an atom of a fact that came from outside and stands in no quotes."""
    divider = re.compile(f"[{re.escape(dividers)}]") if dividers else None

    def atom(access: AccessRecord) -> str:
        value = fact(access)
        if not value:
            return "-"
        text = _escape(value)
        return text if divider is None else divider.sub(lambda match: f"\\x{ord(match[0]):02x}", text)

    return atom


def _of_session(fact: Callable[[TlsSession], str]) -> Formatter:
    return lambda access: "-" if access.session is None else fact(access.session) or "-"


# gunicorn's atoms with gunicorn's meaning, Q for the time that a request waited, and its id; others, such as
# what TLS agreed on, under nginx's names. First what came from outside.
_FACTS: Final[dict[str, Fact]] = {
    "u": user_of,
    "r": _request_line,
    "m": lambda access: access.request.method or None,
    "U": _path,
    "q": _query,
    "H": lambda access: _protocol(access) or None,
    "f": lambda access: _request_header(access, b"referer"),
    "a": lambda access: _request_header(access, b"user-agent"),
    "id": lambda access: access.request_id,
    "host": _host,
    "request_uri": lambda access: access.request.target.decode("latin-1") or None,
    "ssl_client_s_dn": lambda access: None if (of := _client(access)) is None else of.subject,
}
_ATOMS: Final[dict[str, Formatter]] = {
    "h": lambda access: access.address or "-",
    "l": lambda _access: "-",
    "s": lambda access: str(access.status),
    "B": lambda access: str(access.sent),
    "b": lambda access: str(access.sent or "-"),
    "T": lambda access: str(access.duration // 1_000_000),
    "M": lambda access: str(access.duration // 1000),
    "D": lambda access: str(access.duration),
    "L": lambda access: _seconds(access.duration),
    "Q": lambda access: _seconds(access.queued),
    "QM": lambda access: str(access.queued // 1000),
    "QD": lambda access: str(access.queued),
    "p": lambda access: f"<{access.pid}>",
    "pid": lambda access: str(access.pid),
    "scheme": _scheme,
    "upstream_cache_status": lambda access: access.request.cache_status or "-",
    "msec": lambda access: f"{access.when:.3f}",
    "request_time": lambda access: _milliseconds(access.duration),
    "upstream_response_time": lambda access: _milliseconds(access.duration - access.queued),
    "ssl_protocol": _of_session(lambda session: session.version),
    "ssl_cipher": _of_session(lambda session: session.cipher),
    "ssl_server_name": _of_session(lambda session: session.name),  # letters, digits, dots: clienthello.py
    "ssl_session_reused": _of_session(lambda session: "r" if session.resumed else "."),
}

_PIECE: Final = re.compile(r"%(?:(?P<percent>%)|\((?P<atom>[^()]*)\)s)?")
_QUOTES: Final = re.compile(r'"[^"]*"?')
_DIVIDERS: Final = " |;,'"  # what formats put between fields; blanks always count
_NAMED: Final = re.compile(r"\{([^{}]+)\}([ioe])")


def compile_format(text: str, zone: tzinfo | None = None) -> Formatter:
    """Return what writes an access as `text` says, an access log format in gunicorn's language.

    Raises ConfigError for an atom that does not exist. `zone` is that of %(t)s; None: the system's.
    """
    atoms: list[Formatter] = []
    bare = _QUOTES.sub("", _PIECE.sub("", text))
    dividers = "".join(char for char in _DIVIDERS if char == " " or char in bare)

    def take(match: re.Match[str]) -> str:
        if match["percent"]:
            return "%%"
        if match["atom"] is None:
            before = text[: match.start()]
            raise ConfigError(
                f"access log format: the % after {before!r} begins no %(atom)s; for itself write %%"
            )
        is_quoted = text.count('"', 0, match.start()) % 2
        atoms.append(_atom(match["atom"], zone, None if is_quoted else dividers))
        return "%s"

    template = _PIECE.sub(take, text)
    return lambda access: template % tuple([atom(access) for atom in atoms])


def _atom(name: str, zone: tzinfo | None, dividers: str | None) -> Formatter:
    """Return an atom; `dividers` None: it stands in quotes."""
    if name in _CLOCKS:
        return _clock(zone, _CLOCKS[name])
    if name in _ATOMS:
        return _ATOMS[name]
    named = _NAMED.fullmatch(name)
    fact = _FACTS.get(name) if named is None else _named_fact(named[1], named[2])
    if fact is not None:
        if dividers is None:
            return _quoted(fact)
        # A request line is three fields, none of which can hold a blank.
        return _field(fact, dividers.replace(" ", "") if name == "r" else dividers)
    known = " ".join(sorted([*_ATOMS, *_FACTS, *_CLOCKS], key=lambda atom: (atom.lower(), atom)))
    raise ConfigError(
        f"access log format: there is no %({name})s; known are {known} and {{name}}i, {{name}}o, {{name}}e "
        f"(request header, response header, environ)"
    )


def _named_fact(name: str, of: str) -> Fact:
    lower = name.lower()
    if of == "i":
        field = lower.encode("latin-1", "replace")
        return lambda access: _request_header(access, field)
    if of == "o":
        return lambda access: _response_header(access, lower)
    return lambda access: _environ(access, name)


def compile_json() -> Formatter:
    """Return what writes an access as one JSON object (RFC 8259) in ASCII; absent facts are left out.

    `time` is RFC 3339 in UTC.
    """

    def line(access: AccessRecord) -> str:
        request, session = access.request, access.session
        facts: dict[str, str | int | None] = {
            "time": datetime.fromtimestamp(access.when, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
            "remote_addr": access.address or None,
            "user": user_of(access),
            "method": request.method or None,
            "path": _path(access) or None,
            "query": _query(access) or None,
            "protocol": _protocol(access) or None,
            "host": _request_header(access, b"host"),
            "status": access.status,
            "bytes": access.sent,
            "duration_us": access.duration,
            "queue_us": access.queued,
            "referer": _request_header(access, b"referer"),
            "user_agent": _request_header(access, b"user-agent"),
            "request_id": access.request_id,
            "pid": access.pid,
        }
        if session is not None:
            facts |= {
                "ssl_protocol": session.version,
                "ssl_cipher": session.cipher,
                "ssl_server_name": session.name or None,
                "ssl_session_reused": "r" if session.resumed else ".",
            }
        return json.dumps({name: value for name, value in facts.items() if value is not None})

    return line
