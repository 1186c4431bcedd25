# Load over HTTP/2, by nghttp2's h2load, which is another program's view of the protocol than ours.
#
# Rule: closed loops of one kind of request. Each request is in its log, so that latencies are counted here as
# those of the other generator are.

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from bench import workshop
from bench.generator import Report
from bench.scenarios import Scenario
from bench.server import HOST, pinned

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def load(scenario: Scenario, port: int, folder: Path, seconds: float, cores: set[int]) -> Report:
    """Keep `streams` requests open on each connection. NotAvailableError: there is no h2load, or the peer
    does not speak HTTP/2."""
    if shutil.which("h2load") is None:
        raise workshop.NotAvailableError("h2load is not on PATH (Debian: nghttp2-client)")
    (request,) = scenario.requests
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["h2load", f"--clients={scenario.connections}", f"--max-concurrent-streams={scenario.streams}"]
    command += [f"--duration={round(seconds * 1000)}ms", f"--log-file={log}"]
    fields = [(name, value) for name, value in request.headers if name not in ("Host", "Connection")]
    command += [f"--header={name.lower()}: {value}" for name, value in fields]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pinned(cores):
        run = subprocess.run(
            [*command, f"https://{HOST}:{port}{request.path}"], capture_output=True, text=True, check=True
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return parse(run.stdout, log.read_text(), cpu, request.name)


def parse(said: str, log: str, cpu: float, name: str) -> Report:
    """Return what its report and its log say. The log has a line for each answer: when it was asked for
    (microseconds), its status, and the microseconds that it took. NotAvailableError: it was not HTTP/2."""
    protocol = re.search(r"^Application protocol: (.+)$", said, re.M)
    elapsed = re.search(r"^finished in ([0-9.]+)(us|ms|s),", said, re.M)
    if protocol is None or protocol[1] != "h2":
        raise workshop.NotAvailableError("it does not speak HTTP/2")
    if elapsed is None:
        raise workshop.NotAvailableError("h2load reports in a form that is not known")
    latencies: Counter[float] = Counter()
    errors: Counter[str] = Counter()
    for line in log.splitlines():
        _, status, taken = line.split("\t")
        if status == "200":
            latencies[float(taken)] += 1
        else:
            errors[status] += 1
    return Report(
        elapsed=float(elapsed[1]) * _UNITS[elapsed[2]],
        cpu=cpu,
        answered=sum(latencies.values()),
        unanswered=0,
        errors=dict(errors),
        histograms={name: sorted(latencies.items())},
        resumed=None,
    )
