# Sockets that the service manager keeps: a supervisor that was killed finds them when it is started anew.

from __future__ import annotations

import array
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from bigtop.launch.upgrading import leftovers
from bigtop.launch.upgrading.fd_store import FdStore
from bigtop.sockets import ListeningSocket, SocketSpec
from bigtop.supervisor.policy.spec import Command, WatcherSpec
from bigtop.supervisor.processes import descendants
from bigtop.supervisor.processes.commands.command_pool import CommandState
from bigtop.supervisor.processes.commands.readiness import WatchState
from bigtop.system.notify import Notifier
from tests.support import wire
from tests.support.site import Site, lives, until
from tests.support.stack import Stack

# Executes what follows with these descriptors as 3, 4, ... and these names.
_PASSES = """
import os, sys
count, names, *words = sys.argv[1:]
fds = [os.dup(int(fd)) for fd in count.split(",")]
high = [os.dup2(fd, 200 + number) for number, fd in enumerate(fds)]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
os.closerange(3 + len(fds), 300)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()))
os.execv(words[0], words)
"""


class Manager:
    """A service manager with a store for descriptors, at the socket that NOTIFY_SOCKET names."""

    def __init__(self, folder: Path, room: int = 64) -> None:
        self.path = folder / "notify"
        self.room = room
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.stored: dict[str, list[int]] = {}
        self._thread = threading.Thread(target=self._hear, daemon=True)

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "FDSTORE": str(self.room)}

    def _hear(self) -> None:
        while True:
            data, ancillary, _flags, _sender = self._socket.recvmsg(4096, 1024)
            words = dict(line.partition("=")[::2] for line in data.decode().splitlines())
            if "FDSTORE" in words:
                fds = array.array("i", ancillary[0][2])
                self.stored.setdefault(words["FDNAME"], []).extend(fds)
                assert sum(map(len, self.stored.values())) <= self.room
            elif "FDSTOREREMOVE" in words:
                for fd in self.stored.pop(words["FDNAME"]):
                    os.close(fd)
            elif not words:
                return

    def starts(self, command: list[str]) -> list[str]:
        """Return the command that is given all that is stored."""
        # In whatever order.
        every = [(name, fd) for name in reversed(self.stored) for fd in reversed(self.stored[name])]
        for _, fd in every:
            os.set_inheritable(fd, True)
        passed = [",".join(str(fd) for _, fd in every), ":".join(name for name, _ in every)]
        return [sys.executable, "-c", _PASSES, *passed, *command]

    def __enter__(self) -> Manager:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.path))
        self._thread.join()
        for fds in self.stored.values():
            for fd in fds:
                os.close(fd)
        self._socket.close()


def crash(running: Site, manager: Manager) -> int:
    """Kill the supervisor; return the port, where clients wait from then on."""
    until(lambda: "bigtop-state" in manager.stored, "sockets in the store")
    port = running.port
    kill(running)
    running._end()  # whoever is left goes, as with KillMode=mixed
    return port


def kill(running: Site) -> None:
    """Kill the supervisor alone, as with KillMode=process."""
    running.family()
    running.process.kill()
    running.process.wait()


def again(running: Site, manager: Manager) -> None:
    """Start it as the service manager would."""
    command = manager.starts(running.command)
    with open(running.log_path, "ab") as log:
        running.process = subprocess.Popen(
            command, cwd=running._cwd, env=running._env, stdout=log, stderr=log, close_fds=False
        )
    running.pid = running.process.pid


