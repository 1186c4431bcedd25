# What a file can ask for, on real runs of `bigtop run`: what starts when, and who is told of it.

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import time
from pathlib import Path

import psutil
import pytest

from bigtop.control.client.client import Client
from tests.support.site import DEADLINE, until
from tests.support.stack import Stack, free_port

# Waits until it is let through the gate, then is ready in the way that it is told.
GATED = """
import http.server, os, socket, sys, threading, time

kind, place, gate = sys.argv[1:]
if kind != "delay":
    while not os.path.exists(gate):
        time.sleep(0.01)
if kind == "file":
    open(place, "w").close()
elif kind == "tcp":
    listener = socket.create_server(("127.0.0.1", int(place)))
elif kind == "http":
    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(place)), Healthy)
    threading.Thread(target=server.serve_forever).start()
elif kind == "notify":
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(b"READY=1", chr(0) + address[1:] if address[0] == "@" else address)
elif kind == "log":
    print("listening on all of it", flush=True)
time.sleep(1000)
"""
TALKS = """
import os, socket, sys

listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
while True:
    client = listener.accept()[0]
    client.sendall(b"%d" % os.getpid())
    client.close()
"""
HEARS = """
import os, socket, sys

speakers = socket.socket(fileno=int(sys.argv[1]))
speakers.setblocking(True)
heard = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    os.write(heard, speakers.recv(100) + b" ")
"""


SO_TIMESTAMPNS = 35  # socket(7); Python has no name for it


def pids_of(client: Client, name: str) -> list[int]:
    return sorted(client.call("list", name=name)["pids"])


def status_of(client: Client, name: str) -> str:
    return str(client.call("status", name=name)["status"])


def test_each_kind_of_readiness_is_waited_for_by_those_who_depend_on_it(tmp_path: Path) -> None:
    (tmp_path / "gated.py").write_text(GATED)
    port, web = free_port(), free_port()
    kinds = {
        "file": (str(tmp_path / "ready"), f"file:{tmp_path}/ready"),
        "tcp": (str(port), f"tcp:127.0.0.1:{port}"),
        "http": (str(web), f"http://127.0.0.1:{web}/health"),
        "notify": ("-", "notify"),
        "log": ("-", "log:^listening on"),
        "delay": ("-", "delay:0.3"),
    }
    text, before = "", ""
    for kind, (place, ready) in kinds.items():
        command = f"{{python}} {tmp_path}/gated.py {kind} {place} {tmp_path}/gate-{kind}"
        text += f'[watcher.{kind}]\ncmd = "{command}"\nready = "{ready}"\n'
        text += f'depends = ["{before}"]\n' if before else ""
        before = kind
    text += '[watcher.last]\ncmd = "sleep 1000"\ndepends = ["delay"]\n'
    with Stack(text) as stack, Client(stack.endpoint, timeout=30.0) as client:
        following = [*kinds, "last"][1:]
        for kind, after in zip(kinds, following, strict=True):
            until(lambda kind=kind: pids_of(client, kind), f"the process of {kind}")
            assert status_of(client, kind) == "starting" or kind == "delay"
            assert pids_of(client, after) == [] or kind == "delay"
            (tmp_path / f"gate-{kind}").touch()
        stack.wait_for("last: started")
        started = [stack.log().index(f"{kind}: started") for kind in [*kinds, "last"]]
        assert started == sorted(started)


