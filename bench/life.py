# A 24-hour life in miniature: `python -m bench life --seconds 3600`. Reloads, deaths, scaling, changes of the
# file, clients that come and go, all at random; and then nothing may be left of it.
#
# Rules: the last part of a life is compared with its first (remains.py): both end with the same file and the
# same processes, and with a census of descriptors, processes, memory and the objects of the interpreter,
# which are counted from inside by a hook (apps/census.py). What is random comes from a seed.

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

from bench import workshop
from bench.managers import AnswerError, ZmqControl
from bench.progress import tell
from bench.remains import Census, Remains, settled
from bench.server import stop

READY_SECONDS = 30.0

FILE = """\
[bigtop]
endpoint = "ipc://$dir/control"
pubsub_endpoint = "ipc://$dir/events"

[env]
PATH = "$$PATH"

[socket.shared]
host = "127.0.0.1"
port = 0

[app.site]
app = "bench.apps.hello:app"
bind = ["127.0.0.1:0"]
workers = $workers

[watcher.talker]
cmd = "sh -c 'while echo a line; do sleep 0.2; done'"
numprocesses = $talkers
graceful_timeout = 2
stdout_stream = { class = "FileStream", filename = "$dir/talk.log", max_bytes = 20000, backup_count = 2 }

[watcher.family]
cmd = "sh -c 'sleep 3600 & sleep 3600 & wait'"
numprocesses = $families
graceful_timeout = 2
options = { note = "$note" }

[watcher.server]
cmd = "sleep 3600"
numprocesses = 2
sockets = ["shared"]
rlimits = { nofile = 512 }
depends = ["talker"]

[watcher.dying]
cmd = "sh -c 'sleep 1; exit 3'"
flapping = { attempts = 100, window = 10, retry_in = 0.2, max_retry = 1000000 }

[watcher.probe]
cmd = "sleep 3600"
hooks = { after_start = "bench.apps.census.count" }
"""
GUEST = """
[watcher.guest]
cmd = "sleep 3600"
numprocesses = 3
"""
RESTLESS = ("talker", "dying")  # whose processes are born and die all the time
COUNTS = {"site": 2, "talker": 3, "family": 2, "server": 2}
USUAL = {"workers": 2, "talkers": 3, "families": 2, "note": "as usual"}


@dataclass(slots=True)
class Story(Remains):
    """A life, and what is left of it."""

    def complaints(self) -> list[str]:
        """Say what is more at the end than at the beginning; nothing is what should be said."""
        if self.before is None or self.after is None:
            return ["it did not come to its end"]
        said = self.growths(self.before, MEMORY_NOISE, MEMORY_PER_ACTION)
        actions = sum(self.done.values())
        for name, grown in self.grown().items():
            if grown > (TIMERS if name in OF_TIMERS else max(20, actions / 8)):
                said.append(f"{grown} more objects of the type {name} after {actions} actions")
        return said + self.leftovers()

    def grown(self) -> dict[str, int]:
        assert self.before is not None
        assert self.after is not None
        more = Counter(self.after.objects)
        more.subtract(self.before.objects)
        return {name: count for name, count in more.most_common() if count > 0}


# asyncio forgets timers that were cancelled when there are a hundred of them.
OF_TIMERS = ("asyncio.events.TimerHandle", "_contextvars.Context", "builtins.list")
TIMERS = 200
MEMORY_NOISE = 3 << 20  # bytes that an allocator keeps for another time
MEMORY_PER_ACTION = 512  # bytes; a log line that is remembered, a descriptor that is not, take more


