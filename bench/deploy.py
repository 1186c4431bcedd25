# Deploys, deaths and ends of servers, as their clients notice them: `python -m bench deploy`.
#
# Rules: for each event every server is started anew, with two workers and the same code, and asked by the
# same clients (visitors.py), which keep an account. A reload is HUP to the process that was started, as each
# of these servers documents it. Bigtop gets the options that its own documentation recommends for deploys; no
# other server has such ones. It runs from its source, not compiled: nothing here depends on its speed.

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, peers, workshop
from bench.deployed import EVENTS, Outcome, Results
from bench.peers import Peer
from bench.progress import tell
from bench.releases import Releases
from bench.server import HOST, START_SECONDS, StartError, free_port, healthy, stop
from bench.visitors import ANSWERED, FAILED, LOST, REFUSED, WRONG, Account, Visit, Visitors

RATE = 40.0  # requests per second
BEFORE, AFTER = 2.0, 10.0  # seconds of clients before the event and after it
END_SECONDS = 40.0
WORKERS, THREADS = 2, 4
CAREFUL = "--health-check 'GET /healthz 200 <2s' --canary-time 3 --canary-requests 5"
RELOADS = ("good", "import error", "failing")
REPEATED = {"good": 3}  # times, in the same time
WRITTEN = {"good": "", "import error": "import error", "failing": "5xx under traffic"}


class Trial:
    """One server, its clients, and one event."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self.releases = Releases(folder, peer.interface)
        self.port = free_port()
        self.pid = 0  # of a worker that answered
        self.version, self.asked = "", 0.0  # of the last reload, and when it began
        self.visits: list[Visit] = []
        values: dict[str, object] = {
            "python": workshop.python(),
            "bin": workshop.VENV / "bin",
            "host": HOST,
            "port": self.port,
            "app": "released:app",
            "workers": WORKERS,
            "threads": THREADS,
            "dir": folder,
        }
        (command,) = peer.commands
        more = f" {CAREFUL}" if peer.is_bigtop else ""
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                workshop.words(command + more, values),
                cwd=folder,
                env=self.releases.environment() | {"XDG_RUNTIME_DIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not healthy(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StartError(workshop.reason(self.log.read_text(errors="replace")))
            time.sleep(0.02)

    def hear(self, visit: Visit) -> None:
        self.visits.append(visit)
        self.pid = visit.pid or self.pid

    def run(self, event: str, before: float, after: float) -> Outcome:
        outcome = Outcome(self.peer.name, event, watched_s=after)
        with Visitors(self.port, RATE, 1, Account(heard=self.hear)) as visitors:
            time.sleep(before)
            began = time.monotonic()
            if event in RELOADS:
                for part in range(REPEATED.get(event, 1)):
                    self._watch(began + after * part / REPEATED.get(event, 1))
                    self._reload(event)
            elif event == "kill":
                os.kill(self.pid, signal.SIGKILL)
            else:
                self.process.send_signal(signal.SIGTERM)
                visitors.end()
            if event != "term":
                self._watch(began + after)
        if event != "term":
            outcome.ended = self.process.poll()
        else:
            self.process.wait(END_SECONDS)
        self._settle(outcome, began)
        return outcome

    def _reload(self, event: str) -> None:
        self.version = self.releases.write(WRITTEN[event])
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGHUP)
            self.asked = time.monotonic()

    def _watch(self, until: float) -> None:
        while time.monotonic() < until and self.process.poll() is None:
            time.sleep(0.05)

    def _settle(self, outcome: Outcome, began: float) -> None:
        if outcome.event == "term":  # who comes after that is rightly refused
            self.visits = [one for one in self.visits if one.outcome != REFUSED or one.due < began]
        bad = [visit for visit in self.visits if visit.outcome != ANSWERED]
        kinds = [visit.outcome for visit in bad]
        outcome.answered = len(self.visits) - len(bad)
        outcome.lost = sum(kind in LOST for kind in kinds)
        outcome.refused, outcome.failed, outcome.wrong = map(kinds.count, (REFUSED, FAILED, WRONG))
        new = [visit.ended for visit in self.visits if self.version and visit.version == self.version]
        outcome.new_s = min(new) - self.asked if new else None
        if bad:
            last = max(visit.due for visit in bad)
            goes_on = outcome.event != "term" and last > max(visit.due for visit in self.visits) - 1.0
            outcome.well_s = None if goes_on else max(0.0, last - began)


def measure(peer: Peer, event: str, before: float = BEFORE, after: float = AFTER) -> Outcome:
    """Return what clients noticed; a server that does not come up is a problem."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        trial = Trial(peer, Path(name))
        try:
            trial.wait_ready()
            return trial.run(event, before, after)
        except (StartError, OSError, subprocess.TimeoutExpired) as error:
            return Outcome(peer.name, event, problem=str(error))
        finally:
            stop([trial.process])


def compare(chosen: list[Peer], events: list[str], out: Path, left_out: dict[str, str]) -> Results:
    results = Results(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        rate=RATE,
        machine=machine.facts(),
        left_out=left_out,
    )
    packages = {workshop.package_name(name) for peer in chosen for name in peer.packages if name != "."}
    have = workshop.installed()
    results.versions = {name: have[name] for name in sorted(packages & have.keys())}
    for event in events:
        for peer in chosen:
            tell(f"{event}: {peer.name}")
            results.outcomes.append(measure(peer, event))
            results.save(out)
    return results


def main() -> int:
    """Argument: what is asked for, as JSON. In the bench environment, where wsproto is."""
    asked = json.loads(sys.argv[1])
    chosen = [peers.BY_NAME[name] for name in asked["peers"]]
    compare(chosen, asked["events"] or list(EVENTS), Path(asked["out"]), asked["left_out"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
