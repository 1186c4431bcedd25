# What the stats process is told when it is started, as one word of its command line.

from __future__ import annotations

import json
from pathlib import Path

from bigtop.control.server.endpoint_security import Curve
from bigtop.record import Record
from bigtop.stats.pace import Pace


class Orders(Record):
    """`endpoint` and `feed` are descriptors: of the socket where clients come, and of the line to the
    supervisor."""

    endpoint: int
    feed: int
    pace: Pace = Pace()
    curve: Curve | None = None

    def encode(self) -> str:
        curve = self.curve
        keys = None if curve is None else [str(curve.server_key), str(curve.clients)]
        pace = [self.pace.interval, self.pace.details_interval, self.pace.history]
        return json.dumps([self.endpoint, self.feed, pace, keys])

    @classmethod
    def decode(cls, text: str) -> Orders:
        endpoint, feed, pace, keys = json.loads(text)
        return cls(endpoint, feed, Pace(*pace), Curve(*map(Path, keys)) if keys else None)
