# `bigtop run`: a configuration file becomes processes, and operators steer them.

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bigtop.control.client.client import Client, RefusedError
from tests.support.load import Load
from tests.support.procfs import descriptors
from tests.support.site import ROOT, lives, until
from tests.support.stack import Stack, free_port

SLEEPERS = """
[watcher.sleeper]
cmd = "sleep 1000"
numprocesses = 3

[watcher.other]
cmd = "sleep 2000"
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def started(stack: Stack) -> None:
    """Wait until all SLEEPERS run."""
    stack.wait_for("sleeper: started")
    stack.wait_for("other: started")


def test_what_the_file_names_runs_until_term() -> None:
    with Stack(SLEEPERS) as stack:
        started(stack)
        assert len(stack.pids("sleeper")) == 3
        pids = stack.pids("sleeper") + stack.pids("other")
        assert {psutil.Process(pid).ppid() for pid in pids} == {stack.pid}
        assert " ".join(psutil.Process(stack.pid).cmdline()).strip() == "bigtop: supervisor [stack]"
        assert stack.stop() == 0
        assert all(map(gone, pids))
        assert "sleeper: stopped" in stack.log()


def test_a_wrong_file_is_told_whole_and_nothing_starts() -> None:
    stack = Stack('[watcher.a]\ncmd = "sleep 1"\nnumprocesses = "many"\n[watcher.b]\ncomand = "sleep"\n')
    stack.start()
    assert stack.wait() == 78
    log = stack.log()
    assert re.search(r"stack\.toml:3: .*numprocesses", log)
    assert re.search(r"stack\.toml:5: .*has no key comand", log)
    assert "started" not in log
    assert "Traceback" not in log


def test_a_dead_process_is_replaced_at_once() -> None:
    with Stack(SLEEPERS) as stack, Client(stack.endpoint, timeout=30.0) as client:
        started(stack)
        victim = psutil.Process(stack.pids("sleeper")[0])
        victim.kill()
        until(lambda: not lives(victim), "its death")
        # Nobody has to look for deaths: who is told of one knows it within the same turn of the event loop.
        for _ in range(2):
            client.call("status")
        assert "died with signal 9; replaced at once" in stack.log()
        until(lambda: len(set(stack.pids("sleeper")) - {victim.pid}) == 3, "the successor")


def test_a_slow_stop_holds_up_nobody() -> None:
    stubborn = """
[watcher.stubborn]
cmd = "sh -c 'trap : TERM; echo 1; while :; do sleep 1; done'"
graceful_timeout = 60
ready = "log:1"

[watcher.other]
cmd = "sleep 1000"
"""
    with Stack(stubborn) as stack:
        stack.wait_for("stubborn: started")
        stack.ctl("stop", "stubborn")
        assert stack.status("stubborn") == "stopping"
        stack.ctl("stop", "other", "--waiting")
        assert stack.status("other") == "stopped"
        stack.ctl("start", "other", "--waiting")
        (pid,) = stack.pids("other")
        os.kill(pid, signal.SIGKILL)
        until(lambda: stack.pids("other") not in ([], [pid]), "the successor")
        assert stack.status("stubborn") == "stopping"
        # A TERM while that goes on is not lost; the second one forces.
        stack.send(signal.SIGTERM)
        stack.wait_for("each process has the time that it is given")
        asked = time.monotonic()
        until(lambda: time.monotonic() > asked + 0.4, "the time in which two signals are one")
        stack.send(signal.SIGTERM)
        assert stack.wait() == 0


def test_who_waits_for_what_cannot_be_started_is_told_why() -> None:
    absent = """
[watcher.absent]
cmd = "{folder}/program"
autostart = false
flapping = { retry_in = 0.2, factor = 1 }

[watcher.once]
cmd = "{folder}/program"
autostart = false
respawn = false

[watcher.above]
cmd = "sleep 1000"
depends = ["absent"]
autostart = false

