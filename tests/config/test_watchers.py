# What each key of a watcher does, and what is said of wrong ones. Circus' own meaning is held in test_ini.py.

from __future__ import annotations

import grp
import os
import pwd
import re
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bigtop.config.file.options.watcher_options import WATCHER
from bigtop.config.serve.cpu_quota import available_cpus
from bigtop.supervisor.policy.spec import Cgroup, Hook, Readiness, Respawn, StreamSpec, WatcherSpec

from .files import ENVIRON, command_of, loaded, mistakes, only_watcher, written


def watcher(directory: Path, *lines: str) -> WatcherSpec:
    return only_watcher(
        loaded(directory, "\n".join(["[watcher:x]", "cmd = x", *lines, "[socket:web]", "port=0"]))
    )


def read(spec: WatcherSpec, path: str) -> Any:
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value


ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
MEANINGS = [
    ("numprocesses = auto", "numprocesses", available_cpus()),
    ("numprocesses = 0", "numprocesses", 0),
    ("warmup_delay = 0.5", "lifetime.warmup_delay", 0.5),
    ("max_age = 1.5", "lifetime.max_age", 1.5),
    ("max_age_variance = .5", "lifetime.max_age_variance", 0.5),
    ("max_rss = 64M", "lifetime.max_rss", 64 << 20),
    ("on_demand = yes", "lifetime.on_demand", True),
    ("idle_stop = 30", "lifetime.idle_stop", 30.0),
    ("critical = yes", "lifetime.critical", True),
    ("schedule = */5 * * * *", "lifetime.schedule", "*/5 * * * *"),
    ("schedule = */5 * * * *", "restart.respawn", Respawn.NEVER),
    ("respawn = unexpected", "restart.respawn", Respawn.UNEXPECTED),
    ("respawn = no", "restart.respawn", Respawn.NEVER),
    ("expected_exits = 0, 2,3", "restart.expected_exits", frozenset({0, 2, 3})),
    ("flapping.attempts = 4", "restart.attempts", 4),
    ("flapping.window = 1.5", "restart.window", 1.5),
    ("flapping.retry_in = 7", "restart.retry_in", 7.0),
    ("flapping.retry_in = 90", "restart.max_delay", 90.0),
    ("flapping.max_delay = 9", "restart.max_delay", 9.0),
    ("flapping.factor = 1.5", "restart.factor", 1.5),
    ("flapping.max_retry = 5", "restart.max_retry", 5),
    ("max_retry = 6", "restart.max_retry", 6),
    ("max_retry = 6\nflapping.max_retry = 5", "restart.max_retry", 5),
    ("flapping.max_retry = 5\nflapping.active = no", "restart.max_retry", -1),
    ("stop_signals = INT, term SIGQUIT", "stop.signal", signal.SIGINT),
    ("stop_signals = INT, term SIGQUIT", "stop.then", (signal.SIGTERM, signal.SIGQUIT)),
    ("stop_command = ./stop $BIGTOP_PID", "stop.command", "./stop $BIGTOP_PID"),
    ("boot_timeout = 3", "boot_timeout", 3.0),
    ("ready = spawn", "ready", Readiness()),
    ("ready = notify", "ready", Readiness("notify")),
    ("ready = delay:0.5", "ready", Readiness("delay", "0.5")),
    ("ready = tcp:127.0.0.1:80", "ready", Readiness("tcp", "127.0.0.1:80")),
    ("ready = tcp://[::1]:80", "ready", Readiness("tcp", "[::1]:80")),
    ("ready = https://h/health", "ready", Readiness("http", "https://h/health")),
    ("ready = file:/run/x", "ready", Readiness("file", "/run/x")),
    ("ready = log:Listening (on|at) .*", "ready", Readiness("log", "Listening (on|at) .*")),
    ("sockets = WEB", "sockets", ("web",)),
    ("stdin_socket = Web", "target.stdio.stdin_socket", "web"),
    ("stdin_socket = Web", "sockets", ("web",)),
    ("args = --fd $(circus.sockets.web)", "sockets", ("web",)),
    ("shell_args = ((CIRCUS.sockets.Web))", "sockets", ("web",)),
    ("use_sockets = yes", "target.all_sockets", True),
    (f"uid = {ME}", "target.context.user", ME),
    (f"gid = {MY_GROUP}", "target.context.group", MY_GROUP),
    ("umask = 027", "target.context.umask", 0o27),
    ("nice = -5", "target.context.nice", -5),
    ("cpu_affinity = 0-2,5", "target.context.cpu_affinity", (0, 1, 2, 5)),
    ("oom_score_adj = 500", "target.context.oom_score_adj", 500),
    ("no_new_privs = yes", "target.context.no_new_privs", True),
    ("working_dir = /", "target.context.cwd", "/"),
    ("cgroup_memory = 1G", "target.context.cgroup", Cgroup(memory=1 << 30)),
    ("cgroup = try\ncgroup_cpus = 1.5", "target.context.cgroup", Cgroup(cpus=1.5, required=False)),
    ("cgroup = off\ncgroup_pids = 5", "target.context.cgroup", None),
    ("cgroup = yes", "target.context.cgroup", Cgroup()),
    ("rlimit_as = 1G\nrlimit_core = infinity", "target.context.rlimits", (("as", 1 << 30), ("core", -1))),
    ("stdout_stream.filename = f", "target.stdio.stdout", StreamSpec("FileStream", (("filename", "f"),))),
    ("stderr_stream.class = circus.stream.StdoutStream", "target.stdio.stderr", StreamSpec("StdoutStream")),
    ("hooks.after_start = os.path", "hooks", (Hook("after_start", "os.path"),)),
    (
        "hooks.after_stop = !rm -f a,b\nhook_timeout = 5",
        "hooks",
        (Hook("after_stop", "!rm -f a,b", timeout=5.0),),
    ),
    ("hooks.after_stop = !true, yes", "hooks", (Hook("after_stop", "!true", True),)),
    ("colour = green", "options", (("colour", "green"),)),
]


