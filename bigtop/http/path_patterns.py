# Patterns of paths, as in /upload/*.

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def is_like(target: bytes, patterns: Iterable[str]) -> bool:
    """Whether the path of a request target is like one of `patterns`."""
    path = target.partition(b"?")[0].decode("latin-1")
    return any(fnmatchcase(path, pattern) for pattern in patterns)