[watcher.short]
cmd = "sh -c 'exit 3'"
ready = "log:never"
autostart = false
flapping = { retry_in = 0.2, factor = 1 }
"""
    with Stack(absent) as stack:
        program = stack.folder / "program"
        why = f"process 1 could not be started: {program}: there is no such program"
        for command in ("start", "restart"):
            said = stack.ctl(command, "absent", "--waiting", status=1)
            assert f"absent: {why}" in said
            assert "tried again in 0.2 s" in said
        assert f"absent: {why}" in stack.ctl("reload", "absent", "--waiting", status=1)
        assert f"above: waits for absent: {why}" in stack.ctl("start", "above", "--waiting", status=1)
        assert f"once: {why}" in stack.ctl("start", "once", "--waiting", status=1)
        assert "short: process 1 ended: exit status 3" in stack.ctl("start", "short", "--waiting", status=1)
        assert f"absent: {why}" in stack.ctl("reloadconfig", "--waiting", status=1)
        stack.ctl("stop", "short", "--waiting")
        # It goes on being tried, and what waited for it has not been forgotten.
        program.write_text("#!/bin/sh\nexec sleep 1000\n")
        program.chmod(0o755)
        stack.ctl("start", "absent", "--waiting")
        stack.ctl("start", "above", "--waiting")
        assert stack.status("absent") == stack.status("above") == "active"


def test_reloadconfig_changes_what_changed() -> None:
    with Stack(SLEEPERS) as stack:
        started(stack)
        sleepers, other = stack.pids("sleeper"), stack.pids("other")
        stack.write(
            SLEEPERS.replace("numprocesses = 3", "numprocesses = 4") + '[watcher.new]\ncmd = "sleep 3"\n'
        )
        steps = stack.asked("reloadconfig", "--dry-run")["steps"]
        assert sorted(steps) == ["add new", "scale sleeper to 4"]
        assert stack.pids("sleeper") == sleepers
        stack.ctl("reloadconfig", "--waiting")
        until(lambda: len(stack.pids("sleeper")) == 4, "the fourth")
        assert set(sleepers) < set(stack.pids("sleeper"))
        assert stack.pids("other") == other
        assert stack.status("new") == "active"


def test_a_wrong_file_changes_nothing_when_it_is_reloaded() -> None:
    with Stack(SLEEPERS) as stack:
        started(stack)
        before = stack.pids("sleeper")
        stack.write(SLEEPERS.replace("numprocesses = 3", "numprocesses = -3"))
        assert "stack.toml" in stack.ctl("reloadconfig", status=1)
        assert stack.pids("sleeper") == before


def test_sockets_keep_their_connections_over_a_reload_of_the_file() -> None:
    port = free_port()
    text = f"""
[socket.web]
host = "127.0.0.1"
port = {port}

[app.site]
app = "tests.apps.site:app"
sockets = ["web"]
workers = 2
"""
    with Stack(text) as stack:
        stack.wait_for("site: started")

        def get(path: str) -> str:
            return str(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20).read().decode())

        assert int(get("/pid")) in stack.pids("site")
        assert stack.asked("listsockets")["sockets"][0]["port"] == port
        stack.ctl("reload", "site", "--waiting")
        stack.wait_for("site: reloaded")
        stack.write(text + SLEEPERS)
        stack.ctl("reloadconfig", "--waiting")
        assert int(get("/pid")) in stack.pids("site")
        with socket.create_connection(("127.0.0.1", port)) as slow:
            over = stack.folder / "over"
            slow.sendall(f"GET /until?{over} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            seen: list[dict[str, str]] = []
            until(lambda: seen.extend(stack.asked("requests", "site")["requests"]) or seen, "the request")
            assert (seen[0]["method"], seen[0]["path"]) == ("GET", "/until")
            row = r"WORKER .*\nsite/\d+ +\d+ +\S+ +app +GET +/until +127.0.0.1 +0 +\S+\n"
            assert re.fullmatch(row, stack.ctl("requests"))
            over.touch()
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_socket_becomes_what_the_file_says_and_loses_nobody() -> None:
    text = """
[socket.web]
host = "127.0.0.1"
port = 0
OPTIONS

[socket.local]
path = "{folder}/local"
umask = "UMASK"

[app.site]
app = "tests.apps.site:app"
sockets = ["web"]
workers = 2

