# Keys: which requests may get the same answer, and what a request wants of a cache (RFC 9111, 4.1 and 5.2.1).
#
# Rule 1: a key holds all by which an application may tell requests apart without naming it in Vary: scheme,
# host, path and query, and what proxies in front say about these. What some frameworks take instead of the
# path or the method, and no browser sends, makes a request pass by.
# Rule 2: nothing is normalized but the case of the host: two ways to write a path may be two pages.
# Rule 3: clients cannot empty the cache: no-cache and max-age of requests, which a reload sends, count for
# nothing, as with nginx. no-store and only-if-cached do.

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from bigtop.http.answers.secure import path_and_query
from bigtop.http.cache.directives import directives_of
from bigtop.http.messages import Request

LONGEST: Final = 8192  # bytes of a key; a request with a longer one passes by
MOST_NAMES: Final = 16  # of fields, in Vary

CONDITIONS: Final = frozenset((b"if-none-match", b"if-modified-since"))
# Where blanks and case mean nothing.
_LOOSE: Final = frozenset(("accept-encoding", "accept-language", "accept"))


class _Kind(IntEnum):
    """What a field of a request is to a cache."""

    HOST = 1
    ORIGIN = 2  # some application makes up its own URL of it
    STRANGE = 3  # some application takes the request for another one
    PARTIAL = 4  # it asks for a part, or on a condition that only the application can judge
    COOKIE = 5
    AUTHORIZATION = 6
    CONTROL = 7
    CONDITION = 8


_PASSING: Final = frozenset((_Kind.STRANGE, _Kind.PARTIAL))
_KINDS: Final[dict[bytes, _Kind]] = {
    b"host": _Kind.HOST,
    b"cookie": _Kind.COOKIE,
    b"authorization": _Kind.AUTHORIZATION,
    b"cache-control": _Kind.CONTROL,
    **dict.fromkeys(CONDITIONS, _Kind.CONDITION),
    **dict.fromkeys((b"range", b"if-range", b"if-match", b"if-unmodified-since"), _Kind.PARTIAL),
    **dict.fromkeys(
        (b"x-original-url", b"x-rewrite-url", b"x-http-method-override", b"x-http-method",
         b"x-method-override"),
        _Kind.STRANGE,
    ),
    **dict.fromkeys(
        (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-prefix",
         b"x-forwarded-scheme", b"x-forwarded-ssl", b"x-forwarded-protocol", b"x-forwarded-server",
         b"x-host", b"x-script-name", b"front-end-https"),
        _Kind.ORIGIN,
    ),
}  # fmt: skip


class Asked(NamedTuple):
    """What a request asks of a cache.

    `url` is what people call it by, `key` tells it from others. `passes`: the reason for which the cache has
    nothing to do with it, in words of RFC 9211, "" for none. `is_private`: it says who asks. `only_cached`:
    the client wants no answer but one that is there. `conditions` are those of CONDITIONS that it has.
    """

    url: str
    key: bytes
    passes: str
    is_private: bool
    only_cached: bool
    conditions: dict[bytes, str]


class Told(NamedTuple):
    """What the header of a request tells a cache; `rest` is what of it belongs to the key, `cookies` are the
    names by which it was read."""

    cookies: tuple[str, ...]
    host: str
    rest: bytes
    is_private: bool
    passes: bool
    only_cached: bool
    conditions: dict[bytes, str]


def asked_of(request: Request, scheme: str, host: str, cookies: tuple[str, ...]) -> Asked:
    """Return what `request` asks. `scheme` is how its client came, `host` what a proxy that is believed says
    instead of Host, or ""; `cookies` are the names of those that matter, none: all of them do."""
    told = _told(request, cookies)
    url = f"{scheme}://{host.lower() or told.host}{path_and_query(request.target)}"
    key = url.encode("latin-1") + told.rest
    passes = ""
    if request.method not in ("GET", "HEAD"):
        passes = "method"
    elif told.passes or _is_special(request) or len(key) > LONGEST:
        passes = "request"
    return Asked(url, key, passes, told.is_private, told.only_cached, told.conditions)


def _told(request: Request, cookies: tuple[str, ...]) -> Told:
    """Return what a header tells, which many requests share."""
    fields = request.fields
    known = None if fields is None else fields.asked
    if isinstance(known, Told) and known.cookies == cookies:
        return known
    told = _read(request.headers, cookies)
    if fields is not None:
        fields.asked = told
    return told


def _read(headers: Sequence[tuple[bytes, bytes]], cookies: tuple[str, ...]) -> Told:
    conditions: dict[bytes, str] = {}
    found: dict[_Kind, list[bytes]] = {}
    for name, value in headers:
        field = name.lower()
        kind = _KINDS.get(field)
        if kind is None:
            continue
        if kind is _Kind.CONDITION:
            conditions[field] = value.decode("latin-1")
        else:
            found.setdefault(kind, []).append(field + b":" + value if kind is _Kind.ORIGIN else value)
    cookie = b"; ".join(found.get(_Kind.COOKIE, ()))
    said = directives_of(line.decode("latin-1") for line in found.get(_Kind.CONTROL, ()))
    parts = (*found.get(_Kind.ORIGIN, ()), *mattering(cookie, cookies))
    return Told(
        cookies,
        found.get(_Kind.HOST, [b""])[0].decode("latin-1").lower(),
        b"".join(b"\0" + part for part in parts),
        is_private=_Kind.AUTHORIZATION in found or (bool(cookie) and not cookies),
        passes=bool(found.keys() & _PASSING) or "no-store" in said,
        only_cached="only-if-cached" in said,
        conditions=conditions,
    )


def _is_special(request: Request) -> bool:
    """Whether a request has a body, or wants another protocol."""
    return request.upgrade is not None or not request.ended or request.content_length != 0


def mattering(cookie: bytes, names: Sequence[str]) -> tuple[bytes, ...]:
    """Return those cookies of a Cookie field that have one of these `names`, in the order of the field."""
    if not cookie or not names:
        return ()
    wanted = {name.encode("latin-1", "replace") for name in names}
    crumbs = [crumb.strip() for crumb in cookie.split(b";")]
    return tuple(crumb for crumb in crumbs if crumb.partition(b"=")[0].strip() in wanted)


def variant_of(
    key: bytes, mark: bytes, names: Sequence[str], request: Request, cookies: Sequence[str]
) -> bytes:
    """Return the key of the answer to `request` among those of `key`, which differ by the fields `names`;
    `mark` tells them from those before a purge."""
    values: list[bytes] = [key, mark]
    for name in names:
        wanted = name.encode("latin-1", "replace")
        found = [value for field, value in request.headers if field.lower() == wanted]
        joined = (b"; " if name == "cookie" else b",").join(found)
        if name == "cookie" and cookies:
            joined = b"; ".join(mattering(joined, cookies))
        elif name in _LOOSE:
            joined = joined.lower().replace(b" ", b"")
        values.append(wanted + b"\1" + (joined if found else b"\2"))
    return b"\0".join(values)
