# Measures peers in scenarios.
#
# Rules:
# - Rounds are interleaved: every peer is measured once before any is measured again, each round beginning
#   with another one, so that a machine that gets slower or noisier harms all alike.
# - Each measurement is a fresh start of the peer: warm-up, sample, load, sample. Only the load counts.
# - A peer that fails is left out of that scenario with its reason; the others go on.

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from subprocess import CalledProcessError

from bench import generator, h2load, procfs, syscalls, workshop
from bench.beside import beside
from bench.figures import imbalance
from bench.peers import Peer
from bench.results import Measured, Part, Run
from bench.scenarios import APPS, Scenario
from bench.server import Running, StartError, running

WARM_UP_SECONDS = 0.5
BURSTS = 8
BURST_PAUSE = 0.1  # seconds in which all workers become idle again
REST_SECONDS = 1.0  # after the first answer; then all workers are there and nobody does anything


@dataclass(frozen=True, slots=True)
class Setup:
    rounds: int
    seconds: float
    server_cores: frozenset[int]
    load_cores: frozenset[int]
    count_syscalls: bool
    data: Path
    tell: Callable[[str], None]  # progress, for people

    @property
    def cores(self) -> frozenset[int]:
        return self.server_cores | self.load_cores

    def cores_by_use(self) -> dict[str, list[int]]:
        return {"server": sorted(self.server_cores), "load": sorted(self.load_cores)}


def measure(scenario: Scenario, peers: Sequence[Peer], setup: Setup, part: Part) -> None:
    """Fill `part` as results come in: what was measured before an interruption is not lost."""
    app = APPS[scenario.app]
    peers = [peer for peer in peers if fits(peer, scenario)]
    try:
        workshop.prepare_app(app, setup.data)
        if scenario.tls:
            workshop.ensure_load(tls=True)
            workshop.certificate(setup.data)
    except workshop.NotAvailableError as error:
        part.measured += [Measured(peer.name, "", left_out=str(error)) for peer in peers]
        return
    pairs = [(peer, Measured(peer.name, "; ".join(peer.spoken(tls=scenario.tls)))) for peer in peers]
    part.measured += [measured for _, measured in pairs]
    for number in range(setup.rounds if pairs else 0):
        turn = number % len(pairs)
        for peer, measured in pairs[turn:] + pairs[:turn]:
            if not measured.left_out:
                _attempt(peer, measured, scenario, setup, number)
    if setup.count_syscalls and not scenario.streams and scenario.kind in {"closed", "open"}:
        for peer, measured in pairs:
            if not measured.left_out:
                _count(peer, measured, scenario, setup)


def shape(scenario: Scenario) -> str:
    """Say in words how the requests come."""
    plural = "s" if scenario.workers > 1 else ""
    text = f"{scenario.workers} worker{plural}, {scenario.connections} connections, "
    if scenario.tls:
        text += "TLS with an ECDSA certificate (P-256), "
    if scenario.streams:
        text += f"HTTP/2 with {scenario.streams} requests at once on each, "
    if scenario.message_bytes:
        text += "a request is a message and its echo, "
    if scenario.starts:
        return f"{scenario.workers} worker{plural}, one start per round, no load"
    if scenario.burst:
        return text + f"{BURSTS} bursts per round"
    if scenario.rate is None:
        return text + "closed loop"
    named = scenario.requests[0].name
    only = f" of the {named!r} requests" if len(scenario.requests) > 1 else ""
    return text + f"open loop, {scenario.rate:g} requests/s; latency{only} from the moment a request was due"


def fits(peer: Peer, scenario: Scenario) -> bool:
    """Say whether the peer can serve the scenario's application, and its figure would mean something."""
    app = APPS[scenario.app]
    if (scenario.tls and not peer.tls) or (scenario.streams and not peer.http2):
        return False
    if app.only or peer.interface in ("static", "cache"):
        return app.only == peer.interface
    if peer.interface == "asgi":
        return app.asgi is not None
    if app.wsgi is None:
        return False
    return scenario.floor or peer.interface != "floor"


def _attempt(peer: Peer, measured: Measured, scenario: Scenario, setup: Setup, number: int) -> None:
    setup.tell(f"{scenario.name}, round {number + 1} of {setup.rounds}: {peer.name}")
    try:
        with running(peer, scenario, set(setup.server_cores), setup.data) as server:
            run = _start if scenario.starts else _burst if scenario.burst else _load
            measured.runs.append(run(scenario, server, setup, number))
    except (StartError, OSError, workshop.NotAvailableError, CalledProcessError) as error:
        measured.left_out = str(error)