[watcher.reader]
cmd = "sleep 1000"
sockets = ["web", "local"]
"""

    def text_of(options: str, umask: str = "077", more: str = "") -> str:
        return text.replace("OPTIONS", options).replace("UMASK", umask) + more

    def pids_of(client: Client, name: str) -> list[int]:
        return sorted(client.call("list", name=name)["pids"])

    with Stack(text_of("")) as stack, Client(stack.endpoint, timeout=30.0) as client:
        stack.wait_for("site: started")
        stack.wait_for("reader: started")
        (web,) = (one for one in client.call("listsockets")["sockets"] if one["name"] == "web")
        pids = pids_of(client, "site"), pids_of(client, "reader")

        # What a socket can take while it is open it takes; nobody is replaced for that.
        stack.write(text_of("backlog = 100", "007"))
        steps = ["change socket local: mode", "change socket web: backlog"]
        assert client.call("reloadconfig", dry_run=True)["steps"] == steps
        assert client.call("listsockets")["sockets"][0]["backlog"] == 2048
        assert client.call("reloadconfig", waiting=True)["steps"] == steps
        assert {one["name"]: one["backlog"] for one in client.call("listsockets")["sockets"]}["web"] == 100
        assert stat.S_IMODE((stack.folder / "local").stat().st_mode) == 0o770
        assert (pids_of(client, "site"), pids_of(client, "reader")) == pids

        # What it cannot takes another socket in its place, and other processes, under way with requests.
        stack.write(text_of('interface = "lo"', "007"))
        steps = ["bind socket web anew", "replace reader", "replace site"]
        assert client.call("reloadconfig", dry_run=True)["steps"] == steps
        with Load(web["port"], 10) as load:
            until(lambda: load.answered > 100, "some answers")
            client.call("reloadconfig", waiting=True)
            # The first of them may take all connections before the second is ready.
            until(lambda: load.workers & set(pids_of(client, "site")), "answers of a new worker")
        assert load.failures == []
        after = client.call("listsockets")["sockets"]
        assert {one["name"]: one.get("port") for one in after}["web"] == web["port"]
        assert not set(pids_of(client, "site")) & set(pids[0])
        assert not set(pids_of(client, "reader")) & set(pids[1])

        # One that cannot be bound leaves the others as they were, and the processes.
        pids = pids_of(client, "site"), pids_of(client, "reader")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            more = f'[socket.more]\nhost = "127.0.0.1"\nport = {taken.getsockname()[1]}\n'
            stack.write(text_of("backlog = 50", "077", more))
            with pytest.raises(RefusedError, match="it is held by"):
                client.call("reloadconfig", waiting=True)
        assert stat.S_IMODE((stack.folder / "local").stat().st_mode) == 0o770
        assert client.call("listsockets")["sockets"] == after
        assert (pids_of(client, "site"), pids_of(client, "reader")) == pids


def test_an_application_that_is_described_anew_is_served_anew() -> None:
    port = free_port()
    text = f"""
[socket.web]
host = "127.0.0.1"
port = {port}

[app.site]
app = "tests.apps.site:app"
sockets = ["web"]
"""
    with Stack(text) as stack:
        stack.wait_for("site: started")
        before = stack.pids("site")
        stack.write(text + "workers = 2\n")
        assert stack.asked("reloadconfig", "--dry-run")["steps"] == ["scale site to 2"]
        stack.write(text + "workers = 2\nthreads = 2\n")
        assert stack.asked("reloadconfig", "--dry-run")["steps"] == ["replace site"]
        assert stack.pids("site") == before
        with socket.create_connection(("127.0.0.1", port)) as slow:
            over = stack.folder / "over"
            slow.sendall(f"GET /until?{over} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            until(lambda: stack.asked("requests", "site")["requests"], "the request")
            # Old workers leave when new ones are ready, and finish what they began.
            stack.ctl("reloadconfig")
            stack.wait_for("site: reloaded")
            over.touch()
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        until(lambda: len(stack.pids("site")) == 2, "two workers")
        assert not set(before) & set(stack.pids("site"))
        assert "site: stopped" not in stack.log()
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read() == b"ok"
        # One that cannot be imported changes nothing.
        before = stack.pids("site")
        stack.write(text.replace("site:app", "site:nothing") + "workers = 2\nthreads = 2\n")
        assert "nothing" in stack.ctl("reloadconfig", "--waiting", status=1)
        assert stack.pids("site") == before
        # Another address takes new workers.
        other = free_port()
        stack.write(text.replace(str(port), str(other)) + "workers = 2\nthreads = 2\n")
        stack.ctl("reloadconfig", "--waiting")
        stack.ctl("start", "site", "--waiting")
        assert urllib.request.urlopen(f"http://127.0.0.1:{other}/", timeout=20).read() == b"ok"
        stack.write(SLEEPERS)
        stack.ctl("reloadconfig", "--waiting")
        assert "site" not in stack.asked("status")["statuses"]
        for closed in (port, other):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", closed))
        assert stack.stop() == 0
        assert "Traceback" not in stack.log()


def test_a_critical_watcher_that_gives_up_ends_the_daemon() -> None:
    text = """
