# Instructions per request: what no load of the machine changes. One worker under callgrind, one client.
#
#     python -m bench.instructions           compare with results/instructions.json; 1: a row costs more
#     python -m bench.instructions --write   write that file anew, in the commit that changes what a row costs
#
# Rules:
# - The source as it stands is measured, uncompiled, by the Python that runs this: it needs no build, and what
#   it does in vain the compiled one does too. --bigtop DIR measures another one, perhaps compiled.
# - The application runs in the main thread, so that no other thread counts by the clock. Instructions of the
#   kernel are not seen: bench/syscalls.py counts how often it is called.
# - Only what the same Python and processor counted can be compared.

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import generator, machine, workshop
from bench.progress import tell
from bench.scenarios import APPS, SCENARIOS, Scenario
from bench.server import HOST
from bench.workshop import ROOT, NotAvailableError

STORED = ROOT / "bench" / "results" / "instructions.json"
ROWS = ("hello", "hello-17", "reconnect", "body-100k", "upload-100k")
WARM_UP = 200
REQUESTS = 200
MOST = 0.03  # a row may cost so much more than it did, as a share
SHOWN = 15  # functions of a row that costs more
START_SECONDS = 300.0
STOP_SECONDS = 60.0
DEFER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Row:
    """What one scenario costs: instructions per request, of all and by function."""

    total: float
    functions: Mapping[str, float]


def parse(profile: str) -> Counter[str]:
    """Read a profile of callgrind, written without compression: function → instructions of its own."""
    counts: Counter[str] = Counter()
    name, skips = "", False
    for line in profile.splitlines():
        if line.startswith("fn="):
            name = line[3:]
        elif line.startswith("calls="):
            skips = True  # what follows is the cost of the callee
        elif line[:1].isdigit():
            if not skips:
                counts[name] += int(line.split()[1])
            skips = False
    return counts


def measure(scenario: Scenario, bigtop: Path) -> Row:
    """Return what a request of `scenario` costs. NotAvailableError: nothing can be counted here."""
    valgrind, control = shutil.which("valgrind"), shutil.which("callgrind_control")
    if not valgrind or not control:
        raise NotAvailableError("valgrind is not on PATH; Debian: apt-get install valgrind")
    app = APPS[scenario.app]
    with tempfile.TemporaryDirectory(prefix="bench-") as name, socket.create_server((HOST, 0)) as listener:
        # Otherwise chance decides whether a request is there when its client is accepted.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)
        folder = Path(name)
        profile, log = folder / "profile", folder / "worker.log"
        counting = [valgrind, "--tool=callgrind", "--instr-atstart=no", "--compress-strings=no"]
        counting += ["--compress-pos=no", f"--callgrind-out-file={profile}"]
        worker = [sys.executable, "-m", "bigtop", "worker", "--main-thread", "--fd", str(listener.fileno())]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*counting, *worker, str(app.wsgi)],
                cwd=bigtop,
                env={**workshop.environment(app, folder, bigtop=bigtop), "PYTHONHASHSEED": "0"},
                pass_fds=(listener.fileno(),),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            port = listener.getsockname()[1]
            _await(process, port, scenario, log)
            _ask(scenario, port, folder, WARM_UP)
            for word in ("on", "off"):
                subprocess.run([control, "-i", word, str(process.pid)], check=True, capture_output=True)
                if word == "on":
                    _ask(scenario, port, folder, REQUESTS)
        finally:
            _stop(process)
        counts = parse(profile.read_text(errors="replace"))
    return Row(counts.total() / REQUESTS, {name: count / REQUESTS for name, count in counts.items()})


def _await(process: subprocess.Popen[bytes], port: int, scenario: Scenario, log: Path) -> None:
    """Wait until the worker answers: the socket listens already, so the request waits there."""
    try:
        with socket.create_connection((HOST, port), timeout=START_SECONDS) as client:
            client.sendall(scenario.requests[0].encode())
            if client.recv(12):
                return
    except OSError:
        pass
    process.kill()
    raise NotAvailableError(f"the worker does not answer: {workshop.reason(log.read_text(errors='replace'))}")


def _ask(scenario: Scenario, port: int, folder: Path, requests: int) -> None:
    report = generator.one_by_one(scenario, port, folder, requests, os.sched_getaffinity(0))
    if report.answered < requests:
        raise NotAvailableError(f"{report.answered} of {requests} requests were answered: {report.errors}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def grown(before: Mapping[str, Row], now: Mapping[str, Row]) -> list[str]:
    """Return what to say of rows that cost more than they may, with the functions that do."""
    lines = []
    for name, row in now.items():
        if name in before and row.total > before[name].total * (1 + MOST):
            old = before[name]
            lines.append(f"{name}: {row.total / old.total - 1:+.1%}, {old.total:,.0f} → {row.total:,.0f}")
            functions = {*row.functions, *old.functions}
            more = {f: row.functions.get(f, 0) - old.functions.get(f, 0) for f in functions}
            for function in sorted(more, key=lambda f: (-abs(more[f]), f))[:SHOWN]:
                lines.append(f"  {more[function]:+10,.0f}  {function}")
    return lines


def stored(rows: Mapping[str, Row]) -> dict[str, object]:
    """Return what is kept of a run; of its functions those that matter."""
    kept = {
        name: {
            "total": round(row.total, 1),
            "functions": {f: round(n, 1) for f, n in row.functions.items() if n >= row.total / 1000},
        }
        for name, row in rows.items()
    }
    return {"machine": machine.facts(), "rows": kept}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description="Count instructions.")
    parser.add_argument("--write", action="store_true", help="store what is counted, to be compared with")
    parser.add_argument("--only", default=",".join(ROWS), metavar="NAMES", help="scenarios, comma-separated")
    parser.add_argument(
        "--bigtop", type=Path, default=ROOT, metavar="DIR", help="measure the Bigtop in there"
    )
    options = parser.parse_args(arguments)
    rows = {}
    try:
        for name in options.only.split(","):
            tell(f"{name}: counting instructions")
            rows[name] = measure(SCENARIOS[name], options.bigtop.resolve())
            tell("")
            print(f"{name:12} {rows[name].total:10,.0f} instructions per request", flush=True)
    except (NotAvailableError, KeyError, OSError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if options.write:
        STORED.write_text(json.dumps(stored(rows), indent=1) + "\n")
        return 0
    return _compare(rows)


def _compare(rows: Mapping[str, Row]) -> int:
    if not STORED.exists():
        print(f"bench: {STORED} is not there: --write makes it", file=sys.stderr)
        return 2
    kept = json.loads(STORED.read_text())
    here = machine.facts()
    for fact in ("python", "cpu"):
        if kept["machine"][fact] != here[fact]:
            print(f"bench: of another {fact}, {kept['machine'][fact]}: not comparable", file=sys.stderr)
            return 2
    lines = grown({name: Row(row["total"], row["functions"]) for name, row in kept["rows"].items()}, rows)
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
