# `bigtop check` beside `bigtop run`: what the one accepts the other starts; both refuse in the same words.

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bigtop.config.file import daemon
from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import watcher_options as o
from bigtop.errors import ConfigError
from bigtop.launch.run import file_preflight
from bigtop.supervisor.processes.commands.resolve import request_for
from bigtop.supervisor.streams import sinks
from tests.support.site import ROOT
from tests.support.stack import Stack

pytestmark = pytest.mark.case("B11")

# Each line with what it is told; the lines are those of one file.
WRONG = [
    ("[bigtop]", ""),
    ('logoutput = "{folder}/nowhere/log"', "logoutput: there is no directory {folder}/nowhere"),
    ('pidfile = "{folder}"', "pidfile: {folder} is a directory"),
    ('endpoint = "ipc://{folder}/nowhere/x"', "endpoint: ipc://{folder}/nowhere/x: there is no directory"),
    ('pubsub_endpoint = "tcp://10.1.2.3:5"', "pubsub_endpoint: tcp://10.1.2.3:5: anybody who reaches it"),
    ('server_key = "{folder}/key"', "server_key: keeps nobody out without client_keys"),
]
WRONG_SECTIONS = [
    ("[watcher.a]", ""),
    ('cmd = "sleep 1000"', ""),
    (
        'stdout_stream.class = "NoStream"',
        "stdout_stream.class: there is no class NoStream; there are ",
    ),
    ("[watcher.b]", ""),
    ('cmd = "sleep 1000"', ""),
    ('uid = "54321"', "uid: user 54321 is not known on this machine and has no group of its own: add gid"),
    ('stderr_stream.filename = "x"', ""),
    ("stderr_stream.max_byte = 1", "stderr_stream.max_byte: FileStream has no option max_byte; did "),
    ('hooks.before_start = "no_such_module.f"', "hooks.before_start: there is no module no_such_module here"),
    ('hooks.before_strat = "!true"', "[watcher:b] has no key hooks.before_strat; did you mean hooks.before_"),
    ("[watcher.c]", ""),
    ('cmd = "sleep 1000"', ""),
    ('stdout_stream.class = "FileStream"', ""),
    ('stdout_stream.max_bytes = "10X"', "stdout_stream.max_bytes: must be a size of at least 0 such as 8190"),
    ('uid = "no-such-user"', "uid: there is no user 'no-such-user' on this machine"),
    ('hooks.after_stop = "os.path"', ""),
    ('hooks.before_stop = "xml.dom"', "hooks.before_stop: xml.dom is a module: name what is to be called in"),
    ('hooks.after_start = "json.decoder"', "hooks.after_start: json.decoder is a module: name what is to be"),
    ("[socket.s]", ""),
    ('path = "{folder}/nowhere/s"', "path: there is no directory {folder}/nowhere"),
    ("[socket.t]", ""),
    ("port = 8123", ""),
    ("[socket.u]", "[socket:u] has the address of [socket:t] at "),
    ("port = 8123", ""),
    ("[app.p]", ""),
    ('app = "no such:app"', "app: 'no such:app' does not name an application"),
    ("[app.q]", ""),
    ('app = "a:b"', ""),
    ('backend = "nosuch"', "backend: there is no backend 'nosuch'"),
]


def bigtop(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bigtop", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("lines", [WRONG, WRONG_SECTIONS], ids=["daemon", "sections"])
def test_check_and_run_name_each_mistake_in_its_line(tmp_path: Path, lines: list[tuple[str, str]]) -> None:
    file = tmp_path / "x.toml"
    file.write_text("\n".join(line for line, _ in lines).replace("{folder}", str(tmp_path)))
    checked, run = bigtop("check", "--quiet", str(file)), bigtop("run", str(file))
    told = [line for line in checked.stderr.splitlines() if "warning: " not in line]
    assert (checked.returncode, run.returncode, told) == (78, 78, run.stderr.splitlines())
    for number, (_line, words) in enumerate(lines, 1):
        start = f"bigtop: {file}:{number}: {words.replace('{folder}', str(tmp_path))}"
        assert not words or any(line.startswith(start) for line in told), (start, told)
    assert len(told) == sum(bool(words) for _, words in lines)


def test_a_key_that_cannot_be_read_is_named_in_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    lines = ["[bigtop]", f'client_keys = "{tmp_path}"', f'server_key = "{tmp_path}/nowhere"']
    file.write_text("\n".join([*lines, "[watcher.a]", 'cmd = "true"']))
    with pytest.raises(ConfigError, match=f"^{file}:3: server_key: {tmp_path}/nowhere: "):
        file_preflight.check(daemon.load(str(file)))


def test_flags_of_run_are_named_where_they_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[watcher.a]\ncmd = "sleep 1000"\n')
    done = bigtop("run", str(file), "--pidfile", f"{tmp_path}/no/pid", "--log-output", f"{tmp_path}")
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        f"bigtop: --log-output: logoutput: {tmp_path} is a directory",
        f"bigtop: --pidfile: pidfile: there is no directory {tmp_path}/no",
    ]