[watcher.vital]
cmd = "false"
critical = true
flapping = { attempts = 1, window = 1, retry_in = 0.1, max_retry = 1 }
"""
    stack = Stack(text + SLEEPERS)
    stack.start()
    assert stack.wait() == 1
    assert "vital is critical and has ended: everything stops" in stack.log()


def test_dependencies_wait_for_readiness_and_stop_the_other_way() -> None:
    text = """
[watcher.base]
cmd = "{python} -c 'import time; time.sleep(0.5); print(\\"up\\", flush=True); time.sleep(99)'"
ready = "log:up"

[watcher.above]
cmd = "sleep 99"
depends = ["base"]
"""
    with Stack(text) as stack:
        stack.wait_for("above: started")
        assert stack.log().index("base: started") < stack.log().index("above: started")
        stack.stop()
        assert stack.log().index("above: stopped") < stack.log().index("base: stopped")


def test_output_is_written_to_files_and_followed_by_tail(tmp_path: Path) -> None:
    text = """
[watcher.chatty]
cmd = "{python} -u -c 'import time; [(print(n), time.sleep(0.05)) for n in range(999)]'"
stdout_stream = { class = "FileStream", filename = "{folder}/chatty.log" }
"""
    with Stack(text) as stack:
        written = stack.folder / "chatty.log"
        until(lambda: written.exists() and "5\n" in written.read_text(), "the file")
        assert re.search(r"\d+ stdout: \d+\n", stack.ctl("tail", "chatty"))


def test_files_of_outputs_are_opened_anew_by_usr1(tmp_path: Path) -> None:
    text = """
[watcher.chatty]
cmd = "sh -c 'while :; do echo tick; sleep 0.1; done'"
stdout_stream = { class = "FileStream", filename = "{folder}/chatty.log" }
"""
    with Stack(text) as stack:
        written, moved = stack.folder / "chatty.log", stack.folder / "chatty.log.1"
        until(lambda: written.exists() and written.read_bytes(), "the first lines")
        written.rename(moved)
        stack.send(signal.SIGUSR1)
        until(lambda: written.exists() and written.read_bytes(), "lines in the new file")


def test_the_daemons_own_log_can_go_to_syslog_or_where_a_file_says(tmp_path: Path) -> None:
    text = """
[circus]
endpoint = ipc://{folder}/ctl
pubsub_endpoint = ipc://{folder}/events
"""
    watcher = "[watcher:sleeper]\ncmd = sleep 1000\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(20)
        place = f"logoutput = syslog://127.0.0.1:{syslog.getsockname()[1]}?local3\nloggerconfig = default\n"
        stack = Stack(text + place + watcher, "stack.ini")
        with running(stack):
            lines = b""
            while b"sleeper: started" not in lines:
                lines += syslog.recv(4000) + b"\n"
            assert re.search(rb"<158>bigtop\[%d\]: \[INFO\] sleeper: started" % stack.pid, lines)
    file = tmp_path / "logging.ini"
    file.write_text(
        "[loggers]\nkeys=root,circus\n[handlers]\nkeys=file\n[formatters]\nkeys=short\n"
        "[logger_root]\nlevel=INFO\nhandlers=\n[logger_circus]\nlevel=INFO\nhandlers=file\nqualname=circus\n"
        f"[handler_file]\nclass=FileHandler\nargs=('{tmp_path}/own.log',)\nformatter=short\n"
        "[formatter_short]\nformat=OWN %(message)s\n"
    )
    own = tmp_path / "own.log"
    with running(Stack(f"{text}loggerconfig = {file}\n{watcher}", "stack.ini")):
        until(lambda: own.exists() and "OWN sleeper: started" in own.read_text(), "the line")
    own.unlink()
    stack = Stack(text + watcher, "stack.ini")
    stack.command += ["--logger-config", str(file)]
    with running(stack):
        until(lambda: own.exists() and "OWN sleeper: started" in own.read_text(), "the line")


@contextlib.contextmanager
def running(stack: Stack) -> Iterator[None]:
    """Let one run that does not say what Stack waits for."""
    stack.start()
    try:
        yield
        stack.stop()
    finally:
        stack._end()


def test_output_is_followed_as_it_comes() -> None:
    text = """
