# Deploys, deaths and scaling under fire: `python -m bench torture --seconds 3600`. Clients keep an account of
# every request (visitors.py), while at random the site is reloaded with good and with broken code, scaled,
# upgraded to good and to broken versions of Bigtop, and its processes are killed.
#
# Rules: what is random comes from a seed. What is lost has to have been on a connection of a worker at the
# moment when it was killed with -9; what the log names as lost is compared with that. An answer counts as
# wrong also when it comes from code that was not to answer at that time. The last part of a run is compared
# with its first, as in life.py: descriptors, threads, processes, memory.

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

from bench import procfs, workshop
from bench.apps import accountable
from bench.managers import AnswerError, ZmqControl
from bench.progress import tell
from bench.releases import AILMENTS, BROKEN, Releases
from bench.remains import Census, Remains, settled
from bench.server import stop
from bench.versions import FIRST, ORDER, Versions
from bench.visitors import ANSWERED, FAILED, LOST, REFUSED, Account, Visitors

DEADLINE = 60.0  # seconds for whatever is waited for
RATE = {"wsgi": 30.0, "asgi": 40.0}  # requests per second, which two cores can bear with all the rest
SOCKETS = {"wsgi": 0, "asgi": 6}
BURST, BURST_SECONDS = 3.0, 3.0  # times the usual rate
LEAST, MOST = 2, 4  # workers
NOTICED = 1.0  # seconds
POOL = 8  # threads that asyncio makes when it needs them, and keeps
GROWTH = 4 << 20  # bytes that an allocator keeps for another time
GROWTH_PER_ACTION = 4096  # bytes
PASSED = re.compile(r"passed its canary time: .*?(?:([\d.]+) (m?s))?$", re.MULTILINE)
SLOW = "slow under traffic"
# Fails when it is asked whether it can take over, or only when it is to do so. Whatever else is started
# from its files meanwhile works.
FAILS = 'import os\nif {order}.startswith("{kind}:"):\n    raise RuntimeError("{kind}: broken")\n'
UPGRADED = r"upgrade: version \S+ has taken over|upgrade refused: .*|upgrade: the new version failed.*"
LOST_LINE = re.compile(r"(?:GET|POST) /\w+/([\w-]+) .*is cut off after .*: its worker \d+ is gone")

# WSGI is served by `bigtop serve`, ASGI by `bigtop run` beside a command that only a launcher can start.
OPTIONS = {
    "workers": "2..4",
    "max_requests": 150,
    "max_requests_jitter": 100,
    "max_age": 12,
    "max_age_variance": 8,
    "graceful_timeout": 20,
    "health_check": "GET /healthz 200 <30s",
    "canary_time": 3,
    "canary_requests": 3,
    "canary_latency": "3",
    "max_surge": 2,
}
FILE = """\
[bigtop]
endpoint = "ipc://$dir/control"
pubsub_endpoint = "ipc://$dir/events"
stats_endpoint = "ipc://$dir/stats"
statsd = true
[env]
PATH = "$$PATH"
PYTHONPATH = "$$PYTHONPATH"
PYTHONDONTWRITEBYTECODE = "1"
[app.released]
app = "released:app"
bind = ["127.0.0.1:0"]
interface = "asgi"
boot_timeout = $boot_timeout
$options
[watcher.limited]
cmd = "sleep 3600"
numprocesses = 2
rlimits = { nofile = 512 }
"""
SERVE = (
    "released:app --interface wsgi --threads 2 --bind 127.0.0.1:0 --control $dir/control --stats=$dir/stats"
)


