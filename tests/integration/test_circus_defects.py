# What Circus does wrong, on real runs: each test here is one that circusd 0.19 fails.
#
# docs/reference/circus.md lists all defects with their tests; those that are elsewhere are named there.

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq

from bigtop.control.client.client import Client, RefusedError
from bigtop.plugins.circus.client import CallError, CircusClient, make_json
from bigtop.plugins.circus.consumer import CircusConsumer
from bigtop.plugins.orders import VARIABLE, Orders
from tests.plugins.test_circus_plugins import WITHOUT
from tests.support.site import DEADLINE, ROOT, until
from tests.support.stack import Stack, free_port

CIRCUS = """
[circus]
endpoint = tcp://127.0.0.1:0
pubsub_endpoint = tcp://127.0.0.1:0
check_delay = {check_delay}

[env]
PATH = $PATH
PYTHONPATH = $PYTHONPATH
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


def circus(text: str, check_delay: float = 5) -> str:
    return CIRCUS.replace("{check_delay}", str(check_delay)) + text


def client_of(stack: Stack) -> Client:
    return Client(stack.endpoint, timeout=30.0)


def pids_of(client: Client, name: str) -> list[int]:
    return sorted(client.call("list", name=name)["pids"])


def said_at(address: tuple[str, int]) -> int:
    with socket.create_connection(address, timeout=DEADLINE) as connection:
        return int(connection.recv(100))


# ---- the file, read again


def test_reloadconfig_does_what_changed_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    first, second = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    # Circus looks for the name of the socket in cmd alone.
    watchers = f"""
[watcher:talks]
cmd = {{python}} {tmp_path}/talks.py
args = $(circus.sockets.web)