def test_what_is_demanded_starts_stops_when_nobody_calls_and_starts_again(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    text = f"""
[socket.web]
host = "127.0.0.1"
port = 0

[watcher.talks]
cmd = "{{python}} {tmp_path}/talks.py $(circus.sockets.web)"
on_demand = true
idle_stop = 0.2
"""
    with Stack(text) as stack, Client(stack.endpoint, timeout=30.0) as client:
        (web,) = client.call("listsockets")["sockets"]
        seen = set()
        for _ in range(2):
            assert status_of(client, "talks") == "stopped"
            with socket.create_connection((web["host"], web["port"]), timeout=DEADLINE) as caller:
                seen.add(int(caller.recv(100)))
            until(lambda: status_of(client, "talks") == "stopped", "the stop")
        assert len(seen) == 2


def test_datagrams_that_wait_outlive_the_process_that_was_to_read_them(tmp_path: Path) -> None:
    """Also with so_reuseport: there is one socket for all processes, and the supervisor has it, too."""
    heard = tmp_path / "heard"
    (tmp_path / "hears.py").write_text(HEARS)
    text = f"""
[socket.log]
host = "127.0.0.1"
port = 0
type = "SOCK_DGRAM"
so_reuseport = true

[watcher.hears]
cmd = "{{python}} {tmp_path}/hears.py $(circus.sockets.log) {heard}"
numprocesses = 2
"""
    with Stack(text) as stack, Client(stack.endpoint, timeout=30.0) as client:
        stack.wait_for("hears: started")
        (log,) = client.call("listsockets")["sockets"]
        halted = [psutil.Process(pid) for pid in pids_of(client, "hears")]
        for process in halted:
            process.suspend()
        until(lambda: all(p.status() == psutil.STATUS_STOPPED for p in halted), "the halt")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            for number in range(20):
                speaker.sendto(b"%d" % number, (log["host"], log["port"]))
        for process in halted:
            process.kill()
        until(lambda: heard.exists() and len(heard.read_text().split()) == 20, "what waited")
        assert sorted(map(int, heard.read_text().split())) == list(range(20))


def test_what_has_a_schedule_runs_at_its_minute_and_ends(tmp_path: Path) -> None:
    """Cron knows no seconds, but when a minute begins is a matter of the time zone: of this one, in 6 s."""
    zone = f"Here0:00:{int(time.time() + 6) % 60:02d}"
    text = f"""
[watcher.job]
cmd = "sh -c 'TZ={zone} date +%S >> {tmp_path}/ran'"
schedule = "* * * * *"
"""
    with Stack(text, env={"TZ": zone}) as stack, Client(stack.endpoint, timeout=30.0) as client:
        assert (status_of(client, "job"), pids_of(client, "job")) == ("stopped", [])
        ran = tmp_path / "ran"
        stack.wait_for("job: stopped", timeout=60 + DEADLINE)
        (seconds,) = ran.read_text().split()
        assert int(seconds) < 30  # of the new minute
        assert status_of(client, "job") == "stopped"


def test_who_asks_the_group_is_told_where_the_supervisor_is() -> None:
    port = free_port()
    text = f"""
[circus]
endpoint = tcp://127.0.0.1:0
pubsub_endpoint = tcp://127.0.0.1:0
multicast_endpoint = udp://237.219.251.97:{port}
multicast_allow_ips = *
[watcher:sleeper]
cmd = sleep 1000
"""
    with Stack(text, "stack.ini") as stack:
        stack.wait_for("sleeper: started")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(DEADLINE)
            try:
                asking.sendto(b'""', ("237.219.251.97", port))  # what circus-web sends
            except OSError as error:
                pytest.skip(f"no way to a group from here: {error}")
            assert json.loads(asking.recv(1000)) == {"endpoint": stack.endpoint}


def test_the_watchdog_is_fed_by_the_event_loop_alone(tmp_path: Path) -> None:
    """Every half of the period; and who stands still feeds nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE)
        systemd.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        stack = Stack('[watcher.sleeper]\ncmd = "sleep 1000"\n')
        stack.env.update(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="600000")

        def ping() -> float:
            """Take the next one; return when it was sent."""
            while True:
                data, [(_, _, stamp)], *_ = systemd.recvmsg(4096, socket.CMSG_SPACE(16))
                if data == b"WATCHDOG=1":
                    seconds, nanoseconds = struct.unpack("@qq", stamp)
                    return float(seconds + nanoseconds / 1e9)

        with stack:
            times = [ping() for _ in range(5)]
            assert times[-1] - times[0] > 0.9
            (sleeper,) = stack.running("sleep", "1000")
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(sleeper.environ())
            os.kill(stack.pid, signal.SIGSTOP)
            try:
                until(lambda: psutil.Process(stack.pid).status() == psutil.STATUS_STOPPED, "the halt")
                systemd.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    while True:  # those that were under way
                        ping()
                systemd.settimeout(1)
                with pytest.raises(TimeoutError):
                    ping()
            finally:
                os.kill(stack.pid, signal.SIGCONT)
            systemd.settimeout(DEADLINE)
            ping()


def test_commands_outlive_a_supervisor_that_is_killed_and_nothing_of_it_does(tmp_path: Path) -> None:
    """As with Circus: commands go on. What is Bigtop's own ends, and a successor finds nothing in its way."""
    text = f"""
[bigtop]
pidfile = "{tmp_path}/pid"

[app.site]
app = "tests.apps.site:app"
bind = ["127.0.0.1:{free_port()}"]

[watcher.job]
cmd = "sleep 1000"

[watcher.limited]
cmd = "sleep 1000"
nice = 1
"""
    with Stack(text) as stack, Client(stack.endpoint, timeout=30.0) as client:
        for name in ("site", "job", "limited"):
            stack.wait_for(f"{name}: started")
        jobs = [*pids_of(client, "job"), *pids_of(client, "limited")]
        others = [child for child in stack.family() if child.pid not in jobs]
        assert len(others) >= 3  # launcher, fork server, worker
        try:
            os.kill(stack.pid, signal.SIGKILL)
            _gone, left = psutil.wait_procs(others, timeout=DEADLINE)
            assert left == []
            assert all(psutil.Process(pid).is_running() for pid in jobs)
            stack.process.wait()
            stack.start()
            for name in ("control channel on", "site: started", "job: started"):
                stack.wait_for(name)
            with Client(stack.endpoint, timeout=30.0) as again:
                assert status_of(again, "job") == "active"
                assert not set(jobs) & {*pids_of(again, "job"), *pids_of(again, "limited")}
        finally:
            for pid in jobs:
                os.kill(pid, signal.SIGKILL)
