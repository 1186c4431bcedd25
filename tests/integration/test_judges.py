# Other people's programs as judges of figures: pidstat of the CPU, ss of queues. Both over the same time.

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from itertools import pairwise

import pytest

from tests.support.figures import subscribed
from tests.support.stack import Stack

# For {busy} seconds of {busy} + {idle}.
LOAD = (
    "import time\\nwhile True:\\n    end = time.monotonic() + {busy}\\n"
    "    while time.monotonic() < end: pass\\n    time.sleep({idle})"
)
FILE = f"""
[circus]
endpoint = "ipc://{{folder}}/ctl"
[stats]
interval = 0.2
[socket.quiet]
host = "127.0.0.1"
port = 0
backlog = 9
[watcher.third]
cmd = "{{python}}"
args = ["-c", "{LOAD.format(busy=0.03, idle=0.07)}"]
[watcher.full]
cmd = "{{python}}"
args = ["-c", "{LOAD.format(busy=0.09, idle=0.01)}"]
"""
SECONDS = 10
POINTS = 2.0


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt install {package}")
    return found


class Curve:
    """CPU time of a process, as somebody told it piece by piece: points in time and seconds used so far."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def add(self, at: float, percent: float) -> None:
        before = self.points[-1] if self.points else (at, 0.0)
        self.points.append((at, before[1] + percent / 100 * (at - before[0])))

    def used(self, begin: float, end: float) -> float:
        return self._at(end) - self._at(begin)

    def _at(self, time: float) -> float:
        for (early, low), (late, high) in pairwise(self.points):
            if early <= time <= late:
                return low + (high - low) * (time - early) / (late - early)
        raise AssertionError(f"nothing was told of {time}: {self.points[0][0]} to {self.points[-1][0]}")


def judged(pids: list[int]) -> dict[int, Curve]:
    """Return what pidstat tells, one second after the other."""
    words = [program("stdbuf", "coreutils"), "-oL", program("pidstat", "sysstat")]
    words += ["-p", ",".join(map(str, pids)), "1", str(SECONDS + 1)]
    curves = {pid: Curve() for pid in pids}
    environ = {**os.environ, "LC_ALL": "C"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environ) as judge:
        assert judge.stdout is not None
        columns: list[str] = []
        for line in judge.stdout:
            now, fields = time.time(), line.split()
            if "%CPU" in fields:
                columns = fields
            elif columns and fields and fields[0] != "Average:":
                told = dict(zip(columns[1:], fields[1:], strict=False))
                curves[int(told["PID"])].add(now, float(told["%CPU"]))
    return curves


def test_the_cpu_is_that_of_pidstat_and_the_queue_that_of_ss() -> None:
    program("pidstat", "sysstat")
    with Stack(FILE) as stack:
        where = str(stack.call("globaloptions")["options"]["stats_endpoint"])
        pids = [*stack.pids("third"), *stack.pids("full")]
        ours = {pid: Curve() for pid in pids}
        theirs: dict[int, Curve] = {}
        judge = threading.Thread(target=lambda: theirs.update(judged(pids)))
        with subscribed(where, "stat.third", "stat.full") as subscriber:
            seen: dict[int, float] = {}
            for topic, figure in subscriber.messages():
                *_, last = topic.split(".")
                if last.isdigit():
                    seen[int(last)] = figure["cpu"]
                    continue
                (pid,) = figure["pid"]
                ours[pid].add(figure["time"], seen[pid])
                if all(curve.points for curve in ours.values()) and judge.ident is None:
                    judge.start()
                if theirs and all(
                    curve.points[-1][0] > theirs[pid].points[-1][0] for pid, curve in ours.items()
                ):
                    break
        judge.join()
        for pid in pids:
            begin, end = theirs[pid].points[0][0], theirs[pid].points[-1][0]
            shares = [100 * one.used(begin, end) / (end - begin) for one in (ours[pid], theirs[pid])]
            assert abs(shares[0] - shares[1]) < POINTS, (pids, shares)
            assert shares[1] > 5
        _queue(stack, where)


def _queue(stack: Stack, where: str) -> None:
    (one,) = stack.call("listsockets")["sockets"]
    clients = [socket.create_connection((one["host"], one["port"]), timeout=30) for _ in range(4)]
    try:
        with subscribed(where, "stat.sockets") as subscriber:
            told = subscriber.until(f"stat.sockets.{one['fd']}", lambda it: it["waiting"] == 4)
        words = [program("ss", "iproute2"), "-ltnH", f"sport = :{one['port']}"]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        found = re.match(r"LISTEN\s+(\d+)\s+(\d+)\s", said)
        assert found, said
        assert (told["waiting"], told["backlog"]) == (int(found[1]), int(found[2]))
    finally:
        for client in clients:
            client.close()
