# Pace of the stats process: how often it looks, and to whom it sends what it sees unasked; and its name.

from __future__ import annotations

from bigtop.emission import Emission
from bigtop.record import Record

NAME = "circusd-stats"  # as Circus has it, whose clients do not show what has this name


class Pace(Record):
    """Seconds between two looks, while somebody looks at it; and whether it looks all the same."""

    interval: float = 1.0
    details_interval: float = 10.0  # for what is costly: shares of the memory, descriptors, disks
    history: bool = False
    emission: Emission | None = None  # None: nothing is sent
