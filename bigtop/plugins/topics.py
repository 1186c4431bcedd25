# Topics: the kinds of events that there are, and patterns that choose some of them.
#
# Rules: pure. A pattern is WATCHER.KIND, each with * and ? as in names of files, or * for everything. One
# that no event could ever fit is a mistake, and is told as such.

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

# Of events of watchers, as control/events.py names them.
KINDS: Final = (
    *("start", "stop", "spawn", "spawn_failed", "kill", "reap", "died", "left", "stuck", "gave_up"),
    *("finished", "short", "degraded", "scaled", "add", "remove", "updated", "hook_success", "hook_failure"),
    *("verify", "passed", "reload", "reload_failed", "reforking", "reforked", "refork_failed"),
    *("fork_server_died", "recovered", "recovery_failed", "unchecked"),
    *("certificate_renewed", "certificate_failed", "certificate_ends"),
)
DROPPED: Final = "dropped"  # of no watcher: so many events were not told
# Other words for them.
_ALSO: Final = {"hung": "stuck"}


def checked(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns as chosen() takes them; ValueError for one that fits nothing."""
    return tuple(_checked(pattern.strip().lower()) for pattern in patterns if pattern.strip())


def chosen(patterns: Sequence[str], watcher: str, kind: str) -> bool:
    """Say whether one of the patterns fits an event."""
    topic = f"{watcher}.{kind}"
    return any(fnmatch.fnmatchcase(topic, pattern) for pattern in patterns)


def _checked(pattern: str) -> str:
    if pattern == "*":
        return pattern
    watcher, dot, kind = pattern.rpartition(".")
    if not dot or not watcher:
        raise ValueError(f"{pattern!r} is no pattern for events such as *.reap, web.stop or *")
    kind = _ALSO.get(kind, kind)
    if not fnmatch.filter(KINDS, kind):
        close = get_close_matches(kind, KINDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}"
        raise ValueError(f"{pattern!r}: there is no event {kind!r}; {hint}")
    return f"{watcher.replace(' ', '_').replace('.', '_')}.{kind}"
