# Applications that turn hostile below a real supervisor: nothing happens beyond them.
#
# One `bigtop run` stands all attacks of a group, one after the other: the supervisor lives, has no more
# descriptors and little more memory than before, another application goes on, and TERM ends it with status 0.

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from tests.hostile import apps
from tests.hostile.apps import IMPORT_ATTACKS, WORKER_ATTACKS
from tests.support.procfs import descriptors
from tests.support.site import until
from tests.support.stack import Stack
from tests.support.users import python_for_nobody

FILE = """
[socket.bad]
host = "127.0.0.1"
port = 0
[socket.good]
host = "127.0.0.1"
port = 0
[app.bad]
app = "tests.hostile.apps:app"
sockets = ["bad"]
routes = ["/"]
workers = 2
timeout = 3
boot_timeout = 20
graceful_timeout = 1
user = "nobody"
env = ["ATTACK={folder}/attack", "VICTIM={folder}/victim"]
[app.good]
app = "tests.apps.site:app"
sockets = ["good"]
workers = 1
timeout = 30
[app.beside]
app = "tests.apps.site:app"
sockets = ["bad"]
routes = ["beside.test"]
workers = 1
[watcher.noise]
cmd = "{python} -m tests.hostile.noise $(circus.wid)"
numprocesses = 4
ready = "notify"
autostart = false
graceful_timeout = 1
[watcher.noise.stdout_stream]
class = "FileStream"
filename = "{folder}/noise.json"
json = true
[watcher.noise.stderr_stream]
class = "FancyStdoutStream"
"""
# What a generation fails with, by the attack at its import: else it could be for another reason.
NO_MESSAGE, NO_WORKER, OUT_OF_TURN = (
    "not a lifeline message: ",
    "is not the worker that was",
    "is not what a fork",
)
REASONS = {
    "name_a_victim": NO_MESSAGE,
    "name_nobody": NO_MESSAGE,
    "be_the_worker": NO_WORKER,
    "be_a_grandchild": NO_WORKER,
    "sign_for_another": "it ended before it said a word",
    "newborn_descriptors": NO_WORKER,
    "newborn_noise": NO_MESSAGE,
    "refuse_others": f"ForkFailed {OUT_OF_TURN}",
    "noise_and_exit": NO_MESSAGE,
    "noise_and_stay": NO_MESSAGE,
    "nothing_and_stay": "ended with signal 9",
    "load_twice": f"Loaded {OUT_OF_TURN}",
    "fail_for_ever": r"\x1b[2J",
    "flood_control": f"Loaded {OUT_OF_TURN}",
    "leave_the_line": "ended with signal 9",
    "adopt_workers": NO_WORKER,
    "anything_and_stay": NO_MESSAGE,
}
SOME_DESCRIPTORS = 12  # a worker more, a client of the control channel
SOME_MEMORY = 64 << 20


class Attacked(Stack):
    """Its log is the output of the attackers too, who cut it and fill it: each part is read once."""

    _at = 0
    _said = ""

    def log(self) -> str:
        with open(self.log_path, "rb") as file:
            file.seek(self._at)
            while data := file.read(1 << 20).rstrip(b"\0"):  # a file that was cut, and made longer
                self._at = file.seek(self._at + len(data))
                self._said += data.replace(b"\0", b"").decode(errors="replace").replace("x" * 1000, "")
        return self._said


class Scene:
    """A supervisor with a hostile application and an innocent one, and a process that is none of theirs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = stack.endpoint  # as the log says it before an attacker cuts its own output, the log
        self.ports = {one["name"]: one["port"] for one in self.call("listsockets")["sockets"]}
        self.attack_file = stack.folder / "attack"
        self.victim = subprocess.Popen(["sleep", "600"])
        (stack.folder / "victim").write_text(str(self.victim.pid))
        self.good, self.beside = self.ask("good"), self.ask("bad", host="beside.test")
        self.supervisor = psutil.Process(stack.pid)
        self.descriptors = self.supervisor.num_fds()
        self.memory = self.supervisor.memory_info().rss

    def call(self, command: str, **properties: object) -> dict[str, Any]:
        """Ask the supervisor over its control channel."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as client:
            client.setsockopt(zmq.LINGER, 0)
            client.connect(self.endpoint)
            client.send_json({"id": "1", "command": command, "properties": properties})
            assert client.poll(30_000), f"no answer to {command}"
            answer: dict[str, Any] = json.loads(client.recv())
            return answer

    def ask(self, name: str, path: str = "/pid", host: str = "127.0.0.1") -> str:
        url = f"http://127.0.0.1:{self.ports[name]}{path}"
        request = urllib.request.Request(url, headers={"Host": host})
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.read().decode())

    def answers(self, name: str) -> bool:
        try:
            return bool(self.ask(name))
        except OSError:
            return False

    def check(self) -> None:
        """The supervisor and everybody else are well; the attacker is, too, or is tried again."""
        assert self.stack.process.poll() is None, self.stack.log()
        assert self.ask("good") == self.good, "the innocent application lost its worker"
        assert self.victim.poll() is None, "a stranger was killed"
        until(self.neighbour_serves, "the application on the same socket", 30)
        until(lambda: self.answers("bad"), "the attacked application", 60)
        until(lambda: self.supervisor.num_fds() <= self.descriptors + SOME_DESCRIPTORS, "the descriptors")
        assert apps.__file__ not in self.open_files(), "it keeps a descriptor that it was sent"
        assert self.call("requests")["status"] == "ok"
        assert self.supervisor.memory_info().rss < self.memory + SOME_MEMORY
        assert "Traceback" not in self.own_log(), self.own_log()
        assert "Exception in" not in self.stack.log(), "something was raised in an event loop"
        assert "\x1b" not in self.own_log()
        assert not any(line.endswith("[INFO] forged") for line in self.own_log().splitlines())

    def neighbour_serves(self) -> bool:
        """Whether the application on the attacker's socket answers, with the worker that it had. Its clients
        pass the attacker's hands, so not all of them reach it."""
        assert psutil.pid_exists(int(self.beside)), "the neighbour lost its worker"
        with suppress(OSError, ValueError):
            return self.ask("bad", host="beside.test") == self.beside
        return False

    def open_files(self) -> set[str]:
        return set(descriptors(self.stack.pid).values())

    def own_log(self) -> str:
        """What the supervisor said, without what workers wrote to their stderr."""
        mark = f"[{self.stack.pid}]"
        return "\n".join(line for line in self.stack.log().splitlines() if mark in line)

    def end(self) -> None:
        self.victim.kill()
        self.victim.wait()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    python = python_for_nobody()
    if python is None:
        pytest.skip("this takes root, and an interpreter that nobody can run")
    stack = Attacked(FILE)
    stack.command[0] = python[0]
    stack.env.update(python[1])
    os.chmod(stack.folder, 0o755)
    with stack:
        for name in ("bad", "good"):
            stack.wait_for(f"{name}: started")
        scene = Scene(stack)
        try:
            yield scene
            scene.attack_file.unlink(missing_ok=True)
            until(lambda: scene.answers("bad"), "the attacked application", 60)
            assert stack.stop(signal.SIGTERM, 30) == 0
        finally:
            scene.end()


