# Messages about a recovery: a generation whose fork server died is followed by one that has to show first
# that it works, because nobody knows what is on the disk by now. generations.py and trial.py decide.

from __future__ import annotations

from bigtop.record import Record

# ---- notices


class Lost(Record):
    """The fork server of `generation` died. Its processes go on, and another generation is tried in its
    place; of one that was `kept` to go back to there is nothing left."""

    generation: int
    reason: str
    kept: bool = False


class Recovered(Record):
    """Every process is of `generation`, which has followed `lost`."""

    generation: int
    lost: int


class NotRecovered(Record):
    """`generation` was given up, and the processes of `kept` go on; after `wait` seconds another one is
    tried, None: when somebody asks for a reload, or no process is left."""

    generation: int
    kept: int
    reason: str
    wait: float | None


class Unchecked(Record):
    """No process of `lost` is left: `generation` serves without having passed its steps, as at a start."""

    generation: int
    lost: int
