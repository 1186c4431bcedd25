# Health of changed nodes, by comparison with what they were and with nodes that were not changed yet.
#
# Rules: pure. New code is at fault where it is worse than both: a database that is slow for everybody, and a
# machine that always was slow, speak against nobody.

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from statistics import median
from typing import Final

from bigtop.cluster.policy.member import Figures

ENOUGH: Final = 20  # requests; fewer prove nothing
_ERRORS: Final = 0.01  # by which the share of 5xx may be higher
_FACTOR: Final = 2.0  # by which the 99th percentile may be higher
_SLACK: Final = 0.01  # seconds that are no difference


def pooled(several: Iterable[Figures]) -> Figures:
    """Return the figures of unchanged nodes together, by those of the node in the middle: one that is
    mistaken, or lies, is not what others are compared with."""
    found = list(several)
    enough = [one for one in found if one.requests >= ENOUGH]
    requests = sum(one.requests for one in found)
    if not enough:
        return Figures(requests, sum(one.errors for one in found))
    share = median([_share(one) for one in enough])
    return Figures(requests, round(requests * share), median([one.p99 for one in enough]))


def problem(new: Figures, before: Figures, others: Figures) -> str:
    """Return why a changed node is unhealthy, "" if it is not. `before` is itself with the old code, `others`
    are unchanged nodes in the same minute."""
    if new.respawns:
        return f"{new.respawns} of its processes ended by themselves"
    if new.requests < ENOUGH:
        return ""
    share = max(_share(before), _share(others))
    expected = new.requests * min(1.0, share + _ERRORS)
    if new.errors > expected + 2 * sqrt(expected):
        return f"{new.errors} of its {new.requests} answers were 5xx, elsewhere {share:.1%}"
    usual = [one.p99 for one in (before, others) if one.requests >= ENOUGH]
    if usual and new.p99 > max(usual) * _FACTOR + _SLACK:
        return f"its p99 is {new.p99 * 1000:.0f} ms, elsewhere {max(usual) * 1000:.0f} ms"
    return ""


def _share(figures: Figures) -> float:
    return figures.errors / figures.requests if figures.requests else 0.0
