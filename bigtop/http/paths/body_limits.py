# Limits of bodies by path: how many bytes of a body may come, where that is other for some paths.

from __future__ import annotations

from functools import lru_cache

from bigtop.http.limits import Limits
from bigtop.http.paths.path_table import REST, PathTable


def body_limit(limits: Limits, target: bytes) -> int:
    """Return how many bytes the body of a request for `target` may have, 0 for any number. ProtocolError:
    that depends on how the target is read."""
    rows = limits.body_for
    if not rows:
        return limits.body
    number = _table(tuple([pattern for pattern, _ in rows])).of(target)
    return limits.body if number == REST else rows[number][1]


@lru_cache(maxsize=16)
def _table(patterns: tuple[str, ...]) -> PathTable:
    return PathTable(patterns)
