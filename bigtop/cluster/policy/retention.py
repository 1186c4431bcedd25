# Retention of revisions: which descriptions of an application nobody needs any more.
#
# Rule: pure. What a node has, may get back, or is about to get stays, however old it is.

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bigtop.cluster.policy.deployment import Deployment

KEPT: Final = 10  # newest revisions of an application


def outdated(deployment: Deployment, known: Iterable[int]) -> tuple[int, ...]:
    """Return which of the revisions that are `known` may go, the oldest first."""
    needed = {deployment.stable, deployment.previous}
    needed.update(one.revision for one in deployment.assigned.values())
    if (rollout := deployment.rollout) is not None:
        needed.update((rollout.old, rollout.new))
    return tuple(number for number in sorted(known)[:-KEPT] if number not in needed)
