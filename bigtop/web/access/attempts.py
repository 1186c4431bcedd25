# Attempts to log in: who failed how often, and how long that one has to wait.
#
# Rules: pure; time is an argument. A failure counts for the account and for the address; the first few are
# free, each further one doubles the pause. What is kept is bounded: who fills it up is forgotten last.

from __future__ import annotations

from typing import Final

from bigtop.record import Record

FREE: Final = 5
_FIRST: Final = 1.0  # seconds
LONGEST: Final = 900.0  # seconds
_FORGOTTEN: Final = 3600.0  # seconds without a failure
_MOST: Final = 10_000


class _Failures(Record):
    count: int
    last: float


class Attempts:
    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def wait(self, keys: tuple[str, ...], now: float) -> float:
        """Return for how many seconds nobody with one of `keys` may try; 0: at once."""
        return max(self._wait(key, now) for key in keys)

    def _wait(self, key: str, now: float) -> float:
        found = self._failures.get(key)
        if found is None or found.count < FREE:
            return 0.0
        pause = min(LONGEST, _FIRST * 2.0 ** min(found.count - FREE, 20))
        return max(0.0, found.last + pause - now)

    def failed(self, keys: tuple[str, ...], now: float) -> None:
        for key in keys:
            before = self._failures.pop(key, None)
            stands = before is not None and now - before.last < _FORGOTTEN
            self._failures[key] = _Failures(before.count + 1 if before is not None and stands else 1, now)
        while len(self._failures) > _MOST:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)
