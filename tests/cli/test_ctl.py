# `bigtop ctl`: words in, tables and exit statuses out.

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import pytest

from bigtop.cli.ctl import ctl_arguments, ctl_shell, ctl_show
from bigtop.cli.ctl.ctl_target import Target
from bigtop.cli.words import quoted, unfinished
from bigtop.control.commands import config_commands, parameters, process_commands, queries, table
from bigtop.control.commands.base import Command
from tests.support.controlled import WATCHERS, Controlled, run
from tests.support.site import DEADLINE, ROOT, until
from tests.support.stack import Stack

PATIENT = ["--timeout", "30"]  # completion gives up after a second


@pytest.fixture(scope="module")
def daemon() -> Iterator[Controlled]:
    with Controlled() as running:
        yield running


SESSION = [
    ("status", 0, r"WATCHER    STATUS\nWeb        active\nbroken     stopped\n(?s:.*)"),
    ("status web", 0, r"active\n"),
    ("status broken", 3, r"stopped\n"),
    ("status nope", 1, r"bigtop: program nope not found\n"),
    ("overview", 0, r"(?s:WATCHER +STATUS +READY .*\nWeb +active +1/1 .* ready .*\nbroken +stopped.*)"),
    ("list sleeper", 0, r"\d+\n\d+\n"),
    ("stats", 0, r"WATCHER  WID  PID .*\nWeb      1    \d+ +sleep(?s:.*)"),
    ("dstats", 0, r"PID +PROGRAM .*\n\d+ +bigtop(?s:.*)"),
    ("incr sleeper 2 --waiting", 0, r"4\n"),
    ("decr sleeper 2 --waiting", 0, r"2\n"),
    ("incr one", 0, r"a singleton: its number of processes stays\n"),
    # The step is told if the subscription was there before it: a new process of `sleep` takes milliseconds.
    ("reload web --waiting", 0, r"stopped \d+; started \d+\n(  web: every process is of generation 2\n)?"),
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
    ("requests", 0, r"WORKER .*ID\n"),
    ("requests --slow 1s --json", 0, r'{.*"requests": \[\], "id".*|{.*"requests": \[\].*}\n'),
    ("requests --slow soon", 2, r"(?s:.*)'slow': 'soon' isn't a number\n"),
    ("recent --lines 3", 0, r"ENDED .*ID\n"),
    ("stack nobody", 1, r"bigtop: nobody: neither a process of ours .*\n"),
    ("stack sleeper", 1, r"bigtop: sleeper has 2 processes: name one of sleeper/\d+, sleeper/\d+\n"),
    ("profile one/1", 1, r"bigtop: one is a command, which nothing of Bigtop's runs in; .*\n"),
    ("profile one/1 --seconds 0", 1, r"bigtop: seconds is between 1 and 600\n"),
    ("reloadconfig --dry-run", 0, r"replace Web\n"),
    ("version", 0, r"version +\S+\npython +\S+\npid +\d+\nupgrades +0\n"),
    ("set web numprocesses", 2, r"(?s:.*)the value for 'numprocesses' is missing\n"),
    ("incr sleeper -1", 2, r"(?s:.*)'-1' is negative; incr starts processes, decr ends some\n"),
    ("set sleeper priority -1", 0, r"ok\n"),
    ("tail sleeper", 0, r"\(sleeper has neither stdout_stream nor stderr_stream: .*\)\n"),
    ("rm", 2, r"(?s:.*)NAME is missing\n"),
    ("list a b", 2, r"(?s:.*)too much: b\n"),
    ("nope", 2, r"(?s:.*)No such command 'nope'.\n"),
]


