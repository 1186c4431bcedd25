# Plugins over upgrades of Bigtop: what happens around one is told to each, once.

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.support.site import until
from tests.support.stack import Stack

TEXT = """
[env]
STATE_DIRECTORY = "{folder}/state"

[watcher.brief]
cmd = "sh -c 'sleep 0.2'"
autostart = false
flapping = { attempts = 1000000 }

[plugin.shell]
cmd = "sh {folder}/deaths.sh {folder}/heard"
events = ["brief.spawn", "brief.reap"]
"""
SHELL = r"""
while read -r line; do
    number=$(printf '%s' "$line" | sed -n 's/^{"seq": \([0-9]*\),.*/\1/p')
    [ -n "$number" ] || continue
    printf '%s\n' "$line" >> "$1"
    echo "{\"ok\": $number}"
done
"""
TIMES = 2


def heard(file: Path) -> list[tuple[str, int]]:
    """Return the events, with the process that each is about."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [(event["event"], event["pid"]) for event in map(json.loads, lines)]


def test_nothing_is_lost_and_nothing_is_told_twice() -> None:
    stack = Stack(TEXT)
    (stack.folder / "deaths.sh").write_text(SHELL)
    file = stack.folder / "heard"
    with stack:
        stack.wait_for("plugin:shell: started")
        stack.ctl("start", "brief", "--waiting")
        until(lambda: heard(file), "an event")
        for times in range(1, TIMES + 1):
            before = len(heard(file))
            stack.send(signal.SIGUSR2)
            stack.wait_for("has taken over from", times=times, timeout=60)
            until(lambda: len(heard(file)) > before + 4, "further events")  # noqa: B023
        stack.ctl("stop", "brief", "--waiting")
        until(lambda: heard(file)[-1][0] == "reap", "the last event")
        told = heard(file)
        begin = [event for event, _ in told].index("spawn")  # it may have begun to listen in between
        spawns, reaps = told[begin::2], told[begin + 1 :: 2]
        assert {event for event, _ in spawns} == {"spawn"}
        assert {event for event, _ in reaps} == {"reap"}
        assert [pid for _, pid in spawns] == [pid for _, pid in reaps]
        assert len({pid for _, pid in spawns}) == len(spawns)
        (starts,) = (one["starts"] for one in stack.asked("overview")["watchers"] if one["name"] == "brief")
        assert starts - len(spawns) <= 1
        assert stack.stop() == 0
