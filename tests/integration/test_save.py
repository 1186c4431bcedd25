# `bigtop ctl save`: what was changed while everything ran is in the file afterwards, and nothing else is.

from __future__ import annotations

import os
import stat

import pytest

from tests.support.stack import Stack

TOML = """\
# All that the shop needs.
[bigtop]
include = "more.toml"

[watcher.job]
cmd = "sleep 1000"  # for long
numprocesses = 2

[watcher.old]
cmd = "sleep 3000"
"""
MORE = """\
[watcher.other]
cmd = "sleep 2000"
rlimits = { nofile = 1024 }  # few
"""
INI = """\
; All that the shop needs.
[circus]
endpoint = ipc://{folder}/save.ctl
pubsub_endpoint = ipc://{folder}/save.events
include = more.ini

[watcher:job]
cmd = sleep 1000 ; for long
numprocesses = 2

[watcher:old]
cmd = sleep 3000
"""
MORE_INI = """\
[watcher:other]
cmd = sleep 2000
# few
rlimit_nofile = 1024
"""


def changed(stack: Stack, *endpoint: str) -> None:
    stack.ctl(*endpoint, "incr", "job", "--waiting")
    stack.ctl(*endpoint, "set", "job", "graceful_timeout", "2.5", "stop_signal", "INT", "--waiting")
    stack.ctl(*endpoint, "set", "other", "rlimit_nofile", "2048", "stdout_stream.filename", "/dev/null")
    stack.ctl(*endpoint, "rm", "old", "--waiting")
    stack.ctl(*endpoint, "add", "--option", "numprocesses=2", "--start", "new", "sleep", "77")


@pytest.mark.parametrize(("name", "text", "more"), [("save.toml", TOML, MORE), ("save.ini", INI, MORE_INI)])
def test_what_was_changed_is_written_back(name: str, text: str, more: str) -> None:
    stack = Stack(text, name)
    further = stack.folder / f"more{stack.file.suffix}"
    further.write_text(more)
    os.chmod(stack.file, 0o640)
    with stack:
        at = ("--endpoint", f"{stack.folder}/save.ctl") if name.endswith(".ini") else ()
        before = (stack.file.read_text(), further.read_text())
        changed(stack, *at)
        stack.ctl(*at, "status")
        difference = stack.ctl(*at, "save", "--dry-run")
        assert (stack.file.read_text(), further.read_text()) == before
        assert stack.ctl(*at, "save") == difference
        saved, saved_further = stack.file.read_text(), further.read_text()
        for line in set(before[0].splitlines()) - set(saved.splitlines()):
            assert f"-{line}\n" in difference
        assert "All that the shop needs." in saved
        assert "numprocesses = 3" in saved
        assert "for long" in saved
        assert "3000" not in saved
        assert "few" in saved_further
        assert "2048" in saved_further
        assert stat.S_IMODE(stack.file.stat().st_mode) == 0o640
        assert not [one for one in os.listdir(stack.folder) if one.startswith(f".{name}")]  # no drafts
        # What the files say now is what runs: a reload has nothing to do.
        assert stack.ctl(*at, "reloadconfig", "--dry-run") == "ok\n"
        assert "nothing has changed" in stack.ctl(*at, "save")
        pids = stack.asked(*at, "list", "new")["pids"]
        stack.ctl(*at, "reloadconfig", "--waiting")
        assert stack.asked(*at, "list", "new")["pids"] == pids
        assert stack.stop() == 0


def test_a_file_that_was_edited_meanwhile_is_left_alone() -> None:
    with Stack('[watcher.job]\ncmd = "sleep 1000"\n') as stack:
        stack.wait_for("job: started")
        stack.ctl("incr", "job", "--waiting")
        edited = '[watcher.job]\ncmd = "sleep 1000"\n\n[watcher.mine]\ncmd = "sleep 5"\n'
        stack.write(edited)
        assert "reloadconfig first" in stack.ctl("save", status=1)
        stack.write("broken =")
        assert "stack.toml:1: is not TOML" in stack.ctl("save", status=1)
        assert stack.file.read_text() == "broken ="


def test_what_a_file_cannot_say_is_not_written() -> None:
    text = '[env]\nPATH = "$PATH"\n\n[watcher.job]\ncmd = "sleep 1000"\n\n[watcher.two]\ncmd = "sleep 1"\n'
    with Stack(text) as stack:
        stack.wait_for("job: started")
        stack.ctl("set", "job", "env", "ONLY=this", "--waiting")  # PATH is gone, but [env] is for all
        stack.ctl("incr", "two")
        assert "nothing is written: a file cannot say all that was changed of job" in stack.ctl(
            "save", status=1
        )
        assert stack.file.read_text() == text


def test_apps_and_variables() -> None:
    text = (
        '[app.site]\napp = "tests.apps.wsgi_basic:app"\nbind = ["127.0.0.1:0"]\nworkers = 1  # one\n\n'
        '[watcher.job]\ncmd = "sleep 1000"\n\n[env.job]\nA = "1"\nB = "2"\n'
    )
    with Stack(text) as stack:
        stack.wait_for("site: started")
        stack.ctl("incr", "site", "--waiting")
        stack.ctl("set", "job", "env", "A=3,C=4", "--waiting")
        pids = stack.pids("site")
        stack.ctl("save")
        assert stack.file.read_text() == text.replace("workers = 1", "workers = 2").replace(
            'A = "1"\nB = "2"\n', 'A = "3"\nC = "4"\n'
        )
        stack.ctl("reloadconfig", "--waiting")
        assert stack.pids("site") == pids
