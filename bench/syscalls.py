# System calls per request: strace attached to the whole tree of a warm server, one client, keep-alive.
#
# Rule: counting slows a server down manyfold, so it is never part of a timed run. Without strace, or where
# attaching is forbidden (containers), the figure is missing and the bench goes on.

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from bench import generator, procfs
from bench.scenarios import Scenario
from bench.server import Running

REQUESTS = 400
ATTACH_SECONDS = 5.0


def parse(table: str) -> dict[str, int]:
    """Read the table of `strace -c`: name of the call → how often. The errors column may be empty."""
    calls = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    return calls


def count(scenario: Scenario, server: Running, cores: set[int]) -> dict[str, float] | None:
    """Return calls per request by name, most frequent first; None where counting is not possible."""
    strace = shutil.which("strace")
    if not strace:
        return None
    table, said = server.folder / "strace.table", server.folder / "strace.log"
    pids = list(procfs.tree(server.roots))
    attach = [part for pid in pids for part in ("-p", str(pid))]
    with said.open("wb") as output:
        tracer = subprocess.Popen([strace, "-f", "-c", "-o", str(table), *attach], stderr=output)
    try:
        if not _attached(tracer, said, len(pids)):
            return None
        report = generator.one_by_one(scenario, server.port, server.folder, REQUESTS, cores)
    finally:
        tracer.send_signal(signal.SIGINT)  # detaches and writes the table
        tracer.wait()
    if not report.answered:
        return None
    calls = parse(table.read_text())
    return {name: n / report.answered for name, n in sorted(calls.items(), key=lambda item: -item[1])}


def _attached(tracer: subprocess.Popen[bytes], log: Path, processes: int) -> bool:
    deadline = time.monotonic() + ATTACH_SECONDS
    while time.monotonic() < deadline and tracer.poll() is None:
        if log.read_text(errors="replace").count(" attached") >= processes:
            return True
        time.sleep(0.02)
    return False
