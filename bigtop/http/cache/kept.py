# Kept answers: what an arena holds of them, and what is made of one for a request (RFC 9111, 4.2 and 4.3).
#
# Two kinds of records have the same form: an answer, and the names of fields by which the answers of one URL
# differ. Both begin with the URL, by which they are purged.
# Rule: pure. Times are monotonic nanoseconds, which all processes of a machine share.

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from bigtop.http.answers.conditions import check
from bigtop.http.cache.terms import Terms
from bigtop.http.handlers import Reply
from bigtop.http.response import Headers

NAME: Final = "bigtop"  # in Cache-Status
SECOND: Final = 1_000_000_000
_HEAD: Final = struct.Struct("<BBHIIIQQQQ")
_ANSWER: Final = 1
_VARIES: Final = 2
_PUBLIC: Final = 1
# Of the connection, of this time, or of the one request that had the answer made.
_LEFT_OUT: Final = frozenset(
    ("content-length", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade",
     "proxy-connection", "age", "x-request-id")
)  # fmt: skip
# What a 304 says of what the client has (RFC 9110, 15.4.5).
_CONFIRMED: Final = frozenset(("cache-control", "content-location", "date", "etag", "expires", "vary"))


class State(IntEnum):
    """What a kept answer is good for."""

    FRESH = 1
    STALE = 2  # it is given while it is made anew
    SPARE = 3  # it is given if the application fails
    OVER = 4  # it may be confirmed at most


class Kept(NamedTuple):
    """An answer that was kept `at` a time, with an age of `age` seconds; the times until which it is what."""

    url: str
    status: str
    headers: Headers
    body: bytes
    at: int
    fresh_until: int
    stale_until: int
    spare_until: int
    age: int
    is_public: bool


class Varies(NamedTuple):
    """The answers of a URL differ by the fields `names` of requests; `mark` is in their keys."""

    url: str
    names: tuple[str, ...]
    mark: bytes


def kept_of(url: str, status: str, headers: Headers, body: bytes, terms: Terms, now: int) -> Kept:
    """Return an answer as it is kept from `now` on."""
    fields = [pair for pair in headers if pair[0].lower() not in _LEFT_OUT]
    fresh = now + terms.fresh * SECOND
    stale, spare = fresh + terms.revalidating * SECOND, fresh + terms.failing * SECOND
    return Kept(url, status, fields, body, now, fresh, stale, spare, terms.age, terms.is_public)


def encode(kept: Kept) -> bytes:
    """Return the record of an answer. Its texts are latin-1, as all of HTTP here."""
    lines = [kept.status, *[f"{name}:{value}" for name, value in kept.headers]]
    url, head = kept.url.encode("latin-1"), "\n".join(lines).encode("latin-1")
    fixed = _HEAD.pack(
        _ANSWER, _PUBLIC if kept.is_public else 0, 0, len(url), len(head), min(kept.age, 0xFFFFFFFF),
        kept.at, kept.fresh_until, kept.stale_until, kept.spare_until,
    )  # fmt: skip
    return b"".join((fixed, url, head, kept.body))


def encode_varies(varies: Varies) -> bytes:
    url, names = varies.url.encode("latin-1"), ",".join(varies.names).encode("latin-1", "replace")
    return b"".join((_HEAD.pack(_VARIES, 0, 0, len(url), len(names), 0, 0, 0, 0, 0), url, names, varies.mark))


def decode(record: bytes) -> Kept | Varies:
    """Return what a record holds. ValueError: it is none."""
    if len(record) < _HEAD.size:
        raise ValueError("a record of a cache is longer")
    kind, flags, _, url_size, head_size, age, at, fresh, stale, spare = _HEAD.unpack_from(record)
    head_at = _HEAD.size + url_size
    body_at = head_at + head_size
    if body_at > len(record) or kind not in (_ANSWER, _VARIES):
        raise ValueError("a record of a cache ends earlier than it says")
    url = record[_HEAD.size : head_at].decode("latin-1")
    head = record[head_at:body_at].decode("latin-1")
    if kind == _VARIES:
        return Varies(url, tuple(head.split(",")), record[body_at:])
    status, *lines = head.split("\n")
    headers = [(name, value) for name, _, value in [line.partition(":") for line in lines]]
    return Kept(url, status, headers, record[body_at:], at, fresh, stale, spare, age, bool(flags & _PUBLIC))


def url_of(record: bytes) -> str:
    """Return the URL that a record is about, "" of what is none."""
    if len(record) < _HEAD.size:
        return ""
    size = _HEAD.unpack_from(record)[3]
    return record[_HEAD.size : _HEAD.size + size].decode("latin-1")


def is_purged(url: str, wanted: str) -> bool:
    """Whether a URL is meant by what somebody purges: a URL, or what it begins with, and a * behind that;
    without scheme and host it is a path, of any."""
    if wanted.startswith("/"):
        url = "/" + url.partition("://")[2].partition("/")[2]
    return url.startswith(wanted[:-1]) if wanted.endswith("*") else url == wanted


def state_of(kept: Kept, now: int) -> State:
    if now < kept.fresh_until:
        return State.FRESH
    if now < kept.stale_until:
        return State.STALE
    return State.SPARE if now < kept.spare_until else State.OVER


def renewed(kept: Kept, headers: Headers, terms: Terms, now: int) -> Kept:
    """Return an answer that the application has confirmed (304), with the fields that it said anew."""
    said = {name.lower() for name, _ in headers} - {"content-type", "content-encoding"} - _LEFT_OUT
    fields = [pair for pair in kept.headers if pair[0].lower() not in said]
    fields += [pair for pair in headers if pair[0].lower() in said]
    return kept_of(kept.url, kept.status, fields, kept.body, terms, now)


def validators(kept: Kept) -> list[tuple[bytes, bytes]]:
    """Return the fields by which an application is asked whether its answer is still the same."""
    found = []
    for name, value in kept.headers:
        if name.lower() == "etag":
            found.append((b"If-None-Match", value.encode("latin-1")))
        elif name.lower() == "last-modified":
            found.append((b"If-Modified-Since", value.encode("latin-1")))
    return found


def reply_of(kept: Kept, conditions: dict[bytes, str], status: str, now: int) -> Reply:
    """Return the answer to a request with these `conditions`; `status` is for Cache-Status."""
    age = kept.age + max(0, now - kept.at) // SECOND
    if conditions and kept.status.startswith("200"):
        etag = modified = ""
        for name, value in kept.headers:
            if name.lower() == "etag":
                etag = etag or value
            elif name.lower() == "last-modified":
                modified = modified or value
        if (etag or modified) and check(conditions, etag, modified) == 304:
            fields = [pair for pair in kept.headers if pair[0].lower() in _CONFIRMED]
            return Reply("304 Not Modified", [*fields, *_told(status, age)], [])
    headers = [*kept.headers, *_told(status, age)]
    if kept.body or kept.status.startswith("204"):
        return Reply(kept.status, headers, [kept.body] if kept.body else [])
    return Reply(kept.status, [*headers, ("Content-Length", "0")], [])


def _told(status: str, age: int) -> Headers:
    return [("Age", str(age)), ("Cache-Status", f"{NAME}; {status}")]


def hit(kept: Kept, now: int) -> str:
    """Return what Cache-Status says of an answer from the cache: how long it is fresh yet."""
    return f"hit; ttl={(kept.fresh_until - now) // SECOND}"
