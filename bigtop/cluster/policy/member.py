# Members of a cluster, as its controller knows them: who lives, and what each says of an application.

from __future__ import annotations

from enum import Enum

from bigtop.record import Record, field


class Liveness(Enum):
    ALIVE = "alive"
    SUSPECT = "suspect"  # it has missed beats, or said goodbye
    LOST = "lost"


class Condition(Enum):
    """How an application stands on a node, after the last assignment that the node took."""

    APPLIED = "applied"  # the assigned revision serves
    CHANGING = "changing"  # it is fetched, prepared, or takes the place of the old one
    REFUSED = "refused"  # it would not start; what served before serves still


class Figures(Record):
    """What an application counted on one node in the last minute, or since its code changed."""

    requests: int = 0
    errors: int = 0  # answered with a 5xx
    p99: float = 0.0  # seconds
    respawns: int = 0  # processes that ended by themselves


class Load(Record):
    """What an application does on one node at the moment, for people. `rate` and `errors` (answers with a
    5xx) are per second, `p99` is seconds; None: there is no stats process to say so."""

    busy: int = 0
    places: int = 0  # calls that could run at once
    rate: float | None = None
    errors: float | None = None
    p99: float | None = None


class Report(Record):
    """What a node says of one application. `number` is that of the assignment that it took last."""

    number: int
    revision: int  # that serves; 0: what was there before the cluster
    condition: Condition
    why: str = ""
    figures: Figures = field(default_factory=Figures)


class Member(Record):
    """One node, for one application. `report` None: it has said nothing of the application yet."""

    name: str
    tags: tuple[str, ...] = ()
    liveness: Liveness = Liveness.ALIVE
    cordoned: bool = False  # takes no new revision
    report: Report | None = None

    @property
    def takes(self) -> bool:
        """Whether it can be given another revision now."""
        return self.liveness is Liveness.ALIVE and not self.cordoned


def up_to_date(
    before: Member | None,
    name: str,
    tags: tuple[str, ...],
    liveness: Liveness,
    cordoned: bool,
    report: Report | None,
) -> Member:
    """Return `before` if it says just this, else another one. Of thousands of nodes most are as they were."""
    if (
        before is not None
        and before.report is report
        and before.liveness is liveness
        and (before.tags, before.cordoned) == (tags, cordoned)
    ):
        return before
    return Member(name, tags, liveness, cordoned, report)
