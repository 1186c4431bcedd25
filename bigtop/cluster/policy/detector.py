# Failure detector: who lives, by when each node was last heard.
#
# Rules: pure; times are the listener's own seconds, so no two clocks are compared. A verdict marks a node and
# does nothing to it. Beats that arrive late, twice, or from a life that is over prove nothing.

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bigtop.cluster.policy.member import Liveness
from bigtop.record import Record

SUSPECT_AFTER: Final = 15.0  # seconds: three beats
LOST_AFTER: Final = 60.0


class Beat(Record):
    """A sign of life. `boot` is another one whenever the node's agent begins anew; `sequence` grows."""

    node: str
    boot: str
    sequence: int


class _Life(Record, frozen=False):
    heard_at: float
    boot: str = ""
    sequence: int = 0
    before: str = ""  # the boot before this one
    doubled: bool = False


class Detector:
    """Of one listener. Times are seconds of its clock."""

    def __init__(self, suspect_after: float = SUSPECT_AFTER, lost_after: float = LOST_AFTER) -> None:
        self._suspect_after = suspect_after
        self._lost_after = lost_after
        self._lives: dict[str, _Life] = {}

    def expect(self, nodes: Iterable[str], now: float) -> None:
        """Know of nodes that were not heard yet: each is suspect until it is, and lost in the end."""
        for node in nodes:
            if node not in self._lives:
                self._lives[node] = _Life(now - self._suspect_after)

    def heard(self, beat: Beat, now: float) -> bool:
        """Take a beat in; False if it is an old one, and what it says does not count."""
        life = self._lives.get(beat.node)
        if life is None:
            life = self._lives[beat.node] = _Life(now)
        if beat.boot == life.before and life.before:
            life.doubled = True
            return False
        if beat.boot == life.boot and beat.sequence <= life.sequence:
            return False
        if beat.boot != life.boot:
            life.before, life.boot = life.boot, beat.boot
        life.sequence, life.heard_at = beat.sequence, now
        return True

    def left(self, node: str, now: float) -> None:
        """A node said goodbye: it is suspect at once."""
        if (life := self._lives.get(node)) is not None:
            life.heard_at = min(life.heard_at, now - self._suspect_after)

    def forget(self, node: str) -> None:
        self._lives.pop(node, None)

    def liveness(self, node: str, now: float) -> Liveness:
        """Return how a node stands; one that nobody expected is lost."""
        life = self._lives.get(node)
        silent = float("inf") if life is None else now - life.heard_at
        if silent >= self._lost_after:
            return Liveness.LOST
        return Liveness.SUSPECT if silent >= self._suspect_after else Liveness.ALIVE

    def is_doubled(self, node: str) -> bool:
        """Whether two agents answer to one name."""
        life = self._lives.get(node)
        return life is not None and life.doubled
