# `bigtop ctl`: words in, tables and exit statuses out.

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from bigtop.cli import ctl_arguments, ctl_show
from bigtop.control import changing, commands, parameters, reading, steering
from bigtop.control.command import Command
from tests.support.controlled import WATCHERS, Controlled, run
from tests.support.site import DEADLINE, ROOT


@pytest.fixture(scope="module")
def daemon() -> Iterator[Controlled]:
    with Controlled() as running:
        yield running


SESSION = [
    ("status", 0, r"WATCHER    STATUS\nWeb        active\nbroken     stopped\n(?s:.*)"),
    ("status web", 0, r"active\n"),
    ("status broken", 3, r"stopped\n"),
    ("status nope", 1, r"bigtop: program nope not found\n"),
    ("list sleeper", 0, r"\d+\n\d+\n"),
    ("stats", 0, r"WATCHER  WID  PID .*\nWeb      1    \d+ +sleep(?s:.*)"),
    ("dstats", 0, r"PID +PROGRAM .*\n\d+ +bigtop(?s:.*)"),
    ("incr sleeper 2 --waiting", 0, r"4\n"),
    ("decr sleeper 2 --waiting", 0, r"2\n"),
    ("incr one", 0, r"a singleton: its number of processes stays\n"),
    ("reload web --waiting", 0, r"stopped \d+; started \d+\n"),
    ("start --match simple web --waiting", 0, r"kept \d+\n"),
    ("stop web --waiting", 0, r"ok\n"),
    ("start broken --waiting", 1, r"bigtop: broken: process 1 used up its retries; (?s:.*)"),
    ("set web numprocesses 2 graceful_timeout 5 --waiting", 0, r"ok\n"),
    ("get web graceful_timeout cmd", 0, r"graceful_timeout  5.0\ncmd               sleep 1000\n"),
    ("add --start --option numprocesses=2 foo sleep --help", 0, r"ok\n"),
    ("get foo cmd", 0, r"cmd  sleep --help\n"),
    ("rm foo --waiting", 0, r"ok\n"),
    ("signal sleeper CONT", 0, r"ok\n"),
    ("kill sleeper --graceful-timeout 3 --waiting", 0, r"ok\n"),
    ("kill sleeper --graceful_timeout soon", 2, r"(?s:.*)'graceful_timeout': 'soon' isn't a number\n"),
    ("listsockets", 0, r"FD +NAME +ADDRESS +BACKLOG\n\d+ +web +127.0.0.1:\d+ +2048\n"),
    ("tail chatty --lines 2", 0, r"(\S+ \d+ stdout: chat\n){2}"),
    ("requests", 0, r"WATCHER .*SINCE\n"),
    ("reloadconfig --dry-run", 0, r"replace Web\n"),
    ("version", 0, r"version  \S+\npython   \S+\npid      \d+\n"),
    ("set web numprocesses", 2, r"(?s:.*)the value for 'numprocesses' is missing\n"),
    ("rm", 2, r"(?s:.*)NAME is missing\n"),
    ("list a b", 2, r"(?s:.*)too much: b\n"),
    ("nope", 2, r"(?s:.*)No such command 'nope'.\n"),
]


def test_a_session(daemon: Controlled) -> None:
    for words, status, expected in SESSION:
        found, out, err = daemon.ctl(*words.split())
        assert found == status, (words, out, err)
        assert re.fullmatch(expected, out + err), (words, out, err)


def test_json_is_for_programs_and_several_endpoints_are_named(daemon: Controlled) -> None:
    status, out, _ = daemon.ctl("--json", "numwatchers")
    assert (status, json.loads(out)["numwatchers"]) == (0, WATCHERS)
    status, out, _ = daemon.ctl("--json", "status", "nope")
    assert (status, json.loads(out)["errno"]) == (1, 3)
    status, out, err = daemon.ctl("--endpoint", "ipc:///no/such.ctl", "numwatchers")
    assert (status, out) == (69, f"{daemon.endpoint}:\n{WATCHERS}\n")
    assert err.startswith("bigtop: ipc:///no/such.ctl: ")


def test_too_late_is_told_apart(daemon: Controlled) -> None:
    status, _, err = daemon.ctl("--timeout", "0.3", "stop", "slow", "--waiting")
    assert (status, err) == (75, "bigtop: no reply within 0.3 s\n")


def test_following_goes_on_until_it_is_interrupted(daemon: Controlled) -> None:
    for words, first in ((["tail", "-f", "chatty"], "chat"), (["listen", "output."], "output.chatty.: {")):
        command = [sys.executable, "-m", "bigtop", "ctl", "-e", daemon.endpoint, *words]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            line = process.stdout.readline()
            lines = [process.stdout.readline() for _ in range(25)]
            process.terminate()
        assert first in line
        assert "chat" in lines[-1]


