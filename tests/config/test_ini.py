# The INI dialect against Circus itself: the same text goes through both, sections and values must agree.
#
# Circus puts a pseudo key __name__ into each section; ours never has it.

from __future__ import annotations

import configparser
import logging
import os
import signal
from pathlib import Path
from typing import Any

import circus.config
import circus.util
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.config.file.daemon import load, resolve
from bigtop.config.file.text import ini
from bigtop.config.file.text.document import Problems
from bigtop.supervisor.policy.spec import Respawn, WatcherSpec

from .files import ENVIRON, command_of, loaded, mistakes, written

Sections = dict[str, dict[str, str]]


@pytest.fixture(autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Circus, which looks at os.environ, what ours is given as an argument."""
    monkeypatch.setattr(os, "environ", dict(ENVIRON))
    monkeypatch.setattr(logging.getLogger("circus"), "disabled", True)


def theirs(path: str) -> Sections:
    parser, _ = circus.config.read_config(path)
    return {
        section: {key: value for key, value in parser.items(section, noreplace=True) if key != "__name__"}
        for section in parser.sections()
    }


def ours(path: str, problems: Problems) -> Sections:
    document = ini.read(path, ENVIRON, problems)
    return {
        (f"{section.kind}:{section.name}" if section.name else section.kind): {
            key: entry.text for key, entry in section.entries.items()
        }
        for section in document.sections
    }


def agree(path: str) -> None:
    problems = Problems()
    mine = ours(path, problems)
    try:
        expected = theirs(path)
    except configparser.Error:
        assert problems.errors
    else:
        assert not problems.errors
        assert mine == {section: keys for section, keys in expected.items() if keys}


# ---- any text

HEADERS = (
    "[circus]",
    "[watcher:web]",
    "[watcher:Web 2]",
    "[env]",
    "[env:web,x*]",
    "[DEFAULT]",
    "[stray] tail",
    "[a]b]",
)
PIECES = (
    " ",
    "  ",
    "\t",
    ";",
    " ;",
    "#",
    " #",
    "=",
    ":",
    '""',
    "'",
    "%",
    "$(circus.env.home)",
    "a",
    "B=1",
    "é",
    "rem",
)
LINES = st.one_of(
    st.sampled_from(HEADERS),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["key", "Key", "KEY", "cmd", "a b", "hooks.x", "rem", "r em", ""]),
        st.sampled_from(["=", " = ", ":", " : ", "=  "]),
        st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    ),
    st.sampled_from(
        ["", "   ", "# comment", "; comment", "  # more", "  more ; of it", "rem this", "REM", "\tx"]
    ),
)


@given(lines=st.lists(LINES, max_size=12), end=st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=400)
def test_any_file_is_read_as_circus_reads_it(
    lines: list[str], end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ini"
    path.write_bytes((end.join(["[watcher:first]", *lines])).encode())
    agree(str(path))


@given(text=st.text(alphabet="[]=:;# \t\n\x0bab\"rem'", max_size=60))
@settings(max_examples=300)
def test_what_circus_refuses_is_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.ini"
    path.write_text(text)
    agree(str(path))


# ---- included files


@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")
def test_the_main_file_wins_and_then_the_first_included(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
        [circus]
        include = parts/b.ini parts/[ac].ini nothing*.ini
        include_dir = more
        [watcher:web]
        cmd = main
        """,
    )
    written(tmp_path, "[watcher:web]\ncmd = b\nargs = b\n[circus]\ninclude = never.ini\n", "parts/b.ini")
    written(tmp_path, "[watcher:web]\nargs = a\nuid = root\n", "parts/a.ini")
    written(tmp_path, "[watcher:other]\ncmd = x\n", "more/x.ini")
    written(tmp_path, "[watcher:never]\ncmd = x\n", "never.ini")
    agree(path)
    problems = Problems()
    assert ours(path, problems)["watcher:web"] == {"cmd": "main", "args": "b", "uid": "root"}
    shown = "\n".join(problems.shown_warnings()).replace(f"{tmp_path}/", "")
    assert "circus.ini:2: include: 'nothing*.ini' leads to no file" in shown
    assert "parts/b.ini:2: cmd: this second value is ignored, the first one at circus.ini:5 counts" in shown


def test_included_paths_may_hold_variables_of_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, "[circus]\ninclude = $(circus.env.mixed).ini\n[env]\nMixed = not this\n")
    written(tmp_path, "[watcher:x]\ncmd = x\n", "case.ini")
    agree(path)
    assert "watcher:x" in ours(path, Problems())


# ---- what the values mean

