# Values of deploys from texts: health checks (GET /healthz 200 <500ms), commands, thresholds.
#
# Rule: pure. Who gave the text is not known here; ValueError says what would be right.

from __future__ import annotations

import re
from typing import Final

from bigtop.config.serve.values import values
from bigtop.supervisor.policy.deploys.deploy import TCP, HealthCheck

LIMIT: Final = 10.0  # seconds
EXAMPLE: Final = "GET /healthz 200 <500ms"
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_STATUS: Final = re.compile(r"([1-5])(?:xx|([0-9]{2})(?:-([1-5][0-9]{2}))?)")
# They say where a request ends, and who decides that is not whoever writes a check.
_OURS: Final = frozenset(("connection", "content-length", "transfer-encoding", "upgrade", "te", "expect"))


def check(given: str) -> HealthCheck:
    """METHOD, then a path or a URL; a status and a time, in any order, if they matter."""
    words = given.split()
    if len(words) < 2 or not _METHOD.fullmatch(words[0]):
        raise ValueError(f"must be a request such as {EXAMPLE!r}, got {given!r}")
    statuses: tuple[tuple[int, int], ...] = ()
    limit = 0.0
    for word in words[2:]:
        if word.startswith("<"):
            if limit:
                raise ValueError(f"says the time twice: {given!r}")
            limit = _limit(word)
        elif statuses:
            raise ValueError(f"says the status twice: {given!r}")
        else:
            statuses = _statuses(word)
    return HealthCheck(given, words[0], _target(words[1]), statuses or ((200, 299),), limit or LIMIT)


def _limit(word: str) -> float:
    try:
        limit = values.span(word[1:])
    except ValueError:
        limit = 0.0
    if not limit:
        raise ValueError(f"{word!r} must be a time such as <500ms or <2s")
    return limit


def _statuses(word: str) -> tuple[tuple[int, int], ...]:
    ranges = []
    for part in word.split(","):
        match = _STATUS.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{word!r} is neither a status such as 200, 2xx or 200,301 nor a time such as <500ms"
            )
        first = int(match[1] + (match[2] or "00"))
        last = first + 99 if match[2] is None else int(match[3] or first)
        if last < first:
            raise ValueError(f"{word!r} has a range that ends before it begins")
        ranges.append((first, last))
    return tuple(ranges)


def _target(word: str) -> str:
    if not _TARGET.fullmatch(word) or "#" in word:
        raise ValueError(f"{word!r} must be a path such as /healthz, or a URL")
    if word.startswith("/"):
        return word
    from urllib.parse import urlsplit  # most checks are of a path

    parts = urlsplit(word)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or port == 0:
        raise ValueError(f"{word!r} must be a path such as /healthz, or https://example.com/healthz")
    return word


def command_check(given: str) -> HealthCheck:
    """TCP HOST:PORT and perhaps a time; or METHOD, a URL, and so on."""
    words = given.split()
    if words[:1] != [TCP]:
        made = check(given)
        if not made.target.startswith("http://"):
            raise ValueError(f"must say where, as 'GET http://127.0.0.1:8000/ 200' does, got {given!r}")
        return made
    match = re.fullmatch(r"TCP\s+(\S+:[0-9]{1,5})(?:\s+(<\S+))?\s*", given.strip())
    if match is None:
        raise ValueError(f"must be a check such as 'TCP 127.0.0.1:6379 <1s', got {given!r}")
    return HealthCheck(given, TCP, match[1], (), _limit(match[2]) if match[2] else LIMIT)


def warm_up(given: str) -> HealthCheck:
    """A path or a URL; any answer will do."""
    return HealthCheck(f"GET {given}", "GET", _target(given), ((100, 599),), LIMIT)


def header(given: str) -> tuple[str, str]:
    """NAME: VALUE of a request."""
    name, colon, value = given.partition(":")
    if not colon:
        raise ValueError(f"must be a field such as 'Authorization: Bearer 123', got {given!r}")
    if "*" in values.field_name(name) or name.lower() in _OURS:
        raise ValueError(f"{name!r} is no field that a health check can set")
    return name, values.header_value(value.strip())


def command(given: str) -> str:
    """What a shell is to run."""
    if not given.strip() or "\0" in given:
        raise ValueError(f"must be a command, got {given!r}")
    return given


def share(given: str) -> float:
    """A part of all, 0 to 1, or with "%" behind it 0 to 100."""
    number, scale = (given[:-1], 100) if given.endswith("%") else (given, 1)
    try:
        part = values.seconds(number) / scale
    except ValueError:
        part = 2.0
    if part > 1:
        raise ValueError(f"must be a share such as 1% or 0.01, got {given!r}")
    return part


def factor(given: str) -> float:
    """How many times, 1 or more."""
    try:
        number = values.seconds(given)
    except ValueError:
        number = 0.0
    if number < 1:
        raise ValueError(f"must be a factor such as 1.5, 1 or more, got {given!r}")
    return number
