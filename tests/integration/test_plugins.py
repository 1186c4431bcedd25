# Plugins beside a real supervisor: what they hear and do, and that nobody notices what is wrong with them.

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator

import psutil
import pytest

from bigtop.control.client.client import Client, RefusedError
from tests.support.site import DEADLINE, until
from tests.support.stack import Stack
from tests.support.users import NOBODY, python_for_nobody

RELOADS = """
[circus]
reload_on_change = "scal*"
"""
TEXT = """
[env]
STATE_DIRECTORY = "{folder}/state"
[watcher.plain]
cmd = "sleep 1000"
[plugin.recorder]
use = "tests.apps.plugins.Recorder"
filename = "{folder}/heard"
"""
BAD = """
[plugin.crashes]
use = "tests.apps.plugins.Crashes"
flapping.retry_in = 0.1
flapping.max_delay = 0.1
[plugin.hangs]
use = "tests.apps.plugins.Hangs"
hang_timeout = 0.5
[plugin.floods]
use = "tests.apps.plugins.Floods"
[plugin.oversteps]
use = "tests.apps.plugins.Oversteps"
[watcher.scaled]
cmd = "{folder}/prog 1000"
[plugin.scale]
use = "autoscale"
watchers = "scaled"
min = 3
max = 3
[plugin.log]
use = "event_log"
filename = "{folder}/events"
events = "plain.spawn"
"""


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(TEXT) as running:
        yield running


def heard(stack: Stack) -> list[str]:
    path = stack.folder / "heard"
    return path.read_text().splitlines() if path.exists() else []


def until_it_hears(stack: Stack, pid: int | None = None) -> None:
    """Have things happen until one of them is heard: a subscription takes its time."""
    before = len(heard(stack))

    def hears() -> bool:
        stack.call("restart", name="plain", waiting=True)
        return any(line.startswith("plain.spawn") for line in heard(stack)[before:])

    until(hears, "an event")


def test_a_plugin_hears_remembers_and_ends(stack: Stack) -> None:
    until(lambda: heard(stack), "its start")
    assert heard(stack)[0] == "start 1 x1 of plain,plugin:recorder"
    until_it_hears(stack)
    (pid,) = stack.pids("plain")
    until(lambda: f"plain.spawn {pid}" in heard(stack), "the last spawn")
    assert not any("recorder" in line for line in heard(stack)[1:])

    stack.call("restart", name="plugin:recorder", waiting=True)
    until(lambda: any(line.startswith("start 2 ") for line in heard(stack)), "its second start")
    assert "stop" in heard(stack)
    until_it_hears(stack)

    os.kill(stack.pids("plugin:recorder")[0], signal.SIGKILL)
    until(lambda: any(line.startswith("start 3 ") for line in heard(stack)), "its third start")
    (state,) = (stack.folder / "state" / "plugins" / "stack").iterdir()
    assert (state.name, state.read_text()) == ("plugin_recorder.json", '{"starts": 3}')

    stack.write(TEXT + 'state_file = "{folder}/own"\n')
    stack.ctl("reloadconfig", "--waiting")
    until(lambda: (stack.folder / "own").exists(), "its state elsewhere")


def test_a_changed_file_starts_changes_and_ends_plugins(stack: Stack) -> None:
    until(lambda: heard(stack), "its start")
    (plain,) = stack.pids("plain")
    sockets = list(stack.folder.rglob("*.plugin*"))
    assert len(sockets) == 2
    stack.write(TEXT.replace("[plugin.recorder]", "[plugin.recorder]\ntimes = 0"))
    assert "stack.toml:7: times: must be 1 or more, got '0'" in stack.ctl("reloadconfig", status=1)
    assert heard(stack) == ["start 1 x1 of plain,plugin:recorder"]

    stack.write(TEXT.replace("[plugin.recorder]", "[plugin.recorder]\ntimes = 2"))
    stack.ctl("reloadconfig", "--waiting")
    until(lambda: any(" x2 of" in line for line in heard(stack)), "the new one")
    until_it_hears(stack)

    stack.write(TEXT.partition("[plugin")[0])
    stack.ctl("reloadconfig", "--waiting")
    until(lambda: not any(path.exists() for path in sockets), "the end of its channel")
    stack.write(TEXT)
    stack.ctl("reloadconfig", "--waiting")
    until(lambda: " x1 of" in heard(stack)[-1], "a plugin of the old name")
    assert stack.pids("plain") != [plain]  # until_it_hears() restarted it


