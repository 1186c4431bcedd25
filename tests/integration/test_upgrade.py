# Upgrades in place: the same process is the next version of Bigtop, and nobody else notices.

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.versions import FIRST, ORDER, VERSION, Versions
from bigtop.control.client.client import Client, RefusedError
from bigtop.errors import BigtopError
from tests.support import wire
from tests.support.site import Site, until
from tests.support.stack import Stack

OLD = '__version__ = "0.1.0"'


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


class UpgradedSite(Site):
    """A site whose Bigtop is where `versions` says."""

    def __init__(self, versions: Versions, *args: str) -> None:
        folder = versions.current.parent
        super().__init__("tests.apps.site:app", *args, cwd=folder, env={"PYTHONPATH": versions.path})
        self.settings = folder / "settings.py"
        self.settings.write_text("bind = '127.0.0.1:0'\n")
        where = self.command.index("--bind")
        self.command[where : where + 2] = ["--config", str(self.settings)]

    def client(self) -> Client:
        return Client(f"ipc://{self.folder}/bigtop/shop.ctl", timeout=60.0)

    def refused(self, limit: int = 30) -> str:
        """Ask for an upgrade that is refused before anything happens; return why."""
        with self.client() as client, pytest.raises(RefusedError) as refusal:
            client.call("upgrade", waiting=True, limit=limit)
        return str(refusal.value)

    def told(self, attempt: Callable[[], object]) -> tuple[object, dict[str, object]]:
        """Return what an attempt returns, and its event: again, for a subscriber who came too late."""
        with self.client() as client, client.events("arbiter.", timeout=5.0) as events:
            for _ in range(6):
                returned = attempt()
                for event in events:
                    return returned, {**event.payload, "event": event.name, "time": 0}
        raise AssertionError("there is no event")

    def upgrade(self, limit: int = 30) -> dict[str, object]:
        """Ask for one, and return what the version that runs then says."""
        with self.client() as client:
            attempt = client.call("upgrade", waiting=True, limit=limit)["attempt"]
        until(lambda: self._attempts() == attempt, "the end of the upgrade")
        return self.version()

    def _attempts(self) -> object:
        with contextlib.suppress(BigtopError):  # it is being executed
            return self.version()["upgrades"]
        return None

    def version(self) -> dict[str, object]:
        with self.client() as client:
            return client.call("version")


@pytest.fixture
def site(versions: Versions) -> Iterator[UpgradedSite]:
    with UpgradedSite(versions, "--workers", "2", "--name", "shop") as running:
        yield running


class KeptAlive:
    """A client that asks over one connection for as long as the test lasts."""

    def __init__(self, site: Site) -> None:
        self._client = wire.Client(("127.0.0.1", site.port))

    def ask(self) -> None:
        self._client.send(wire.request())
        answer = self._client.answer()
        assert (answer.status, answer.body) == (200, b"ok")

    def close(self) -> None:
        self._client.close()


def test_versions_that_cannot_take_over_change_nothing(site: UpgradedSite, versions: Versions) -> None:
    before = {*site.workers(), *site.fork_servers()}
    with contextlib.closing(KeptAlive(site)) as client:
        _try_all(site, versions, client)
        assert {*site.workers(), *site.fork_servers()} == before
        stays = f"--bind: what changed there takes a restart; after this upgrade it stays {site.url}\n"
        assert stays in site.log()
        assert "--control: off takes a restart" in site.log()
        site.send(signal.SIGHUP)
        site.wait_for(": reloaded")
        client.ask()
        until(lambda: not before & {*site.workers(), *site.fork_servers()}, "the end of the old version")
    assert site.stop() == 0
    assert site.is_gone()


