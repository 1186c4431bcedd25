# WatchDog: ends processes that have not said for a while, by datagrams, that they are alive.

from __future__ import annotations

import re
import socket
import time
from typing import Any, ClassVar, Final

from bigtop.log import logger
from bigtop.plugins.circus.conversions import to_signum
from bigtop.plugins.circus.loop import AsyncPeriodicCallback
from bigtop.plugins.circus.plugin import CircusPlugin
from bigtop.plugins.options import option

log = logger("bigtop.circus")

_LONGEST: Final = 1024  # bytes of a datagram
_BATCH: Final = 1000  # datagrams, before others on the loop have a turn


def pattern(text: str) -> str:
    """Return a regular expression; ValueError for what is none."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


def heartbeat(text: str) -> str:
    found = pattern(text)
    if "pid" not in re.compile(found).groupindex:
        raise ValueError("needs a group of the name pid: (?P<pid>...)")
    return found


class WatchDog(CircusPlugin):
    """Ends processes that do not send a datagram every so often; their watcher replaces them."""

    name = "watchdog"
    role: ClassVar[str] = "operate"

    loop_rate: float = option(60.0, help="seconds between two looks", minimum=0.01, takes="SECONDS")
    watchers_regex: str = option(".*", help="whose processes", parse=pattern, takes="REGEX")
    msg_regex: str = option(
        "^(?P<pid>.*);(?P<timestamp>.*)$", help="how a datagram is read", parse=heartbeat, takes="REGEX"
    )
    max_count: int = option(3, help="looks without a datagram that are too many", minimum=1)
    ip: str = option("127.0.0.1", help="where datagrams come", takes="ADDRESS")
    port: int = option(1664, help="and its port", minimum=0, maximum=65535, takes="PORT")
    watchers_stop_signal: int | None = option(
        None, help="instead of the watcher's stop_signal", parse=to_signum, takes="SIGNAL"
    )
    watchers_graceful_timeout: float | None = option(
        None, help="instead of the watcher's graceful_timeout", minimum=0, takes="SECONDS"
    )

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.pid_status: dict[str, dict[str, Any]] = {}
        self.strange = 0  # datagrams since the last look that say nothing
        self.starting = True
        self.sock: socket.socket | None = None

    def handle_init(self) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in self.ip else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((self.ip, self.port))
        self.loop.add_handler(self.sock.fileno(), self.receive_udp_socket, self.loop.READ)
        self.period = AsyncPeriodicCallback(self.look_after, self.loop_rate * 1000)
        self.period.start()

    def handle_stop(self) -> None:
        self.period.stop()
        if self.sock is not None:
            self.loop.remove_handler(self.sock.fileno())
            self.sock.close()
            self.sock = None

    def handle_recv(self, data: Any) -> None:
        watcher, action, message = self.split_data(data)
        if not re.match(self.watchers_regex, watcher) or action not in ("spawn", "reap"):
            return
        pid = str(self.load_message(message).get("process_pid"))
        if action == "spawn":
            self._know(pid, watcher)
        else:
            self.pid_status.pop(pid, None)

    def receive_udp_socket(self, _fd: int, _events: int) -> None:
        assert self.sock is not None
        for _ in range(_BATCH):
            try:
                data = self.sock.recv(_LONGEST)
            except BlockingIOError:
                return
            found = re.match(self.msg_regex, data.decode(errors="replace"))
            pid = found["pid"] if found else None
            if pid in self.pid_status:
                self.pid_status[pid]["last_activity"] = time.time()
            else:
                self.strange += 1

    def look_after(self) -> None:
        if self.starting:
            self._discover()
            self.starting = False
        if self.strange:
            log.warning("%d datagrams were of no process that is watched, or not understood", self.strange)
            self.strange = 0
        oldest = time.time() - self.loop_rate * self.max_count
        for pid, known in list(self.pid_status.items()):
            if known["last_activity"] < oldest:
                self._end(pid, known["watcher"])

    def _discover(self) -> None:
        for watcher in self.call("list")["watchers"]:
            if re.match(self.watchers_regex, watcher):
                for pid in self.call("list", name=watcher).get("pids", ()):
                    self._know(str(pid), watcher)

    def _know(self, pid: str, watcher: str) -> None:
        self.pid_status.setdefault(pid, {"watcher": watcher, "last_activity": time.time()})

    def _end(self, pid: str, watcher: str) -> None:
        log.warning(
            "%s: process %s has not been heard of for %g s", watcher, pid, self.loop_rate * self.max_count
        )
        properties: dict[str, object] = {"name": watcher, "pid": int(pid)}
        if self.watchers_stop_signal is not None:
            properties["signum"] = self.watchers_stop_signal
        if self.watchers_graceful_timeout is not None:
            properties["graceful_timeout"] = self.watchers_graceful_timeout
        self.cast("kill", **properties)
        del self.pid_status[pid]
