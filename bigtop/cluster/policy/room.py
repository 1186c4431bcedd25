# Room for change: how many more nodes may change now, at once and of each tag.
#
# Rule: pure. Who is lost, or changes, or is unhealthy, takes room already.

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from bigtop.cluster.policy.deployment import Assignment
from bigtop.cluster.policy.member import Condition, Liveness, Member
from bigtop.cluster.policy.strategy import Strategy


def is_changing(member: Member, assignment: Assignment | None) -> bool:
    """Whether a node has not done yet what it was assigned."""
    if assignment is None:
        return False
    report = member.report
    return report is None or report.number < assignment.number or report.condition is Condition.CHANGING


class Room:
    """Of one moment. `parallel` more nodes may be taken, if their tags allow for it."""

    def __init__(
        self,
        members: Iterable[Member],
        assigned: Mapping[str, Assignment],
        unhealthy: Collection[str],
        strategy: Strategy,
        parallel: int,
    ) -> None:
        self._parallel = parallel
        self._away: set[str] = set()
        self._count: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for member in members:
            sizes.update(member.tags)
            is_away = member.liveness is not Liveness.ALIVE or member.name in unhealthy
            if is_away or is_changing(member, assigned.get(member.name)):
                self._away.add(member.name)
                self._count.update(member.tags)
        self._limits = {tag: strategy.unavailable(size) for tag, size in sizes.items()}

    def take(self, member: Member) -> bool:
        """Have a node change, if there is room; False: there is none now."""
        if self._parallel < 1:
            return False
        if member.name not in self._away:
            if self.full(member):
                return False
            self._away.add(member.name)
            self._count.update(member.tags)
        self._parallel -= 1
        return True

    def full(self, member: Member) -> list[str]:
        """Return those of its tags of which no more nodes may be away."""
        return [tag for tag in member.tags if self._count[tag] >= self._limits[tag]]