[watcher:plain]
cmd = sleep 1000
"""
    bound = "[socket:web]\nhost = 127.0.0.1\nport = {}\n"
    with Stack(circus(bound.format(first[1]) + watchers), "stack.ini") as stack, client_of(stack) as client:
        stack.wait_for("talks: started")
        stack.wait_for("plain: started")
        talking, plain = pids_of(client, "talks"), pids_of(client, "plain")
        assert [said_at(first)] == talking

        # [circus] differs and there is a new watcher: Circus restarts what was there, and forgets the rest.
        more = watchers + "[watcher:new]\ncmd = sleep 500\n"
        stack.write(circus(bound.format(first[1]) + more, check_delay=1))
        assert client.call("reloadconfig", waiting=True)["steps"] == ["add new"]
        assert client.call("status", name="new")["status"] == "active"
        assert client.call("globaloptions", option="check_delay")["options"]["check_delay"] == 1
        assert client.call("reloadconfig", waiting=True)["steps"] == []
        assert (pids_of(client, "talks"), pids_of(client, "plain")) == (talking, plain)

        # A socket moves: Circus loses it, since its users hold it.
        stack.write(circus(bound.format(second[1]) + more, check_delay=1))
        steps = ["bind socket web anew", "replace talks"]
        assert client.call("reloadconfig", dry_run=True)["steps"] == steps
        assert [said_at(first)] == talking
        assert client.call("reloadconfig", waiting=True)["steps"] == steps
        assert said_at(second) not in talking
        with pytest.raises(ConnectionRefusedError):
            said_at(first)
        assert pids_of(client, "plain") == plain

        # One that cannot be bound changes nothing.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            stack.write(circus(bound.format(taken.getsockname()[1]) + watchers))
            with pytest.raises(RefusedError, match="it is held by"):
                client.call("reloadconfig", waiting=True)
        assert said_at(second) in pids_of(client, "talks")
        assert client.call("status", name="new")["status"] == "active"

        # Keys that come and go are noticed.
        for key in ("max_age = 1000\n", "umask = 022\n", ""):
            stack.write(
                circus(bound.format(second[1]) + more.replace("sleep 1000\n", f"sleep 1000\n{key}"), 1)
            )
            assert client.call("reloadconfig", waiting=True)["steps"] == ["replace plain"]
        assert client.call("reloadconfig", waiting=True)["steps"] == []

        # What only a new start heeds is told.
        elsewhere = circus(bound.format(second[1]) + more, 1).replace(
            "pubsub_endpoint = tcp://127.0.0.1:0", ""
        )
        stack.write(elsewhere)
        client.call("reloadconfig", waiting=True)
        assert "pubsub_endpoint: what changed there takes a new start" in stack.log()


def test_a_restart_of_everything_keeps_sockets_open() -> None:
    text = circus("[socket:web]\nhost = 127.0.0.1\nport = 0\n[watcher:plain]\ncmd = sleep 1000\n")
    with Stack(text, "stack.ini") as stack, client_of(stack) as client:
        stack.wait_for("plain: started")
        (listener,) = client.call("listsockets")["sockets"]
        waiting = socket.create_connection((listener["host"], listener["port"]), timeout=10)
        before = pids_of(client, "plain")
        client.call("restart", waiting=True)
        assert not set(before) & set(pids_of(client, "plain"))
        assert client.call("listsockets")["sockets"] == [listener]
        waiting.sendall(b"still there")  # it would have been reset
        waiting.close()


# ---- options that are set while it runs


def test_what_is_set_has_an_effect() -> None:
    text = circus("[watcher:plain]\ncmd = sleep 1000\n[watcher:env]\ncmd = sleep 1000\n")
    with Stack(text, "stack.ini") as stack, client_of(stack) as client:
        stack.wait_for("env: started")
        # circusctl itself fails at this one.
        client.call("set", name="env", options={"env": {"GREETING": "moin"}}, waiting=True)
        (pid,) = pids_of(client, "env")
        environ = Path(f"/proc/{pid}/environ")  # empty for a moment after the exec
        until(lambda: environ.read_bytes() == b"GREETING=moin\0", "its environment")
        client.call("set", name="plain", options={"respawn": False}, waiting=True)
        (pid,) = pids_of(client, "plain")
        os.kill(pid, signal.SIGKILL)
        until(lambda: client.call("status", name="plain")["status"] == "stopped", "the end")
        options = {"rlimit_nofile": 50, "graceful_timeout": 0.5, "close_child_stdout": True}
        client.call("add", name="new", cmd="sleep 9", options=options, start=True, waiting=True)
        (pid,) = pids_of(client, "new")
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE) == (50, 50)
        assert os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"


# ---- events


@pytest.fixture
def told() -> Iterator[tuple[Client, zmq.Socket[bytes]]]:
    text = circus(
        "[watcher:plain]\ncmd = sleep 1000\nnumprocesses = 2\n[watcher:bad]\ncmd = /no/such\nautostart = no\n"
    )
    with (
        Stack(text, "stack.ini") as stack,
        client_of(stack) as client,
        zmq.Context() as context,
        context.socket(zmq.SUB) as events,
    ):
        stack.wait_for("plain: started")
        events.setsockopt(zmq.SUBSCRIBE, b"")
        events.connect(client.call("globaloptions")["options"]["pubsub_endpoint"])

        def hears() -> bool:
            client.call("set", name="bad", options={"max_retry": 1, "max_age": time.monotonic()})
            return bool(events.poll(50))

        until(hears, "the first event")
        yield client, events


def await_event(events: zmq.Socket[bytes], topic: str) -> dict[str, object]:
    while events.poll(DEADLINE * 1000):
        name, payload = events.recv_multipart()
        if name.decode() == topic:
            return dict(json.loads(payload))
    raise AssertionError(f"no {topic}")


def test_every_death_and_every_failure_is_told(told: tuple[Client, zmq.Socket[bytes]]) -> None:
    client, events = told
    # Circus tells no reap of processes that went by decr, reload or max_age.
    before = set(pids_of(client, "plain"))
    client.call("decr", name="plain", waiting=True)
    reaped = await_event(events, "watcher.plain.reap")
    assert reaped["process_pid"] in before
    (left,) = pids_of(client, "plain")
    client.call("reload", name="plain", waiting=True)
    assert await_event(events, "watcher.plain.reap")["process_pid"] == left
    (left,) = pids_of(client, "plain")
    client.call("set", name="plain", options={"max_age": 0.1, "max_age_variance": 0}, waiting=True)
    assert await_event(events, "watcher.plain.reap")["process_pid"] == left
    client.call("set", name="plain", options={"max_age": 0}, waiting=True)
    # Nor what was set, nor what cannot be started.
    assert await_event(events, "watcher.plain.updated")["fields"] == ["lifetime"]
    client.cast("start", name="bad")
    assert "no such program" in str(await_event(events, "watcher.bad.spawn_failed")["reason"])
    assert "no such program" in str(await_event(events, "watcher.bad.gave_up")["reason"])
    client.cast("quit")
    await_event(events, "arbiter.stopping")


# ---- plugins


def test_circus_own_plugins_are_run(tmp_path: Path) -> None:
    """Where the port was left to the system, a plugin is told the real one; blanks in options are quoted."""
    text = circus(
        f"""