def test_a_running_daemon_refuses_in_the_same_words_and_changes_nothing() -> None:
    right = '[watcher.a]\ncmd = "sleep 1000"\n'
    with Stack(right) as stack:
        stack.wait_for("a: started")
        (pid,) = stack.pids("a")
        for lines in (WRONG, WRONG_SECTIONS):
            other = right.replace("[watcher.a]", "[watcher.z]")
            stack.write("\n".join([*(line for line, _ in lines), other]))
            told = bigtop("check", "--quiet", str(stack.file)).stderr.replace("bigtop: ", "").splitlines()
            told = [line for line in told if not line.startswith("warning: ")]
            for words in (["reloadconfig", "--dry-run"], ["reloadconfig"]):
                answer = stack.ctl(*words, status=1)
                assert [line for line in told if line not in answer] == []
        for setting in ("stdout_stream.class=No", "hooks.before_start=no_such.f", "uid=54321"):
            key, _, value = setting.partition("=")
            said = stack.ctl("set", "a", key, value, status=1)
            assert key in said
            added = stack.ctl("add", "--option", setting, "n", "true", status=1)
            assert said.partition(": ")[2][:60] in added
        assert stack.pids("a") == [pid]


def test_sizes_take_letters_everywhere() -> None:
    text = """
        [watcher.a]
        cmd = "sleep 1000"
        max_rss = "1G"
        rlimit_fsize = "10M"
        stdout_stream = { filename = "{folder}/out", max_bytes = "10M", backup_count = 2 }
        """
    with Stack(text) as stack:
        stack.wait_for("a: started")
        assert stack.asked("get", "a", "max_rss")["options"]["max_rss"] == 1 << 30
        stack.ctl("set", "a", "max_rss", "512M")
        stack.ctl("set", "a", "rlimit_fsize", "2k", "stdout_stream.max_bytes", "1M")
        found = stack.asked("get", "a", "max_rss", "rlimit_fsize")["options"]
        assert found == {"max_rss": 512 << 20, "rlimit_fsize": 2048}


# ---- whatever a file says

_TEXTS = st.sampled_from(
    [
        *("", "yes", "no", "0", "1", "2", "-1", "0.5", "10M", "10X", "x", "root", "nobody", "54321", "022"),
        *("auto", "TERM", "USR1", "os.getpid", "nosuch.f", "!true", "FileStream", "NoStream", "a,b", "0-1"),
        *("tcp://127.0.0.1:0", "localhost", "/tmp", "spawn", "delay:1", "* * * * *", "off", "try", "info"),
        *("AF_UNIX", "a 'b"),
    ]
)
_OF_STREAMS = ("class", "filename", "max_bytes", "backup_count", "mode", "json", "owner", "nonsense", "color")
_STREAM_KEYS = [f"{stream}.{key}" for stream in o.STREAMS for key in _OF_STREAMS]
_SECTIONS = {
    "watcher": [*(key.name for key in o.WATCHER if key.name != "cmd"), *_STREAM_KEYS],
    "socket": [key.name for key in d.SOCKET],
    "app": [*(option.name for option in d.APP_OPTIONS), *d.NOT_OF_APPS],
    "circus": [key.name for key in d.CIRCUS if not key.name.startswith("include")],
}
_FIRST = {"watcher": "cmd = {q}sleep 1{q}", "app": "app = {q}a:b{q}", "socket": "port = {q}0{q}"}


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """Return the text of a file and the end of its name."""
    kind = draw(st.sampled_from(["ini", "toml"]))
    quote = "'''" if kind == "toml" else ""
    lines = []
    for section in draw(st.lists(st.sampled_from(sorted(_SECTIONS)), min_size=1, max_size=3, unique=True)):
        lines.append("[circus]" if section == "circus" else f"[{section}{':' if kind == 'ini' else '.'}x]")
        lines.append(_FIRST.get(section, "").format(q=quote))
        keys = draw(st.lists(st.sampled_from(_SECTIONS[section]), max_size=3, unique=True))
        lines += [f"{key} = {quote}{draw(_TEXTS)}{quote}" for key in keys if key != "port"]
    return "\n".join(lines) + "\n", kind


def accepted(path: str) -> daemon.DaemonSpec | None:
    """Return what a file comes to; None if it is refused, by a line with a place for each mistake."""
    try:
        spec = daemon.load(path)
        file_preflight.check(spec)
    except ConfigError as error:
        for line in str(error).splitlines():
            assert line.startswith(f"{path}:"), line
        return None
    return spec


@given(files())
@example(("[watcher:x]\ncmd = sleep 1\ndepends = yes\n[app:x]\napp = a:b\nfactory = \n", "ini"))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_accepted_can_be_carried_out_as_far_as_its_processes(written: tuple[str, str]) -> None:
    text, kind = written
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"x.{kind}")
        Path(path).write_text(text)
        spec = accepted(path)
        for watcher in spec.watchers if spec else ():
            for sink in sinks.make_all(watcher).values():
                sink.close()
            request_for(watcher, watcher.target, 1, dict.fromkeys(watcher.sockets, 9))  # type: ignore[arg-type]


@given(files())
@example(("[circus]\nlogoutput = x\n", "ini"))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_accepted_starts_and_what_is_refused_does_not(written: tuple[str, str]) -> None:
    text, kind = written
    with Stack("", f"x.{kind}", cwd=Path()) as stack:  # for its folder and its environment
        stack.send(9)
        stack.wait()
        stack.write(text)
        with contextlib.chdir(stack.folder):  # where relative names lead for both
            spec = accepted(str(stack.file))
            stack.start()
        if spec is None:
            assert stack.wait() == 78
            return
        if spec.logoutput != "-":
            stack.log_path = stack.folder / spec.logoutput
            stack.log_path.touch()
        try:
            stack.wait_for("control channel on")
        except AssertionError:
            # Only what no look at a file can tell: an address that is taken, or not this machine's.
            assert stack.process.returncode == 1, stack.log()