@pytest.mark.case("B17")
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
    def is_too_late() -> bool:
        status, _, err = daemon.ctl("--timeout", "0.3", "stop", "slow", "--waiting")
        if status == 69:  # nobody was reached in that time
            return False
        assert (status, err) == (75, "bigtop: no reply within 0.3 s\n")
        return True

    until(is_too_late, "a reply that is too late")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process also where the test fails; nobody would wait for it otherwise."""
    try:
        yield
    finally:
        process.kill()


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
        line = ["bigtop", "ctl", "-e", daemon.endpoint, *PATIENT, *words]
        environ = {"_BIGTOP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line)}
        _, out, err = run("-m", "bigtop", COMP_CWORD=str(len(line) - 1), **environ)
        assert not err
        return [one.removeprefix("plain,") for one in out.splitlines()]

    assert completed("st") == ["status", "stats", "stack", "start", "stop"]
    assert completed("stack", "on") == ["one/1"]
    assert completed("stop", "sl") == ["sleeper", "slow"]
    assert completed("kill", "sleeper", "")[0].isdigit()
    assert "graceful_timeout" in completed("get", "web", "gr")


def test_completion_waits_as_long_as_it_is_told(daemon: Controlled) -> None:
    target = Target((daemon.endpoint,), timeout=0.1)

    def is_quick() -> bool:
        began = time.monotonic()
        assert target.words("list") == []
        return time.monotonic() - began < 0.9

    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        until(is_quick, "an end before the second that it has otherwise")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


def test_bash_completes(daemon: Controlled) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    line = ["bigtop", "ctl", "-e", daemon.endpoint, *PATIENT, "stop", "sl"]
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


@pytest.mark.case("B15")
@pytest.mark.parametrize(
    ("begun", "completed"),
    [("tw", r"two\ words"), (r"two\ w", r"two\ words"), ('"two w', "two words"), ("'tw", "two words")],
)
def test_bash_completes_names_that_need_quotes(daemon: Controlled, begun: str, completed: str) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    words = ["bigtop", "ctl", "-e", daemon.endpoint, *PATIENT, "stop", begun]
    script = (
        'eval "$(_BIGTOP_COMPLETE=bash_source bigtop)"\n'
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}\n"
        "_bigtop_completion bigtop x stop\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.stdout, done.stderr) == (f"{completed}\n", "")


NAMES = ["two words", "a\tb", "it's", 'a"b', "back\\slash", "$HOME", 'a\'b "c"', "*", "plain"]


@pytest.mark.case("B15")
@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("name", NAMES)
def test_what_completion_writes_is_read_as_the_name(name: str, quote: str) -> None:
    line = f"stop {quote}{quoted(name, quote, 'shlex')}{quote}"
    assert shlex.split(line) == ["stop", name]
    assert unfinished(f"{line} ").words == ["stop", name]
    if bash := shutil.which("bash"):
        line = f"printf %s {quote}{quoted(name, quote, 'bash')}{quote}"
        assert subprocess.run([bash, "-c", line], capture_output=True, text=True).stdout == name


@pytest.mark.case("B15")
def test_what_may_follow_is_shown_as_it_is_to_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    ctl_shell._show_matches("status ", [r"status two\ words ", "status plain "], 18)
    assert "'two words'  plain\n" in capsys.readouterr().out


def test_fish_completes(daemon: Controlled) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("there is no fish")
    script = (
        "_BIGTOP_COMPLETE=fish_source bigtop | source\n"
        f"complete -C 'bigtop ctl -e {daemon.endpoint} {' '.join(PATIENT)} stop sl'\n"
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
    command = [sys.executable, "-m", "bigtop", "ctl", "-e", daemon.endpoint, *PATIENT]
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
        assert process.wait(DEADLINE) == 0
    os.close(main)
    text = seen.decode()
    assert "No such command 'nope'" in text
    assert "No closing quotation" in text
    assert re.search(r"bigtop> numwatchers \r\n7\r\n", text), text
    assert "numwatchers" in (tmp_path / "bigtop" / "ctl_history").read_text()


@pytest.mark.case("B15")
def test_the_shell_quotes_helps_and_asks_before_it_ends_everything(tmp_path: Path) -> None:
    main, other = pty.openpty()
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    with Controlled(grace=0.1) as own:
        command = [sys.executable, "-m", "bigtop", "ctl", "-e", own.endpoint, *PATIENT]
        with (
            subprocess.Popen(
                command, cwd=ROOT, stdin=other, stdout=other, stderr=other, env=environ
            ) as process,
            ended(process),
        ):
            os.close(other)
            seen = b""

            def say(line: bytes, prompt: bytes) -> str:
                """Write a line once the prompt is there; return what was said before that."""
                nonlocal seen
                while not seen.rstrip(b"\x1b[?2004h").rstrip().endswith(prompt):
                    seen += heard(4096)
                before, seen = seen.decode(), b""
                os.write(main, line)
                seen += heard(1)
                return before

            def heard(size: int) -> bytes:
                assert select.select([main], [], [], DEADLINE)[0], f"nothing more comes after {seen!r}"
                return os.read(main, size)

            say(b"status tw\t\n", b"bigtop>")
            assert r"status two\ words" in (said := say(b'status "two\t\n', b"bigtop>"))
            assert "stopped" in said
            assert 'status "two words"' in (said := say(b"help\n", b"bigtop>"))
            assert "stopped" in said
            assert "reloadconfig" in say(b"help incr\n", b"bigtop>")
            assert "--waiting" in say(b"? quit\n", b"bigtop>")
            assert "Stop everything" in say(b"?incr\n", b"bigtop>")
            assert "--waiting" in say(b"?\n", b"bigtop>")
            assert "? [COMMAND], exit." in say(b"help nope\n", b"bigtop>")
            assert "No such command 'nope'" in say(b"quit\n", b"bigtop>")
            say(b"n\n", b"[y/N]:")
            say(b"quit\n", b"bigtop>")
            assert own.process.poll() is None
            say(b"y\n", b"[y/N]:")
            assert own.process.wait(DEADLINE) == 0
            say(b"EOF\n", b"bigtop>")
            assert process.wait(DEADLINE) == 0
    os.close(main)


def script(running: Controlled | Stack, lines: bytes) -> bytes:
    """Have the shell read `lines` from a pipe; return what it says."""
    command = [sys.executable, "-m", "bigtop", "ctl", "-e", running.endpoint]
    done = subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"[y/N]" not in done.stdout
    return done.stdout


@pytest.mark.case("B15")
@pytest.mark.parametrize("lines", [b"exit\nquit\n", b"EOF\nquit\n", b"?quit\n"])
def test_who_leaves_the_shell_or_asks_for_help_ends_nothing(daemon: Controlled, lines: bytes) -> None:
    assert (b"Stop everything" in script(daemon, lines)) is (b"quit" in lines and b"\nquit" not in lines)
    assert daemon.process.poll() is None


@pytest.mark.case("B15")
def test_a_script_that_says_quit_means_it() -> None:
    with Stack('[watcher.job]\ncmd = "sleep 1000"\n') as own:
        script(own, b"quit\n")
        assert own.wait() == 0


# ---- without a daemon


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        (process_commands.Signal, ["web", "HUP"], {"name": "web", "signum": "HUP"}),
        (process_commands.Signal, ["web", "12", "HUP"], {"name": "web", "pid": "12", "signum": "HUP"}),
        (queries.List, [], {}),
        (queries.Get, ["web", "a", "b"], {"name": "web", "keys": ["a", "b"]}),
        (config_commands.Set, ["web", "a", "1", "b", "2"], {"name": "web", "options": {"a": "1", "b": "2"}}),
        (config_commands.Add, ["web", "sleep 5"], {"name": "web", "cmd": "sleep 5"}),
        (config_commands.Add, ["web", "echo", "a b"], {"name": "web", "cmd": "echo 'a b'"}),
        (queries.Listen, ["x"], {"topics": ["x"]}),
    ],
)
def test_each_word_gets_its_field(command: type[Command], words: list[str], expected: object) -> None:
    assert ctl_arguments.assign(parameters.of(command), words) == expected


def test_every_command_has_help() -> None:
    for command in table.COMMANDS:
        params = ctl_arguments.click_parameters(command, lambda ctx, what, words: [])
        shown = click.Command(command.word, params=params, help=command.__doc__)
        assert (command.__doc__ or "")[:20] in shown.get_help(click.Context(shown, info_name="x"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (66, "1m06s"), (3600, "1h00m"), (86400 * 3 + 3600 * 4, "3d4h"), ("N/A", "N/A")],
)
def test_spans_of_time(seconds: object, text: str) -> None:
    assert ctl_show.span(seconds) == text


def test_certificates_are_a_table() -> None:
    one = {
        "watcher": "site",
        "file": "/etc/site.pem",
        "names": ["a.example", "b.example"],
        "key": "EC",
        "issuer": "A CA",
        "days": 61,
        "next_try": None,
        "failures": 0,
        "error": "",
        "hints": [],
        "workers": [1, 3],
        "behind": [2],
        "problem": "/etc/site.pem: the key does not belong to the certificate",
    }
    head, row, problem = ctl_show.reply("certificates", {"certificates": [one], "time": 1.0}).splitlines()
    assert head.split() == [
        "WATCHER",
        "FILE",
        "NAMES",
        "KEY",
        "ISSUER",
        "DAYS",
        "NEXT",
        "TRY",
        "WORKERS",
        "BEHIND",
    ]
    assert row.split()[4:] == ["EC", "A", "CA", "61", "1", "3", "2"]
    assert problem == one["problem"]
    failed = {"failures": 2, "error": "nobody is there", "hints": ["a.example: no address"], "next_try": 9e4}
    got = {**one, **failed, "file": "auto:a.example", "days": None, "issuer": "", "key": "", "problem": ""}
    _, row, error, hint = ctl_show.reply("certificates", {"certificates": [got], "time": 1.0}).splitlines()
    assert "none yet  1970-01-0" in row
    assert error == "auto:a.example failed 2 times in a row: nobody is there"
    assert hint == "  a.example: no address"
    assert ctl_show.reply("certificates", {"certificates": []}) == "no certificates"
