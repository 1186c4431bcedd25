# Request quota: when a worker asks to be replaced, and when it is warm. Pure: the worker tells what it did,
# this says enough.

from __future__ import annotations

import itertools
from enum import Enum
from typing import Final


class Reached(Enum):
    """What the request that was counted brings about."""

    NOTHING = 1
    LIMIT = 2
    WARM = 3


NOTHING, LIMIT, WARM = Reached  # an enum's member costs a look-up each time it is named


class RequestQuota:
    """Counts answered requests up to `limit`, and up to `warm`. 0 is no limit."""

    def __init__(self, limit: int, warm: int = 0) -> None:
        self.limit: Final = limit
        self.warm: Final = warm
        # A count's next() is one step of the interpreter: threads need no lock to share it.
        self._count = itertools.count(1)

    @property
    def counts(self) -> bool:
        return bool(self.limit or self.warm)

    def count(self) -> Reached:
        """Count one request; LIMIT and WARM are each returned once at most."""
        number = next(self._count)
        if number == self.limit:
            return LIMIT
        return WARM if number == self.warm else NOTHING
