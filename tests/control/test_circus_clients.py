# Circus' own programs and classes, unmodified, against our control channel.
#
# They run in processes of their own: what Circus' dependencies warn of is not ours to fix.

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import circus_top
from tests.support.controlled import Controlled, run
from tests.support.site import until


@pytest.fixture(scope="module")
def daemon() -> Iterator[Controlled]:
    with Controlled(grace=0.1) as running:
        yield running


# In this order, with the outputs that circusctl 0.19 has with circusd 0.19.
SESSION: list[tuple[str, int, str]] = [
    (
        "status",
        0,
        r"Web: active\nbroken: stopped\nchatty: active\none: active\nsleeper: active\nslow: .*\ntwo.*\n",
    ),
    ("status web", 0, r"active\n"),
    ("status nope", 3, r"error\n"),
    ("list", 0, r"broken,chatty,one,sleeper,slow,two words,web\n"),
    ("list web", 0, r"\d+\n"),
    ("list sleeper", 0, r"\d+,\d+\n"),
    ("numprocesses", 0, r"6\n"),
    ("numprocesses sleeper", 0, r"2\n"),
    ("numwatchers", 0, r"7\n"),
    ("listsockets", 0, r"\d+:socket 'web' at 127.0.0.1:\d+\n"),
    ("get sleeper numprocesses cmd", 0, r"numprocesses: 2\ncmd: sleep 1000\n"),
    ("get sleeper bogus", 3, r"error: 'bogus' option not found\n"),
    ("get web colour", 0, r"colour: red\n"),
    ("options web", 0, r"(?s).*\ngraceful_timeout: 30.0\n.*\nnumprocesses: 1\n.*"),
    ("globaloptions check_delay", 0, r"check_delay: 5.0\n"),
    ("globaloptions bogus", 3, r"'bogus' not an existing option\n"),
    ("incr sleeper", 0, r"ok\n"),
    ("incr sleeper 2 --waiting", 0, r"5\n"),
    ("decr sleeper 2 --waiting", 0, r"3\n"),
    ("incr one", 0, r"This watcher is a Singleton - not changing the number of processes\n"),
    ("set sleeper numprocesses 2 --waiting", 0, r"ok\n"),
    ("set sleeper bogus 3", 1, r"unknown key 'bogus'\n"),
    ("reload web --waiting", 0, r"ok\n"),
    ("reload --waiting --sequential --terminate", 0, r"ok\n"),
    ("restart sleeper --waiting", 0, r"ok\n"),
    ("stop sleeper --waiting", 0, r"ok\n"),
    ("status sleeper", 0, r"stopped\n"),
    ("start sleeper --waiting", 0, r"ok\n"),
    ("start sleep.* --waiting --match regex", 0, r"ok\n"),
    (
        "start broken --waiting",
        3,
        r"error: broken: process 1 used up its retries; .*: there is no such program.*\n",
    ),
    ("add --start foo sleep 100", 0, r"ok\n"),
    ("add foo again", 3, r"error: there is a watcher 'foo' already\n"),
    ("rm foo --waiting", 0, r"ok\n"),
    ("reloadconfig --waiting", 0, r"ok\n"),
    ("restart --waiting", 0, r"ok\n"),
    ("status slow", 0, r"active\n"),
    ("signal sleeper CONT", 0, r"ok\n"),
    ("signal sleeper CONT --recursive", 0, r"ok\n"),
    ("signal sleeper FOO", 3, r"error: signal invalid\n"),
    ("kill sleeper --signum INT --graceful_timeout 3", 0, r"ok\n"),
    ("ipython", 0, r"error: Could not start ipython kernel\n"),
    (
        "stats web",
        0,
        r"web:\n(\d+): \1  sleep \S+ -?\d+ \d+\.\d\dM \d+\.\d\dM \d+\.\d \d\.\d+ \d+:\d\d\.\d\d\n",
    ),
    ("stats", 0, r"(?s)Web:\n\d+: .*\nchatty:\n.*\nsleeper:\n.*"),
    ("stats --extended web", 0, r"web:\n\d+: .*\n"),
    ("dstats", 0, r"Main Process:\n    \d+  bigtop: .*\n"),
    ("--json numwatchers", 0, r'{"status": "ok", "time": [\d.]+, "numwatchers": 7, "id": "\w{32}"}\n'),
]


# Most of the time of a circusctl goes by until it is imported, which a fork has behind it.
FORKED = """
import json, os, sys, tempfile
from circus import circusctl
for line in sys.stdin:
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = ["circusctl", *sys.argv[1:], *json.loads(line)]
            sys.exit(circusctl.main())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said.seek(0)
        print(json.dumps([status, said.read().decode()]), flush=True)
"""


def test_circusctl_does_every_command(daemon: Controlled) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, "--endpoint", daemon.endpoint, "--timeout", "30"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forking:
        assert forking.stdin
        assert forking.stdout
        try:
            for words, status, expected in SESSION:
                print(json.dumps(words.split()), file=forking.stdin, flush=True)
                found, said = json.loads(forking.stdout.readline())
                assert found == status, (words, said)
                assert re.fullmatch(expected, said), (words, said)
        finally:
            forking.kill()


def test_circusctl_ends_a_daemon() -> None:
    with Controlled(grace=0.1) as daemon:
        assert daemon.circusctl("quit", "--waiting") == (0, "ok\n", "")
        assert daemon.wait() == 0


