# What figures cost: the stats process of Bigtop, and circusd-stats beside it, with nobody looking and with
# one subscriber to everything. `python -m bench.stats [--counts 100,1000] [--seconds 10]`
#
# Rules: the processes sleep, so what is measured is the looking. CPU is read from /proc over a stretch of
# time that begins when figures have come for a while.

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zmq

MOST_PROCESSES = 2000
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE = 120.0
_SETTLED = 12.0  # seconds of figures before it is measured: costly ones have had their first turn

BIGTOP = """
[circus]
endpoint = ipc://{folder}/ctl
pubsub_endpoint = ipc://{folder}/events
stats_endpoint = ipc://{folder}/stats
statsd = yes
[watcher:sleepers]
cmd = sleep 100000
numprocesses = {count}
"""
CIRCUS = BIGTOP + "warmup_delay = 0\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stats", description=__doc__)
    parser.add_argument("--counts", default="100,1000", help="numbers of processes (100,1000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (10)")
    parser.add_argument("--json", action="store_true", help="one line for each row")
    options = parser.parse_args(arguments)
    counts = [int(text) for text in options.counts.split(",")]
    if max(counts) > MOST_PROCESSES:
        parser.error(f"at most {MOST_PROCESSES} processes")
    circusd = Path(sys.executable).with_name("circusd")
    managers = {"bigtop": [sys.executable, "-m", "bigtop", "run"]}
    if circusd.exists():
        managers["circus"] = [sys.executable, "-W", "ignore", str(circusd)]
    for count in counts:
        for manager, command in managers.items():
            row = measure(manager, command, count, options.seconds)
            print(json.dumps(row) if options.json else _line(row), flush=True)
    return 0


def measure(manager: str, command: Sequence[str], count: int, seconds: float) -> dict[str, object]:
    """Return the shares of a core, in percent, of the stats process and of the daemon."""
    with running(command, BIGTOP if manager == "bigtop" else CIRCUS, count) as (daemon, folder):
        stats = _stats_process(daemon)
        idle = shares((stats, daemon), seconds)
        with subscribed(f"ipc://{folder}/stats") as socket:
            heard = _hear(socket, _SETTLED)
            began, before = time.monotonic(), [_cpu(pid) for pid in (stats, daemon)]
            heard = _hear(socket, seconds)
            spent = time.monotonic() - began
            watched = [
                100 * (_cpu(pid) - cpu) / spent for pid, cpu in zip((stats, daemon), before, strict=True)
            ]
        return {
            "manager": manager,
            "processes": count,
            "stats_idle": round(idle[0], 2),
            "stats_watched": round(watched[0], 2),
            "daemon_idle": round(idle[1], 2),
            "daemon_watched": round(watched[1], 2),
            "messages_per_second": round(heard / spent, 1),
            "stats_rss": _rss(stats),
        }


def shares(pids: Sequence[int], seconds: float) -> list[float]:
    before, began = [_cpu(pid) for pid in pids], time.monotonic()
    time.sleep(seconds)
    spent = time.monotonic() - began
    return [100 * (_cpu(pid) - cpu) / spent for pid, cpu in zip(pids, before, strict=True)]


@contextlib.contextmanager
def running(command: Sequence[str], text: str, count: int) -> Iterator[tuple[int, Path]]:
    """Run a manager with so many processes; all of them end with it."""
    folder = Path(tempfile.mkdtemp(prefix="bench-stats-"))
    (folder / "x.ini").write_text(text.format(folder=folder, count=count))
    log = open(folder / "log", "wb")  # noqa: SIM115 - closed below
    process = subprocess.Popen([*command, str(folder / "x.ini")], stdout=log, stderr=log)
    try:
        _until(lambda: len(_children(process.pid)) > count, f"{count} processes and one more")
        _until(lambda: _stats_process(process.pid), "the stats process")
        yield process.pid, folder
    finally:
        family = _children(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def subscribed(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.SUB) as socket:
        socket.set_hwm(100_000)
        socket.subscribe("stat.")
        socket.connect(endpoint)
        yield socket
    context.term()


def _hear(socket: zmq.Socket[bytes], seconds: float) -> int:
    """Take all messages of so many seconds; return how many there were."""
    heard, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if socket.poll(int(left * 1000) + 1):
            socket.recv_multipart()
            heard += 1
    return heard


def _stats_process(daemon: int) -> int:
    for pid in _children(daemon):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        if any(word in words for word in (b"bigtop: stats", b"circus.stats", b"circus import stats")):
            return pid
    return 0


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def _rss(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def _until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.1)


def _line(row: dict[str, object]) -> str:
    return (
        f"{row['manager']:>7} {row['processes']:>5} processes: stats process {row['stats_idle']:>5} % of a "
        f"core unwatched, {row['stats_watched']:>6} % watched; daemon {row['daemon_idle']} %, "
        f"{row['daemon_watched']} %; {row['messages_per_second']} messages/s; "
        f"{int(str(row['stats_rss'])) / 2**20:.1f} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
