# Deadline of one application call: until when it has to be done, for the application to read and to extend.
#
# Rule: made for each request that has a time limit, without a call of ours; see Call.run() of both servers.

from __future__ import annotations

from typing import Final

from bigtop.http.paths.time_limits import SECOND
from bigtop.ipc.scoreboard import Slot
from bigtop.system.clock import monotonic_ns

NANOSECOND: Final = 1e-9


class Deadline:
    """When a request is past its time limit. From any thread; not to be made by applications."""

    __slots__ = ("at", "began", "place", "slot")

    slot: Slot
    place: int  # on the scoreboard
    began: int  # monotonic nanoseconds, as `at`
    at: int

    def remaining(self) -> float:
        """Return how many seconds are left; less than 0: it is past its limit."""
        return (self.at - monotonic_ns()) * NANOSECOND

    def extend(self, seconds: object) -> float:
        """Let it take `seconds` longer; return how many are left then. ValueError: less than 0; TypeError: no
        number."""
        if not isinstance(seconds, (int, float)):
            raise TypeError(f"a deadline is extended by a number of seconds, not by {type(seconds).__name__}")
        if not 0 <= seconds < 1e9:
            raise ValueError(f"a deadline can be extended by 0 seconds or more, not by {seconds!r}")
        self.at += int(seconds * SECOND)
        self.slot.limit(self.place, self.began, self.at)
        return self.remaining()
