# Allowance of beats: how many each node may be heard in a while.
#
# Rule: pure. Who says more than that is not read at all, so it costs who listens no more than the message;
# it is heard again as soon as it has waited. Times are the listener's own seconds.

from __future__ import annotations

from typing import Final

BURST: Final = 20.0  # beats at once: an agent says at once what is new
RATE: Final = 2.0  # and each second after that


class Allowance:
    """Of all nodes of one listener."""

    def __init__(self, burst: float = BURST, rate: float = RATE) -> None:
        self._burst, self._rate = burst, rate
        self._left: dict[str, tuple[float, float]] = {}  # beats, and when that was so

    def take(self, node: str, now: float) -> bool:
        """Have a node be heard once; False: not now."""
        left, at = self._left.get(node, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        is_heard = left >= 1
        self._left[node] = (left - 1 if is_heard else left, now)
        return is_heard

    def forget(self, node: str) -> None:
        self._left.pop(node, None)