@pytest.mark.case("E4")
@pytest.mark.case("E5")
@pytest.mark.case("E9")
@pytest.mark.case("E18")
@pytest.mark.parametrize("attack", WORKER_ATTACKS, ids=lambda attack: attack.__name__)
def test_a_worker_that_was_taken_over(attack: Callable[[], None], scene: Scene) -> None:
    siblings: set[int | None] = set()
    for _ in range(20):
        with suppress(OSError):  # the one that was taken over before may go only now
            siblings.add(int(scene.ask("bad")))
    attacker = None
    with suppress(OSError):  # it may be gone before it has answered
        attacker = int(scene.ask("bad", f"/{attack.__name__}"))
    if attack.__name__ == "anything":
        until(lambda: attacker is None or not psutil.pid_exists(attacker), "the end of its worker")
    if attack.__name__ == "flood_reports":
        for _ in range(5):
            reply = scene.call("stack", target=str(attacker), wait="100ms")
            assert "\x1b" not in str(reply)
            assert len(json.dumps(reply)) < 10_000_000
    scene.check()
    if attack.__name__ == "forge_siblings":
        scene.stack.wait_for(f"(pid {attacker}) is stuck")  # so the supervisor has looked
        scene.check()
        for sibling in siblings - {attacker}:
            assert f"(pid {sibling}) is stuck" not in scene.stack.log(), "for what the attacker wrote"
            assert psutil.pid_exists(int(sibling or 0))


@pytest.mark.case("E8")
def test_commands_that_say_anything(scene: Scene) -> None:
    """On their outputs, formatted and plain, and to the socket for their readiness."""
    scene.call("start", name="noise", waiting=True)
    assert scene.call("status", name="noise")["status"] == "active"
    written = scene.stack.folder / "noise.json"
    until(lambda: written.exists() and b"\n" in written.read_bytes(), "what it says")
    for line in written.read_bytes().splitlines(keepends=True):
        assert not line.endswith(b"\n") or json.loads(line)["watcher"] == "noise"
    assert scene.call("stop", name="noise", waiting=True)["status"] == "ok"
    scene.check()


@pytest.mark.case("E1")
@pytest.mark.case("E5")
@pytest.mark.case("E8")
@pytest.mark.parametrize("attack", IMPORT_ATTACKS, ids=lambda attack: attack.__name__)
def test_an_application_that_is_hostile_at_its_import(attack: Callable[[], None], scene: Scene) -> None:
    before = scene.stack.log().count("bad: reload failed")
    scene.attack_file.write_text(attack.__name__)
    os.chmod(scene.attack_file, 0o644)
    scene.call("reload", name="bad")
    scene.stack.wait_for("bad: reload failed", before + 1)
    failures = [line for line in scene.own_log().splitlines() if "bad: reload failed" in line]
    assert REASONS[attack.__name__] in failures[-1]
    scene.attack_file.unlink()
    scene.check()


@pytest.mark.case("E1")
@pytest.mark.case("E8")
@pytest.mark.parametrize("attack", ["name_a_victim", "name_nobody", "noise_and_stay", "two_noisy_newborns"])
def test_a_first_start_that_is_hostile_ends_with_its_reason(attack: str, tmp_path: Path) -> None:
    victim = subprocess.Popen(["sleep", "600"])
    try:
        (tmp_path / "attack").write_text(attack)
        (tmp_path / "victim").write_text(str(victim.pid))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "bigtop", "serve", "tests.hostile.apps:app", "-b", "127.0.0.1:0"),
                *("--control", "off", "--boot-timeout", "3", "--workers", "2"),
            ],
            env={**os.environ, "ATTACK": str(tmp_path / "attack"), "VICTIM": str(tmp_path / "victim")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode not in (0, None)
        assert "fork server" in done.stderr
        assert "Exception in" not in done.stderr, "something was raised in the event loop"
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
