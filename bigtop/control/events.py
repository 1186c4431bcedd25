# Events for subscribers: topic watcher.NAME.EVENT and an object in JSON, as Circus has it, and more.
#
# Rule: pure. A notice of the machine, or something that the supervisor saw, becomes an Event; the names and
# payloads of Circus' eleven events are Circus', because plugins take them apart.

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

from bigtop.record import Record, field
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.certificate_notices import (
    CertificateEnds,
    CertificateFailed,
    CertificateRenewed,
)


class Event(Record):
    """Something that happened to a watcher; `payload` is told beside the time."""

    name: str
    payload: Mapping[str, object] = field(default_factory=dict)


def of(notice: messages.Notice) -> Event:
    match notice:
        case messages.Started():
            return Event("start")
        case messages.Stopped():
            return Event("stop")
        case messages.Verify(_, generation, step):
            return Event("verify", {"generation": generation, "step": step.value})
        case messages.Passed(generation, step, how):
            return Event("passed", {"generation": generation, "step": step.value, "how": how})
        case messages.Reloaded(generation):
            return Event("reload", {"generation": generation})
        case messages.ReloadFailed(generation, kept, reason):
            return Event("reload_failed", {"generation": generation, "kept": kept, "reason": reason})
        case messages.Finished():
            return Event("finished")
        case messages.GaveUp(reason):
            return Event("gave_up", {"reason": reason})
        case messages.Report(_, reason, due):
            return Event("stuck", {"reason": reason, "action": "report" if due is None else due.value})
        case messages.Short(reason):
            return Event("short", {"reason": reason})
        case messages.Died(_, wid, status, was_ready, deaths, wait):
            flapping = {"deaths": deaths, "retry_in": wait}
            end = {"exit_code": exit_code(status), "was_ready": was_ready, **_killed(notice.killed)}
            end |= _out_of_memory(status)
            return Event("died", {"wid": wid, **end, **flapping})
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
            end = {"exit_code": exit_code(status), **_killed(notice.killed), **_out_of_memory(status)}
            return Event("reap", {"process_pid": pid, "wid": wid, **end})
        case messages.Left(_, pids):
            return Event("left", {"pids": list(pids)})
        case messages.Degraded(reason):
            return Event("degraded", {"reason": reason})
        case messages.Scaled(before, count, reason):
            return Event("scaled", {"before": before, "numprocesses": count, "reason": reason})
        case messages.Added():
            return Event("add")
        case messages.Removed():
            return Event("remove")
        case messages.Updated(fields, reason):
            return Event("updated", {"fields": list(fields), **({"reason": reason} if reason else {})})
        case messages.HookRan(hook, error, _):
            return (
                Event("hook_failure", {"name": hook, "error": error})
                if error
                else Event("hook_success", {"name": hook})
            )
    return _of_refork(notice)


def _of_refork(notice: messages.Notice) -> Event:
    match notice:
        case messages.Reforking(wid, generation):
            return Event("reforking", {"wid": wid, "generation": generation})
        case messages.Reforked(generation, wid):
            return Event("reforked", {"generation": generation, "wid": wid})
        case messages.NotReforked(generation, kept, reason):
            return Event("refork_failed", {"generation": generation, "kept": kept, "reason": reason})
    return _of_recovery(notice)


def _of_recovery(notice: messages.Notice) -> Event:
    match notice:
        case messages.Lost(generation, reason, kept):
            return Event("fork_server_died", {"generation": generation, "kept": kept, "reason": reason})
        case messages.Recovered(generation, lost):
            return Event("recovered", {"generation": generation, "lost": lost})
        case messages.NotRecovered(generation, kept, reason, wait):
            facts = {"generation": generation, "kept": kept, "reason": reason}
            return Event("recovery_failed", {**facts, "retry_in": wait})
        case messages.Unchecked(generation, lost):
            return Event("unchecked", {"generation": generation, "lost": lost})
    return _of_certificates(notice)


def _of_certificates(notice: messages.Notice) -> Event:
    match notice:
        case CertificateRenewed(names):
            return Event("certificate_renewed", {"names": list(names)})
        case CertificateFailed(names, reason, hints):
            return Event("certificate_failed", {"names": list(names), "reason": reason, "hints": list(hints)})
        case CertificateEnds(names, days):
            return Event("certificate_ends", {"names": list(names), "days": days})
    raise TypeError(f"{notice!r} is no notice")


def _killed(reason: str) -> dict[str, object]:
    return {"killed": reason} if reason else {}


def exit_code(status: messages.ExitStatus) -> int:
    """Return a status in one number; a signal is negative."""
    return -status.signal if status.signal is not None else status.code or 0


def _out_of_memory(status: messages.ExitStatus) -> dict[str, object]:
    return {"out_of_memory": status.out_of_memory} if status.out_of_memory else {}


@lru_cache(4096)
def topic_word(name: str) -> str:
    """Return a watcher's name as topics have it. Clients cut topics at their dots."""
    return re.sub(r"[\s.]", "_", name.lower())


Message = tuple[bytes, bytes]  # topic and payload


def message(name: str, notice: messages.Notice | Event, now: float) -> Message:
    """Return what subscribers are told of what happened to the watcher `name`."""
    event = notice if isinstance(notice, Event) else of(notice)
    return topic(name, event.name), payload(event, now)


def announcement(status: str, facts: Mapping[str, object], now: float) -> Message:
    """The same of what becomes of the supervisor itself."""
    return f"arbiter.{status}".encode(), payload(Event(status, facts), now)


def topic(name: str, event: str) -> bytes:
    return f"watcher.{topic_word(name)}.{event}".encode()


def payload(event: Event, now: float) -> bytes:
    return json.dumps({**event.payload, "time": now}).encode()
