# Conditional and range requests: what a client has already, and which part it wants (RFC 9110, 13 and 14).
#
# Rule: pure functions of field values. What cannot be understood is as if it had not been sent, which is what
# the RFC wants; the answer is then the whole file, and never wrong.

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bigtop.http.response import MONTHS

RANGES: Final = 16  # in one request; who wants more of them gets the whole (CVE-2011-3192)

_TAGS: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE: Final = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)
_IMF: Final = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_RFC850: Final = re.compile(
    r"[A-Z][a-z]+day, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_ASCTIME: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})", re.ASCII
)


class Range(NamedTuple):
    """`length` bytes from `offset` on."""

    offset: int
    length: int


def check(asked: Mapping[bytes, str], etag: str, modified: str) -> int:
    """Return 304 or 412 if the conditions in `asked` say so, else 0 (RFC 9110, 13.2.2).

    `asked` has the fields by their names in lower case, `etag` and `modified` are those of the file.
    """
    if not asked:
        return 0
    since, unless = asked.get(b"if-modified-since"), asked.get(b"if-unmodified-since")
    match, none_match = asked.get(b"if-match"), asked.get(b"if-none-match")
    if match is not None:
        if match.strip() != "*" and etag not in _strong_tags(match):
            return 412
    elif unless is not None and _is_later(modified, unless):
        return 412
    if none_match is not None:
        tags = [tag.removeprefix("W/") for tag in _TAGS.findall(none_match)]
        return 304 if none_match.strip() == "*" or etag.removeprefix("W/") in tags else 0
    if since is not None and parse_date(since) is not None and not _is_later(modified, since):
        return 304
    return 0


def _strong_tags(text: str) -> list[str]:
    return [tag for tag in _TAGS.findall(text) if not tag.startswith("W/")]


def _is_later(modified: str, than: str) -> bool:
    one, other = parse_date(modified), parse_date(than)
    return one is not None and other is not None and one > other


def parse_ranges(text: str, condition: str, size: int, etag: str, modified: str) -> list[Range] | None:
    """Return the parts of a file that a Range field asks for, in its order.

    None means the whole: the field is not understood, asks for too much, or `condition` (If-Range) is not
    met. An empty list means that nothing it asks for is there.
    """
    unit, _, specs = text.partition("=")
    if unit.strip().lower() != "bytes" or (condition and condition not in (etag, modified)):
        return None
    if condition.startswith("W/"):
        return None  # a weak validator does not promise the same bytes
    ranges: list[Range] = []
    for number, spec in enumerate(specs.split(",")):
        match = _RANGE.fullmatch(spec.strip())
        if match is None or spec.strip() == "-" or number == RANGES:
            return None
        first, last = match[1], match[2]
        if first and last and int(first) > int(last):
            return None
        begin = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1, size) if first and last else size
        if begin < end:
            ranges.append(Range(begin, end - begin))
    if sum(part.length for part in ranges) > size:
        return None  # overlapping parts: more than the whole
    return ranges


def parse_date(text: str) -> datetime | None:
    """Return the time that an HTTP date means, in any of its three forms (RFC 9110, 5.6.7)."""
    if (match := _IMF.fullmatch(text.strip())) is not None:
        day, month, year, *clock = match.groups()
    elif (match := _RFC850.fullmatch(text.strip())) is not None:
        day, month, short, *clock = match.groups()
        # Two digits are the past hundred years (the RFC: more than 50 years ahead means the past).
        year = str(int(short) + (2000 if int(short) < 70 else 1900))
    elif (match := _ASCTIME.fullmatch(text.strip())) is not None:
        month, day, hour, minute, second, year = match.groups()
        clock = [hour, minute, second]
    else:
        return None
    try:
        hour_, minute_, second_ = map(int, clock)
        return datetime(int(year), MONTHS.index(month) + 1, int(day), hour_, minute_, second_, tzinfo=UTC)
    except ValueError:
        return None
