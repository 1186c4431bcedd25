# Patterns of paths, as in /upload/*.
#
# Rule: a path is compared as the application is shown it, and also as it was sent. Otherwise whoever writes
# /up%6Coad/x, or http://host/upload/x, would choose another limit than the one that was meant for it.

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def is_like(target: bytes, patterns: Iterable[str]) -> bool:
    """Whether the path of a request target is like one of `patterns`."""
    raw = target.partition(b"?")[0]
    path = raw.decode("latin-1")
    shown = path if raw[:1] == b"/" and b"%" not in raw else _shown(raw)
    return any(fnmatchcase(path, one) or (shown != path and fnmatchcase(shown, one)) for one in patterns)


def _shown(raw: bytes) -> str:
    """Return a path without host and encoding."""
    from urllib.parse import unquote_to_bytes  # a supervisor has patterns, too, and no requests

    if raw[:1] != b"/":
        raw = b"/" + raw.partition(b"://")[2].partition(b"/")[2]
    return unquote_to_bytes(raw).decode("utf-8", "replace")
