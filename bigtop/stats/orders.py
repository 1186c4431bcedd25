# Orders of the stats process: what it is told when it is started, as one word of its command line.

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bigtop.control.server.endpoint_security import Curve
from bigtop.emission import Emission
from bigtop.record import Record, as_dict, replace
from bigtop.stats.admin.admission import Admission
from bigtop.stats.pace import Pace


class Admin(Record):
    """The admin listener: its sockets, by descriptor, and who may ask what."""

    sockets: tuple[int, ...]
    admission: Admission = Admission()


class Orders(Record):
    """`endpoint` and `feed` are descriptors: of the socket where subscribers come, if there is one, and of
    the line to the supervisor."""

    endpoint: int | None
    feed: int
    pace: Pace = Pace()
    curve: Curve | None = None
    admin: Admin | None = None

    def encode(self) -> str:
        curve = self.curve
        keys = None if curve is None else [str(curve.server_key), str(curve.clients)]
        pace = [self.pace.interval, self.pace.details_interval, self.pace.history]
        more = [self.pace.intervals, self.pace.otlp]
        admin = self.admin
        listens = admin and [admin.sockets, as_dict(admin.admission)]
        sends = self.pace.emission and as_dict(self.pace.emission)
        return json.dumps([self.endpoint, self.feed, pace, keys, listens, sends, more])

    @classmethod
    def decode(cls, text: str) -> Orders:
        endpoint, feed, pace, keys, listens, sends, (own, otlp) = json.loads(text)
        admin = None
        if listens:
            sockets, said = listens
            admission = Admission(tuple(said["allow"]), said["token_file"], tuple(said["hosts"]))
            admin = Admin(tuple(sockets), admission)
        curve = Curve(*map(Path, keys)) if keys else None
        intervals = tuple(map(tuple, own))
        whole = replace(Pace(*pace), emission=_emission(sends), intervals=intervals, otlp=otlp)
        return cls(endpoint, feed, whole, curve, admin)


def _emission(said: dict[str, Any] | None) -> Emission | None:
    if said is None:
        return None
    address = said["address"]
    there = address if isinstance(address, str) else tuple(address)
    return Emission(**{**said, "address": there, "tags": tuple(said["tags"])})
