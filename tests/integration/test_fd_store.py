# Sockets that the service manager keeps: a supervisor that was killed finds them when it is started anew.

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from tests.support import wire
from tests.support.site import Site, until
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

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.stored: dict[str, int] = {}
        self._thread = threading.Thread(target=self._hear, daemon=True)

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "FDSTORE": "16"}

    def _hear(self) -> None:
        while True:
            data, ancillary, _flags, _sender = self._socket.recvmsg(4096, 1024)
            words = dict(line.partition("=")[::2] for line in data.decode().splitlines())
            if "FDSTORE" in words:
                fds = array.array("i", ancillary[0][2])
                assert words["FDNAME"] not in self.stored
                self.stored[words["FDNAME"]] = fds[0]
            elif "FDSTOREREMOVE" in words:
                os.close(self.stored.pop(words["FDNAME"]))
            elif not words:
                return

    def starts(self, command: list[str]) -> list[str]:
        """Return the command that is given all that is stored."""
        fds = list(self.stored.values())
        for fd in fds:
            os.set_inheritable(fd, True)
        passed = [",".join(map(str, fds)), ":".join(self.stored)]
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
        for fd in self.stored.values():
            os.close(fd)
        self._socket.close()


def crash(running: Site, manager: Manager) -> int:
    """Kill the supervisor; return the port, where clients wait from then on."""
    until(lambda: "bigtop-state" in manager.stored, "sockets in the store")
    port = running.port
    running.family()
    running.process.kill()
    running.process.wait()
    running._end()  # whoever is left goes, as with KillMode=mixed
    return port


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
