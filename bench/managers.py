# Process managers that are compared, and how each is told what to do.
#
# Rules: Bigtop and circusd read the same file and are spoken to by the same client, for their protocol is
# one. Every manager gets settings without pauses of its own (warm-up, seconds until something counts as
# started). The clients run in the bench environment, where pyzmq is.

from __future__ import annotations

import http.client
import json
import socket
import time
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Protocol

from bench.peers import expand

ANSWER_SECONDS = 180.0
LINE_BYTES = 80  # of load/chatter.c
CLIENT_PACKAGES = ("pyzmq",)


class AnswerError(Exception):
    """The manager did not answer, or with an error."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """The processes that a manager is given: `count` times `command`."""

    count: int
    command: str
    program: str  # its name in /proc/PID/comm, by which these processes are told from a manager's own
    talks: bool = False  # its output is to be written to a file


class Control(Protocol):
    def start(self) -> None:
        """Start all processes and return when the manager says that they are."""

    def stop(self) -> None:
        """Stop them, and return when the manager says that they are."""

    def status(self) -> object: ...

    def small(self) -> object:
        """Ask the question that is cheapest to answer and still is about the processes."""

    def stats(self) -> object:
        """Return what every process uses, where the manager can tell (`has_stats`)."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Manager:
    name: str
    package: str  # for pip
    command: str  # $bin, $dir
    file: str  # name of its configuration in $dir
    template: str  # of that: $count, $command, $dir, $output
    output: str  # what $output is for processes that talk, else it is empty
    silence: str  # what it is for those that do not
    connect: Callable[[Path], Control]
    has_stats: bool = True
    rhythm: float = 0.2  # seconds from one look at its processes to the next, where it has such a thing

    def write(self, crowd: Crowd, folder: Path) -> None:
        values = {"count": crowd.count, "command": crowd.command, "dir": folder}
        output = Template(self.output if crowd.talks else self.silence).substitute(values)
        (folder / self.file).write_text(Template(self.template).substitute(values, output=output))


class ZmqControl:
    """The protocol of Circus: JSON on a DEALER socket."""

    def __init__(self, folder: Path) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, int(ANSWER_SECONDS * 1000))
        self._socket.connect(f"ipc://{folder}/control")
        self._count = 0

    def start(self) -> None:
        self._insist("start")

    def stop(self) -> None:
        self._insist("stop")

    def status(self) -> object:
        return self.call("status")["statuses"]

    def small(self) -> object:
        return self.call("numprocesses", name="crowd")["numprocesses"]

    def stats(self) -> object:
        return self.call("stats")["infos"]

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _insist(self, command: str) -> None:
        """Ask until it is obeyed: circusd refuses whenever it does something else, if only for a moment."""
        while True:
            try:
                self.call(command, name="crowd", waiting=True)
                return
            except AnswerError as error:
                if "already running" not in str(error):
                    raise
                time.sleep(0.01)

    def call(self, command: str, **properties: object) -> dict[str, Any]:
        import zmq

        self._count += 1
        number = str(self._count)
        message = {"id": number, "command": command, "properties": properties}
        self._socket.send(json.dumps(message).encode())
        while True:
            try:
                reply: dict[str, Any] = json.loads(self._socket.recv())
            except zmq.Again:
                raise AnswerError(f"no answer to {command}") from None
            if reply.get("id") in (number, None):
                break
        if reply.get("status") != "ok":
            raise AnswerError(f"{command}: {reply.get('reason')}")
        return reply


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        if self._connection and self._connection[1] is not None:
            return self._connection[1]
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(ANSWER_SECONDS)
        connection.sock.connect(str(self._path))
        self._connection = host, connection
        return connection


class XmlRpcControl:
    """supervisord's."""

    def __init__(self, folder: Path) -> None:
        transport = _UnixTransport(folder / "control")
        self._server = xmlrpc.client.ServerProxy("http://localhost", transport)
        self._call = self._server.supervisor

    def start(self) -> None:
        self._check(self._call.startProcessGroup("crowd", True))

    def stop(self) -> None:
        self._check(self._call.stopProcessGroup("crowd", True))

    def status(self) -> object:
        return self._call.getAllProcessInfo()

    def small(self) -> object:
        return self._call.getProcessInfo("crowd:0000")

    def stats(self) -> object:
        raise AnswerError("supervisord does not know")

    def close(self) -> None:
        self._server("close")()

    def _check(self, found: Any) -> None:
        failed = [one for one in found if one["description"] != "OK"]
        if failed:
            raise AnswerError(str(failed[0]))


CIRCUS_INI = """\
[circus]
endpoint = ipc://$dir/control
pubsub_endpoint = ipc://$dir/events
stats_endpoint = ipc://$dir/stats
check_delay = 5

[watcher:crowd]
cmd = $command
numprocesses = $count
autostart = False
copy_env = True
graceful_timeout = 10
$output
"""
CIRCUS_OUTPUT = "stdout_stream.class = FileStream\nstdout_stream.filename = $dir/output"

SUPERVISORD_CONF = """\
[supervisord]
nodaemon = true
minfds = 16384
logfile = $dir/supervisord.log
pidfile = $dir/supervisord.pid
childlogdir = $dir

[unix_http_server]
file = $dir/control

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:crowd]
command = $command
process_name = %(process_num)04d
numprocs = $count
autostart = false
autorestart = true
startsecs = 0
$output
"""

MANAGERS = (
    Manager(
        "bigtop",
        ".",
        "$bin/bigtop run $dir/circus.ini",
        "circus.ini",
        CIRCUS_INI,
        CIRCUS_OUTPUT,
        "",
        ZmqControl,
    ),
    Manager(
        "circusd",
        "circus==0.19.0",
        "$bin/circusd $dir/circus.ini",
        "circus.ini",
        CIRCUS_INI,
        CIRCUS_OUTPUT,
        "",
        ZmqControl,
        rhythm=5.0,
    ),
    Manager(
        "supervisord",
        "supervisor",
        "$bin/supervisord -c $dir/supervisord.conf",
        "supervisord.conf",
        SUPERVISORD_CONF,
        "redirect_stderr = true\nstdout_logfile = $dir/output",
        "stdout_logfile = NONE\nstderr_logfile = NONE",
        XmlRpcControl,
        has_stats=False,
        rhythm=1.0,
    ),
)

BY_NAME = {manager.name: manager for manager in MANAGERS}
SETS = {"all": tuple(BY_NAME)}


def select(names: str) -> list[Manager]:
    return [BY_NAME[name] for name in expand(names, SETS, known=BY_NAME, what="manager")]