def _try_all(site: UpgradedSite, versions: Versions, client: KeptAlive) -> None:
    versions.install({"__main__.py": (FIRST, "this is no Python\n")})
    reason, event = site.told(site.refused)
    assert "SyntaxError" in str(reason)
    attempt = event["attempt"]
    assert event == {
        "event": "upgrade_refused",
        "time": 0,
        "attempt": attempt,
        "version": "0.1.0",
        "reason": reason,
    }
    assert attempt == site.version()["upgrades"]
    client.ask()

    versions.install({"launch/upgrading/takeover.py": (FIRST, "import nothing_of_that_name\n")})
    assert "No module named 'nothing_of_that_name'" in site.refused()

    versions.install({"__init__.py": (FIRST, f"{FIRST}import time\ntime.sleep(1000)\n")})
    assert "the new version has not answered within 1 seconds" in site.refused(limit=1)

    versions.install({"ipc/snapshot.py": ("VERSION: Final = 1", "VERSION: Final = 2")})
    assert "it is of version 1, and this Bigtop reads version 2 alone" in site.refused()
    client.ask()

    # These say that they can, and then cannot.
    dies = f'import os\nif {ORDER}.startswith("over:"):\n    raise RuntimeError("broken at the start")\n'
    versions.install({"__init__.py": (FIRST, FIRST + dies)})
    why, event = site.told(lambda: str(site.upgrade()["upgrade_refused"]))
    assert "broken at the start" in str(why)
    assert (event["event"], event["version"], event["reason"]) == ("upgrade_refused", "0.1.0", why)
    client.ask()

    # It has 30 seconds, of which this one leaves itself one.
    hangs = f"import os, signal, time\nif {ORDER}.startswith('over:') and signal.alarm(1) > 9:\n"
    hangs += "    time.sleep(99)\n"
    versions.install({"__init__.py": (FIRST, FIRST + hangs)})
    assert site.upgrade()["upgrade_refused"] == "it did not take over in time"

    late = "self._is_done = True"
    versions.install({"launch/upgrading/takeover.py": (late, 'raise OSError("broken at the end")')})
    assert "broken at the end" in str(site.upgrade()["upgrade_refused"])
    client.ask()

    ends = f'import os, sys\nif {ORDER}.startswith("over:"):\n    sys.exit(5)\n'
    versions.install({"__init__.py": (FIRST, FIRST + ends)})
    assert "it ended with 5" in str(site.upgrade()["upgrade_refused"])

    versions.install({"__init__.py": (OLD, VERSION)})
    site.settings.write_text("bind = '127.0.0.1:1'\ncontrol_socket = 'off'\n")
    _, event = site.told(site.upgrade)
    now = site.version()
    assert event == {"event": "upgraded", "attempt": now["upgrades"], "version": "9.9.9", "time": 0}
    assert (now["version"], now["pid"], "upgrade_refused" in now) == ("9.9.9", site.pid, False)
    client.ask()


WATCHER = """
[watcher.w{number}]
cmd = "sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep {pause}; done'"
stdout_stream = {{ class = "FileStream", filename = "{{folder}}/w{number}.log" }}
"""
APP = """
[app.web]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
workers = 2
"""


