# Generations of a watcher in the words of the control channel: which code there is, and what it costs.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import psutil

from bigtop.launch.app import App
from bigtop.supervisor.policy.watcher import Watcher


def facts(machine: Watcher, app: App | None) -> Sequence[Mapping[str, object]]:
    """Return the generations of a watcher, the oldest first. `memory` is the PSS of its fork server in
    bytes, None where that cannot be read or there is none: what it shares with workers counts in parts.
    `refork` is what a worker has on average, before and after, where a worker became the fork server."""
    found = []
    for number, state in sorted(_states(machine)):
        pid = None if app is None else app.pool.servers.pid_of(number)
        found.append(
            {
                "watcher": machine.spec.name,
                "generation": number,
                "state": state,
                "processes": sum(proc.generation == number for proc in machine.processes.values()),
                "pid": pid,
                "memory": None if pid is None else _memory(pid),
                "refork": None if app is None else _gain(app, number),
            }
        )
    return found


def _states(machine: Watcher) -> Iterator[tuple[int, str]]:
    yield from ((generation.number, "kept") for generation in machine.generations.aside)
    for generation in machine.generations:
        is_new = generation is machine.generations[-1] and len(machine.generations) > 1
        yield generation.number, "new" if is_new else "lost" if generation.lost else "current"


def _gain(app: App, generation: int) -> Mapping[str, int] | None:
    gain = app.pool.promotions.gains.get(generation)
    if gain is None or not gain.after:
        return None
    return {"of": gain.of, "before": gain.before, "after": gain.after, "warm": gain.warm}


def _memory(pid: int) -> int | None:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().pss)
    return None
