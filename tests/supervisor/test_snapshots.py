# Machines that are written down and gone on with: they decide what the first one would have decided.

from __future__ import annotations

import json
from enum import Enum
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import snapshot
from bigtop.launch.upgrading.command_classes import OF_COMMANDS
from bigtop.record import Record
from bigtop.supervisor.policy import messages, snapshots, spec
from bigtop.supervisor.policy.deploys import deploy
from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.policy.spec import Command, Lifetime, WatcherSpec
from bigtop.supervisor.policy.watcher import Watcher

KNOWN = snapshot.known((*OF_COMMANDS, *snapshots.CLASSES))
SPEC = WatcherSpec("w", Command("sleep 1"), numprocesses=3, lifetime=Lifetime(warmup_delay=0.5))

KINDS = ["spawned", "ready", "died", "retiring", "ready generation", "scale", "tick", "short"]
KINDS += ["fork server died", "another generation"]
steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 9), st.floats(0.0, 40.0)), max_size=25)


def machine() -> Watcher:
    return Watcher(SPEC, count(1), Random(0))


def event(kind: str, key: int) -> messages.Event:
    match kind:
        case "spawned":
            return messages.Spawned(key, 1000 + key)
        case "ready":
            return messages.Ready(key)
        case "died":
            return messages.Exited(key, ExitStatus(code=1))
        case "retiring":
            return messages.Retiring(key, "it is old", messages.Ending.MAX_AGE)
        case "ready generation":
            return messages.GenerationReady(1)
        case "another generation":
            return messages.GenerationReady(key)
        case "fork server died":
            return messages.GenerationFailed(key, "killed")
        case "scale":
            return messages.Scale(key % 5)
        case "short":
            return messages.SpawnFailed(key, "no memory", short=True)
    return messages.Tick()


@given(steps, steps)
def test_a_machine_goes_on_as_if_nothing_had_been(
    before: list[tuple[str, int, float]], after: list[tuple[str, int, float]]
) -> None:
    first, now = machine(), 100.0
    first.handle(messages.Start(), now)
    for kind, key, seconds in before:
        now += seconds
        first.handle(event(kind, key), now)
    if snapshots.obstacle(first):
        return
    written = json.dumps(snapshot.plain(snapshots.held(first)))
    second = Watcher(SPEC, count(max(first.processes, default=0) + 1), Random(0))
    first_keys = count(max(first.processes, default=0) + 1)
    first.table._keys = first_keys
    snapshots.resume(second, snapshot.read(json.loads(written), KNOWN))
    assert second.wake_at() == first.wake_at()
    for kind, key, seconds in after:
        now += seconds
        assert second.handle(event(kind, key), now) == first.handle(event(kind, key), now)
        assert second.wake_at() == first.wake_at()


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([messages.Start(), messages.Stop()], ""),
        ([messages.Start(), messages.GenerationReady(1), messages.Stop()], "it stops"),
        ([messages.Start(), messages.GenerationReady(1), messages.Reload()], "a reload is under way"),
        ([messages.Start()], ""),
    ],
)
def test_what_is_under_way_comes_to_its_end_first(events: list[messages.Event], reason: str) -> None:
    one = machine()
    for number, each in enumerate(events):
        one.handle(each, float(number))
    assert snapshots.obstacle(one) == reason


def test_all_that_describes_a_watcher_is_known() -> None:
    described = [value for module in (spec, deploy) for value in vars(module).values()]
    classes = {
        one.__name__ for one in described if isinstance(one, type) and issubclass(one, (Record, Enum, tuple))
    }
    unwritten = {"Record", "Enum", "tuple", "Worker", "TimeoutPolicy", "Step"}  # workers are told anew
    assert classes - unwritten <= KNOWN.keys()
