# What subscribers are told: topic watcher.NAME.EVENT and an object in JSON, as Circus has it, and more.
#
# Rule: pure. A notice of the machine, or something that the supervisor saw, becomes an Event; the names and
# payloads of Circus' eleven events are Circus', because plugins take them apart.

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bigtop.supervisor import messages


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a watcher; `payload` is told beside the time."""

    name: str
    payload: Mapping[str, object] = field(default_factory=dict)


def of(notice: messages.Notice) -> Event:
    match notice:
        case messages.Started():
            return Event("start")
        case messages.Stopped():
            return Event("stop")
        case messages.Reloaded(generation):
            return Event("reload", {"generation": generation})
        case messages.ReloadFailed(generation, kept, reason):
            return Event("reload_failed", {"generation": generation, "kept": kept, "reason": reason})
        case messages.GaveUp(reason):
            return Event("gave_up", {"reason": reason})
        case messages.Report(_, reason):
            return Event("stuck", {"reason": reason})
        case messages.Died(_, wid, status, was_ready, deaths, wait):
            flapping = {"deaths": deaths, "retry_in": wait}
            return Event(
                "died", {"wid": wid, "exit_code": exit_code(status), "was_ready": was_ready, **flapping}
            )
        case _:
            return _of_the_world(notice)


def _of_the_world(notice: messages.Notice) -> Event:
    """Those that the machine does not know of."""
    match notice:
        case messages.Born(_, wid, pid):
            return Event("spawn", {"process_pid": pid, "wid": wid})
        case messages.NotSpawned(wid, reason):
            return Event("spawn_failed", {"wid": wid, "reason": reason})
        case messages.Signalled(_, pid, signum):
            return Event("kill", {"process_pid": pid, "signum": signum})
        case messages.Reaped(_, wid, pid, status):
            return Event("reap", {"process_pid": pid, "wid": wid, "exit_code": exit_code(status)})
        case messages.Left(_, pids):
            return Event("left", {"pids": list(pids)})
        case messages.Degraded(reason):
            return Event("degraded", {"reason": reason})
        case messages.Added():
            return Event("add")
        case messages.Removed():
            return Event("remove")
        case messages.Updated(fields):
            return Event("updated", {"fields": list(fields)})
        case messages.HookRan(hook, error):
            return (
                Event("hook_failure", {"name": hook, "error": error})
                if error
                else Event("hook_success", {"name": hook})
            )
    raise TypeError(f"{notice!r} is no notice")


def exit_code(status: messages.ExitStatus) -> int:
    """Return a status in one number; a signal is negative."""
    return -status.signal if status.signal is not None else status.code or 0


def topic_word(name: str) -> str:
    """Return a watcher's name as topics have it. Clients cut topics at their dots."""
    return re.sub(r"[\s.]", "_", name.lower())


def topic(name: str, event: str) -> bytes:
    return f"watcher.{topic_word(name)}.{event}".encode()


def payload(event: Event, now: float) -> bytes:
    return json.dumps({**event.payload, "time": now}).encode()