def _command(interface: str, folder: Path, boot_timeout: float) -> list[str]:
    values: dict[str, object] = {"dir": folder, "boot_timeout": f"{boot_timeout:g}"}
    if interface == "wsgi":
        words = workshop.words(f"serve {SERVE} --boot-timeout $boot_timeout", values)
        for name, value in OPTIONS.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        return words
    values["options"] = "\n".join(f"{name} = {json.dumps(value)}" for name, value in OPTIONS.items())
    (folder / "site.toml").write_text(Template(FILE).substitute(values))
    return ["run", str(folder / "site.toml")]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: to boot, and until the old code alone answers again after a broken deploy."""

    boot: float = 3.0
    back: float = 5.0
    until_the_end: bool = True  # clients come while it ends


@dataclass(slots=True)
class Story(Remains):
    """What was done, what became of the clients, and what is left of it."""

    interface: str = "wsgi"
    patience: Patience = Patience()
    counts: dict[str, int] = field(default_factory=dict)  # of requests, by outcome
    by_kind: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    excused: int = 0  # lost with a worker that was killed
    named: int = 0  # of those, named by the log
    unexplained: list[str] = field(default_factory=list)
    back: dict[str, list[float]] = field(default_factory=dict)  # seconds, by what was broken
    unlucky: int = 0  # deploys that a noisy comparison, or a kill in their middle, decided
    problems: list[str] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """Say what should not be; nothing is what should be said."""
        if self.before is None or self.after is None:
            return [*self.problems, "it did not come to its end"]
        usual = replace(self.before, threads=self.before.threads + POOL)
        said = [*self.problems, *self.unexplained, *self.growths(usual, GROWTH, GROWTH_PER_ACTION)]
        for kind, times in self.back.items():
            if max(times) > self.patience.back:
                said.append(f"{kind}: the old code alone answered after {max(times):.1f} s only")
        if not self.counts.get(ANSWERED):
            said.append("nobody was answered")
        if self.skipped:
            said.append(f"{self.skipped} requests were not sent: too many were under way")
        return said + self.leftovers()


class Log:
    """What the site has written, and what we did to it between the lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, begin: int = 0) -> str:
        with self.path.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")

    def here(self) -> int:
        return self.path.stat().st_size

    def tell(self, text: str) -> None:
        """Write a line of ours among those of the site."""
        with self.path.open("a") as file:
            file.write(f"{time.strftime('%H:%M:%S')} torture: {text}\n")