class Life:
    """A supervisor and everything that happens to it."""

    def __init__(self, folder: Path, python: str, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.facts: dict[str, object] = dict(USUAL)
        self.guest = False
        self.done: Counter[str] = Counter()
        self.write()
        environment = workshop.environment(None, folder, [("BENCH_CENSUS", str(folder / "census"))])
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", "bigtop", "run", str(folder / "life.toml")],
                cwd=folder,
                env=environment | {"XDG_RUNTIME_DIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def write(self, text: str = "") -> None:
        described = Template(FILE).substitute(self.facts, dir=self.folder) + (GUEST if self.guest else "")
        (self.folder / "life.toml").write_text(described + text)

    def connect(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not (self.folder / "control").exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AnswerError((self.folder / "log").read_text())
            time.sleep(0.02)
        self.control = ZmqControl(self.folder)

    # ---- what happens

    def ask(self, command: str, **properties: object) -> dict[str, Any]:
        """A command may be refused, as when what it names has just ended; that is a part of life, too."""
        with contextlib.suppress(AnswerError):
            return self.control.call(command, **properties)
        return {}

    def any(self) -> str:
        return self.chance.choice(["talker", "family", "server", "site"])

    def pid(self) -> tuple[str, int]:
        name = self.any()
        pids = self.ask("list", name=name).get("pids") or [0]
        return name, self.chance.choice(pids)

    def add_and_abandon(self) -> None:
        """Add a watcher and let its process go on unwatched until it is killed from outside."""
        name = f"stray{sum(self.done.values())}"
        self.ask("add", name=name, cmd="sleep", args=["3600"], start=True, waiting=True)
        pids = self.ask("list", name=name).get("pids", [])
        self.ask("rm", name=name, nostop=True, waiting=True)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        _, pid = self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, self.chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]))

    def kill_by_command(self) -> None:
        name, pid = self.pid()
        self.ask("kill", name=name, pid=pid, signum="TERM", graceful_timeout=1)

    def scale(self) -> None:
        self.ask(self.chance.choice(["incr", "decr"]), name=self.any(), nb=self.chance.randint(1, 3))

    def change_file(self) -> None:
        self.facts["talkers"] = self.chance.randint(1, 4)
        self.facts["families"] = self.chance.randint(1, 3)
        self.facts["workers"] = self.chance.randint(1, 3)
        self.facts["note"] = f"note {self.chance.random()}"
        self.guest = self.chance.random() < 0.5
        self.write()
        self.ask("reloadconfig", waiting=True)

    def break_file(self) -> None:
        self.write("\n[watcher.guest\ncmd = 1\n")
        self.ask("reloadconfig", waiting=True)

    def reload(self) -> None:
        name = self.any()
        self.ask("reload", name=name, graceful=self.chance.random() < 0.8, waiting=True)

    def add_and_remove(self) -> None:
        name = f"visitor{sum(self.done.values())}"
        self.ask("add", name=name, cmd="sleep", args=["3600"], start=True)
        self.ask("rm", name=name, nostop=False, waiting=True)

    def stop_and_start(self) -> None:
        name = self.any()
        self.ask("stop", name=name, waiting=True)
        self.ask("start", name=name, waiting=True)

    def look(self) -> None:
        for command in ("stats", "status", "dstats", "numprocesses"):
            self.ask(command)
        self.ask("options", name=self.any())

    def come_and_go(self) -> None:
        import zmq

        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        events = context.socket(zmq.SUB)
        events.setsockopt(zmq.SUBSCRIBE, b"")
        events.connect(f"ipc://{self.folder}/events")
        events.poll(200)
        other = ZmqControl(self.folder)
        other.call("status")
        other.close()
        context.destroy(linger=0)

    def garbage(self) -> None:
        import zmq

        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        other = context.socket(zmq.DEALER)
        other.connect(f"ipc://{self.folder}/control")
        other.send_multipart([b"{", self.chance.randbytes(50)])
        other.send(b"no json")
        other.poll(200)
        context.destroy(linger=0)

    # ---- rest

    def calm_down(self) -> None:
        """Make everything as it was at first, by way of the guest, which then leaves."""
        for self.guest in (True, False):
            self.facts = dict(USUAL)
            self.write()
            self.control.call("reloadconfig", waiting=True)
        for name, count in COUNTS.items():
            self.control.call("set", name=name, options={"numprocesses": count}, waiting=True)
        self.control.call("restart", name="*", waiting=True)

    def census(self, usual: Census | None = None) -> Census:
        """Count; wait until there is no more than `usual`, for clients and processes need time to go."""
        for name in RESTLESS:
            self.control.call("stop", name=name, waiting=True)
        objects = self._objects()
        counted = settled(self.process.pid, usual)
        counted.objects = objects
        for name in RESTLESS:
            self.control.call("start", name=name, waiting=True)
        return counted

    def _objects(self) -> dict[str, int]:
        file = self.folder / "census"
        for _ in range(2):  # the second one does not count what the way to the first one made
            file.unlink(missing_ok=True)
            self.control.call("restart", name="probe", waiting=True)
            deadline = time.monotonic() + READY_SECONDS
            while not file.exists():
                if time.monotonic() > deadline:
                    raise AnswerError("the census was not taken")
                time.sleep(0.02)
        counted: dict[str, int] = json.loads(file.read_text())
        return counted


ACTIONS = (
    Life.kill,
    Life.kill,
    Life.kill_by_command,
    Life.scale,
    Life.scale,
    Life.change_file,
    Life.break_file,
    Life.reload,
    Life.add_and_remove,
    Life.add_and_abandon,
    Life.stop_and_start,
    Life.look,
    Life.come_and_go,
    Life.garbage,
)


def live(python: str, seconds: float, seed: int) -> Story:
    """Live for about so long: a third to warm up, while caches fill, and then what is compared."""
    story = Story(seconds, seed)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        life = Life(Path(name), python, seed)
        try:
            life.connect()
            story.live(life.done, partial(_spend, life), life.census)
            with story.end(life.process):
                life.process.terminate()
        finally:
            life.control.close()
            stop([life.process])
    return story


def _spend(life: Life, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    # Each at least once: an action that comes first in the second part fills its caches there.
    todo = list(dict.fromkeys(ACTIONS))
    while todo or time.monotonic() < deadline:
        act = todo.pop() if todo else life.chance.choice(ACTIONS)
        tell(f"{sum(life.done.values())} actions: {act.__name__}")
        life.done[act.__name__] += 1
        act(life)
        if life.process.poll() is not None:
            raise AnswerError((life.folder / "log").read_text()[-2000:])
        time.sleep(life.chance.uniform(0, 0.2))
    life.calm_down()


def main() -> int:
    """Arguments: for how many seconds, from which seed, and perhaps a file for what was counted."""
    story = live(sys.executable, float(sys.argv[1]), int(sys.argv[2]))
    tell("")
    for path in sys.argv[3:]:
        story.save(Path(path))
    complaints = story.complaints()
    print("\n".join(complaints or [f"{sum(story.done.values())} actions, and nothing is left of them"]))
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