class Crowd:
    """Clients that ask over and over, each over a connection of its own, until it is left; and one that
    connects anew each time."""

    def __init__(self, port: int, count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._over = threading.Event()
        self.rounds = 0
        self._errors: list[BaseException] = []
        self._clients = [wire.Client(self._address) for _ in range(count)]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for client in self._clients:
            client.close()
        assert self._errors == []

    def _run(self) -> None:
        try:
            while not self._over.wait(0.05):
                with wire.Client(self._address) as fresh:
                    every = [*self._clients, fresh]
                    for client in every:
                        client.send(wire.request())
                    for client in every:
                        answer = client.answer()
                        assert (answer.status, answer.body) == (200, b"ok")
                self.rounds += 1
        except BaseException as error:  # told by whoever leaves it
            self._errors.append(error)


class Follower:
    """Somebody who follows the outputs of watchers, in a thread, until it is left."""

    def __init__(self, endpoint: str, names: Sequence[str]) -> None:
        self.seen: dict[str, list[int]] = {name: [] for name in names}
        self._over = threading.Event()
        self._client = Client(endpoint)
        self._events = self._client.events(*(f"output.{name}." for name in names), timeout=0.2)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        with self._events as events:
            while not self._over.is_set():
                for event in events:
                    self.seen[event.watcher or ""].append(int(str(event.payload["line"])))
                    if self._over.is_set():
                        return


def _count(file: Path) -> int:
    return file.read_text().count("\n")


def play(clients: int, watchers: int, times: int, pause: float) -> None:
    """Upgrade a whole stack, while clients ask and followers follow."""
    names = [f"w{number}" for number in range(watchers)]
    text = APP + "".join(WATCHER.format(number=number, pause=pause) for number in range(watchers))
    with Stack(text) as stack, contextlib.ExitStack() as open_ones:
        stack.wait_for(": started", times=watchers + 1)
        before = {process.pid for process in psutil.Process(stack.pid).children()}
        endpoint = f"ipc://{stack.folder}/bigtop/stack.ctl"
        followers = [
            open_ones.enter_context(Follower(endpoint, names[at : at + 10])) for at in range(0, watchers, 10)
        ]
        crowd = open_ones.enter_context(Crowd(stack.port, clients))
        seen = {name: each.seen[name] for each in followers for name in each.seen}
        until(lambda: all(seen.values()), "a line of each watcher")
        for number in range(times):
            rounds = crowd.rounds
            stack.send(signal.SIGUSR2)
            stack.wait_for("has taken over from", times=number + 1, timeout=120)
            counts = {name: len(lines) for name, lines in seen.items()}
            until(lambda: crowd.rounds > rounds + 2, "answers")  # noqa: B023
            until(lambda: all(len(seen[name]) > counts[name] + 1 for name in names), "further lines")  # noqa: B023
        assert {process.pid for process in psutil.Process(stack.pid).children()} == before
        for name in names:
            lines = seen[name]
            assert lines == list(range(lines[0], lines[0] + len(lines))), name
            file, last = stack.folder / f"{name}.log", lines[-1]
            until(lambda: _count(file) >= last, "what was read to be written")  # noqa: B023
            written = [int(line) for line in file.read_text().splitlines()]
            assert written == list(range(1, len(written) + 1)), name
        overview = json.loads(stack.ctl("--json", "overview"))
        starts = {one["name"]: one["starts"] for one in overview["watchers"]}
        assert starts == {**dict.fromkeys(names, 1), "web": 2}


def test_a_stack_with_clients_and_followers_goes_on() -> None:
    play(clients=20, watchers=4, times=2, pause=0.1)


KINDS = """
[stats]

[socket.shy]
host = "127.0.0.1"
port = 0

[watcher.launched]
cmd = "sleep 1000"
umask = "077"

[watcher.notifies]
cmd = "{python} {folder}/notifies.py"
ready = "notify"

[watcher.crashes]
cmd = "false"

[watcher.stopped]
cmd = "sleep 1000"
autostart = false

[watcher.demanded]
cmd = "{python} {folder}/demanded.py $(circus.sockets.shy)"
on_demand = true

[app.web]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
"""
NOTIFIES = """
import os, socket, sys, time
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.connect(chr(0) + os.environ["NOTIFY_SOCKET"][1:])
while not os.path.exists(sys.argv[0] + ".now"):
    time.sleep(0.01)
line.send(b"READY=1")
time.sleep(1000)
"""
DEMANDED = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
while True:
    listener.accept()[0].send(b"here")
"""


def test_each_kind_of_watcher_goes_on() -> None:
    stack = Stack(KINDS)
    (stack.folder / "notifies.py").write_text(NOTIFIES)
    (stack.folder / "demanded.py").write_text(DEMANDED)
    with stack:
        stack.wait_for("web: started")
        stack.wait_for("crashes: ", times=3)
        until(lambda: set(_states(stack).values()) == {"active", "starting", "stopped"}, "all that comes")
        states, before = _states(stack), _children(stack)
        stack.write(f"[bigtop]\nendpoint = 'ipc://{stack.folder}/other'\n{KINDS}")
        assert (states["notifies"], states["demanded"], states["circusd-stats"]) == (
            "starting",
            "stopped",
            "active",
        )
        stack.send(signal.SIGUSR2)
        stack.wait_for("has taken over from")

        stays = f"endpoint in {stack.file}: ipc://{stack.folder}/other and ipc://{stack.folder}/other"
        stack.wait_for(stays)
        assert _states(stack) == states
        assert _children(stack) >= before
        (stack.folder / "notifies.py.now").touch()
        stack.wait_for("notifies: started")
        port = json.loads(stack.ctl("--json", "listsockets"))["sockets"][0]["port"]
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                assert client.recv(4) == b"here"
        stack.ctl("start", "stopped", "--waiting")
        stack.ctl("restart", "launched", "--waiting")
        stack.wait_for("crashes: ", times=stack.log().count("crashes: ") + 1)
        stack.ctl("reload", "web", "--waiting")
        stack.ctl("quit", "--waiting")
        assert stack.wait() == 0


def _overview(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.ctl("--json", "overview"))["watchers"]
    return found


def _states(stack: Stack) -> dict[str, str]:
    return {one["name"]: one["status"] for one in _overview(stack)}


def _children(stack: Stack) -> set[int]:
    """Return those that do not end by themselves."""
    return {proc["pid"] for one in _overview(stack) if one["name"] != "crashes" for proc in one["processes"]}