WATCHERS = {
    "plain": "[watcher:x]\ncmd = sleep 1\nargs = -a 'b c'\nnumprocesses = 2\nwarmup_delay = 3\n",
    "switches": """\
        [watcher:x]
        cmd = x
        shell = Yes
        send_hup = ON
        stop_children = 1
        use_sockets = true
        singleton = yes
        close_child_stdin = no
        close_child_stdout = on
        close_child_stderr = 1
        autostart = off
        respawn = 0
        """,
    "times": """\
        [watcher:x]
        cmd = x
        graceful_timeout = 2.5
        max_age = 10
        priority = -4
        stop_signal = SIGRTMIN+1
        """,
    "signal by number": "[watcher:x]\ncmd = x\nstop_signal = 3\n",
    "signal in lower case": "[watcher:x]\ncmd = x\nstop_signal = quit\n",
    "streams": """\
        [watcher:x]
        cmd = x
        stdout_stream.class = FileStream
        stdout_stream.filename = $(circus.env.home)/log
        stderr_stream.class = StdoutStream
        """,
    "limits": "[watcher:x]\ncmd = x\nrlimit_nofile = 500\nrlimit_core =\nrlimit_nproc = 0\n",
    "hooks": "[watcher:x]\ncmd = x\nhooks.before_start = os.kill\nhooks.after_spawn = os.getpid , yes\n",
    "free options": "[watcher:x]\ncmd = x\ncolour = green ; a comment\nresource_watcher.max_mem: 40\n",
    "environment": """\
        [env]
        A = 1
        HERE = $(circus.env.HOME)/x
        Mixed = other
        [env:x,y]
        B = $HOME/b
        [env:*]
        B = last
        C = $NOT_SET.
        [watcher:x]
        cmd = run $(circus.env.b) ((circus.env.A)) $(CIRCUS.ENV.HERE) $(circus.env.mixed) $(circus.env.nope)
        colour = $(circus.env.a)
        """,
    "copied environment": "[env:y]\nNO = 1\n[watcher:x]\ncmd = x\ncopy_env = yes\n[env:[wx]]\nCOUNT = 4\n",
    "late variables stay": """\
        [watcher:x]
        cmd = x $(circus.wid) $(circus.sockets.web) $WID
        [socket:web]
        port = 0
        """,
    "defaults": "[DEFAULT]\nnumprocesses = 4\n[watcher:x]\ncmd = x\n[watcher:y]\ncmd = y\nnumprocesses = 1\n",
    "several, sorted": "[watcher:c]\ncmd = c\n[watcher:A]\ncmd = a\n[watcher:b]\ncmd = b\n[watcher:empty]\n",
}


def as_circus_has_it(watcher: WatcherSpec) -> dict[str, Any]:
    """Return a spec in the words of circus.config.get_config()."""
    command = command_of(watcher)
    stdio = command.stdio

    def stream(given: Any) -> dict[str, str]:
        return {"class": given.kind, **dict(given.options)} if given else {}

    return {
        "name": watcher.name,
        "cmd": command.cmd,
        "args": command.args,
        "numprocesses": watcher.numprocesses,
        "warmup_delay": watcher.lifetime.warmup_delay,
        "shell": command.shell,
        "send_hup": watcher.send_hup,
        "stop_signal": watcher.stop.signal,
        "stop_children": watcher.stop.children,
        "graceful_timeout": watcher.stop.graceful_timeout,
        "rlimits": dict(command.context.rlimits),
        "stdout_stream": stream(stdio.stdout),
        "stderr_stream": stream(stdio.stderr),
        "priority": watcher.priority,
        "use_sockets": command.all_sockets,
        "singleton": watcher.singleton,
        "close_child_stdin": stdio.close_stdin,
        "close_child_stdout": stdio.close_stdout,
        "close_child_stderr": stdio.close_stderr,
        "hooks": {hook.name: [hook.target, hook.ignore_failure] for hook in watcher.hooks},
        "respawn": watcher.restart.respawn is Respawn.ALWAYS,
        "autostart": watcher.lifetime.autostart,
        "max_age": watcher.lifetime.max_age,
        "env": dict(command.context.env),
        **dict(watcher.options),
    }


def as_circus_says(watcher: dict[str, Any]) -> dict[str, Any]:
    """Return a watcher of get_config() without what has no effect, and with what its constructor adds."""
    constructed = {"close_child_stdin": True, "close_child_stdout": False, "close_child_stderr": False}
    watcher = {**constructed, **watcher, "env": circus.util.parse_env_dict(watcher["env"])}
    watcher["env"].pop("__name__", None)
    watcher["max_age"] = int(watcher.get("max_age", 0))
    watcher["stop_signal"] = int(watcher["stop_signal"] or signal.SIGTERM)
    for ignored in (
        "__name__",
        "executable",
        "working_dir",
        "uid",
        "gid",
        "max_retry",
        "copy_env",
        "copy_path",
    ):
        watcher.pop(ignored, None)
    if not watcher.pop("on_demand"):
        return watcher
    return {**watcher, "on_demand": True}