def _load(scenario: Scenario, server: Running, setup: Setup, number: int) -> Run:
    load_cores, seconds = set(setup.load_cores), max(setup.seconds, scenario.at_least)
    _ask(scenario, server, WARM_UP_SECONDS, load_cores)
    alone = _memory(server)
    with beside(scenario.beside, server.port, load_cores, tls=scenario.tls):
        added = _memory(server) - alone
        run = _sample(scenario, server, setup, number, seconds)
    if scenario.beside and scenario.beside.stays:
        run = replace(run, pss_beside=added / scenario.beside.connections)
    return run


def _ask(scenario: Scenario, server: Running, seconds: float, cores: set[int]) -> generator.Report:
    load = h2load.load if scenario.streams else generator.load
    return load(scenario, server.port, server.folder, seconds, cores)


def _memory(server: Running) -> int:
    return sum(procfs.pss(pid) for pid in procfs.tree(server.roots))


def _sample(scenario: Scenario, server: Running, setup: Setup, number: int, seconds: float) -> Run:
    load_cores = set(setup.load_cores)
    before, busy_before, began = procfs.tree(server.roots), procfs.cores_busy(setup.cores), time.monotonic()
    report = _ask(scenario, server, seconds, load_cores)
    after, busy_after, ended = procfs.tree(server.roots), procfs.cores_busy(setup.cores), time.monotonic()
    used = procfs.cpu(after) - procfs.cpu(before)
    foreign = sum(busy_after) - sum(busy_before) - used - report.cpu
    workers = procfs.busiest(before, after, scenario.workers)
    memory = {pid: procfs.pss(pid) for pid in after}
    return Run(
        round=number,
        noise=round(max(foreign, 0) / ((ended - began) * len(setup.cores)), 4),
        requests_per_second=report.answered / report.elapsed if report.elapsed else None,
        cpu_us=used / report.answered * 1e6 if report.answered else None,
        pss_worker=int(median(memory[pid] for pid in workers)) if workers else None,
        pss_tree=sum(memory.values()),
        generator_busy=round(report.cpu / report.elapsed, 3) if report.elapsed else None,
        failed=sum(report.errors.values()) + report.unanswered,
        histograms=report.histograms,
        resumed=report.resumed if scenario.reconnect else None,
    )


def _burst(scenario: Scenario, server: Running, setup: Setup, number: int) -> Run:
    bursts = []
    busy_before, began = procfs.cores_busy(setup.cores), time.monotonic()
    used_before = procfs.cpu(procfs.tree(server.roots))
    for _ in range(BURSTS):
        time.sleep(BURST_PAUSE)
        bursts.append(generator.burst(scenario, server.port))
    used = procfs.cpu(procfs.tree(server.roots)) - used_before
    foreign = sum(procfs.cores_busy(setup.cores)) - sum(busy_before) - used
    return Run(
        round=number,
        noise=round(max(foreign, 0) / ((time.monotonic() - began) * len(setup.cores)), 4),
        imbalance=median(imbalance(counts) for counts in bursts),
        bursts=bursts,
    )


def _start(scenario: Scenario, server: Running, setup: Setup, number: int) -> Run:
    before, busy_before = procfs.tree(server.roots), procfs.cores_busy(setup.cores)
    time.sleep(REST_SECONDS)
    at_rest, busy = procfs.tree(server.roots), procfs.cores_busy(setup.cores)
    foreign = sum(busy) - sum(busy_before) - (procfs.cpu(at_rest) - procfs.cpu(before))
    memory = _memory(server)
    return Run(
        round=number,
        noise=round(max(foreign, 0) / (REST_SECONDS * len(setup.cores)), 4),
        pss_tree=memory,
        first_answer_us=server.first_answer * 1e6,
        start_cpu_us=procfs.cpu(at_rest) * 1e6,
        stop_us=server.end() * 1e6,
    )


def _count(peer: Peer, measured: Measured, scenario: Scenario, setup: Setup) -> None:
    setup.tell(f"{scenario.name}, counting system calls: {peer.name}")
    try:
        with running(peer, scenario, set(setup.server_cores), setup.data) as server:
            load_cores = set(setup.load_cores)
            _ask(scenario, server, WARM_UP_SECONDS, load_cores)
            measured.syscalls = syscalls.count(scenario, server, load_cores)
    except (StartError, OSError, CalledProcessError) as error:
        measured.left_out = f"system calls not counted: {error}"
