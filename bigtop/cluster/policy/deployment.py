# Deployment of one application over a cluster: which revision each node is to have, and the rollout that is
# under way. This is what a controller stores.
#
# Rules: pure, and plain data. It holds no time: the clock of the leader that began a rollout means nothing to
# the leader that ends it. `serial` only grows, and so do the numbers of assignments.

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from bigtop.cluster.policy.strategy import Strategy, strategy
from bigtop.record import Record, as_dict, field


class Phase(Enum):
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"  # the canaries are healthy; somebody has to promote
    REVERTING = "reverting"
    STOPPED = "stopped"  # it failed, and nobody wanted that to be undone by itself
    DONE = "done"
    REVERTED = "reverted"

    @property
    def is_over(self) -> bool:
        return self in (Phase.DONE, Phase.REVERTED)


class Outcome(Enum):
    """What became of a node that was given the new revision."""

    HEALTHY = "healthy"
    REFUSED = "refused"
    UNHEALTHY = "unhealthy"
    LOST = "lost"


class Assignment(Record):
    """What a node is to have; a newer one has a higher number, also if it names an older revision."""

    number: int
    revision: int


class Rollout(Record):
    number: int
    old: int
    new: int
    strategy: Strategy
    waves: tuple[tuple[str, ...], ...]
    wave: int = 0
    phase: Phase = Phase.RUNNING
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    reason: str = ""  # of its failure


class Deployment(Record):
    """`stable` is the revision that everybody has in the end, `previous` the one before; 0 is what was there
    before the cluster."""

    app: str
    stable: int = 0
    previous: int = 0
    serial: int = 0  # the highest number that was given to an assignment, or to a rollout
    assigned: Mapping[str, Assignment] = field(default_factory=dict)
    rollout: Rollout | None = None


def plain(deployment: Deployment) -> dict[str, Any]:
    """Return it as what JSON has."""
    rollout = deployment.rollout
    return {
        "app": deployment.app,
        "stable": deployment.stable,
        "previous": deployment.previous,
        "serial": deployment.serial,
        "assigned": {node: [one.number, one.revision] for node, one in deployment.assigned.items()},
        "rollout": None
        if rollout is None
        else {
            "number": rollout.number,
            "old": rollout.old,
            "new": rollout.new,
            "strategy": as_dict(rollout.strategy),
            "waves": [list(wave) for wave in rollout.waves],
            "wave": rollout.wave,
            "phase": rollout.phase.value,
            "outcomes": {node: one.value for node, one in rollout.outcomes.items()},
            "reason": rollout.reason,
        },
    }


def read(said: Mapping[str, Any]) -> Deployment:
    """Return what plain() wrote. ValueError, KeyError, TypeError, ConfigError: it is nothing of that kind."""
    found = said["rollout"]
    rollout = None
    if found is not None:
        rollout = Rollout(
            number=int(found["number"]),
            old=int(found["old"]),
            new=int(found["new"]),
            strategy=strategy(found["strategy"]),
            waves=tuple(tuple(map(str, wave)) for wave in found["waves"]),
            wave=int(found["wave"]),
            phase=Phase(found["phase"]),
            outcomes={str(node): Outcome(one) for node, one in found["outcomes"].items()},
            reason=str(found["reason"]),
        )
    return Deployment(
        app=str(said["app"]),
        stable=int(said["stable"]),
        previous=int(said["previous"]),
        serial=int(said["serial"]),
        assigned={str(node): Assignment(*map(int, pair)) for node, pair in said["assigned"].items()},
        rollout=rollout,
    )
