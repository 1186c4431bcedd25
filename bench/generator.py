# The load generator (load/load.c) as a function, and the burst, which is too short to need C.

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import workshop
from bench.figures import Histogram
from bench.scenarios import Scenario, frame
from bench.server import HOST, pinned

BURST_SECONDS = 10.0  # at most, from the first connection to the last answer
SEED = 4242  # of arrivals and of the mix: each peer and each round gets the same sequence


@dataclass(frozen=True, slots=True)
class Report:
    elapsed: float  # seconds from the first request to the last answer
    cpu: float  # seconds of the generator's own CPU time
    answered: int
    unanswered: int
    errors: dict[str, int]
    histograms: dict[str, Histogram]  # latency by name of request
    resumed: float | None  # share of the TLS handshakes; None: there were none


def parse(text: str) -> Report:
    data: dict[str, Any] = json.loads(text)
    kinds = data["kinds"]
    return Report(
        elapsed=data["elapsed"],
        cpu=data["cpu"],
        answered=sum(kind["answered"] for kind in kinds),
        unanswered=data["unanswered"],
        errors={name: count for name, count in data["errors"].items() if count},
        resumed=data["resumed"] / data["handshakes"] if data["handshakes"] else None,
        histograms={kind["name"]: [(us, count) for us, count in kind["histogram"]] for kind in kinds},
    )


def load(scenario: Scenario, port: int, folder: Path, seconds: float, cores: set[int]) -> Report:
    arguments = ["--connections", str(scenario.connections), "--seconds", str(seconds)]
    arguments += ["--pipeline", str(scenario.pipeline)] + ["--reconnect"] * scenario.reconnect
    if scenario.rate is not None:
        arguments += ["--rate", str(scenario.rate), "--seed", str(SEED)]
    return _run(scenario, port, folder, arguments, cores)


def one_by_one(scenario: Scenario, port: int, folder: Path, requests: int, cores: set[int]) -> Report:
    """Send `requests` of the scenario's first kind over one connection, each after the answer to the last."""
    arguments = ["--requests", str(requests), "--seconds", "10"] + ["--reconnect"] * scenario.reconnect
    return _run(scenario, port, folder, arguments, cores, kinds=1)


def _run(
    scenario: Scenario,
    port: int,
    folder: Path,
    arguments: list[str],
    cores: set[int],
    kinds: int | None = None,
) -> Report:
    command = [
        str(workshop.ensure_load(tls=scenario.tls)),
        "--host",
        HOST,
        "--port",
        str(port),
        *arguments,
        *(["--tls"] if scenario.tls else []),
        *(["--resume"] if scenario.resume else []),
    ]
    for number, request in enumerate(scenario.requests[:kinds]):
        file = folder / f"request-{number}"
        file.write_bytes(frame(scenario.message_bytes) if scenario.message_bytes else request.encode())
        command += ["--request", f"{request.name}:{request.share}:{file}"]
    if scenario.message_bytes:
        upgrade = folder / "upgrade"
        upgrade.write_bytes(scenario.requests[0].encode())
        command += ["--upgrade", str(upgrade)]
    with pinned(cores):
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    return parse(run.stdout)


def burst(scenario: Scenario, port: int) -> list[int]:
    """Open all connections at once, ask once on each; return how many each worker answered.

    The application answers with its process id. Raise TimeoutError when answers are missing
    after BURST_SECONDS.
    """
    request = scenario.requests[0].encode()
    connections = []
    counts: Counter[bytes] = Counter()
    until = time.monotonic() + BURST_SECONDS
    try:
        for _ in range(scenario.connections):
            connections.append(socket.create_connection((HOST, port), timeout=10))
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            connection.settimeout(max(until - time.monotonic(), 0.01))
            with connection.makefile("rb") as answer:
                counts[answer.read().rpartition(b"\r\n\r\n")[2].strip()] += 1
    finally:
        for connection in connections:
            connection.close()
    idle = max(scenario.workers - len(counts), 0)
    return sorted(counts.values(), reverse=True) + [0] * idle