def test_clients_of_a_site_wait_while_its_supervisor_is_started_again(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager, Site("tests.apps.site:app", env=manager.env) as site:
        port = crash(site, manager)
        with wire.Client(("127.0.0.1", port)) as client:
            client.send(wire.request())
            again(site, manager)
            assert client.answer().status == 200
        assert site.log().count(f"listening on http://127.0.0.1:{port}\n") == 2
        assert "its sockets were kept by the service manager" in site.log()
        assert site.stop(signal.SIGTERM) == 0
        until(lambda: not manager.stored, "an empty store")
        assert site.is_gone()


def test_sockets_of_a_file_are_kept(tmp_path: Path) -> None:
    text = """
[socket.log]
path = "{folder}/log.sock"

[watcher.sleeper]
cmd = "sleep 1000"

[app.web]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
"""
    with Manager(tmp_path) as manager, Stack(text, env=manager.env) as stack:
        stack.wait_for("web: started")
        port, path = crash(stack, manager), stack.folder / "log.sock"
        with wire.Client(("127.0.0.1", port)) as client, socket.socket(socket.AF_UNIX) as other:
            client.send(wire.request())
            other.connect(str(path))
            stack.write(text.replace("sleep 1000", "sleep 2000"))
            again(stack, manager)
            assert client.answer().status == 200
        assert stack.log().count(f"web: listening on http://127.0.0.1:{port}\n") == 2
        assert stack.stop(signal.SIGTERM) == 0
        until(lambda: not manager.stored, "an empty store")
        assert not path.exists()


def test_a_store_that_is_too_small(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Manager(tmp_path, room=4) as manager, socket.socket() as listener:
        store = FdStore(Notifier(dict(manager.env)))
        assert store.commands is store
        pidfd = os.pidfd_open(os.getpid())
        spec = WatcherSpec("job", Command("sleep 1000"))
        states = [CommandState(key, 1, os.getpid(), spec, WatchState(True), {}, None) for key in (1, 2, 3)]
        store.put(states[0], pidfd)
        store.put(states[0], pidfd)  # it is ready: the process itself is there
        store.put(states[1], pidfd)
        store.put(states[2], pidfd)
        assert store.names == ["bigtop-command-1"] * 3
        bound = {"web": [ListeningSocket(SocketSpec("web"), listener)]}
        store.keep({"web": SocketSpec("web")}, bound)
        store.drop(1)
        store.drop(1)
        store.put(states[1], pidfd)
        until(lambda: [*manager.stored] == ["bigtop-command-2"], "the other one")
        os.close(pidfd)
    small = "FileDescriptorStoreMax=4 is too small"
    assert [record.message for record in caplog.records] == [
        f"{small}: a command more would not be found after a crash",
        f"{small} for 1 sockets",
    ]
    assert FdStore().commands is None


def test_processes_that_nobody_knows_are_told() -> None:
    with contextlib.ExitStack() as ends:
        known, stranger = (
            ends.enter_context(ended(subprocess.Popen(["sh", "-c", f"sleep {number} & wait"])))
            for number in (1000, 1001)
        )
        until(lambda: all(descendants.descendants(one.pid) for one in (known, stranger)), "their children")
        (child,) = descendants.descendants(known.pid)
        every = {known.pid, child.pid, stranger.pid, os.getpid()}
        found = leftovers.strangers(every, [known.pid])
        assert dict(found)[stranger.pid] == "sh -c sleep 1001 & wait"
        assert dict(found).keys() == {stranger.pid, os.getpid()}


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill it, and what it started, in the end."""
    try:
        yield process
    finally:
        descendants.send([*descendants.descendants(process.pid)], signal.SIGKILL)
        process.kill()
        process.wait()


LEFT = """
[watcher.counter]
cmd = "sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done'"
stdout_stream = { class = "FileStream", filename = "{folder}/counted" }

[watcher.notifies]
cmd = "{python} {folder}/notifies.py"
ready = "notify"

[watcher.sleeper]
cmd = "sleep 1000"
numprocesses = 2

[watcher.changed]
cmd = "sleep 1001"

[watcher.removed]
cmd = "sleep 1002"
"""
NOTIFIES = """
import os, socket, sys, time
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.connect(chr(0) + os.environ["NOTIFY_SOCKET"][1:])
line.send(b"READY=1")
time.sleep(1000)
"""


def _kept(manager: Manager) -> int:
    return sum(name.startswith("bigtop-command-") for name in manager.stored)


def _counted(stack: Stack) -> list[int]:
    return [int(line) for line in (stack.folder / "counted").read_text().splitlines()]


def test_commands_are_found_again(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager:
        stack = Stack(LEFT, env=manager.env)
        (stack.folder / "notifies.py").write_text(NOTIFIES)
        with stack:
            stack.wait_for(": started", times=5)
            until(lambda: _kept(manager) == 6, "all commands in the store")
            names = ("counter", "notifies", "sleeper")
            before = {name: stack.pids(name) for name in (*names, "changed", "removed")}
            until(lambda: "bigtop-state" in manager.stored, "the sockets in the store")
            kill(stack)
            os.kill(before["sleeper"][0], signal.SIGKILL)  # meanwhile
            changed = LEFT.partition("[watcher.removed]")[0].replace("1001", "1003")
            stack.write(changed)
            again(stack, manager)
            stack.wait_for("removed: removed")
            stack.wait_for("changed: reloaded")
            assert {name: stack.pids(name) for name in names[:2]} == {
                name: before[name] for name in names[:2]
            }
            until(lambda: len(stack.pids("sleeper")) == 2, "what is missing")
            assert before["sleeper"][1] in stack.pids("sleeper")
            assert stack.log().count("outlived the last supervisor") == 5
            assert set(map(stack.status, (*names, "changed"))) == {"active"}
            _end_one_by_one(stack, manager, before)


def _end_one_by_one(stack: Stack, manager: Manager, before: dict[str, list[int]]) -> None:
    stack.send(signal.SIGUSR2)
    stack.wait_for("has taken over from")
    assert stack.pids("counter") == before["counter"]
    lines = _counted(stack)
    steps = [after - before for before, after in itertools.pairwise(lines)]
    assert min(steps) == 1
    assert sum(step > 1 for step in steps) <= 1, steps  # what was read by the one that was killed
    os.kill(before["notifies"][0], signal.SIGTERM)
    until(lambda: before["notifies"] != stack.pids("notifies") != [], "a successor")
    until(lambda: _kept(manager) == 5, "no more in the store than there are")
    assert stack.stop(signal.SIGTERM) == 0
    until(lambda: not manager.stored, "an empty store")
    assert not any(map(lives, stack._seen))
