# What becomes of processes whose description changes: who stops before whom, and what a failure changes back.

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from bigtop.control.client.client import Client, Events
from tests.support.site import until
from tests.support.stack import Stack, free_port

# Takes its time to leave, and holds its port until then.
STUBBORN = """
import os, signal, socket, sys, time

def leave(*_):
    time.sleep(0.5)
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
while True:
    client = listener.accept()[0]
    client.sendall(os.environ["WHO"].encode())
    client.close()
"""
FILE = """
[watcher.NAME]
cmd = "{python} {folder}/stubborn.py PORT"
flapping.max_retry = 2

[env.NAME]
WHO = "VALUE"
"""


def file(port: int, value: str, name: str = "a") -> str:
    return FILE.replace("PORT", str(port)).replace("VALUE", value).replace("NAME", name)


def said(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(100).decode()
    except OSError:
        return ""


def call(stack: Stack, command: str, **properties: Any) -> dict[str, Any]:
    with Client(stack.endpoint, timeout=30.0) as client:
        return dict(client.call(command, **properties))


def pids(stack: Stack) -> list[int]:
    return sorted(call(stack, "list", name="a")["pids"])


def commands(stack: Stack) -> list[list[str]]:
    """Return what the processes of "a" run; a process has no words for a moment after it was executed."""
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid).cmdline() for pid in pids(stack)]
    return []


@pytest.mark.case("B4")
@pytest.mark.parametrize("how", ["reloadconfig", "set"])
def test_the_old_process_is_gone_before_one_of_another_description_comes(how: str) -> None:
    port = free_port()
    stack = Stack(file(port, "one"))
    (stack.folder / "stubborn.py").write_text(STUBBORN)
    with stack:
        until(lambda: said(port) == "one", "the first")
        if how == "reloadconfig":
            stack.write(file(port, "two"))
            call(stack, "reloadconfig", waiting=True)
        else:
            call(stack, "set", name="a", options={"env": {"WHO": "two"}}, waiting=True)
        until(lambda: said(port) == "two", "the second")
        assert "died" not in stack.log()


def several(cmd: str, extra: str = "") -> str:
    return f'[watcher.a]\ncmd = "{cmd}"\nnumprocesses = 3\ngraceful_timeout = 5\n{extra}\n'


@pytest.mark.case("B4")
def test_several_are_replaced_one_after_the_other() -> None:
    witness = '[watcher.b]\ncmd = "sleep 1000"\n'
    with Stack(several("sleep 1000") + witness) as stack:
        stack.wait_for("a: started")
        stack.wait_for("b: started")
        with (
            Client(stack.endpoint, timeout=30.0) as client,
            client.events("watcher.", timeout=30.0) as events,
        ):
            until(lambda: arrives(client, events), "a first event")
            stack.write(several("sleep 1001") + witness)
            client.call("reloadconfig")
            steps = []
            for event in events:
                if event.watcher == "a" and event.name in {"reap", "spawn", "reload"}:
                    steps.append(event.name)
                if steps[-1:] == ["reload"]:
                    break
        assert steps == ["reap", "spawn"] * 3 + ["reload"]
        assert len(pids(stack)) == 3


def arrives(client: Client, events: Events) -> bool:
    """Whether an event is heard of; a subscription needs a moment to get to the publisher."""
    client.call("set", name="b", options={"max_age": time.monotonic()})
    return bool(events.socket.poll(50))


# The second process says whether the first one is still there.
MEETING = """
import os, sys, time

if os.path.exists("first"):
    try:
        os.kill(int(open("first").read()), 0)
        answer = "met"
    except ProcessLookupError:
        answer = "alone"
    name = "second"
else:
    name, answer = "first", str(os.getpid())
with open(name + ".part", "w") as file:
    file.write(answer)
os.rename(name + ".part", name)
time.sleep(1000)
"""


@pytest.mark.case("B4")
@pytest.mark.parametrize(
    ("overlap", "word", "meet"),
    [("", "reload", True), ("overlap = false", "reload", False), ("overlap = true", "reloadconfig", True)],
)
def test_overlap_decides_for_both(overlap: str, word: str, meet: bool) -> None:
    # Who is to be met leaves when that was done; who is not, after more time than a meeting would take.
    leaves = "until test -e {folder}/second; do sleep 0.02; done" if meet else "sleep 1"
    text = f"""
[watcher.a]
cmd = "{{python}} {{folder}}/meeting.py 1000"
working_dir = "{{folder}}"
graceful_timeout = 60
stop_command = "{leaves}; kill $BIGTOP_PID"
{overlap}
"""
    stack = Stack(text)
    (stack.folder / "meeting.py").write_text(MEETING)
    with stack:
        until((stack.folder / "first").exists, "the first")
        if word == "reload":
            call(stack, "reload", name="a")
        else:
            stack.write(text.replace("1000", "1001"))
            call(stack, "reloadconfig")
        until((stack.folder / "second").exists, "the second")
        assert (stack.folder / "second").read_text() == ("met" if meet else "alone")


@pytest.mark.case("B4")
def test_overlap_can_be_seen_and_set() -> None:
    with Stack(several("sleep 1000")) as stack:
        stack.wait_for("a: started")
        before = pids(stack)
        assert call(stack, "options", name="a")["options"]["overlap"] == "auto"
        call(stack, "set", name="a", options={"overlap": "false"}, waiting=True)
        assert call(stack, "options", name="a")["options"]["overlap"] is False
        assert pids(stack) == before
        assert "+overlap = false" in call(stack, "save", dry_run=True)["diff"]


@pytest.mark.case("B4")
@pytest.mark.parametrize("broken", ["/no/such/program", "sh -c 'exit 4'", "sh -c 'sleep 0.2; exit 4'"])
@pytest.mark.parametrize(("retry", "count"), [("", 1), ("", 3), ("critical = true\nmax_retry = 0", 1)])
def test_a_change_that_fails_is_taken_back(broken: str, retry: str, count: int) -> None:
    text = several("sleep 1000", retry).replace("= 3", f"= {count}")
    with Stack(text) as stack:
        stack.wait_for("a: started")
        stack.write(text.replace("sleep 1000", broken))
        call(stack, "reloadconfig")
        stack.wait_for("what was described before counts again")
        until(lambda: len(pids(stack)) == count, "the old ones")
        until(lambda: call(stack, "status", name="a")["status"] == "active", "the watcher")
        assert call(stack, "options", name="a")["options"]["cmd"] == "sleep 1000"
        assert "gave up" not in stack.log()
        until(lambda: commands(stack) == [["sleep", "1000"]] * count, "the old command")
        # A file that is right counts again.
        stack.write(text.replace("sleep 1000", "sleep 1002"))
        call(stack, "reloadconfig", waiting=True)
        until(lambda: commands(stack) == [["sleep", "1002"]] * count, "the new")


@pytest.mark.case("B4")
def test_a_renamed_watcher_is_stopped_before_its_new_self_starts() -> None:
    port = free_port()
    stack = Stack(file(port, "one"))
    (stack.folder / "stubborn.py").write_text(STUBBORN)
    with stack:
        until(lambda: said(port) == "one", "the first")
        stack.write(file(port, "two", "b"))
        call(stack, "reloadconfig", waiting=True)
        assert call(stack, "status", name="b")["status"] == "active"
        until(lambda: said(port) == "two", "the second")
        assert "died" not in stack.log()
        assert call(stack, "list")["watchers"] == ["b"]