class Torture:
    """A site, its clients, and everything that happens to both."""

    def __init__(self, folder: Path, python: str, story: Story) -> None:
        self.folder = folder
        self.story = story
        self.chance = random.Random(story.seed)
        self.done: Counter[str] = Counter()
        self.hit: dict[int, float] = {}  # ports of clients that killed workers had, and when they died
        self.releases = Releases(folder, story.interface)
        self.versions = Versions(folder)
        self.ended = 0.0  # when the last deploy was over
        self.log = Log(folder / "log")
        with self.log.path.open("ab") as log:
            self.process = subprocess.Popen(
                [python, "-m", "bigtop", *_command(story.interface, folder, story.patience.boot)],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.account = Account(heard=self.releases.check)

    def _environment(self) -> dict[str, str]:
        env = self.releases.environment()
        path = f"{self.versions.current}:{env['PYTHONPATH']}"
        return env | {"XDG_RUNTIME_DIR": str(self.folder), "PYTHONPATH": path}

    def open(self) -> None:
        """Wait until it serves, and let the clients come."""
        found = self.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")
        self.wait_for("released: started")
        self.port = int(found[1])
        self.control = ZmqControl(self.folder)
        rate = RATE[self.story.interface]
        self.visitors = Visitors(
            self.port, rate, self.story.seed, self.account, SOCKETS[self.story.interface]
        )

    def wait_for(self, pattern: str, begin: int = 0) -> re.Match[str]:
        """Return the first match in the log behind `begin`."""
        deadline = time.monotonic() + DEADLINE
        while True:
            if found := re.search(pattern, self.log.text(begin)):
                return found
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AnswerError(f"no {pattern!r} in the log:\n{self.log.text(begin)[-4000:]}")
            time.sleep(0.01)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AnswerError(f"waited in vain for {what}:\n{self.log.text()[-4000:]}")
            time.sleep(0.01)

    def titled(self, start: str) -> set[int]:
        """Return its processes whose title begins so."""
        tree = procfs.tree([self.process.pid])
        return {pid for pid in tree if procfs.title(pid).startswith(start)}

    def workers(self) -> set[int]:
        return self.titled("bigtop: worker ")

    # ---- deploys

    def deploy(self) -> None:
        """Have good code take over."""
        self.releases.write()
        self._reload()

    def deploy_and_kill(self) -> None:
        """Kill something in the middle of a deploy, which may end either way."""
        self.releases.write()
        self._reload(meanwhile=self.chance.choice([self.kill_worker, self.kill_any_fork_server]))
        self.recover()

    def deploy_over_another(self) -> None:
        """The newer of two goals wins."""
        self.releases.write("hang at boot")
        self.process.send_signal(signal.SIGHUP)
        self.releases.write()
        self._reload()

    def broken(self, what: str) -> None:
        began = time.monotonic()
        version = self.releases.write(what)
        if self._reload():
            self._explain(what)
            self.deploy()
        else:
            last = max(self.ended, self.releases.last_taken(version))
            self.story.back.setdefault(what, []).append(round(last - began, 2))

    def _explain(self, what: str) -> None:
        """Broken code took over, which must not be unless clients saw too little of it, or the machine was
        so busy that the old code was slow as well."""
        passed = list(PASSED.finditer(self.log.text()))[-1]
        old = float(passed[1] or 0.0) * {"ms": 0.001, "s": 1.0, None: 0.0}[passed[2]]
        noise = "too few" in passed[0] or (what == SLOW and old > accountable.SLOW_SECONDS / 4)
        if noise:
            self.story.unlucky += 1
        else:
            self.story.problems.append(f"{what}: such code took over: {passed[0]}")

    def _reload(self, meanwhile: Callable[[], None] | None = None) -> bool:
        """Send HUP and say whether the new code took over, once those who lost have gone."""
        begin, before = self.log.here(), self.workers()
        self.log.tell(f"HUP: {self.releases.described()}")
        self.process.send_signal(signal.SIGHUP)
        if meanwhile is not None:
            time.sleep(self.chance.uniform(0, 1.0))
            meanwhile()
        told = self.wait_for(
            r"released: (reloaded, every worker is of|reload failed, generation \d+ cannot run)", begin
        )
        self.ended = time.monotonic()
        if told[1].startswith("reloaded"):
            self.until(lambda: not self.workers() & before, "the old workers to go")
            self.releases.succeeded()
            return True
        if self.releases.ailment in AILMENTS:
            self.until(lambda: self.control_says_calm(), "the canary to go")
        if self.releases.ailment:
            self.releases.failed()
        else:
            self.releases.undecided()
            self.story.unlucky += 1
        return False

    def control_says_calm(self) -> bool:
        """Whether all its workers are those that there should be: who drains has gone."""
        told = self.ask("numprocesses", name="released")
        return told.get("numprocesses") == len(self.workers())

    # ---- upgrades of Bigtop

    def upgrade(self) -> None:
        self._upgrade()

    def upgrade_and_kill(self) -> None:
        """Kill something in the middle of an upgrade."""
        self._upgrade(self.chance.choice([self.kill_worker, self.kill_any_fork_server, self.kill_stats]))
        self.recover()

    def upgrade_and_deploy(self) -> None:
        """One waits for the other."""
        begin = self.log.here()
        self.releases.write()
        self._reload(meanwhile=lambda: self.process.send_signal(signal.SIGUSR2))
        self._expect("has taken over", begin)

    def _upgrade(self, meanwhile: Callable[[], None] = lambda: None, told: str = "has taken over") -> None:
        begin = self.log.here()
        self.process.send_signal(signal.SIGUSR2)
        meanwhile()
        self._expect(told, begin)

    def _expect(self, told: str, begin: int) -> None:
        """Wait for the end of an upgrade, of which this should be told."""
        found = self.wait_for(UPGRADED, begin)[0]
        if told not in found:
            self.story.problems.append(f"{found}; {told!r} was to be told")

    def upgrade_to_broken(self, kind: str) -> None:
        self.versions.install({"__init__.py": (FIRST, FIRST + FAILS.format(order=ORDER, kind=kind))})
        self._upgrade(told=f"{kind}: broken")
        self.versions.install({})

    # ---- the number of workers

    def more(self) -> None:
        if self.story.interface == "wsgi":
            self.process.send_signal(signal.SIGTTIN)
        else:
            self.ask("incr", name="released")

    def fewer(self) -> None:
        if self.story.interface == "wsgi":
            self.process.send_signal(signal.SIGTTOU)
        else:
            self.ask("decr", name="released")

    def bounds(self) -> None:
        least = self.chance.randint(1, 3)
        self.ask("scale", name="released", count=f"{least}..{least + self.chance.randint(1, 2)}")

    def burst(self) -> None:
        rate, self.visitors.rate = self.visitors.rate, self.visitors.rate * BURST
        time.sleep(BURST_SECONDS)
        self.visitors.rate = rate

    # ---- deaths

    def kill_worker(self) -> None:
        """Kill one, and know whom it served: it stands still while that is looked at."""
        if not (pids := self.workers()):
            return
        pid = self.chance.choice(sorted(pids))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.until(lambda: procfs.state(pid) in ("T", "Z", ""), "a worker to stand still")
            clients = procfs.clients(pid, self.port)
            self.log.tell(f"worker {pid} is killed, which has clients {sorted(clients)}")
            os.kill(pid, signal.SIGKILL)
            self.hit |= dict.fromkeys(clients, time.monotonic())
            self.until(lambda: procfs.state(pid) in ("Z", ""), "its death")

    def kill_fork_server(self) -> None:
        """Kill it: what is on the disk then has to show that it works before it replaces anything."""
        self.kill_any_fork_server()
        self.recover()

    def kill_any_fork_server(self) -> None:
        pid = self._kill("bigtop: fork server ")
        self.until(lambda: pid is None or not procfs.state(pid), "its death to be heard of")

    def recover(self) -> None:
        """Wait until there is one generation, which has a fork server."""

        def has() -> bool:
            found = self.ask("generations", name="released").get("generations", [])
            return [one["state"] for one in found] == ["current"]

        self.until(has, "a fork server in the place of one that was killed")

    def kill_stats(self) -> None:
        self._kill("bigtop: stats")

    def kill_launcher(self) -> None:
        """Kill it where there is one, and have somebody need it."""
        if self.story.interface == "asgi":
            self._kill("bigtop: launcher")
            self.ask("restart", name="limited", waiting=True)

    def _kill(self, start: str) -> int | None:
        """Kill one of those, if there is any; return which."""
        pid = self.chance.choice(sorted(pids)) if (pids := self.titled(start)) else None
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pid

    # ---- questions

    def ask(self, command: str, **properties: object) -> dict[str, Any]:
        try:
            return self.control.call(command, **properties)
        except AnswerError as error:
            self.story.problems.append(f"{command}: {error}")
            return {}

    def census(self, usual: Census | None = None) -> Census:
        """Count, with two workers and everybody back who was killed."""
        self.ask("scale", name="released", count=f"{LEAST}..{MOST}")
        self.ask("scale", name="released", count=str(LEAST), waiting=True)
        return settled(self.process.pid, usual, self.is_calm)

    def is_calm(self) -> bool:
        there = self.titled("bigtop: stats") and len(self.titled("bigtop: fork server ")) == 1
        return bool(there) and self.control_says_calm()

    def terminate(self) -> None:
        """End it while clients come: who came before is answered, and who comes later is refused."""
        self.log.tell("TERM")
        self.ended = time.monotonic()
        self.process.terminate()
        self.process.wait(DEADLINE)

    def close(self) -> None:
        """Settle the account of the clients."""
        story = self.story
        story.counts, story.by_kind = dict(self.account.counts), dict(self.account.by_kind)
        story.skipped = self.visitors.skipped
        named = set(LOST_LINE.findall(self.log.text()))
        for visit in self.account.unhappy:
            # Who kept a connection notices its end a moment later, with the next request.
            if visit.outcome in LOST and visit.due < self.hit.get(visit.port, 0.0) + NOTICED:
                story.excused += 1
                story.named += visit.name in named
            elif not (
                (visit.outcome == FAILED and self.releases.is_failing(visit.version))
                or (visit.outcome == REFUSED and visit.ended > self.ended)
            ):
                story.unexplained.append(str(visit))
        story.unexplained += self.releases.out_of_turn
        if "Traceback" in (text := self.log.text()) and "bigtop/supervisor" in text:
            story.problems.append("the supervisor wrote a traceback")


def _of(what: str) -> Callable[[Torture], None]:
    return lambda torture: torture.broken(what)


ACTIONS: Mapping[str, Callable[[Torture], None]] = {
    "deploy": Torture.deploy,
    "deploy and kill": Torture.deploy_and_kill,
    "deploy over another": Torture.deploy_over_another,
    **{what: _of(what) for what in BROKEN},
    "upgrade": Torture.upgrade,
    "upgrade and kill": Torture.upgrade_and_kill,
    "upgrade and deploy": Torture.upgrade_and_deploy,
    "version that cannot start": lambda torture: torture.upgrade_to_broken("probe"),
    "version that cannot take over": lambda torture: torture.upgrade_to_broken("over"),
    "more": Torture.more,
    "fewer": Torture.fewer,
    "bounds": Torture.bounds,
    "burst": Torture.burst,
    "kill a worker": Torture.kill_worker,
    "kill the fork server": Torture.kill_fork_server,
    "kill the stats process": Torture.kill_stats,
    "kill the launcher": Torture.kill_launcher,
}


def suffer(
    python: str,
    seconds: float,
    seed: int,
    interface: str,
    patience: Patience = Patience(),
    log: Path | None = None,
    first: Sequence[str] = (),
) -> Story:
    """Be tortured for about so long: a third to warm up, while caches fill, and then what is compared. The
    actions `first` come before what chance has. The log of the site is left in the file `log`."""
    story = Story(seconds, seed, interface=interface, patience=patience)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        torture = Torture(Path(name), python, story)
        try:
            torture.open()
            with torture.visitors:
                for action in first:
                    _do(torture, action)
                story.live(torture.done, partial(_spend, torture), torture.census)
                if not patience.until_the_end:
                    torture.visitors.end()
                with story.end(torture.process):
                    torture.terminate()
            torture.close()
        finally:
            with contextlib.suppress(AttributeError):
                torture.control.close()
            stop([torture.process])
            if log is not None:
                log.write_bytes(torture.log.path.read_bytes())
    return story


def _spend(torture: Torture, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # Each as often as any other, in an order of chance.
        left = min(torture.done[name] for name in ACTIONS)
        name = torture.chance.choice([name for name in ACTIONS if torture.done[name] == left])
        _do(torture, name)
        time.sleep(torture.chance.uniform(0, 0.3))


def _do(torture: Torture, name: str) -> None:
    tell(f"{sum(torture.done.values())} actions: {name}")
    torture.log.tell(name)
    torture.done[name] += 1
    ACTIONS[name](torture)


def told(story: Story) -> str:
    """Return what there is to say of it, in lines."""
    lines = [
        f"{sum(story.done.values())} actions in {story.seconds:g} s, seed {story.seed}, {story.interface}"
    ]
    lines.append("requests: " + ", ".join(f"{count} {what}" for what, count in sorted(story.counts.items())))
    lines.append(f"lost with killed workers: {story.excused}, of which the log names {story.named}")
    lines += [
        f"{kind}: back after {max(times):.1f} s at most, of {len(times)}"
        for kind, times in story.back.items()
    ]
    lines.append(f"deploys decided by noise or by a kill: {story.unlucky}")
    if story.before and story.after:
        lines += [f"before: {asdict(story.before)}", f"after:  {asdict(story.after)}"]
    return "\n".join(lines)


def main() -> int:
    """Arguments: seconds, seed, interface, and files for the log and for what was counted."""
    seconds, seed, interface, log, out = sys.argv[1:]
    story = suffer(sys.executable, float(seconds), int(seed), interface, log=Path(log))
    tell("")
    story.save(Path(out))
    complaints = story.complaints()
    print(told(story))
    print("\n".join(complaints or ["nothing was lost but with killed workers, and nothing is left"]))
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