def test_completion_knows_commands_watchers_and_pids(daemon: Controlled) -> None:
    def completed(*words: str) -> list[str]:
        line = ["bigtop", "ctl", "-e", daemon.endpoint, *words]
        environ = {"_BIGTOP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line)}
        _, out, err = run("-m", "bigtop", COMP_CWORD=str(len(line) - 1), **environ)
        assert not err
        return [one.removeprefix("plain,") for one in out.splitlines()]

    assert completed("st") == ["status", "stats", "start", "stop"]
    assert completed("stop", "sl") == ["sleeper", "slow"]
    assert completed("kill", "sleeper", "")[0].isdigit()
    assert "graceful_timeout" in completed("get", "web", "gr")


def test_bash_completes(daemon: Controlled) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    line = ["bigtop", "ctl", "-e", daemon.endpoint, "stop", "sl"]
    script = (
        'eval "$(_BIGTOP_COMPLETE=bash_source bigtop)"\n'
        "complete -p bigtop\n"
        f"COMP_WORDS=({shlex.join(line)}); COMP_CWORD={len(line) - 1}\n"
        f"_bigtop_completion bigtop sl stop\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    told, completed = done.stdout.splitlines()
    assert told.endswith("-F _bigtop_completion bigtop"), done
    assert completed.split() == ["sleeper", "slow"]


def test_fish_completes(daemon: Controlled) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("there is no fish")
    script = (
        "_BIGTOP_COMPLETE=fish_source bigtop | source\n"
        f"complete -C 'bigtop ctl -e {daemon.endpoint} stop sl'\n"
        f"complete -C 'bigtop ctl -e {daemon.endpoint} st'\n"
    )
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [fish, "--no-config", "-c", script],
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [
        *("sleeper", "slow", "start", "stats", "status", "stop"),
    ]


def test_zsh_understands_its_script() -> None:
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("there is no zsh")
    status, script, _ = run("-m", "bigtop", _BIGTOP_COMPLETE="zsh_source")
    assert (status, "#compdef bigtop" in script) == (0, True)
    done = subprocess.run([zsh, "-f", "-n"], input=script, capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, "")


def test_several_are_listened_to_at_once(daemon: Controlled) -> None:
    with Controlled() as other:
        words = ["ctl", "-e", daemon.endpoint, "-e", other.endpoint, "listen", "output."]
        command = [sys.executable, "-m", "bigtop", *words]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            seen: set[str] = set()
            while seen != {daemon.endpoint, other.endpoint}:
                where, _, what = process.stdout.readline().partition(" ")
                assert what.startswith("output.chatty.: {")
                seen.add(where.removesuffix(":"))
            process.terminate()


def test_the_shell_completes_and_survives_mistakes(daemon: Controlled, tmp_path: Path) -> None:
    main, other = pty.openpty()
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bigtop", "ctl", "-e", daemon.endpoint]
    with subprocess.Popen(command, cwd=ROOT, stdin=other, stdout=other, stderr=other, env=environ) as process:
        os.close(other)
        seen = b""
        for line in (b"nope\n", b"status 'x\n", b"numwat\t\n", b"exit\n"):
            while not seen.rstrip(b"\x1b[?2004h").endswith(b"bigtop> "):
                seen += os.read(main, 4096)
            os.write(main, line)
            seen += os.read(main, 1)
        with suppress(OSError):  # the other end is closed
            while True:
                seen += os.read(main, 4096)
        assert process.wait(10) == 0
    os.close(main)
    text = seen.decode()
    assert "No such command 'nope'" in text
    assert "No closing quotation" in text
    assert re.search(r"bigtop> numwatchers \r\n7\r\n", text), text
    assert "numwatchers" in (tmp_path / "bigtop" / "ctl_history").read_text()


# ---- without a daemon


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        (steering.Signal, ["web", "HUP"], {"name": "web", "signum": "HUP"}),
        (steering.Signal, ["web", "12", "HUP"], {"name": "web", "pid": "12", "signum": "HUP"}),
        (reading.List, [], {}),
        (reading.Get, ["web", "a", "b"], {"name": "web", "keys": ["a", "b"]}),
        (changing.Set, ["web", "a", "1", "b", "2"], {"name": "web", "options": {"a": "1", "b": "2"}}),
        (changing.Add, ["web", "sleep 5"], {"name": "web", "cmd": "sleep 5"}),
        (changing.Add, ["web", "echo", "a b"], {"name": "web", "cmd": "echo 'a b'"}),
        (reading.Listen, ["x"], {"topics": ["x"]}),
    ],
)
def test_each_word_gets_its_field(command: type[Command], words: list[str], expected: object) -> None:
    assert ctl_arguments.assign(parameters.of(command), words) == expected


def test_every_command_has_help() -> None:
    for command in commands.COMMANDS:
        params = ctl_arguments.click_parameters(command, lambda ctx, what, words: [])
        shown = click.Command(command.word, params=params, help=command.__doc__)
        assert (command.__doc__ or "")[:20] in shown.get_help(click.Context(shown, info_name="x"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (66, "1m06s"), (3600, "1h00m"), (86400 * 3 + 3600 * 4, "3d4h"), ("N/A", "N/A")],
)
def test_spans_of_time(seconds: object, text: str) -> None:
    assert ctl_show.span(seconds) == text