[watcher:plain]
cmd = sleep 1000
[plugin:reporter]
use = tests.apps.circus_plugin.Reporter
filename = {tmp_path}/what it heard
"""
    )
    heard = tmp_path / "what it heard"
    with Stack(text, "stack.ini") as stack, client_of(stack) as client:

        def lines() -> list[str]:
            return heard.read_text().splitlines() if heard.exists() else []

        until(lambda: "watchers plain,plugin:reporter" in lines(), "the plugin's answer")

        def hears() -> bool:
            client.call("restart", name="plain", waiting=True)
            return "plain spawn" in lines()

        until(hears, "an event")
        assert "[plugin:" not in str(client.call("save", dry_run=True)["diff"])

        # The same one runs where Circus is not installed.
        places = client.call("globaloptions")["options"]
        without = tmp_path / "without Circus"
        orders = Orders("plugin:x", "tests.apps.circus_plugin.Reporter", config={"filename": str(without)})
        code = f"{WITHOUT}\nfrom bigtop.plugins import host; sys.exit(host.main())"
        words = [sys.executable, "-c", code, places["endpoint"], places["pubsub_endpoint"]]
        with subprocess.Popen(words, env={**os.environ, VARIABLE: orders.encode()}, cwd=ROOT) as host:
            try:
                heard = without
                until(lambda: "watchers plain,plugin:reporter" in lines(), "the answer without Circus")
                until(hears, "an event without Circus")
                host.terminate()
                assert host.wait(DEADLINE) == 0
            finally:
                host.kill()

        # So do clients that such plugins bring.
        asking = CircusClient(endpoint=places["endpoint"], timeout=DEADLINE)
        assert asking.send_message("list")["watchers"] == ["plain", "plugin:reporter"]
        assert asking.call(make_json("numprocesses", name="plain"))["numprocesses"] == 1
        asking.stop()
        with CircusConsumer(["watcher.plain."], endpoint=places["pubsub_endpoint"]) as consumer:
            until(
                lambda: (
                    client.call("restart", name="plain", waiting=True) and consumer.pubsub_socket.poll(10)
                ),
                "an event",
            )
            assert next(iter(consumer))[0].startswith(b"watcher.plain.")
        away = CircusClient(endpoint=f"ipc://{tmp_path}/nobody", timeout=0.01)
        with pytest.raises(CallError):
            away.send_message("list")
        away.stop()


def test_flapping_stops_what_flaps_and_nothing_else() -> None:
    """Circus' plugin announces a stop for ever: its command is lost. It would stop siblings as well."""
    text = circus(
        """
[plugin:flapping]
use = circus.plugins.flapping.Flapping
attempts = 2
window = 5
retry_in = 0.1
max_retry = 1

[watcher:fails]
cmd = false

[watcher:half]
cmd = sh -c 'test $1 != 1 && exec sleep 1000' half $(circus.wid)
numprocesses = 2
""",
        check_delay=1,
    )
    with Stack(text, "stack.ini") as stack, client_of(stack) as client:
        stack.wait_for("fails: gave up")
        until(lambda: client.call("status", name="fails")["status"] == "stopped", "the stop")
        stack.wait_for("it is not replaced", times=2)
        (healthy,) = pids_of(client, "half")
        assert client.call("status", name="half")["status"] in ("active", "starting")
        assert psutil.pid_exists(healthy)


# ---- commands and signals that come while it is busy


def test_nothing_is_lost_while_a_stop_takes_its_time() -> None:
    text = circus(
        """
[watcher:slow]
cmd = sleep 1000
stop_signal = CONT
graceful_timeout = 60
[watcher:plain]
cmd = sleep 1000
[watcher:other]
cmd = sleep 1000
"""
    )
    with Stack(text, "stack.ini") as stack, client_of(stack) as client:
        stack.wait_for("slow: started")
        stack.wait_for("plain: started")
        client.call("restart", name="slow")
        until(lambda: client.call("status", name="slow")["status"] == "stopping", "the stop")
        client.cast("stop", name="plain")
        until(lambda: client.call("status", name="plain")["status"] == "stopped", "the cast")
        (pid,) = pids_of(client, "other")
        stack.send(signal.SIGHUP)
        until(lambda: pids_of(client, "other") not in ([], [pid]), "the reload")
        assert client.call("status", name="slow")["status"] == "stopping"
        assert "Traceback" not in stack.log()
        stack.send(signal.SIGTERM)
        stack.wait_for("SIGTERM: stopping")
        (slow,) = pids_of(client, "slow")
        os.kill(slow, signal.SIGKILL)
        assert stack.wait() == 0


def test_on_demand_starts_at_the_first_connection(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    text = circus(
        f"""
[socket:web]
host = 127.0.0.1
port = 0
[watcher:talks]
cmd = {{python}} {tmp_path}/talks.py $(circus.sockets.web)
on_demand = yes
""",
        check_delay=1000,  # between two looks of Circus: by then the client has given up
    )
    with Stack(text, "stack.ini") as stack, client_of(stack) as client:
        (listener,) = client.call("listsockets")["sockets"]
        assert client.call("status", name="talks")["status"] == "stopped"
        pid = said_at((listener["host"], listener["port"]))
        assert pids_of(client, "talks") == [pid]
