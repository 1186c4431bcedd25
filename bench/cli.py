# The command line: `python -m bench` from the top of the repository. `run` is the default command.

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import deployed, machine, managers, peers, publish, scenarios, supervised, workshop
from bench.peers import Peer, UnknownNameError
from bench.progress import tell
from bench.results import Part, Results, load
from bench.runner import Setup, measure, shape
from bench.scenarios import Scenario
from bench.table import render

HINT = "Without a COMMAND it is `run`: `python -m bench run --help` tells what can be chosen."
COMMANDS = ("run", "supervise", "life", "torture", "deploy", "table", "report", "publish", "list", "install")
MOST_PROCESSES = 5000


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in (*COMMANDS, "-h", "--help"):
        words.insert(0, "run")
    options = _parser().parse_args(words)
    try:
        code: int = options.perform(options)
    except (UnknownNameError, workshop.NotAvailableError, ValueError, FileNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Compare Bigtop with other servers.", epilog=HINT
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, perform: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(perform=perform)
        return added

    run = command("run", _run, "measure (the default command)")
    run.add_argument(
        "--only", default="quick", metavar="NAMES", help="scenarios or sets, comma-separated (quick)"
    )
    run.add_argument(
        "--peers", default="quick", metavar="NAMES", help="peers or sets, comma-separated (quick)"
    )
    run.add_argument("--rounds", type=int, default=3, help="measurements of each peer (3)")
    run.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (2)")
    run.add_argument("--out", type=Path, metavar="FILE", help="results as JSON (bench/results/DATE.json)")
    run.add_argument("--server-cores", type=_cores, metavar="CORES", help='such as "0" or "0,2"')
    run.add_argument(
        "--load-cores", type=_cores, metavar="CORES", help="for the load generator (the last one)"
    )
    run.add_argument("--no-syscalls", action="store_true", help="do not count system calls")
    run.add_argument("--against", metavar="COMMIT", help="measure Bigtop as it was then, beside it as it is")
    _output_options(run)
    supervise = command("supervise", _supervise, "compare process managers: starts, deaths, answers, stops")
    supervise.add_argument(
        "--managers", default="all", metavar="NAMES", help="of those that are compared, comma-separated (all)"
    )
    supervise.add_argument(
        "--counts", metavar="NUMBERS", default="100,300,1000", help="numbers of processes (100,300,1000)"
    )
    supervise.add_argument(
        "--seconds", type=float, default=30.0, help="to be idle; a third of it under chatter (30)"
    )
    supervise.add_argument(
        "--chatter-rate", type=int, default=50, metavar="LINES", help="per second and process (50)"
    )
    supervise.add_argument(
        "--out", type=Path, metavar="FILE", help="results as JSON (bench/results/DATE.json)"
    )
    supervise.add_argument("--markdown", action="store_true", help="tables for the documentation")
    life = command("life", _life, "a 24-hour life in miniature, which must leave nothing behind")
    life.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    life.add_argument("--seed", type=int, default=1, help="of what happens (1)")
    life.add_argument("--out", type=Path, metavar="FILE", help="what was counted, as JSON")
    torture = command("torture", _torture, "deploys, deaths and scaling under fire, in which nothing is lost")
    torture.add_argument("--seconds", type=float, default=60.0, help="how long, of each interface (60)")
    torture.add_argument("--seed", type=int, default=1, help="of what happens (1)")
    torture.add_argument("--interface", choices=("wsgi", "asgi", "both"), default="both")
    torture.add_argument("--log", type=Path, metavar="FILE", help="what the site writes, and what was done")
    torture.add_argument("--out", type=Path, metavar="FILE", help="what was counted, as JSON")
    deploy = command(
        "deploy", _deploy, "compare what clients notice of reloads, broken code, deaths and ends"
    )
    deploy.add_argument("--peers", default="deploys", metavar="NAMES", help="comma-separated (deploys)")
    deploy.add_argument(
        "--events",
        metavar="NAMES",
        default="",
        help=f"of these, comma-separated: {', '.join(deployed.EVENTS)}",
    )
    deploy.add_argument("--out", type=Path, metavar="FILE", help="results as JSON (bench/results/DATE.json)")
    deploy.add_argument("--markdown", action="store_true", help="tables for the documentation")
    table = command("table", _table, "print the tables of a result file")
    table.add_argument("file", type=Path)
    _output_options(table)
    report = command("report", _report, "measure all that the documentation shows, and publish it")
    report.add_argument("--rounds", type=int, default=3, help="measurements of each peer (3)")
    report.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (2)")
    command("publish", _publish, "write the results in bench/results/ into the pages that ask for them")
    command("list", _list, "list peers, scenarios and sets")
    install = command("install", _install, "only install peers and compile programs")
    install.add_argument("--peers", default="all", metavar="NAMES")
    return parser


def _output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--baseline", default="bigtop", metavar="PEER", help="what ratios refer to (bigtop)")
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")


def _cores(text: str) -> frozenset[int]:
    cores = frozenset(int(part) for part in text.split(","))
    usable = os.sched_getaffinity(0)
    if not cores <= usable:
        raise argparse.ArgumentTypeError(f"only these cores may be used here: {sorted(usable)}")
    return cores


def share_cores(usable: Sequence[int], workers: int) -> tuple[frozenset[int], frozenset[int]]:
    """Give the generator the last core and the servers one core per worker, as far as there are any."""
    if len(usable) == 1:
        return frozenset(usable), frozenset(usable)
    return frozenset(usable[: min(workers, len(usable) - 1)]), frozenset(usable[-1:])


def _run(options: argparse.Namespace) -> int:
    if options.rounds < 1 or not 0 < options.seconds <= 60:
        raise ValueError("--rounds must be 1 or more, --seconds at most 60")
    chosen = scenarios.select(options.only)
    started = datetime.now(UTC)
    out = options.out or _dated(started)
    workshop.ensure_load()
    wanted = peers.select(options.peers)
    if options.against:
        wanted = peers.with_earlier(wanted, options.against)
    available, left_out = _make_ready(wanted)
    if not available:
        raise workshop.NotAvailableError("no peer is available: " + "; ".join(left_out.values()))
    results = Results(
        started=started.isoformat(timespec="seconds"),
        rounds=options.rounds,
        seconds=options.seconds,
        machine=machine.facts(),
        left_out=left_out,
        versions=workshop.installed(),
    )
    code = 0
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # end like Ctrl-C: servers are stopped, figures kept
    try:
        with tempfile.TemporaryDirectory(prefix="bench-data-") as data:
            for scenario in chosen:
                setup = _setup(options, scenario, Path(data))
                part = Part(
                    scenario.name, scenario.title, scenario.kind, shape(scenario), setup.cores_by_use()
                )
                results.parts.append(part)
                measure(scenario, available, setup, part)
                results.save(out)  # an hour of measuring is not lost with the machine
    except KeyboardInterrupt:
        tell("interrupted; this is what was measured so far")
        code = 130
    results.save(out)
    tell("")
    print(render(results, options.baseline, options.markdown))
    print(f"\n{out}")
    return code


def _dated(started: datetime) -> Path:
    return workshop.BENCH / "results" / f"{started:%Y%m%d-%H%M%S}.json"


def _supervise(options: argparse.Namespace) -> int:
    """Let the bench environment measure: its Python has what speaks to the managers."""
    if not 0 < options.seconds <= 600 or not 1 <= options.chatter_rate <= 10_000:
        raise ValueError("--seconds must be at most 600, --chatter-rate at most 10000")
    counts = [int(part) for part in options.counts.split(",")]
    if not all(0 < count <= MOST_PROCESSES for count in counts):
        raise ValueError(f"--counts: numbers from 1 to {MOST_PROCESSES}")
    out = (options.out or _dated(datetime.now(UTC))).absolute()
    available, left_out = [], {}
    for manager in managers.select(options.managers):
        tell(f"preparing {manager.name}")
        try:
            workshop.ensure_packages([manager.package, *managers.CLIENT_PACKAGES])
            available.append(manager.name)
        except workshop.NotAvailableError as error:
            left_out[manager.name] = str(error)
    if not available:
        raise workshop.NotAvailableError("no manager is available: " + "; ".join(left_out.values()))
    asked = {
        "managers": ",".join(available),
        "counts": counts,
        "seconds": options.seconds,
        "chatter_rate": options.chatter_rate,
        "left_out": left_out,
        "out": str(out),
    }
    command = [workshop.python(), "-m", "bench.supervise", json.dumps(asked)]
    code = subprocess.run(command, cwd=workshop.ROOT).returncode
    if out.exists():
        tell("")
        print(supervised.render(supervised.Results.load(out), options.markdown))
        print(f"\n{out}")
    return code


def _life(options: argparse.Namespace) -> int:
    """Live in the bench environment, as above."""
    workshop.ensure_packages([".", *managers.CLIENT_PACKAGES])
    command = [workshop.python(), "-m", "bench.life", str(options.seconds), str(options.seed)]
    command += [str(options.out.absolute())] if options.out else []
    return subprocess.run(command, cwd=workshop.ROOT).returncode


def _torture(options: argparse.Namespace) -> int:
    """As above."""
    workshop.ensure_packages([".", *managers.CLIENT_PACKAGES, "wsproto"])
    codes = []
    for interface in ("wsgi", "asgi") if options.interface == "both" else (options.interface,):
        command = [
            workshop.python(),
            "-m",
            "bench.torture",
            str(options.seconds),
            str(options.seed),
            interface,
        ]
        for file in (options.log, options.out):
            command.append(str(file.with_stem(f"{file.stem}-{interface}").absolute()) if file else os.devnull)
        codes.append(subprocess.run(command, cwd=workshop.ROOT).returncode)
    return max(codes)


def _deploy(options: argparse.Namespace) -> int:
    """As above."""
    events = [name.strip() for name in options.events.split(",") if name.strip()]
    if unknown := set(events) - deployed.EVENTS.keys():
        raise ValueError(f"--events: no {', '.join(sorted(unknown))}; there are {', '.join(deployed.EVENTS)}")
    out = (options.out or _dated(datetime.now(UTC))).absolute()
    workshop.ensure_packages([*managers.CLIENT_PACKAGES, "wsproto"])
    names, left_out = [], {}
    for peer in peers.select(options.peers):
        tell(f"preparing {peer.name}")
        try:
            workshop.ensure_packages(peer.packages)  # nothing is compiled: the source is what runs
            names.append(peer.name)
        except workshop.NotAvailableError as error:
            left_out[peer.name] = str(error)
    if not names:
        raise workshop.NotAvailableError("no peer is available: " + "; ".join(left_out.values()))
    asked = json.dumps({"peers": names, "events": events, "out": str(out), "left_out": left_out})
    code = subprocess.run([workshop.python(), "-m", "bench.deploy", asked], cwd=workshop.ROOT).returncode
    if out.exists():
        tell("")
        print(deployed.render(deployed.Results.load(out), options.markdown))
        print(f"\n{out}")
    return code


def _setup(options: argparse.Namespace, scenario: Scenario, data: Path) -> Setup:
    usable = sorted(os.sched_getaffinity(0))
    server, load_core = share_cores(usable, scenario.workers)
    if scenario.starts:  # without load, there is nobody to leave a core to
        server = load_core = frozenset(usable)
    return Setup(
        rounds=options.rounds,
        seconds=options.seconds,
        server_cores=options.server_cores or server,
        load_cores=options.load_cores or load_core,
        count_syscalls=not options.no_syscalls,
        data=data,
        tell=tell,
    )


def _make_ready(wanted: Sequence[Peer]) -> tuple[list[Peer], dict[str, str]]:
    available, left_out = [], {}
    for peer in wanted:
        tell(f"preparing {peer.name}")
        try:
            workshop.ensure_peer(peer)
            available.append(peer)
        except workshop.NotAvailableError as error:
            left_out[peer.name] = str(error)
    return available, left_out


def _table(options: argparse.Namespace) -> int:
    if supervised.Results.is_in(options.file):
        print(supervised.render(supervised.Results.load(options.file), options.markdown))
    elif deployed.Results.is_in(options.file):
        print(deployed.render(deployed.Results.load(options.file), options.markdown))
    else:
        print(render(load(options.file), options.baseline, options.markdown))
    return 0


def _report(options: argparse.Namespace) -> int:
    for name, (chosen, among) in publish.SHOWN.items():
        words = ["run", "--only", chosen, "--peers", among, "--out", str(publish.RESULTS / f"{name}.json")]
        words += ["--rounds", str(options.rounds), "--seconds", str(options.seconds)]
        if code := main(words):
            return code
    return _publish(options)


def _publish(_: argparse.Namespace) -> int:
    publish.publish(tell)
    return 0


def _list(_: argparse.Namespace) -> int:
    print("peers")
    for peer in peers.PEERS:
        print(f"  {peer.name:18} {peer.interface:6} {peer.note}".rstrip())
    print("managers (supervise)")
    for manager in managers.MANAGERS:
        print(f"  {manager.name}")
    print("scenarios")
    for scenario in scenarios.SCENARIOS.values():
        print(f"  {scenario.name:18} {scenario.title}")
    for what, sets in (("peers", peers.SETS), ("scenarios", scenarios.SETS)):
        print(f"sets of {what}")
        for name, members in sets.items():
            print(f"  {name:18} {', '.join(members)}")
    return 0


def _install(options: argparse.Namespace) -> int:
    workshop.ensure_load()
    available, left_out = _make_ready(peers.select(options.peers))
    tell("")
    print("available:", ", ".join(peer.name for peer in available) or "none")
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    return 1 if left_out else 0
