# Outputs of programs below a real `bigtop run`: slow readers, lines without an end, names in front.

from __future__ import annotations

import os
import pty
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.site import ROOT, Site, until
from tests.support.stack import Stack


@pytest.mark.case("B3")
def test_a_pipe_that_nobody_reads_hinders_nobody_and_is_told_at_the_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    text = f"""
[watcher.flood]
cmd = "while :; do echo {"x" * 1000}; done"
shell = true
stdout_stream = {{ class = "FileStream", filename = "{tmp_path}/fifo" }}

[watcher.web]
cmd = "while :; do echo tick; sleep 0.05; done"
shell = true
stdout_stream = {{ class = "FileStream", filename = "{tmp_path}/web.log" }}
"""
    with Stack(text) as stack:
        stack.wait_for("flood: ", times=2)  # started, and that lines are dropped
        stack.wait_for("lines were dropped: they came faster than they could be written")
        log = tmp_path / "web.log"
        until(log.exists, "lines of the other one")
        before = log.read_text().count("tick")
        until(lambda: log.read_text().count("tick") > before + 3, "further lines of the other one")
        assert stack.stop() == 0
        assert "lines are lost: nobody took them before the end" in stack.log()


@pytest.mark.case("B12")
def test_a_worker_of_an_application_says_what_has_no_end(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import sys\nprint(end='\\rimporting 1%', file=sys.stderr, flush=True)\n"
        "def app(environ, start_response):\n"
        "    print('x' * 500_000, file=sys.stderr, flush=True)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    with Site("slow:app", "--pythonpath", str(tmp_path)) as site:
        site.wait_for("importing 1%")
        assert site.get() == "ok"
        site.wait_for("x" * 500_000 + "\n")


class OnTerminal(Stack):
    """`bigtop run` with a terminal as its standard output and error; what it shows is its log."""

    def start(self) -> None:
        self.log_path.touch()
        ours, its = pty.openpty()
        self.process = subprocess.Popen(
            self.command,
            env={"TERM": "xterm", **self.env},
            cwd=ROOT,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
        self.pid = self.process.pid
        os.close(its)
        threading.Thread(target=self._copy, args=(ours,), daemon=True).start()

    def _copy(self, ours: int) -> None:
        with open(self.log_path, "wb", buffering=0) as log, suppress(OSError):  # EIO: it has ended
            while data := os.read(ours, 65536):
                log.write(data)
        os.close(ours)


TWO = '''
[circus]
output_prefix = %s
[watcher.web]
cmd = "echo out; echo err >&2; test -t 1 && echo on a terminal; exec sleep 100"
shell = true
[watcher.mail]
cmd = """
hold() { while ! test -e {folder}/$1; do sleep 0.05; done; }
echo sent; hold half; printf half; hold done; echo ' done'; test -t 1 && echo at the screen; exec sleep 100
"""
shell = true
output_prefix = %s
'''


def finish_a_line(stack: Stack) -> None:
    """Have mail write half a line when nobody else writes any more, and the rest when that half is shown."""
    stack.wait_for("err\n")
    stack.wait_for("sent\n")
    (stack.folder / "half").touch()
    stack.wait_for("half")
    (stack.folder / "done").touch()
    stack.wait_for(" done\n")


@pytest.mark.case("F9")
def test_a_shared_output_has_names() -> None:
    with Stack(TWO % ("true", "true")) as stack:
        finish_a_line(stack)
        assert "mail | half done\n" in stack.log()
        lines = stack.log().splitlines()
        assert {"web | out", "web | err", "mail | sent"} <= set(lines)
        assert "\x1b" not in stack.log()
        assert "terminal" not in stack.log()
        assert "stdout: out\n" in stack.ctl("tail", "web")


@pytest.mark.case("F9")
@pytest.mark.parametrize(
    ("general", "own", "flags", "named"),
    [
        ("false", "true", [], set()),
        ("true", "false", [], {"web"}),
        ("true", "true", ["--no-output-prefix"], set()),
        ("false", "true", ["--output-prefix"], {"web", "mail"}),
    ],
)
def test_names_can_be_left_out(general: str, own: str, flags: list[str], named: set[str]) -> None:
    stack = OnTerminal(TWO % (general, own))
    stack.command += flags
    with stack:
        finish_a_line(stack)
        assert ("\x1b[0m" in stack.log()) == bool(named)
        assert {name for name in ("web", "mail") if f"{name} | \x1b[0m" in stack.log()} == named
        stack.wait_for("on a terminal" if "web" not in named else "\x1b[0merr")
        assert ("on a terminal" in stack.log()) == ("web" not in named)
        if "mail" not in named:
            stack.wait_for("at the screen")


@pytest.mark.case("F9")
def test_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with OnTerminal(TWO % ("true", "true")) as stack:
        stack.wait_for("web | out\n")
        assert "\x1b" not in stack.log()


def test_flags_outlive_a_reload() -> None:
    stack = Stack(TWO % ("true", "true"))
    stack.command += ["--no-output-prefix", "--log-level", "debug", "--log-time-zone", "utc"]
    with stack:
        stack.wait_for("sent")
        stack.ctl("reloadconfig")
        assert "takes a new start" not in stack.log()
        stack.write(
            (TWO % ("true", "true")).replace(
                "[circus]", '[circus]\nlog_time_zone = "local"\nloglevel = "error"'
            )
        )
        stack.ctl("reloadconfig")
        assert "takes a new start" not in stack.log()


@pytest.mark.case("F9")
def test_an_output_that_is_read_for_another_reason_keeps_its_lines() -> None:
    text = """
[watcher.quiet]
cmd = "echo it is ready; exec sleep 100"
shell = true
output_prefix = false
ready = "log:ready"
"""
    with Stack(text) as stack:
        stack.wait_for("quiet: started")
        stack.wait_for("\nit is ready\n")
