# Terms on which an answer may be kept, and given to others (RFC 9111, 3 and 4.2; RFC 5861).
#
# Rule 1: only what says itself how long it lasts is kept. Nothing is guessed from a date.
# Rule 2: what is for one client is never kept: answers that set cookies, that are private, or that nobody
# may keep. That holds whatever else they say, and whatever the operator asked for.
# Rule 3: to a request with a Cookie or an Authorization goes, and from it comes, only what the application
# calls public. `s-maxage` says the same: it is about caches that many share.
# Rule 4: pure; `wall` is POSIX time.

from __future__ import annotations

from typing import Final, NamedTuple

from bigtop.http.answers.conditions import parse_date
from bigtop.http.cache.directives import LONGEST, directives_of, seconds_of
from bigtop.http.response import Headers

CODES: Final = frozenset((200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410))
_FORBIDDING: Final = ("no-store", "private", "no-cache")
_STRICT: Final = ("must-revalidate", "proxy-revalidate")


class Terms(NamedTuple):
    """Seconds for which an answer is fresh, for which it is given while it is made anew after that, and for
    which it is given after that when the application fails; those that it was kept elsewhere before.

    `is_public`: it may be given to requests that say who asks.
    """

    fresh: int
    revalidating: int
    failing: int
    age: int
    is_public: bool


class Said(NamedTuple):
    """What the fields of an answer say about caches."""

    directives: dict[str, str]
    values: dict[str, str]  # of the other fields, by their names in lower case; the first of each


def terms_of(code: int, headers: Headers, wall: float, *, heeds_accel: bool) -> Terms | None:
    """Return the terms of a GET's answer, None where it must not be kept. `heeds_accel`: X-Accel-Expires
    counts, as nginx has it."""
    said = _said(headers)
    if code not in CODES or _is_for_one(said):
        return None
    directives = said.directives
    age = seconds_of({"age": said.values.get("age", "0").strip()}, "age")
    fresh = max(0, _lifetime(said, wall, heeds_accel=heeds_accel) - age)
    is_strict = any(name in directives for name in _STRICT)
    revalidating = 0 if is_strict else seconds_of(directives, "stale-while-revalidate")
    failing = 0 if is_strict else seconds_of(directives, "stale-if-error")
    if fresh <= 0 and not revalidating:
        return None
    is_public = "public" in directives or "s-maxage" in directives
    return Terms(fresh, revalidating, failing, age, is_public)


def _said(headers: Headers) -> Said:
    lines: list[str] = []
    values: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "cache-control":
            lines.append(value)
        elif lower == "vary" and lower in values:
            values[lower] += "," + value
        else:
            values.setdefault(lower, value)
    return Said(directives_of(lines), values)


def _is_for_one(said: Said) -> bool:
    directives, values = said.directives, said.values
    if "set-cookie" in values or "set-cookie2" in values or "content-range" in values:
        return True
    if any(name in directives for name in _FORBIDDING):
        return True
    if not directives and "no-cache" in values.get("pragma", "").lower():
        return True
    # A file that the application names, which others may not see, or which changes by itself.
    if "x-accel-redirect" in values or "x-sendfile" in values:
        return True
    return "*" in values.get("vary", "")


def _lifetime(said: Said, wall: float, *, heeds_accel: bool) -> int:
    """Return the seconds for which an answer is fresh, counted from when it was made."""
    directives, values = said.directives, said.values
    if heeds_accel and (given := values.get("x-accel-expires")) is not None:
        return _accel_seconds(given.strip(), wall)
    for name in ("s-maxage", "max-age"):
        if name in directives:
            return seconds_of(directives, name)
    ends = parse_date(values.get("expires", ""))
    if ends is None:
        return 0
    made = parse_date(values.get("date", ""))
    began = wall if made is None else made.timestamp()
    return int(min(LONGEST, max(0.0, ends.timestamp() - began)))


def _accel_seconds(given: str, wall: float) -> int:
    """Return what X-Accel-Expires means: seconds, or @ and POSIX time; 0 for what makes no sense."""
    if given.startswith("@"):
        at = seconds_at(given[1:])
        return int(min(LONGEST, max(0.0, at - wall)))
    return seconds_of({"it": given}, "it")


def seconds_at(text: str) -> float:
    """Return POSIX time as a text says it, 0 for what is none."""
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else 0.0


def vary_of(headers: Headers) -> tuple[str, ...]:
    """Return the names of fields of requests that an answer depends on, in lower case and in order."""
    names: set[str] = set()
    for name, value in headers:
        if name.lower() == "vary":
            names.update(one.strip().lower() for one in value.split(","))
    return tuple(sorted(names - {""}))