[watcher.chatty]
cmd = "sh -c 'while :; do echo tick; sleep 0.02; done'"
stdout_stream = { class = "FileStream", filename = "{folder}/chatty.log" }
"""
    with Stack(text) as stack:
        stack.wait_for("chatty: started")
        command = [sys.executable, "-m", "bigtop", "ctl", "tail", "--follow", "chatty"]
        with subprocess.Popen(
            command, cwd=ROOT, env=stack.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        ) as follower:
            assert follower.stdout is not None
            try:
                assert all("stdout: tick" in follower.stdout.readline() for _ in range(20))
            finally:
                follower.kill()


def test_over_tcp_a_key_says_who_may_what(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    port = free_port()
    text = f"""
[bigtop]
endpoint = "tcp://127.0.0.1:{port}"
server_key = "{tmp_path}/server.key_secret"
client_keys = "{keys}"
"""
    nobody = Stack(SLEEPERS)
    nobody.ctl("keygen", "server", "--folder", str(tmp_path))
    nobody.ctl("keygen", "ann", "--role", "view", "--folder", str(tmp_path))
    (tmp_path / "ann.key").rename(keys / "ann.key")
    with Stack(text + SLEEPERS) as stack:
        address = ("--endpoint", f"tcp://127.0.0.1:{port}")
        identity = ("--identity", f"{tmp_path}/ann.key_secret", "--server-key", f"{tmp_path}/server.key")
        stack.wait_for("sleeper: started")
        assert "active" in stack.ctl(*address, *identity, "status")
        assert "needs a key with the role operate" in stack.ctl(
            *address, *identity, "stop", "other", status=77
        )
        stack.ctl(*address, "--timeout", "1", "status", status=69)  # nobody without a key gets an answer


ACCEPTS = """
import socket, sys

listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
while True:
    listener.accept()
"""


def limits(pid: int) -> dict[str, tuple[str, str]]:
    """Return soft and hard limits as the kernel tells them of a process."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): (line[26:47].strip(), line[47:68].strip()) for line in lines}


def test_limits_are_set_under_processes_that_run() -> None:
    family = """
[watcher.family]
cmd = "sh -c 'sleep 1000 & echo up; wait'"
ready = "log:up"
"""
    with Stack(SLEEPERS + family) as stack:
        stack.wait_for("sleeper: started")
        stack.wait_for("family: started")
        before = stack.pids("sleeper")
        stack.ctl("set", "sleeper", "rlimit_nofile", "123", "rlimit_core", "0", "--waiting")
        stack.ctl("incr", "sleeper", "--waiting")
        pids = stack.pids("sleeper")
        assert len(pids) == 4
        assert set(before) < set(pids)
        for pid in pids:
            assert limits(pid)["Max open files"] == ("123", "123")
            assert limits(pid)["Max core file size"] == ("0", "0")
        # A process and what it started are one.
        (parent,) = stack.pids("family")
        stack.ctl("set", "family", "rlimit_nofile", "99", "--waiting")
        (child,) = psutil.Process(parent).children()
        assert [limits(pid)["Max open files"] for pid in (parent, child.pid)] == [("99", "99")] * 2
        # What cannot be set under a process takes a new one.
        stack.ctl("set", "family", "nice", "3", "rlimit_nofile", "98", "--waiting")
        (successor,) = stack.pids("family")
        assert successor != parent
        assert limits(successor)["Max open files"] == ("98", "98")


