# Converted files: Circus' INI means the same afterwards, supervisord's programs become watchers.

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.config.convert.sources import convert
from bigtop.config.file.daemon import DaemonSpec, load
from bigtop.errors import ConfigError
from bigtop.record import replace

from .files import written
from .test_ini import DAEMONS, WATCHERS

ROOT = Path(__file__).resolve().parents[2]
MORE = {
    "everything at once": """\
        [circus]
        include = more.ini
        debug = yes
        unknown = 1
        stream_backend = gevent
        [socket:Web]
        port = 0
        umask = 022
        family = AF_INET
        backlog = 0010
        made_up = 1
        [watcher:web"x]
        cmd = run "$(circus.sockets.web)" \\back
            slash
        executable = dead
        numprocesses = $(circus.env.n)
        shell = $(circus.env.yes)
        umask = 022
        depends = b, c
        rlimit_core =
        rlimit_nofile = 1024
        stdout_stream.class = FileStream
        stdout_stream.filename = ü.log
        stdout_stream.max_bytes = 0150
        hooks.before_start = os.getpid, true
        flapping.window = 2.50
        colour.of it = green
        [watcher:b]
        cmd = b
        [app:c]
        app = c:app
        bind = 127.0.0.1:1 127.0.0.1:2
        sockets = web
        preload = on
        [plugin:p]
        use = circus.plugins.statsd.StatsdEmitter
        loop_rate = 1.50
        priority = 4
        [env]
        n = 2
        yes = on
        web = 1
        [env:web]
        A = $HOME "quoted"
        D = $$HOME $x a$$b $$$ $(circus.env.home) $$(circus.env.home)
        [env:b,w*]
        A = second
        [nonsense]
        x = 1
        """,
}


def meaning(path: str) -> DaemonSpec:
    return replace(load(path), warnings=())


def converted(path: str, directory: Path) -> str:
    out = directory / "out.toml"
    out.write_text(convert(path))
    return str(out)


