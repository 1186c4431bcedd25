# Pace of an answer that is slowed down on purpose: how much of it may go out by now.
#
# Rule: pure; times are monotonic nanoseconds. The first second's share goes out at once, as nginx has it.

from __future__ import annotations

from typing import Final

SECOND: Final = 1_000_000_000
STEP: Final = 0.05  # seconds between two looks whether more may go out


class Pace:
    """That of one answer, of `rate` bytes per second from `now` on."""

    __slots__ = ("_began", "_sent", "rate")

    def __init__(self, rate: int, now: int) -> None:
        self.rate = rate
        self._began = now
        self._sent = 0

    def room(self, now: int) -> int:
        """Return how many bytes may go out now."""
        return max(0, self.rate + self.rate * (now - self._began) // SECOND - self._sent)

    def sent(self, size: int) -> None:
        """So many have gone out."""
        self._sent += size