def test_what_a_key_may_is_what_its_section_or_its_class_says(stack: Stack) -> None:
    until(lambda: heard(stack), "its start")
    (path,) = stack.folder.rglob("*.plugin")
    with Client(f"ipc://{path}") as client:
        with pytest.raises(RefusedError, match="stop needs a key with the role operate"):
            client.call("stop", name="plain")
        assert client.call("list")["watchers"]
        stack.write(TEXT.replace("[plugin.recorder]", '[plugin.recorder]\nrole = "operate"'))
        stack.ctl("reloadconfig", "--waiting")
        client.call("restart", name="plain")
        with pytest.raises(RefusedError, match="quit needs a key with the role admin"):
            client.call("quit")


def test_nobody_notices_bad_ones() -> None:
    stack = Stack(RELOADS + TEXT + BAD)
    shutil.copy(str(shutil.which("sleep")), stack.folder / "prog")
    with stack:
        until(lambda: heard(stack), "the start of the good one")
        stack.wait_for("KeyError: 'of no use'", times=2)
        stack.wait_for("Timeout (0:00:00.5")
        stack.wait_for("stop needs a key with the role operate")
        stack.wait_for("floods")
        (plain,) = stack.pids("plain")
        until_it_hears(stack)
        assert stack.pids("plain") != [plain]
        assert stack.status("plain") == "active"
        assert len([line for line in heard(stack) if line.startswith("start")]) == 1
        until(lambda: len(stack.pids("scaled")) == 3, "as many processes as it wants")
        log = stack.folder / "events"
        until(lambda: stack.call("restart", name="plain", waiting=True) and log.exists(), "a line in the log")
        assert json.loads(log.read_text().splitlines()[0])["watcher"] == "plain"
        old, program = stack.pids("scaled"), stack.folder / "prog"

        def replaced() -> bool:
            changed = program.stat().st_mtime - 10  # each time another one
            os.utime(program, (changed, changed))
            return len(pids := stack.pids("scaled")) == 3 and not {*pids} & {*old}

        until(replaced, "a reload because the program was changed")
        # What is wrong shows where anybody would look.
        statuses = stack.call("status")["statuses"]
        assert statuses["plugin:recorder"] == "active"


PROGRAMS = """
[env]
STATE_DIRECTORY = "{folder}/state"
[watcher.plain]
cmd = "sleep 1000"
[plugin.good]
cmd = "sh tests/apps/plugin_program.sh"
args = ["{folder}/the good"]
events = "*.reap, plain.spawn"
[plugin.silent]
cmd = "sh"
args = ["-c", "while read -r line; do echo \\"$line\\" >> {folder}/silent; done"]
events = ["plain.spawn"]
ack_timeout = 0.2
ack_tries = 2
[plugin.babbles]
cmd = "sh"
args = ["-c", "while :; do echo nonsense; echo '[1]'; echo '{\\"ok\\": 99}'; echo '{\\"call\\": 3}'; done"]
[plugin.ends]
cmd = "sh -c 'exit 3'"
"""


def test_programs_hear_acknowledge_and_ask() -> None:
    with Stack(PROGRAMS) as stack:
        good, silent = stack.folder / "the good", stack.folder / "silent"
        until(lambda: good.exists() and good.read_text().count("\n") >= 3, "its replies")
        begin, *replies = good.read_text().splitlines()
        told = {reply["reply"]: reply for reply in map(json.loads, replies)}
        assert "plain" in told[1]["watchers"]
        assert told[2]["reason"] == "stop needs a key with the role operate"

        def hears() -> bool:
            stack.call("restart", name="plain", waiting=True)
            return all(path.exists() and '"event": "spawn"' in path.read_text() for path in (good, silent))

        until(hears, "an event in both")
        events = [json.loads(line) for line in good.read_text().splitlines() if line.startswith('{"seq"')]
        assert {event["event"] for event in events} <= {"reap", "spawn"}
        assert {event["watcher"] for event in events if event["event"] == "spawn"} == {"plain"}
        assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})

        stack.wait_for("was sent 2 times and is not acknowledged")
        first = json.loads(silent.read_text().splitlines()[0])
        until(
            lambda: [
                line
                for line in map(json.loads, silent.read_text().splitlines())
                if (line["pid"], line["seq"]) == (first["pid"], 1)
            ][2:],
            "the same event, sent to the next program",
        )
        stack.wait_for("plugin:babbles | ")
        stack.wait_for("not understood: nonsense")
        stack.wait_for("the program ended with status 3", times=2)
        assert good.read_text().count("begin") == 1
        assert stack.status("plain") == "active"

        stack.call("stop", name="plugin:good", waiting=True)
        assert not psutil.pid_exists(int(begin.split()[1]))


