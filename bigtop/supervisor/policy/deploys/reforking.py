# Messages about a refork: a worker that has answered requests becomes the fork server of a new
# generation, which has the same code. refork.py decides, and says why.

from __future__ import annotations

from bigtop.record import Record

# ---- events


class Warmed(Record):
    """The process has answered as many requests as one that becomes a fork server is to have answered."""

    key: int


class Promoted(Record):
    """The process is a fork server from now on, and no process of the watcher; GenerationReady follows."""

    key: int


# ---- actions


class Promote(Record):
    """Have the process end within `grace` seconds as a worker, and be the fork server of `generation` then.
    Answered by Promoted, or by GenerationFailed and Exited. Its code is that of the generation `of`."""

    key: int
    generation: int
    of: int
    grace: float


# ---- notices


class Reforking(Record):
    """The process `wid` is to become the fork server of `generation`."""

    wid: int
    generation: int


class Reforked(Record):
    """Every process is of `generation`, and was forked from what was the process `wid`."""

    generation: int
    wid: int


class NotReforked(Record):
    """That came to nothing; the processes of generation `kept` go on."""

    generation: int
    kept: int
    reason: str