def test_circusctl_listens(daemon: Controlled) -> None:
    program = Path(sys.executable).with_name("circusctl")
    words = [str(program), "--endpoint", daemon.pubsub, "listen", "watcher.web."]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environ, text=True) as listening:
        assert listening.stdout
        try:
            until(
                lambda: _restarted(daemon) and select.select([listening.stdout], [], [], 0.2)[0], "an event"
            )
            # Of a restart it hears what comes once its subscription is there.
            event = r"b'watcher\.web\.(kill|reap|stop|spawn|start)': b'{.*}'"
            assert re.match(event, listening.stdout.readline())
        finally:
            listening.kill()


def _restarted(daemon: Controlled) -> bool:
    return bool(daemon.call("restart", name="web", waiting=True)["status"] == "ok")


CLIENTS = """
import sys, asyncio
from circus.client import CircusClient, AsyncCircusClient
from circus.consumer import CircusConsumer
from tornado.ioloop import IOLoop
endpoint, pubsub = sys.argv[1:]
client = CircusClient(endpoint=endpoint, timeout=30)
print(client.send_message("numwatchers")["numwatchers"])
print(client.call({"command": "status", "properties": {"name": "nope"}})["reason"])
async def main():
    other = AsyncCircusClient(endpoint=endpoint, timeout=30)
    print((await other.send_message("list"))["watchers"][0])
    other.stop()
IOLoop.current().run_sync(main)
with CircusConsumer(["watcher.web."], endpoint=pubsub) as consumer:
    messages = consumer.iter_messages()
    number = 0
    while not consumer.pubsub_socket.poll(50):
        number += 1
        client.send_message("set", name="web", options={"max_retry": number})
    print(next(messages)[0])
client.stop()
"""


def test_circus_client_classes_work(daemon: Controlled) -> None:
    status, out, err = run("-W", "ignore", "-c", CLIENTS, daemon.endpoint, daemon.pubsub)
    assert status == 0, err
    assert out == "7\nprogram nope not found\nbroken\nb'watcher.web.updated'\n"


PLUGIN = """
import sys
from circus.plugins import CircusPlugin
class Reporter(CircusPlugin):
    def handle_init(self):
        self.number = 0
        self.begin_soon()
    def begin_soon(self):
        self.beginning = self.loop.call_later(0.05, self.begin)
    def begin(self):  # until it hears of that, it is not subscribed
        self.number += 1
        self.cast("set", name="web", options={"max_retry": self.number})
        self.begin_soon()
    def handle_recv(self, data):
        watcher, action, message = self.split_data(data)
        if action == "updated" and self.beginning:
            self.loop.remove_timeout(self.beginning)
            self.beginning = None
            self.cast("stop", name="web")
        if action == "stop":
            print(watcher, action, sorted(self.load_message(message)), flush=True)
            print(self.call("status", name=watcher), flush=True)
            self.loop.stop()
Reporter(sys.argv[1], sys.argv[2], 1.0).start()
"""


def test_a_circus_plugin_works(daemon: Controlled) -> None:
    daemon.call("start", name="web", waiting=True)
    status, out, err = run("-W", "ignore", "-c", PLUGIN, daemon.endpoint, daemon.pubsub)
    assert status == 0, err
    assert out.startswith("web stop ['time']\n{'status': 'stopped', 'time': ")
    assert "'id': None" in out
    until(lambda: daemon.call("start", name="web", waiting=True)["status"] == "ok", "the start")


def test_the_program_that_runs_plugins(daemon: Controlled) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(0.2)
        config = f"application_name:shop:::host:127.0.0.1:::port:{statsd.getsockname()[1]}"
        place = ("--endpoint", daemon.endpoint, "--pubsub", daemon.pubsub)
        program = str(Path(sys.executable).with_name("circus-plugin"))
        words = [program, *place, "--config", config, "circus.plugins.statsd.StatsdEmitter"]
        counted: set[bytes] = set()

        def hears() -> bool:
            _restarted(daemon)
            with contextlib.suppress(TimeoutError):
                counted.add(statsd.recv(1000))
            return bool(counted)

        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as plugin:
            try:
                until(hears, "a figure")
            finally:
                plugin.kill()
        assert re.fullmatch(rb"circus\.shop\.watcher\.web\.\w+:1\|c", counted.pop())


def test_circus_top_shows_what_circusd_stats_counts(daemon: Controlled, tmp_path: Path) -> None:
    """As Circus has it: its program for the figures is a watcher that sees all sockets."""
    figures = str(Path(sys.executable).with_name("circusd-stats"))
    statspoint = f"ipc://{tmp_path}/stats"
    place = f"--endpoint {daemon.endpoint} --pubsub {daemon.pubsub} --statspoint {statspoint}"
    options = {"use_sockets": True, "singleton": True, "copy_env": True}
    added = daemon.call("add", name="circusd-stats", cmd=f"{figures} {place}", start=True, options=options)
    assert added["status"] == "ok"
    pids = [str(pid).encode() for name in ("web", "one", "sleeper") for pid in daemon.pids(name)]
    words = (b"sleeper", b"127.0.0.1:", b"CPU (%)", b"(circusd)")

    def enough(seen: bytes) -> bool:
        return all(word in seen for word in words) and any(pid in seen for pid in pids)

    circus_top.shows(statspoint, enough, daemon.log)
    assert daemon.call("rm", name="circusd-stats", waiting=True)["status"] == "ok"