OF_CIRCUS = """
[watcher:plain]
cmd = sleep 1000
[plugin:events]
use = circus.plugins.statsd.StatsdEmitter
host = 127.0.0.1
port = {port}
[plugin:figures]
use = circus.plugins.statsd.FullStats
host = 127.0.0.1
port = {port}
loop_rate = 0.1
[plugin:idle]
use = circus.plugins.resource_watcher.ResourceWatcher
watcher = plain
min_cpu = 99
max_count = 5
loop_rate = 0.1
host = 127.0.0.1
port = {port}
[plugin:asleep]
use = circus.plugins.command_reloader.CommandReloader
active = no
"""


def test_plugins_of_circus_are_ours() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(DEADLINE)
        text = OF_CIRCUS.replace("{port}", str(statsd.getsockname()[1]))
        head = "[circus]\nendpoint = ipc://{folder}/c\npubsub_endpoint = ipc://{folder}/p\n"
        with Stack(head + text, "stack.ini") as stack:
            stack.wait_for("not active: waits to be stopped")
            (pid,) = stack.pids("plain")
            wanted = {
                *("circus.app.watcher.plain.reap:1|c", "circus.app.watcher._stats.plain.watchers_num:1|g"),
                *(
                    f"circus.app.watcher._resource_watcher.plain.{word}:1|c"
                    for word in ("under_cpu", "restarting")
                ),
            }
            until(lambda: wanted.discard(statsd.recv(1000).decode()) or not wanted, "all figures")
            until(lambda: stack.pids("plain") not in ([], [pid]), "another process")
            assert stack.status("plugin:asleep") == "active"


FOREIGN = """
[env]
STATE_DIRECTORY = "{folder}/state"
[watcher.plain]
cmd = "sleep 1000"
[watcher.scaled]
cmd = "sleep 1000"
[plugin.recorder]
use = "tests.apps.plugins.Recorder"
filename = "{folder}/heard"
uid = "nobody"
[plugin.scale]
use = "autoscale"
watchers = "scaled"
min = 3
max = 3
uid = "nobody"
[plugin.good]
cmd = "sh tests/apps/plugin_program.sh"
args = ["{folder}/program"]
uid = "nobody"
"""


@pytest.mark.skipif(python_for_nobody() is None, reason="needs root, and a Python that nobody can run")
def test_plugins_of_another_user_hear_and_act_as_that() -> None:
    """The folder of the supervisor's own socket is closed to them: their channels are elsewhere."""
    found = python_for_nobody()
    assert found is not None
    program, env = found
    stack = Stack(FOREIGN, env=env)
    stack.command[0] = program
    for folder in (stack.folder, stack.folder / "bigtop"):
        folder.mkdir(mode=0o700, exist_ok=True)
    stack.folder.chmod(0o755)
    (stack.folder / "state").mkdir()
    for path in (stack.folder, stack.folder / "state"):
        os.chown(path, NOBODY, NOBODY)
    with stack:
        until(lambda: heard(stack), "its start")
        until_it_hears(stack)
        until(lambda: len(stack.pids("scaled")) == 3, "as many processes as one of them wants")
        replies = stack.folder / "program"
        until(lambda: replies.exists() and replies.read_text().count("\n") >= 3, "replies to the program")
        assert "stop needs a key with the role operate" in replies.read_text()
        kept = stack.folder / "state/plugins/stack/plugin_recorder.json"
        assert {path.stat().st_uid for path in (replies, stack.folder / "heard", kept)} == {NOBODY}
        (pid,) = stack.pids("plugin:recorder")
        assert psutil.Process(pid).uids().effective == NOBODY
        stack.call("restart", name="plugin:recorder", waiting=True)
        until(lambda: any(line.startswith("start 2 ") for line in heard(stack)), "its second start")
        assert "stop" in heard(stack)
        assert "Traceback" not in stack.log()
