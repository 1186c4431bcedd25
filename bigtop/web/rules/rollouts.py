# Rollouts as a page shows them: for each application its waves, how far they are, and what can be done.
#
# Rule: pure. However many nodes a wave has, they are counted, and those that failed are named.

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from bigtop.cluster.policy import overview

Facts = dict[str, Any]

_LEVELS: Final = {
    "running": "busy",
    "paused": "warn",
    "waiting": "warn",
    "reverting": "bad",
    "stopped": "bad",
    "done": "good",
    "reverted": "warn",
}
_CAN: Final[Mapping[str, tuple[str, ...]]] = {
    "running": ("pause", "abort"),
    "paused": ("resume", "abort"),
    "waiting": ("promote", "abort"),
    "stopped": ("abort",),
}
_NAMED: Final = 20  # nodes that failed in a wave


def rows(apps: Mapping[str, Mapping[str, Any]]) -> dict[str, Facts]:
    """Return a row for each application; `apps` is what the controller tells of them."""
    return {name: _row(name, app) for name, app in apps.items()}


def _row(name: str, app: Mapping[str, Any]) -> Facts:
    artifact = app["artifact"]
    facts: Facts = {
        "app": name,
        "stable": app["stable"],
        "previous": app["previous"],
        "artifact": "" if artifact is None else f"{artifact['kind']} {artifact['source']}",
        "hash": "" if artifact is None else artifact["hash"],
        "number": None,
        "phase": "",
        "level": "off",
        "words": "no rollout yet",
        "reason": "",
        "waves": [],
        "can": [],
    }
    rollout = app["rollout"]
    if rollout is None:
        return facts
    phase = rollout["phase"]
    can = list(_CAN.get(phase, ()))
    if phase in ("done", "reverted") and app["previous"] != app["stable"]:
        can.append("revert")
    return {
        **facts,
        "number": rollout["number"],
        "phase": phase,
        "level": _LEVELS.get(phase, "warn"),
        "words": overview.progress(rollout),
        "reason": rollout["reason"],
        "waves": [_wave(rollout, number) for number in range(len(rollout["waves"]))],
        "can": can,
    }


def _wave(rollout: Mapping[str, Any], number: int) -> Facts:
    nodes, outcomes = rollout["waves"][number], rollout["outcomes"]
    counts = Counter(outcomes[node] for node in nodes if node in outcomes)
    failed = [[node, outcomes[node]] for node in nodes if outcomes.get(node, "healthy") != "healthy"]
    is_over = rollout["phase"] in ("done", "reverted", "stopped")
    at = (
        "now" if number == rollout["wave"] and not is_over else "past" if number < rollout["wave"] else "next"
    )
    return {
        "number": number + 1,
        "at": "past" if is_over and counts else at,
        "nodes": len(nodes),
        "healthy": counts["healthy"],
        "failed": failed[:_NAMED],
        "failures": len(failed),
    }
