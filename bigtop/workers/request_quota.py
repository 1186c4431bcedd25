# Request quota: when a worker asks to be replaced. Pure: the worker tells what it did, this says enough.

from __future__ import annotations

import itertools


class RequestQuota:
    """Counts answered requests up to `limit`. A limit of 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # A count's next() is one step of the interpreter: threads need no lock to share it.
        self._count = itertools.count(1)

    def used_up(self) -> bool:
        """Count one request; True exactly once, when the quota is reached."""
        return next(self._count) == self.limit
