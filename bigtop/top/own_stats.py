# Stats process of our own, for a supervisor that has none: the same program, started by who looks.
#
# Rules: the supervisor is not changed by being looked at. It is asked who runs over the control channel, and
# what it said last is what the stats process is told. That ends with us, however we end: it has a line to us.
# It needs to read what the supervisor's user may read, on the supervisor's machine; obstacle() says whether
# that is so.

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from bigtop.control.client.connection import Way
from bigtop.record import replace
from bigtop.stats import roster
from bigtop.stats.orders import Orders
from bigtop.stats.pace import Pace
from bigtop.stats.roster import Roster

_LONGEST: Final = 256  # bytes of a question
_CREDENTIALS: Final = struct.Struct("3i")  # ucred: pid, uid, gid
_LOOPBACK: Final = ("127.", "localhost:", "[::1]:")
_PATIENCE: Final = 5.0  # seconds for its end


def obstacle(way: Way, pid: int) -> str:
    """Return why we cannot read figures of the supervisor with that pid, which is reached by that way; "" if
    we can."""
    if way.tunnel is not None or not _is_here(way.endpoint, pid):
        return "it runs on another machine, or in a container"
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            os.readlink(f"/proc/{pid}/fd/{name}")
            break
    except OSError:
        return "it belongs to another user"
    return ""


def _is_here(endpoint: str, pid: int) -> bool:
    """Say whether who listens there has that pid for us, too."""
    scheme, _, place = endpoint.partition("://")
    try:
        if scheme == "ipc":
            return _listener_of(place) == pid
        if not place.startswith(_LOOPBACK):
            return False
        port = int(place.rpartition(":")[2])
        found = [one for one in psutil.net_connections("tcp") if one.pid == pid]
        return any(one.status == psutil.CONN_LISTEN and one.laddr[1:] == (port,) for one in found)
    except (OSError, ValueError, AttributeError, psutil.Error):  # only Linux tells who listens
        return False


def _listener_of(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        probe.connect(path)
        found = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[0])


class OwnStats:
    """Runs from construction to close(); event loop only. OSError where it cannot be started.

    `who` returns who runs, with any version.
    """

    def __init__(self, who: Callable[[], Roster]) -> None:
        self._who = who
        self._told = Roster(0, ())
        self._rest = b""
        self._folder = Path(tempfile.mkdtemp(prefix="bigtop-top-"))
        self.endpoint = f"ipc://{self._folder / 's'}"
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._loop = asyncio.get_running_loop()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._folder / "s"))
            listener.listen()
            descriptors = (listener.fileno(), theirs.fileno())
            words = ["-P", "-m", "bigtop.stats.program", Orders(*descriptors, Pace()).encode()]
            with open(self._folder / "said", "wb") as said:
                self._process = subprocess.Popen(
                    [sys.executable, *words],
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,  # Ctrl-C on our terminal is for us
                )
        self._loop.add_reader(self._ours, self._asked)

    def failure(self) -> str:
        """Return its last words once it has ended; "" while it runs."""
        if self._process.poll() is None:
            return ""
        lines = (self._folder / "said").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with {self._process.returncode}"

    def close(self) -> None:
        self._loop.remove_reader(self._ours)
        self._ours.close()
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- who runs

    def _asked(self) -> None:
        try:
            said = self._ours.recv(_LONGEST)
        except BlockingIOError:
            return
        if not said:  # it has ended
            self._loop.remove_reader(self._ours)
            return
        asked = roster.read_question(said.splitlines()[-1]) if said.strip() else None
        if asked is None:
            return
        word, known = asked
        now = replace(self._who(), version=self._told.version)
        if now != self._told:
            self._told = replace(now, version=self._told.version + 1)
        self._write(roster.answer(word, None if known == self._told.version else self._told))

    def _write(self, answer: bytes) -> None:
        try:  # one line at a time is asked for, and the buffer is empty then, or a thousand workers large
            sent = self._ours.send(answer, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(answer):
            self._later(answer[sent:])

    def _later(self, rest: bytes) -> None:
        self._rest = rest

        def go_on() -> None:
            self._loop.remove_writer(self._ours)
            self._write(self._rest)

        self._loop.add_writer(self._ours, go_on)
