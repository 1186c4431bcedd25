# Deploys of a watcher, step by step: what its events and its processes say of the newest one.
#
# Rule: pure. Nobody tells when a deploy begins: it is seen by processes of two generations, or by the first
# step that a canary is tried with.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from bigtop.web.rules.verdict import Happened

Facts = dict[str, Any]

RUNNING, DONE, FAILED = "running", "done", "failed"
LOAD: Final = "load the code"
REPLACE: Final = "replace processes"


def latest(row: Facts, events: Iterable[Happened]) -> Facts | None:
    """Return the newest deploy of a watcher, None where there was none: its generation, its state and steps.
    `row` are its facts (facts.watcher()), `events` what happened to it, in order."""
    found: Facts | None = None
    for event in events:
        found = _after(found, event)
    wanted = row["generation"]
    if wanted is None or all(one["generation"] in (None, wanted) for one in row["workers"]):
        return found
    if found is not None and found["state"] == FAILED and found["kept"] == wanted:
        return found  # those of the new generation are about to end
    if found is None or found["state"] != RUNNING or found["generation"] != wanted:
        found = _begun(wanted, None)
    return {**found, "steps": _with_processes(found["steps"], row, wanted)}


def _after(found: Facts | None, event: Happened) -> Facts | None:
    generation = event.facts.get("generation")
    match event.name:
        case "start" | "stop":
            return None
        case "verify" | "passed":
            if found is None or found["state"] != RUNNING or found["generation"] != generation:
                found = _begun(generation, event.at)
            return {**found, "steps": _tried(found["steps"], event)}
        case "reload" | "reload_failed" | "recovered" | "recovery_failed":
            if found is None or found["state"] != RUNNING or found["generation"] != generation:
                found = _begun(generation, None)
            return _ended(found, event)
    return found


def _begun(generation: object, at: float | None) -> Facts:
    facts = {"kept": None, "reason": "", "ended": None}
    return {"generation": generation, "state": RUNNING, "began": at, "steps": [], **facts}


def _tried(steps: Sequence[Facts], event: Happened) -> list[Facts]:
    """Return the steps after a canary began with one, or has passed it."""
    what = event.facts.get("step")
    others = [one for one in steps if one["what"] != what]
    before = next((one for one in steps if one["what"] == what), None)
    if event.name == "verify":
        return [*others, _step(str(what), RUNNING, event.at)]
    began = None if before is None else before["began"]
    passed = _step(str(what), DONE, began, ended=event.at, about=event.facts.get("how") or "")
    return [passed if one is before else one for one in steps] if before is not None else [*steps, passed]


def _ended(found: Facts, event: Happened) -> Facts:
    is_done = event.name in ("reload", "recovered")
    state = DONE if is_done else FAILED
    steps = [
        {**one, "state": state, "ended": event.at} if one["state"] == RUNNING else one
        for one in found["steps"]
    ]
    if is_done:
        steps.append(_step(REPLACE, DONE, None, ended=event.at))
    kept, reason = event.facts.get("kept"), str(event.facts.get("reason") or "")
    return {**found, "state": state, "steps": steps, "ended": event.at, "kept": kept, "reason": reason}


def _with_processes(steps: Sequence[Facts], row: Facts, wanted: object) -> list[Facts]:
    """Return the steps of a deploy that is under way, with what its processes tell."""
    new = [one for one in row["workers"] if one["generation"] == wanted]
    ready = sum(one["state"] == "ready" for one in new)
    first = _step(LOAD, DONE if new or steps else RUNNING, None)
    found = [first, *steps]
    if ready and all(one["state"] == DONE for one in found):
        found.append(_step(REPLACE, RUNNING, None, about=f"{ready} of {row['wanted']} are new"))
    return found


def _step(what: str, state: str, began: float | None, ended: float | None = None, about: str = "") -> Facts:
    return {"what": what, "state": state, "began": began, "ended": ended, "about": about}