@pytest.mark.parametrize("text", WATCHERS.values(), ids=WATCHERS)
def test_watchers_are_what_circus_makes_of_them(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    expected = circus.config.get_config(path)["watchers"]
    found = resolve(path, os.environ).daemon.watchers  # pytest adds a variable of its own
    assert [as_circus_has_it(watcher) for watcher in found] == [
        as_circus_says(watcher) for watcher in expected
    ]


DAEMONS = {
    "nothing": "",
    "all": """\
        [circus]
        check_delay = 0.5
        endpoint = ipc:///run/x.sock
        endpoint_owner = root
        pubsub_endpoint = tcp://127.0.0.1:7000
        stats_endpoint = tcp://127.0.0.1:7001
        statsd = yes
        multicast_endpoint = udp://224.0.0.1:5000
        umask = 027
        warmup_delay = 3
        httpd = 1
        httpd_host = 0.0.0.0
        httpd_port = 9000
        debug = on
        debug_gc = on
        pidfile = /run/x.pid
        loglevel = debug
        logoutput = $(circus.env.home)/log
        loggerconfig = /etc/logging.ini
        fqdn_prefix = box
        """,
    "statistics without statsd": "[circus]\nstats_endpoint = tcp://127.0.0.1:7001\nlogoutput = -\n",
}


@pytest.mark.parametrize("text", DAEMONS.values(), ids=DAEMONS)
@pytest.mark.filterwarnings("ignore:You defined a stats_endpoint:DeprecationWarning")
def test_the_daemon_is_what_circus_makes_of_it(text: str, tmp_path: Path) -> None:
    expected = circus.config.get_config(written(tmp_path, text))
    unsaid = {"loglevel": "info", "logoutput": "-", "fqdn_prefix": ""}
    found = loaded(tmp_path, text)
    for name, value in expected.items():
        if name not in ("watchers", "plugins", "sockets", "httpd", "httpd_host", "httpd_port"):
            here = found.stats is not None if name == "statsd" else getattr(found, name)
            assert here == (unsaid.get(name) if value is None else value), name


def test_sockets_are_what_circus_makes_of_them(tmp_path: Path) -> None:
    text = """\
        [socket:Web]
        host = 127.0.0.1
        port = 9000
        backlog = 10
        so_reuseport = yes
        [socket:six]
        family = af_inet6
        host = ::1
        [socket:file]
        path = /run/x.sock
        replace = yes
        [socket:udp]
        type = sock_dgram
        blocking = 1
        """
    by_name = {spec.name: spec for spec in loaded(tmp_path, text).sockets}
    expected = circus.config.get_config(written(tmp_path, text))["sockets"]
    assert list(by_name) == [spec["name"] for spec in expected]
    web, six, file, udp = (by_name[name] for name in ("web", "six", "file", "udp"))
    assert (web.host, web.port, web.backlog, web.reuse_port, web.family) == (
        "127.0.0.1",
        9000,
        10,
        True,
        "inet",
    )
    assert (six.host, six.port, six.family) == ("::1", 8080, "inet6")
    assert (file.path, file.replace, file.host) == ("/run/x.sock", True, "")
    assert (udp.kind, udp.host, udp.blocking) == ("dgram", "localhost", True)


# ---- mistakes


def test_lines_that_mean_nothing_are_all_named(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "[circus]\nwhat\numask = 8\n[watcher:x]\ncmd = x\nis this\n") == [
        "circus.ini:2: 'what' is neither [section] nor key = value",
        "circus.ini:3: umask: must be octal such as 022, got '8'",
        "circus.ini:6: 'is this' is neither [section] nor key = value",
    ]


def test_a_key_before_the_first_section(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "cmd = x\n") == ["circus.ini:1: 'cmd = x' stands before the first [section]"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "dir.ini").mkdir()
    (tmp_path / "latin.ini").write_bytes(b"[watcher:x]\ncmd = caf\xe9\n")
    found = mistakes(tmp_path, "[circus]\n\ninclude = *r.ini latin.ini\n")
    assert found == [
        "circus.ini:3: dir.ini cannot be read: Is a directory",
        "latin.ini:2: byte 0xe9 is not UTF-8",
    ]


@pytest.mark.case("B17")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: there is nothing to run: no [watcher:NAME], no [app:NAME], no [plugin:NAME]"),
        ("[watcher:a] b\ncmd = x\n", "1: 'b' after the ] means nothing"),
        (
            "[watcher:b]\ncmd = x\n[watcher:a\n",
            "3: '[watcher:a' is no section, as it has no ]: it is the key '[watcher'",
        ),
        (
            '[watcher:a]\ncmd = sh -c "a; b" ; x\nshell = 1\n',
            "2: '; x' belongs to the value: only the first ; of a line may begin a comment",
        ),
        (
            '[watcher:a]\ncmd = sh -c "a ; b"\nshell = 1\n',
            "2: '; b\"' is a comment although a quote is open before it",
        ),
    ],
)
def test_what_reads_otherwise_than_it_looks_is_told(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "circus.ini"
    path.write_text(text)
    assert f"{path}:{expected}" in load(str(path)).warnings
