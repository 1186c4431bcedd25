# Processes of Bigtop's own, which are watchers beside those of users.

from __future__ import annotations

import os
from pathlib import Path

from tests.support.site import until
from tests.support.stack import Stack

TEXT = """
[circus]
endpoint = "tcp://127.0.0.1:0"
[socket.web]
host = "127.0.0.1"
port = 0
[watcher.plain]
cmd = "sleep 1000"
"""


def test_a_helper_is_told_what_it_needs_and_commands_for_all_pass_it_over(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    stack = Stack(TEXT, env={"HEARD": str(heard)})
    stack.command[stack.command.index("bigtop")] = "tests.support.with_helper"
    with stack:
        until(heard.exists, "what the helper was told")
        endpoint, events, fd, colour = heard.read_text().split()
        stack.env["BIGTOP_CTL_ENDPOINT"] = endpoint
        assert endpoint.startswith("tcp://127.0.0.1:")
        assert events
        assert colour == "red"
        (pid,) = stack.pids("helper")
        assert os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")

        for words in (("stop",), ("stop", "*"), ("restart",), ("reload",)):
            stack.ctl(*words, "--waiting")
            assert stack.pids("helper") == [pid], words
        assert stack.status("plain") == "active"
        assert "helper" not in stack.asked("save", "--dry-run")["diff"]
        stack.ctl("reloadconfig", "--waiting")
        assert stack.pids("helper") == [pid]

        stack.ctl("restart", "helper", "--waiting")
        assert stack.pids("helper") != [pid]
        stack.ctl("stop", "helper", "--waiting")
        assert stack.status("helper") == "stopped"