@pytest.mark.parametrize(
    "text", [*WATCHERS.values(), *DAEMONS.values(), *MORE.values()], ids=[*WATCHERS, *DAEMONS, *MORE]
)
def test_the_toml_means_what_the_ini_file_means(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    written(tmp_path, "[watcher:included]\ncmd = x\n", "more.ini")
    assert meaning(converted(path, tmp_path)) == meaning(path)


KEYS = ["args", "colour", "a b", "é", "options", "x.y", "uid_", "hooks", "rlimits", "env_", "name"]


@given(
    pairs=st.dictionaries(
        st.sampled_from(KEYS), st.text("ab \"'\\#;=[]{}$().,%é\x7f0123", max_size=10), max_size=6
    )
)
@settings(max_examples=150)
def test_free_options_survive(pairs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.getbasetemp()
    path = directory / "free.ini"
    path.write_text(
        "\n".join(["[watcher:x]", "cmd = x", *(f"{key} = {value}" for key, value in pairs.items())])
    )
    try:
        expected = meaning(str(path))
    except ConfigError as error:
        refusal = str(error)
    else:
        assert meaning(converted(str(path), directory)) == expected
        return
    # The only mistake that these texts can hold: quotes in args that are left open. They stay so.
    assert re.search("args: No (closing quotation|escaped character)", refusal)
    with pytest.raises(ConfigError, match="args: No "):
        meaning(converted(str(path), directory))


def test_the_example_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert meaning(converted("examples/stack.ini", tmp_path)) == meaning("examples/stack.ini")


def test_what_does_nothing_stays_as_a_comment(tmp_path: Path) -> None:
    text = convert(written(tmp_path, MORE["everything at once"]))
    assert "# executable = dead did nothing: Circus overwrites it with nothing." in text
    assert "# unknown = 1 means nothing here." in text
    assert "[nonsense] at" in text


def test_values_are_numbers_and_switches_where_they_can_be(tmp_path: Path) -> None:
    watcher = tomllib.loads(convert(written(tmp_path, WATCHERS["switches"])))["watcher"]["x"]
    assert (watcher["shell"], watcher["autostart"], watcher["respawn"]) == (True, False, "0")
    watcher = tomllib.loads(convert(written(tmp_path, WATCHERS["times"])))["watcher"]["x"]
    assert (watcher["graceful_timeout"], watcher["priority"]) == (2.5, -4)


def test_comments_hold_no_character_that_toml_forbids(tmp_path: Path) -> None:
    text = convert(written(tmp_path, "[circus]\nunknown = a\x07\x7f\tb\n"))
    assert "# unknown = a\\x07\\x7f\tb means nothing here." in text.splitlines()
    assert tomllib.loads(text)["circus"]


def test_a_broken_file_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"circus.ini:1: 'x' stands before the first \[section\]"):
        convert(written(tmp_path, "x\n"))


# ---- supervisord

SUPERVISORD = """\
    [unix_http_server]
    file = /tmp/supervisor.sock

    [supervisord]
    logfile = /dev/null
    loglevel = warn
    environment = A="1,2",B=two
    minfds = 1024

    [program:web]
    command = /bin/run --port 80%(process_num)02d --name %(program_name)s --home %(ENV_HOME)s ; comment
    process_name = %(program_name)s_%(process_num)02d
    numprocs = 2
    priority = 10
    autostart = false
    autorestart = true
    startsecs = 5
    startretries = 7
    exitcodes = 0,2
    stopsignal = QUIT
    stopwaitsecs = 20
    stopasgroup = true
    killasgroup = true
    user = root
    directory = %(here)s
    umask = 022
    redirect_stderr = true
    stdout_logfile = web.log
    stdout_logfile_maxbytes = 5MB
    stdout_logfile_backups = 3
    environment = C="x y",D="a ;b",E="pa$NOSUCH$$%(ENV_HOME)s",F='1;2' ; end

    [program:quiet]
    command = quiet
    startsecs = 0
    stdout_logfile = NONE
    stderr_logfile = AUTO

    [fcgi-program:php]
    command = php-cgi
    socket = unix:///run/php.sock
    socket_mode = 0770
    socket_owner = nobody:0
    socket_backlog = 9
    stdout_syslog = true
    [fcgi-program:tcp]
    command = php-cgi
    socket = tcp://127.0.0.1:9000
    socket_mode = 0700

    [group:all]
    programs = web,quiet

    [eventlistener:crash]
    command = crashmail
    events = PROCESS_STATE_EXITED
    """


@pytest.fixture
def stack(tmp_path: Path) -> tuple[str, dict[str, Any], DaemonSpec]:
    path = written(tmp_path, SUPERVISORD, "supervisord.conf")
    text = convert(path)
    return text, tomllib.loads(text), load(converted(path, tmp_path))


@pytest.mark.case("B13")
def test_programs_become_watchers(stack: tuple[str, dict[str, Any], DaemonSpec], tmp_path: Path) -> None:
    _, tables, daemon = stack
    web = tables["watcher"]["web"]
    assert web["cmd"] == "/bin/run --port 80$(circus.wid) --name web --home $(circus.env.HOME)"
    by_name = {watcher.name: watcher for watcher in daemon.watchers}
    spec = by_name["web"]
    assert (spec.numprocesses, spec.priority, spec.lifetime.autostart) == (2, 989, False)
    assert (spec.ready.kind, spec.ready.value, spec.restart.max_retry) == ("delay", "5", 7)
    assert (spec.restart.respawn.value, sorted(spec.restart.expected_exits)) == ("always", [0, 2])
    assert (spec.stop.signal, spec.stop.graceful_timeout, spec.stop.children) == (3, 20.0, True)
    assert web["stdout_stream"] == web["stderr_stream"]
    assert web["stdout_stream"] == {
        "class": "FileStream",
        "filename": "web.log",
        "max_bytes": 5 << 20,
        "backup_count": 3,
    }
    assert (web["umask"], web["uid"], web["working_dir"]) == ("022", "root", str(tmp_path))
    web_env = {"C": "x y", "D": "a ;b", "E": "pa$$NOSUCH$$$$$(circus.env.HOME)", "F": "1;2"}
    assert tables["env"] == {"A": "1,2", "B": "two", "web": web_env}
    env = by_name["web"].target.context.env  # type: ignore[union-attr]
    assert ("E", f"pa$NOSUCH$${os.environ['HOME']}") in env


def test_what_supervisord_assumes_is_written_down(stack: tuple[str, dict[str, Any], DaemonSpec]) -> None:
    _, tables, _ = stack
    quiet = tables["watcher"]["quiet"]
    assert quiet == {
        "cmd": "quiet",
        "copy_env": True,
        "flapping": {"max_retry": 3},
        "graceful_timeout": 10,
        "ready": "spawn",
        "respawn": "unexpected",
        "close_child_stdout": True,
    }


@pytest.mark.case("B13")
def test_fcgi_programs_get_their_socket(stack: tuple[str, dict[str, Any], DaemonSpec]) -> None:
    _, tables, daemon = stack
    php = {"path": "/run/php.sock", "mode": "0770", "owner": "nobody", "group": "0", "backlog": 9}
    assert tables["socket"] == {"php": php, "tcp": {"host": "127.0.0.1", "port": 9000}}
    assert tables["watcher"]["php"]["stdout_stream"] == {"class": "syslog"}
    assert {watcher.name: watcher.sockets for watcher in daemon.watchers}["php"] == ("php",)


@pytest.mark.case("B13")
def test_a_socket_is_for_its_user_alone_unless_it_is_said(tmp_path: Path) -> None:
    lines = "[fcgi-program:x]\ncommand = x\nsocket = unix:///run/x.sock\nuser = root\n"
    tables = tomllib.loads(convert(written(tmp_path, lines, "s.conf")))
    assert tables["socket"]["x"] == {"path": "/run/x.sock", "mode": "0700", "owner": "root"}


@pytest.mark.case("B13")
@pytest.mark.parametrize("logfile", ["/log/x", "NONE"])
@pytest.mark.parametrize("is_first", [True, False])
def test_syslog_takes_the_place_of_a_file_wherever_it_stands(
    logfile: str, is_first: bool, tmp_path: Path
) -> None:
    keys = ["stdout_syslog = true", f"stdout_logfile = {logfile}"]
    lines = ["[program:x]", "command = x", *(keys if is_first else reversed(keys))]
    text = convert(written(tmp_path, "\n".join(lines), "s.conf"))
    table = tomllib.loads(text)["watcher"]["x"]
    assert (table["stdout_stream"], "close_child_stdout" in table) == ({"class": "syslog"}, False)
    told = f"# an output goes to one place, now to syslog: stdout_logfile = {logfile}" in text.splitlines()
    assert told is (logfile != "NONE")


@pytest.mark.case("B13")
def test_nothing_is_lost_without_a_word(stack: tuple[str, dict[str, Any], DaemonSpec]) -> None:
    text, _, daemon = stack
    for line in (
        "# [unix_http_server] the control channel is endpoint in [circus]:",
        "#     file = /tmp/supervisor.sock",
        "# no equal: minfds = 1024 (the limit of open files is raised as far as it may be)",
        "# no equal: process_name = web_$(circus.wid) (a process is its watcher and a number)",
        "# socket_mode = 0700 is for unix sockets.",
        "# $(circus.wid) counts from 1 and knows no leading zeros; process_num counted from 0.",
        "# [group:all] there are no groups; commands take patterns of names:",
        "#     programs = web,quiet",
        "# [eventlistener:crash] events are published on pubsub_endpoint for whoever subscribes:",
        "#     command = crashmail",
    ):
        assert line in text.splitlines()
    assert (daemon.loglevel, daemon.logoutput) == ("warning", "/dev/null")


@pytest.mark.case("B13")
def test_an_environment_that_nobody_can_read_is_told(tmp_path: Path) -> None:
    text = convert(written(tmp_path, '[program:x]\ncommand = x\nenvironment = A=1,B="x\n', "s.conf"))
    assert '# neither supervisord nor Bigtop can read this: environment = A=1,B="x' in text
    assert tomllib.loads(text)["env"]["x"] == {"A": "1"}


def test_a_broken_supervisord_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"s.conf:2: .*is neither \[section\] nor key = value"):
        convert(written(tmp_path, "[supervisord]\nbroken line\n", "s.conf"))
