# Trials of nodes: since when each has had what it was given, and what that comes to.
#
# Rules: pure. Nothing of this is stored: the next leader watches each node for the whole time again.

from __future__ import annotations

from collections.abc import Iterable

from bigtop.cluster.policy import health
from bigtop.cluster.policy.deployment import Outcome
from bigtop.cluster.policy.member import Condition, Figures, Liveness, Member
from bigtop.cluster.policy.strategy import Strategy


class Trials:
    """Of one application, for one leader, who found the assignments of `nodes` when it began."""

    def __init__(self, nodes: Iterable[str], now: float) -> None:
        self._given_at = dict.fromkeys(nodes, now)
        self._applied_at: dict[str, float] = {}
        self._before: dict[str, Figures] = {}

    def begin(self, member: Member, now: float) -> None:
        """A node is given another revision."""
        self._given_at[member.name] = now
        self._applied_at.pop(member.name, None)
        if member.report is not None:
            self._before[member.name] = member.report.figures

    def is_late(self, node: str, strategy: Strategy, now: float) -> bool:
        return now - self._given_at.setdefault(node, now) >= strategy.healthy_deadline

    def verdict(
        self, member: Member, number: int, others: Figures, strategy: Strategy, now: float
    ) -> tuple[Outcome | None, str]:
        """Return what became of a node that was given assignment `number`, and why; None: that is open."""
        node, report = member.name, member.report
        if member.liveness is Liveness.LOST:
            return Outcome.LOST, "it is not heard any more"
        mine = report if report is not None and report.number == number else None
        if mine is not None and mine.condition is Condition.REFUSED:
            return Outcome.REFUSED, mine.why
        if mine is None or mine.condition is not Condition.APPLIED or member.liveness is Liveness.SUSPECT:
            self._applied_at.pop(node, None)
            if self.is_late(node, strategy, now):
                return Outcome.UNHEALTHY, f"it was not ready within {strategy.healthy_deadline:g} s"
            return None, ""
        if why := health.problem(mine.figures, self._before.get(node, Figures()), others):
            return Outcome.UNHEALTHY, why
        if now - self._applied_at.setdefault(node, now) >= strategy.min_healthy_time:
            return Outcome.HEALTHY, ""
        return None, ""
