# Process managers compared: `python -m bench supervise`. All are given the same commands and questions.
#
# Rules:
# - The same sequence for everybody, one manager after the other, for each number of processes. Beside each
#   start stands one of the same processes by posix_spawn(3) and nothing else, measured just before: a ratio
#   of the two says more than seconds on a machine that has other things to do.
# - A process is there when it executes its command; that a manager says so is not enough.
# - Everything is bounded in time. What a manager cannot do in that time is said, and the bench goes on.

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, managers, procfs, workshop
from bench.managers import AnswerError, Control, Crowd, Manager
from bench.progress import tell
from bench.server import stop
from bench.supervised import Chatter, Life, Results

READY_SECONDS = 30.0
GONE_SECONDS = 120.0
RESPAWN_SECONDS = 30.0
RESPAWNS = 20
STATUS_QUESTIONS = 20
STATS_QUESTIONS = 3
CALM_SECONDS = 1.0  # after a start
SLOW_STATS = 10.0  # seconds after which the question is not asked again
CHATTERERS = 200
CHATTER_QUESTIONS_APART = 0.005  # seconds
PROBLEMS = (AnswerError, OSError, subprocess.SubprocessError)


class Running:
    """A manager that answers, before it has started anything."""

    def __init__(self, manager: Manager, crowd: Crowd, folder: Path) -> None:
        self.manager = manager
        self.crowd = crowd
        self.folder = folder
        manager.write(crowd, folder)
        command = workshop.words(manager.command, {"bin": workshop.VENV / "bin", "dir": folder})
        began = time.monotonic()
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=workshop.environment(None, folder, [("PYTHONPATH", "")]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.control = self._connected()
        except BaseException:
            stop([self.process])
            raise
        self.ready_seconds = time.monotonic() - began

    def _connected(self) -> Control:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if (self.folder / "control").exists():
                with contextlib.suppress(*PROBLEMS):
                    control = self.manager.connect(self.folder)
                    control.status()
                    return control
            time.sleep(0.01)
        log = (self.folder / "log").read_text(errors="replace")
        raise AnswerError(f"does not answer; its log: {workshop.reason(log)}")

    def managed(self) -> set[int]:
        """Return the processes that execute the command."""
        return {pid for pid in procfs.children(self.process.pid) if procfs.name(pid) == self.crowd.program}

    def own(self) -> list[int]:
        """Return the manager and what helps it."""
        everyone = procfs.tree([self.process.pid])
        return [pid for pid in everyone if procfs.name(pid) != self.crowd.program]

    def wait_for(self, count: int, seconds: float = GONE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while (found := len(self.managed())) != count:
            if time.monotonic() > deadline:
                raise AnswerError(f"{found} processes after {seconds:g} s, expected {count}")
            time.sleep(0.005)

    def cpu(self) -> float:
        return sum(procfs.run_seconds(pid) for pid in self.own())


@contextlib.contextmanager
def running(manager: Manager, crowd: Crowd) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        one = Running(manager, crowd, Path(name))
        try:
            yield one
        finally:
            one.control.close()
            stop([one.process])


# ---- the life of a crowd


def posix_spawn(crowd: Crowd) -> float:
    """Return the seconds that the same processes take without any manager."""
    program, *_ = argv = crowd.command.split()
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    pids: list[int] = []
    began = time.monotonic()
    try:
        for _ in range(crowd.count):
            pids.append(os.posix_spawn(program, argv, os.environ, file_actions=actions, setsid=True))
        return time.monotonic() - began
    finally:
        os.close(null)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def live(manager: Manager, crowd: Crowd, idle_seconds: float) -> Life:
    """Start, rest, answer, replace what dies, stop."""
    life = Life(manager.name, crowd.count)

    def step(what: str) -> None:
        tell(f"{crowd.count} processes, {manager.name}: {what}")

    try:
        step("start")
        life.spawn_s = posix_spawn(crowd)
        with running(manager, crowd) as one:
            life.ready_s = one.ready_seconds
            life.start_s = _seconds(one.control.start)
            one.wait_for(crowd.count, 1.0)
            step("idle")
            time.sleep(CALM_SECONDS)
            life.idle_cpu = _idle(one, idle_seconds)
            own = one.own()
            life.rss, life.pss = sum(map(procfs.rss, own)), sum(map(procfs.pss, own))
            step("questions")
            life.status_ms = [1000 * _seconds(one.control.status) for _ in range(STATUS_QUESTIONS)]
            _ask_for_stats(one, life)
            step("deaths")
            life.respawn_ms = [1000 * wait for wait in _respawns(one)]
            step("stop")
            life.stop_s = _seconds(lambda: _stop(one))
    except PROBLEMS as error:
        life.problem = str(error)
    return life


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _stop(one: Running) -> None:
    one.control.stop()
    one.wait_for(0)


def _idle(one: Running, seconds: float) -> float:
    before, began = one.cpu(), time.monotonic()
    time.sleep(seconds)
    return (one.cpu() - before) / (time.monotonic() - began)


def _ask_for_stats(one: Running, life: Life) -> None:
    """Ask for everything, and meanwhile, as somebody else, for little."""
    if not one.manager.has_stats:
        return
    with _questioner(one) as waits:
        while len(life.stats_ms) < STATS_QUESTIONS and max(life.stats_ms, default=0) < 1000 * SLOW_STATS:
            life.stats_ms.append(1000 * _seconds(one.control.stats))
    life.beside_stats_ms = 1000 * max(waits)


@contextlib.contextmanager
def _questioner(one: Running) -> Iterator[list[float]]:
    """Ask small questions over a connection of its own; the list holds how long each took, in seconds."""
    waits: list[float] = []
    over = threading.Event()

    def ask() -> None:
        control = one.manager.connect(one.folder)
        try:
            while True:  # once at least, however fast the other one is answered
                waits.append(_seconds(control.small))
                if over.wait(CHATTER_QUESTIONS_APART):
                    break
        finally:
            control.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()


def _respawns(one: Running) -> list[float]:
    """Kill one process after the other, at random moments, and return how long its successor took.

    Each is one that was there from the beginning: what dies twice is rightly kept waiting.
    """
    chance = random.Random(1)
    waits = []
    managed = sorted(one.managed())
    for victim in chance.sample(managed, min(RESPAWNS, len(managed))):
        time.sleep(chance.uniform(0, one.manager.rhythm))
        before = one.managed()
        newest = procfs.newest()
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        while True:
            if procfs.newest() != newest:
                newest = procfs.newest()
                born = procfs.children(one.process.pid) - before
                if any(procfs.name(pid) == one.crowd.program for pid in born):
                    break
                newest = "" if born else newest  # it is there, and executes its command in a moment
            if time.monotonic() - began > RESPAWN_SECONDS:
                raise AnswerError(f"no successor within {RESPAWN_SECONDS:g} s")
            time.sleep(0.0005)
        waits.append(time.monotonic() - began)
    return waits


# ---- a crowd that talks


def chat(manager: Manager, crowd: Crowd, rate: int, seconds: float) -> Chatter:
    """Measure how long the manager takes to answer while it writes down what its processes say."""
    tell(f"{crowd.count} processes that talk, {manager.name}")
    found = Chatter(manager.name, crowd.count, rate)
    try:
        with running(manager, crowd) as one:
            one.control.start()
            one.wait_for(crowd.count, 5.0)
            time.sleep(CALM_SECONDS)
            size, cpu, began = _written(one), one.cpu(), time.monotonic()
            while time.monotonic() - began < seconds:
                for question in (one.control.status, one.control.small):
                    found.answer_ms.append(1000 * _seconds(question))
                    time.sleep(CHATTER_QUESTIONS_APART)
            lasted = time.monotonic() - began
            found.cpu = (one.cpu() - cpu) / lasted
            found.lines_per_second = (_written(one) - size) / lasted / managers.LINE_BYTES
    except PROBLEMS as error:
        found.problem = str(error)
    return found


def _written(one: Running) -> int:
    return sum(path.stat().st_size for path in one.folder.glob("output*"))


# ---- all of it


def compare(chosen: list[Manager], counts: list[int], seconds: float, results: Results) -> None:
    """Add to `results` what is measured, so that what there is can be kept when somebody interrupts."""
    sleeper = Crowd(0, "/bin/sleep 3600", "sleep")
    for count in counts:
        for manager in chosen:
            crowd = Crowd(count, sleeper.command, sleeper.program)
            results.lives.append(live(manager, crowd, seconds))
    program = workshop.ensure_program("load/chatter.c")
    for manager in chosen:
        command = f"{program} {results.chatter_rate} 600"
        crowd = Crowd(CHATTERERS, command, program.name, talks=True)
        results.chatters.append(chat(manager, crowd, results.chatter_rate, seconds / 3))


def main() -> int:
    """Measure as the one argument says, in JSON: the command line, bench/cli.py, runs elsewhere."""
    asked = json.loads(sys.argv[1])
    out = Path(asked["out"])
    results = Results(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=asked["seconds"],
        chatter_rate=asked["chatter_rate"],
        machine=machine.facts(),
        left_out=asked["left_out"],
    )
    chosen = managers.select(asked["managers"])
    code = 0
    try:
        compare(chosen, asked["counts"], asked["seconds"], results)
    except KeyboardInterrupt:
        tell("interrupted; this is what was measured so far")
        code = 130
    versions = workshop.installed()
    names = ["bigtop" if one.package == "." else workshop.package_name(one.package) for one in chosen]
    results.versions = {name: versions[name] for name in names if name in versions}
    results.save(out)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
