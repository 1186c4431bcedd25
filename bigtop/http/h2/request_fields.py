# Fields of requests as HTTP/2 has them (RFC 9113, 8.2): checked, and made into the Fields that HTTP/1.1 has.
#
# Rule 1: strict as http/head.py, and of one opinion with it about what fields mean.
# Rule 2: what was found good is remembered by what it says, a bounded number and nothing long (http/memo.py):
# so the requests of one browser have the same Fields, whatever the path.

from __future__ import annotations

import re
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.h2.error_codes import PROTOCOL_ERROR, StreamError
from bigtop.http.h2.hpack import Pair
from bigtop.http.h2.streams.priority import UNSAID, Priority, read_priority
from bigtop.http.head import HOST, TEXT
from bigtop.http.limits import Limits
from bigtop.http.memo import LONGEST, MOST_FIELDS, remember
from bigtop.http.messages import Fields

SPECIAL: Final = frozenset((b"content-length", b"expect", b"host"))
_OF_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_BLANK: Final = b" \t"
_DIGITS: Final = 18  # of a length, as in http/head.py
_SEPARATOR: Final = len(": ")


def malformed(reason: str) -> StreamError:
    return StreamError(PROTOCOL_ERROR, reason)


class RequestFields:
    """What the fields of a request say, Host among them. `error` is why they are refused all the same,
    `content_length` is None where they do not say, `longest` is the size that the longest has in HTTP/1.1."""

    __slots__ = ("content_length", "error", "expects_continue", "fields", "longest", "priority")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.content_length: int | None = None
        self.expects_continue = False
        self.error: ProtocolError | None = None
        self.priority: Priority = UNSAID
        self.longest = 0
        for name, value in fields.headers:
            self.longest = max(self.longest, len(name) + _SEPARATOR + len(value))
            if name == b"priority":
                self.priority = read_priority(value)
        self._read_special(fields.special)

    def _read_special(self, special: dict[bytes, bytes]) -> None:
        if (length := special.get(b"content-length")) is not None:
            if not length.isdigit() or len(length.lstrip(b"0")) > _DIGITS:
                raise malformed("a content-length is one decimal number of less than 64 bits")
            self.content_length = int(length)
        host, expect = special.get(b"host"), special.get(b"expect")
        if not host:
            self.error = ProtocolError(400, "a request needs an :authority")
        elif HOST.fullmatch(host) is None:
            self.error = ProtocolError(400, "the :authority must name one host")
        elif expect is not None:
            self.expects_continue = expect.lower() == b"100-continue"
            if not self.expects_continue:
                self.error = ProtocolError(417, "the only expectation known is 100-continue")

    def refusal(self, limits: Limits) -> ProtocolError | None:
        """Return why a request with these fields is refused, None if it is not."""
        if len(self.fields.headers) > limits.fields:
            return ProtocolError(431, f"more than {limits.fields} header fields")
        if self.longest > limits.field_size:
            return ProtocolError(431, f"a header field is longer than {limits.field_size} bytes")
        error = self.error
        return None if error is None else ProtocolError(error.status, str(error))


_known: Final[dict[tuple[Pair, ...], RequestFields]] = {}


def request_fields(authority: bytes | None, pairs: list[Pair]) -> RequestFields:
    """Return what fields say, found out now or before; StreamError for what is malformed."""
    if authority is None:
        return RequestFields(_read(pairs, False))
    pairs.insert(0, (b"host", authority))
    key = tuple(pairs)
    found = _known.get(key)
    if found is None:
        found = RequestFields(_read(pairs, True))
        if len(key) <= MOST_FIELDS and sum([len(name) + len(value) for name, value in key]) <= LONGEST:
            remember(_known, key, found)
    return found


def _read(pairs: list[Pair], has_authority: bool) -> Fields:
    special: dict[bytes, bytes] = {}
    headers: list[Pair] = []
    crumbs: list[bytes] = []
    place = 0
    for name, value in pairs:
        check(name, value)
        if name == b"cookie":
            if not crumbs:
                place = len(headers)
                headers.append((name, value))
            crumbs.append(value)
            continue
        if name in SPECIAL:
            known = special.get(name)
            if known is not None and name == b"host" and has_authority:
                if value.lower() != known.lower():
                    raise malformed("the Host field is not :authority")
                continue
            special[name] = value if known is None else known + b", " + value
        headers.append((name, value))
    if len(crumbs) > 1:  # RFC 9113, 8.2.3
        headers[place] = (b"cookie", b"; ".join(crumbs))
    return Fields(headers, special)


def check(name: bytes, value: bytes) -> None:
    """Refuse a field that is malformed."""
    if _NAME.fullmatch(name) is None:
        raise malformed(f"the field name {shown(name)} is unknown, no token in lower case, or behind others")
    if value.translate(None, TEXT):
        raise malformed(f"the field {shown(name)} holds a control character")
    if len(value.strip(_BLANK)) != len(value):
        raise malformed(f"the field {shown(name)} begins or ends with a blank")
    if name in _OF_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
        raise malformed(f"the field {shown(name)} is for a connection of HTTP/1.1")


def shown(name: bytes) -> str:
    return repr(name[:64])[1:]