@pytest.mark.parametrize(
    ("lines", "path", "value"), MEANINGS, ids=lambda value: str(value).replace("\n", "; ")
)
def test_what_a_key_means(lines: str, path: str, value: object, tmp_path: Path) -> None:
    assert read(watcher(tmp_path, lines), path) == value


WRONG = [
    ("numprocesses = many", "numprocesses: must be auto or a whole number of at least 0, got 'many'"),
    ("warmup_delay = -1", "warmup_delay: must be a number of seconds, 0 or more, got '-1'"),
    ("shell = perhaps", "shell: must be on or off, got 'perhaps'"),
    (
        "stop_signal = SIGNOPE",
        "stop_signal: 'SIGNOPE' is not a signal here: write a name (TERM, SIGRTMIN+1) or a number",
    ),
    ("uid = nobody-here", "uid: there is no user 'nobody-here' on this machine"),
    ("gid = nobody-here", "gid: there is no group 'nobody-here' on this machine"),
    ("working_dir = /not/there", "working_dir: '/not/there' is not a directory"),
    ("respawn = maybe", "respawn: must be yes, no, always, never or unexpected, got 'maybe'"),
    ("expected_exits = 300", "expected_exits: must be a whole number from 0 to 255, got '300'"),
    ("cgroup = please", "cgroup: must be off, try or require, got 'please'"),
    ("rlimit_core = x", "rlimit_core: must be a number, a size such as 512M, or infinity, got 'x'"),
    ("cpu_affinity = 3-1", "cpu_affinity: must be CPU numbers such as 0,2 or 0-3, got '3-1'"),
    ("hooks.before_start = nodots", "hooks.before_start: must be a dotted name"),
    ("schedule = hourly", "schedule: must be a cron expression such as \"*/5 * * * *\", got 'hourly'"),
    ("flapping.factor = 0.5", "flapping.factor: must be a number of at least 1, got '0.5'"),
    ("ready = tcp:nowhere", "ready: must be spawn, notify, delay:SECONDS, tcp:HOST:PORT"),
    ("ready = log:(", "ready: log: '(' is not a regular expression: missing )"),
    ("ready = notify:x", "ready: must be spawn"),
    ("ready = whenever", "ready: must be spawn"),
    ("ready = delay", "ready: must be spawn"),
    ("umask = 9", "umask: must be octal such as 022, got '9'"),
    ("env_file = missing.env", "env_file: "),
    ("stdin_socket = weeb", "stdin_socket: no [socket:weeb] in this file; did you mean web?"),
    ("args = $(circus.sockets.other)", "args: no [socket:other] in this file; there is web"),
    ("stdout_stream.max_bytes = 3", "stdout_stream needs stdout_stream.class, such as FileStream"),
    ("depends = nobody", "depends: there is no watcher or app nobody"),
    ("depends = X", "depends: x -> x wait for each other"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_value_is_named_with_its_line(line: str, message: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f"[socket:web]\nport = 0\n[watcher:x]\ncmd = x\n{line}\n")
    assert found.startswith(f"circus.ini:5: {message}")


CONTRADICTIONS = [
    ("singleton = yes\nnumprocesses = 2", "x: a singleton has at most one process, got 2"),
    ("stop_signal = INT\nstop_signals = INT", "give stop_signal or stop_signals, not both"),
    (
        "schedule = * * * * *\nrespawn = yes",
        "what has a schedule ends by itself: respawn must be no or unexpected",
    ),
    ("scale_command = x", "scale_command needs bounds for its number, such as numprocesses = 2..8"),
    ("scale_interval = 3", "scale_interval needs scale_command, which it is the pace of"),
    (
        "scale_command = x\nscale_interval = 0\nnumprocesses = 2..8",
        "scale_interval is 0: scale_command would run without end",
    ),
    ("copy_path = yes", "copy_path needs copy_env = yes"),
    ("virtualenv = /", "virtualenv needs copy_env = yes"),
    ("virtualenv = /\ncopy_env = yes", "must be a virtual environment of Python"),
]


@pytest.mark.parametrize(("lines", "message"), CONTRADICTIONS, ids=[message for _, message in CONTRADICTIONS])
def test_what_contradicts_itself(lines: str, message: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f"\n[watcher:x]\ncmd = x\n{lines}\n")
    assert found.startswith(f"circus.ini:2: [watcher:x] {message}")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
        [watcher:b]
        numprocesses = x
        [watcher:a]
        cmd = a
        shell = x
        [socket:s]
        port = 99999
        [circus]
        check_delay = soon

        [watcher:B]
        cmd = b
        """
    assert mistakes(tmp_path, text) == [
        "circus.ini:1: [watcher:b] needs cmd, the command to run",
        "circus.ini:2: numprocesses: must be auto or a whole number of at least 0, got 'x'",
        "circus.ini:5: shell: must be on or off, got 'x'",
        "circus.ini:7: port: must be a whole number from 0 to 65535, got '99999'",
        "circus.ini:9: check_delay: must be a number, got 'soon'",
        "circus.ini:11: [watcher:B] has the name of [watcher:b] at circus.ini:1; case does not count",
    ]


def test_quotes_that_are_left_open_are_told_before_anything_starts(tmp_path: Path) -> None:
    text = """\
        [watcher:a]
        cmd = echo "a
        args = 'b
        [watcher:shell]
        cmd = echo "a
        shell = yes
        shell_args = 'c
        """
    assert mistakes(tmp_path, text) == [
        "circus.ini:2: cmd: No closing quotation",
        "circus.ini:3: args: No closing quotation",
        "circus.ini:7: shell_args: No closing quotation",
    ]


def test_watchers_that_wait_for_each_other(tmp_path: Path) -> None:
    pairs = [("a", "B"), ("b", "c"), ("c", "a")]
    text = "".join(f"[watcher:{name}]\ncmd = x\ndepends = {other}\n" for name, other in pairs)
    assert mistakes(tmp_path, text) == [
        "circus.ini:3: depends: a -> b -> c -> a wait for each other",
        "circus.ini:6: depends: b -> c -> a -> b wait for each other",
        "circus.ini:9: depends: c -> a -> b -> c wait for each other",
    ]


# ---- the environment


def env_of(directory: Path, text: str) -> dict[str, str]:
    return dict(command_of(only_watcher(loaded(directory, text))).context.env)


def test_numbers_may_come_from_the_environment_of_the_watcher_alone(tmp_path: Path) -> None:
    text = "[env]\nN = 2\n[watcher:x]\ncmd = x\nnumprocesses = $(circus.env.n)\n[env:x]\nN = 3\n"
    assert only_watcher(loaded(tmp_path, text)).numprocesses == 3


def test_nothing_is_added_to_the_environment(tmp_path: Path) -> None:
    assert env_of(tmp_path, "[watcher:x]\ncmd = x\n") == {}
    assert env_of(tmp_path, "[env]\nA = $HOME$NOPE$home\n[watcher:x]\ncmd = x\n") == {
        "A": "/home/someone$home"
    }


def test_copied_variables_are_copied_as_they_are(tmp_path: Path) -> None:
    environ = {**ENVIRON, "SECRET": "pa$HOME", "HOME": "/h"}
    daemon = loaded(tmp_path, "[env]\nA = $HOME\n[watcher:x]\ncmd = x\ncopy_env = 1\n", environ=environ)
    env = dict(command_of(only_watcher(daemon)).context.env)
    assert env == {**environ, "A": "/h"}


def test_a_variable_that_is_named_in_full_is_not_expanded_again(tmp_path: Path) -> None:
    environ = {"SECRET": "pa$HOME", "HOME": "/h"}
    daemon = loaded(tmp_path, "[env]\nA = $(circus.env.secret)\n[watcher:x]\ncmd = x\n", environ=environ)
    assert dict(command_of(only_watcher(daemon)).context.env) == {"A": "pa$HOME"}


def test_env_file(tmp_path: Path) -> None:
    written(
        tmp_path, "# secrets\nexport A='x y'\nB = $HOME # no comment\nHERE=file\n\n; also\n", "secret/env"
    )
    text = "[env]\nHERE = section\nC = 1\n[watcher:x]\ncmd = x $(circus.env.a)\nenv_file = secret/env\n"
    watcher = only_watcher(loaded(tmp_path, text))
    assert dict(command_of(watcher).context.env) == {
        "A": "x y",
        "B": "$HOME # no comment",
        "C": "1",
        "HERE": "section",
    }
    assert command_of(watcher).cmd == "x x y"


def test_a_wrong_line_of_an_env_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "A=1\nnothing here\n", "x.env")
    (found,) = mistakes(tmp_path, f"[watcher:x]\ncmd = x\nenv_file = {path}\n")
    assert found == "circus.ini:3: env_file: x.env:2: must be NAME=VALUE, got 'nothing here'"


def test_an_open_quote_in_an_env_file(tmp_path: Path) -> None:
    path = written(tmp_path, "A='x\n", "x.env")
    (found,) = mistakes(tmp_path, f"[watcher:x]\ncmd = x\nenv_file = {path}\n")
    assert found == 'circus.ini:3: env_file: x.env:1: no closing quotation in "A=\'x"'


def test_copy_path_is_our_own_path(tmp_path: Path) -> None:
    env = env_of(tmp_path, "[watcher:x]\ncmd = x\ncopy_env = yes\ncopy_path = yes\n")
    assert env["PYTHONPATH"].split(os.pathsep) == [entry for entry in sys.path if entry]


def test_a_virtual_environment(tmp_path: Path) -> None:
    packages = tmp_path / "venv/lib/python3.9/site-packages"
    linked = tmp_path / "linked"
    linked.mkdir()
    packages.mkdir(parents=True)
    (packages / "x.pth").write_text(f"# none\nimport os\n{linked}\n/not/there\n")
    (packages / "gone.pth").symlink_to(tmp_path / "nowhere")
    text = f"[watcher:x]\ncmd = x\ncopy_env = yes\nvirtualenv = {tmp_path}/venv\nvirtualenv_py_ver = 3.9\n"
    env = env_of(tmp_path, text)
    assert env["PATH"] == f"{tmp_path}/venv/bin:{ENVIRON['PATH']}"
    assert env["PYTHONPATH"] == f"{linked}:{packages}"


# ---- warnings


def warnings(directory: Path, text: str) -> list[str]:
    found = [warning.replace(f"{directory}/", "") for warning in loaded(directory, text).warnings]
    return [warning for warning in found if "endpoint" not in warning and "as root" not in warning]


WORTH_A_WORD = [
    ("check_flapping = 0", "4: check_flapping does nothing: use flapping.active"),
    ("executable = /bin/x", "4: executable does nothing: Circus overwrites it with nothing"),
    ("use_papa = 1", "4: use_papa does nothing: sockets and processes need no papa"),
    ("env = A=1", "4: env does nothing: variables stand in [env] and [env:NAME]"),
    (
        "graceful_timout = 3",
        "4: graceful_timout is no key of [watcher:x] and only kept as it is; did you mean graceful_timeout?",
    ),
    ("numprocesses = 0", "2: [watcher:x] has numprocesses = 0 and runs nothing"),
    (
        "args = $(circus.env.NOPE)",
        "2: [watcher:x] names $(circus.env.nope), which is set nowhere and stays as it is",
    ),
    ("shell_args = a", "2: [watcher:x] has shell_args, which do nothing without shell = yes"),
    (
        "use_sockets = 1",
        "2: [watcher:x] has use_sockets and sees every socket; name in `sockets` those that it needs",
    ),
    ("on_demand = 1", "2: [watcher:x] is on_demand but names no socket, so nothing will ever start it"),
    ("idle_stop = 1", "2: [watcher:x] has idle_stop, which does nothing without on_demand = yes"),
    (
        "graceful_timeout = 0",
        "2: [watcher:x] has graceful_timeout = 0: its processes are killed without being asked",
    ),
    ("cmd = y", "4: cmd: this second value is ignored, the first one at circus.ini:3 counts"),
    (
        "[watchers:y]",
        "4: [watchers:y] means nothing here; known are [circus], [env], [stats], [admin], [web], [cluster]",
    ),
    ("[else]\na=1", "4: [else] means nothing here"),
]


@pytest.mark.parametrize(("line", "warning"), WORTH_A_WORD, ids=[line for line, _ in WORTH_A_WORD])
def test_one_warning_each(line: str, warning: str, tmp_path: Path) -> None:
    found = warnings(tmp_path, f"\n[watcher:x]\ncmd = x\n{line}\n")
    assert len(found) == 1
    assert found[0].startswith(f"circus.ini:{warning}")


def test_names_that_clients_misread(tmp_path: Path) -> None:
    (found,) = warnings(tmp_path, "[watcher:a.b]\ncmd = x\n")
    assert "blank or a dot" in found


# ---- the table


def test_every_default_is_what_its_own_parser_takes() -> None:
    for key in WATCHER:
        key.parse(key.default)


def test_keys_are_there_once_and_explained() -> None:
    names = [key.name for key in WATCHER]
    assert len(names) == len(set(names))
    assert {f"rlimit_{name[7:].lower()}" for name in dir(resource) if name.startswith("RLIMIT_")} <= set(
        names
    )
    unexplained = [key.name for key in WATCHER if not key.is_dead and not re.fullmatch(r".*[.?)]", key.help)]
    assert unexplained == []