def test_a_socket_that_is_open_only_while_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "accepts.py").write_text(ACCEPTS)
    file = f"""
        [socket.web]
        path = "{{folder}}/web.sock"
        close_when_unused = true

        [watcher.server]
        cmd = "{{python}} {tmp_path}/accepts.py $(circus.sockets.web)"
        """
    with Stack(file) as stack:
        stack.wait_for("server: started")
        path = str(stack.folder / "web.sock")

        def answers() -> bool:
            with socket.socket(socket.AF_UNIX) as client:
                return client.connect_ex(path) == 0

        assert answers()
        stack.ctl("stop", "server", "--waiting")
        assert not answers()
        stack.ctl("start", "server", "--waiting")
        assert answers()


def test_each_process_can_have_a_queue_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "accepts.py").write_text(ACCEPTS)
    file = f"""
        [socket.web]
        host = "127.0.0.1"
        port = 0
        so_reuseport = true

        [watcher.server]
        cmd = "{{python}} {tmp_path}/accepts.py $(circus.sockets.web)"
        numprocesses = 3
        """
    with Stack(file) as stack:
        stack.wait_for("server: started")
        pids = stack.pids("server")
        port = stack.asked("listsockets")["sockets"][0]["port"]
        inodes = {inode for pid in pids for inode in listened_at(pid, port)}
        assert len(inodes) == 3
        assert not listened_at(stack.pid, port)
        # Nobody but these has a queue, so none fills unattended.
        for _ in range(30):
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: len(set(stack.pids("server")) - {pids[0]}) == 3, "the successor")
        until(lambda: all(listened_at(pid, port) for pid in stack.pids("server")), "its queue")
        stack.ctl("stop", "server", "--waiting")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def listened_at(pid: int, port: int) -> set[str]:
    """Return the sockets of a process that listen there, by inode."""
    held = set(descriptors(pid).values())
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    there = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    return held & there


def test_watchers_start_one_after_the_other() -> None:
    names = ("one", "two", "three")
    watchers = "".join(f'[watcher.{name}]\ncmd = "sleep 100"\n' for name in names)
    with Stack(f"[bigtop]\nwarmup_delay = 0.3\n{watchers}") as stack:
        for name in names:
            stack.wait_for(f"{name}: started")
        births = sorted(child.create_time() for child in stack.running("sleep", "100", count=3))
        assert births[1] - births[0] > 0.25
        assert births[2] - births[1] > 0.25


@pytest.mark.case("B17")
def test_commands_are_processes_and_have_no_requests() -> None:
    with Stack('[watcher.job]\ncmd = "sleep 1000"\n') as stack:
        stack.wait_for("job: started")
        os.kill(stack.pids("job")[0], signal.SIGKILL)
        stack.wait_for("job: process 1 died with signal 9; replaced at once")
        assert stack.stop() == 0
        assert "SIGTERM: stopping, each process has the time that it is given" in stack.log()
        assert "worker" not in stack.log()


@pytest.mark.case("B6")
def test_places_that_the_file_names_need_no_home() -> None:
    stack = Stack('[circus]\nendpoint = "ipc://{folder}/c.ctl"\n[watcher.job]\ncmd = "sleep 1000"\n')
    stack.env.update(RUNTIME_DIRECTORY="/proc/none", XDG_RUNTIME_DIR="/proc/none", HOME="/proc/none")
    with stack:
        assert (stack.folder / "c.events").exists()
        assert "job" in stack.ctl("--endpoint", f"{stack.folder}/c.ctl", "list")


@pytest.mark.case("E8")
def test_processes_that_fail_before_the_launcher_has_told_of_them() -> None:
    """Two tell of each: the process why it cannot be, and the launcher which one it is."""
    text = """
[watcher.bad]
cmd = "/no/such/program"
umask = "022"
numprocesses = 40
max_retry = 0
flapping.attempts = 0
"""
    with Stack(text) as stack:
        stack.wait_for("bad: stopped")
        assert stack.stop() == 0
        assert stack.log().count("/no/such/program: No such file or directory; it is not replaced") > 0
        assert "Exception in" not in stack.log()
