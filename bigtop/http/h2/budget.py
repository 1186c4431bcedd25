# Budgets of what a client may do so often and no more: buckets that fill up again with time.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.error_codes import ENHANCE_YOUR_CALM, Http2Error
from bigtop.http.h2.limits import Http2Limits

SECOND: Final = 1_000_000_000


class Budget:
    """So many in a period, and as many at once."""

    __slots__ = ("_at", "_cost", "_full", "_left")

    def __init__(self, most: int, period: float, now: int) -> None:
        self._cost = int(period * SECOND) // max(most, 1)  # time until one is earned again
        self._full = self._left = self._cost * most
        self._at = now

    def spend(self, now: int) -> bool:
        """Take one; return whether there was one."""
        left = min(self._full, self._left + now - self._at) - self._cost
        self._at = now
        if left < 0:
            self._left = left + self._cost
            return False
        self._left = left
        return True


class Budgets:
    """Those of one connection. Http2Error is for what is beyond one of them; `now` is in nanoseconds."""

    __slots__ = ("_control", "_resets", "_small")

    def __init__(self, h2: Http2Limits, now: int) -> None:
        self._control = Budget(h2.control_frames, h2.period, now)
        self._resets = Budget(h2.resets, h2.period, now)
        self._small = Budget(h2.small_data, h2.period, now)

    def count_control(self, now: int) -> None:
        if not self._control.spend(now):
            raise Http2Error(ENHANCE_YOUR_CALM, "too many frames that bring nothing")

    def count_small(self, now: int) -> None:
        if not self._small.spend(now):
            raise Http2Error(ENHANCE_YOUR_CALM, "too many frames that bring a few bytes")

    def count_reset(self, now: int) -> None:
        if not self._resets.spend(now):
            raise Http2Error(ENHANCE_YOUR_CALM, "too many streams were reset")
