# Table of paths: which of several patterns a request is for, where options differ by path.
#
# Rule 1: the longest pattern that is like the path counts, of two of one length the first. One without
# wildcards is the path and all below it, in whole segments: /api/ is /api and /api/users, not /apiary. Others
# are as in path_patterns.py: *.php.
# Rule 2: the path is what applications are shown: without host, query and encoding.
# Rule 3: a path with "..", "." or empty segments might be read in two ways, by us and by an application.
# Where the one leads to other options than the other, there is no answer (400): nobody chooses his limits.

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.interfaces.wsgi import path_of
from bigtop.http.memo import LONGEST, remember
from bigtop.http.paths.paths import is_below

REST: Final = -1  # the number of what is like no pattern
_WILD: Final = frozenset("*?[")


class PathTable:
    """Numbers `patterns`, which are texts, from 0 on."""

    __slots__ = ("_known", "_patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        # As paths are here: one character for each byte.
        shown = [pattern.encode().decode("latin-1") for pattern in patterns]
        self._patterns = sorted(
            ((pattern, number) for number, pattern in enumerate(shown)), key=lambda one: -len(one[0])
        )
        self._known: dict[bytes, int] = {}  # see memo.py

    def of(self, target: bytes) -> int:
        """Return the number of the pattern that a request target is for, REST for none. ProtocolError: it
        depends on how the target is read."""
        number = self._known.get(target)
        if number is None:
            number = self._find(target)
            if len(target) <= LONGEST:
                remember(self._known, target, number)
        return number

    def _find(self, target: bytes) -> int:
        path = path_of(target)
        number = self._number(path)
        if ("//" in path or "/." in path) and self._number(_straight(path)) != number:
            raise ProtocolError(400, "the path leads elsewhere than it seems")
        return number

    def _number(self, path: str) -> int:
        for pattern, number in self._patterns:
            if is_like(path, pattern):
                return number
        return REST


def is_like(path: str, pattern: str) -> bool:
    """Whether a path is like a pattern, or below one that has no wildcards."""
    if _WILD.isdisjoint(pattern):
        return is_below(path, pattern.rstrip("/"))
    return fnmatchcase(path, pattern)


def _straight(path: str) -> str:
    """Return a path without segments that are empty, "." or ".."."""
    kept: list[str] = []
    names = path.split("/")
    for name in names:
        if name == "..":
            del kept[-1:]
        elif name and name != ".":
            kept.append(name)
    is_folder = bool(kept) and names[-1] in ("", ".", "..")
    return "/" + "/".join(kept) + ("/" if is_folder else "")
