# What is said when serving begins: plain text, the box on a terminal, one entry in a JSON log.

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys

import pytest

from bigtop import build
from bigtop.cli.serve.summary import announce, describe, summary
from bigtop.config.serve.arguments import layer
from bigtop.config.serve.serve import configure, spec
from bigtop.launch.serve.summary_facts import SummaryFacts


def facts(**options: object) -> SummaryFacts:
    return SummaryFacts(
        spec=spec(configure("myproj.wsgi:app", {}, layer(options))),
        interface="wsgi",
        backend="wsgi",
        preload="yes",
        addresses=("http://127.0.0.1:8000", "unix:/run/x.sock"),
        pid=4711,
    )


def test_facts() -> None:
    assert describe(facts(workers=8)) == [
        ("application", "myproj.wsgi:app (WSGI)"),
        ("backend", "wsgi"),
        ("build", build.kind()),
        ("workers", "8 x 1 thread"),
        ("preloaded", "yes"),
        ("address", "http://127.0.0.1:8000"),
        ("address", "unix:/run/x.sock"),
        ("stop", "Ctrl-C, or kill -TERM 4711; kill -HUP 4711 reloads"),
    ]
    assert ("workers", "2 x 4 threads") in describe(facts(workers=2, threads=4))


def test_plain_lines_are_ascii() -> None:
    text = summary("myproj", describe(facts()))
    assert text.isascii()
    assert text.splitlines()[1] == "  application  myproj.wsgi:app (WSGI)"


def test_the_box_is_straight() -> None:
    text = summary("myproj", describe(facts()), columns=80)
    bare = re.sub(r"\x1b\[\d+m", "", text).splitlines()
    assert len({len(line) for line in bare}) == 1
    assert bare[0][0] + bare[0][-1] + bare[-1][0] + bare[-1][-1] == "╭╮╰╯"
    assert "\x1b[" in text
    assert summary("myproj", describe(facts()), columns=len(bare[0])) == text


def test_a_box_that_does_not_fit_is_not_drawn() -> None:
    rows = describe(facts())
    width = len(re.sub(r"\x1b\[\d+m", "", summary("myproj", rows, columns=200)).splitlines()[0])
    assert summary("myproj", rows, columns=width - 1) == summary("myproj", rows)


def test_a_json_log_gets_one_entry(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("bigtop"), "propagate", True)
    with caplog.at_level("INFO", "bigtop"):
        announce(facts(log_json=True))
    assert len(caplog.messages) == 1
    assert "address http://127.0.0.1:8000" in caplog.messages[0]
    assert capsys.readouterr() == ("", "")


def test_stderr_that_is_no_terminal_gets_plain_lines(capfd: pytest.CaptureFixture[str]) -> None:
    announce(facts())
    out, err = capfd.readouterr()
    assert out == ""
    assert err == summary("myproj", describe(facts())) + "\n"


@pytest.mark.parametrize(
    ("environ", "decorated"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
        ({"TERM": "xterm", "PYTHONIOENCODING": "ascii"}, False),
    ],
)
def test_a_terminal_gets_the_box_unless_somebody_objects(environ: dict[str, str], decorated: bool) -> None:
    program = "from tests.cli.test_summary import announce, facts; announce(facts())"
    terminal, child_side = pty.openpty()
    base = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}
    child = subprocess.Popen([sys.executable, "-c", program], stderr=child_side, env={**base, **environ})
    os.close(child_side)
    text = b""
    try:
        while data := os.read(terminal, 4096):
            text += data
    except OSError:  # EIO: Linux' end of file on a terminal
        pass
    os.close(terminal)
    assert child.wait() == 0
    assert ("╭".encode() in text) is decorated
    assert b"myproj.wsgi:app (WSGI)" in text
