# Files of honcho, pm2 and uWSGI, which run more than one program, converted; and that `bigtop check` accepts
# whatever is written.

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigtop.config.convert import shell
from bigtop.config.convert.sources import NAMES, convert
from bigtop.config.file.daemon import DaemonSpec, resolve
from bigtop.errors import ConfigError
from bigtop.launch.run.file_preflight import check
from bigtop.supervisor.policy.spec import Command

APP = "def app(environ, start_response): ...\nasync def asgi(scope, receive, send): ...\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an application, in which other programs are started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site_app.py").write_text(APP)
    (tmp_path / "public").mkdir()
    return tmp_path


def checked(text: str) -> DaemonSpec:
    """Return what `bigtop check` accepted."""
    Path("made.toml").write_text(text)
    daemon = resolve("made.toml", {}).daemon
    check(daemon)
    return daemon


def made(name: str, text: str) -> tuple[dict[str, Any], list[str], DaemonSpec]:
    """Return the tables that a file becomes, the comments, and what they mean."""
    Path(name).write_text(text)
    new = convert(name)
    notes = [line.removeprefix("# ") for line in new.splitlines() if line.startswith("#")]
    return tomllib.loads(new), notes, checked(new)


def environ(daemon: DaemonSpec, name: str) -> dict[str, str]:
    for watcher in daemon.watchers:
        if watcher.name == name:
            assert isinstance(watcher.target, Command)
            return dict(watcher.target.context.env)
    return next(dict(app.site.identity.environ) for app in daemon.apps if app.name == name)


# ---- whose file it is


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("any.py", "wsgi_app = 'site_app:app'\n", "[app.site_app]"),
        ("any.ini", "; x\n[uwsgi]\nmodule = site_app\n", "[app.site_app]"),
        ("any.conf", "[program:x]\ncommand = x\n", "[watcher.x]"),
        ("any.ini", "[watcher:x]\ncmd = x\n", "[watcher.x]"),
        ("Procfile", "x: y\n", "[watcher.x]"),
        ("Procfile.dev", "x: y\n", "[watcher.x]"),
        ("any", "# mine\nx: y\nz: x\n", "[watcher.z]"),
        ("any.json", '{"apps": [{"script": "x"}]}', "[watcher.x]"),
        ("any.sh", "exec gunicorn site_app\n", "[app.site_app]"),
    ],
)
def test_files_are_recognised(name: str, text: str, line: str) -> None:
    Path(name).write_text(text)
    new = convert(name)
    assert line in new.splitlines()
    checked(new)


def test_what_is_not_recognised_can_be_named() -> None:
    Path("x.txt").write_text("web: run\nno line of a Procfile\n")
    with pytest.raises(ConfigError, match=r"x.txt:2: must be NAME: COMMAND, got 'no line of a Procfile'"):
        convert("x.txt", "procfile")
    with pytest.raises(ConfigError, match=r"^x.txt: is none of the files that are known; --from says whose"):
        convert("x.txt")
    assert set(NAMES) == {"circus", "supervisord", "gunicorn", "nginx", "uwsgi", "procfile", "pm2", "command"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ecosystem.config.js", "module.exports = {}", "ecosystem.config.js:1: is no JSON; .* node -p"),
        ("ecosystem.json", '{"apps": [{"name": "x"}]}', "ecosystem.json:1: an app needs a script"),
        ("Procfile", "a: b\na: c\n", "Procfile:2: a is there twice"),
        ("uwsgi.ini", "x = 1\n[uwsgi]\n", "uwsgi.ini:1: 'x = 1' stands before"),
        (
            "uwsgi.ini",
            "[uwsgi]\nprocesses = 2\n",
            "uwsgi.ini: names no application; module or wsgi-file does",
        ),
        ("any.sh", "exec uvicorn a:b --port $NOT_SET_ANYWHERE", "any.sh:1: .NOT_SET_ANYWHERE has no value"),
        ("nothing.ini", None, "nothing.ini:1: nothing.ini cannot be read"),
    ],
)
def test_mistakes_name_their_place(name: str, text: str | None, message: str) -> None:
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        convert(name)


# ---- Procfiles

PROCFILE = """\
# what runs
web: gunicorn site_app:app --bind 0.0.0.0:$PORT --threads ${THREADS:-3} --log-file -
api: uvicorn site_app:asgi --port=${PORT} --host 127.0.0.1
plain: gunicorn site_app:app
worker: celery -A site_app worker --port $PORT -c 2
clock: while true; do date; sleep 60; done
release: python manage.py migrate
"""


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("exec celery -A site_app worker", 'cmd = "celery -A site_app worker"'),
        ("exec  beside.py --port $PORT", 'cmd = "beside.py --port $(circus.env.PORT)"'),
        ("exec echo 'two words'", "cmd = \"echo 'two words'\""),
        ("exec echo | cat", 'cmd = "exec echo | cat"'),
        ("executor --of x", 'cmd = "executor --of x"'),
    ],
)
def test_a_command_that_a_shell_would_be_replaced_by(line: str, command: str) -> None:
    Path("Procfile").write_text(f"worker: {line}\n")
    new = convert("Procfile")
    assert command in new.splitlines()
    assert ("shell = true" in new) == ("|" in line)
    checked(new)


def test_a_procfile() -> None:
    Path(".env").write_text("# secrets\nSECRET='a b'\nWEB_CONCURRENCY=2\n")
    tables, notes, daemon = made("Procfile", PROCFILE)
    assert tables["app"]["web"] == {
        "app": "site_app:app",
        "env_file": ".env",
        "bind": ["0.0.0.0:5000"],
        "workers": 2,
        "threads": 3,
    }
    assert tables["app"]["api"]["bind"] == ["127.0.0.1:5100"]
    assert tables["app"]["plain"]["bind"] == ["0.0.0.0:5200"]
    watchers = tables["watcher"]
    assert watchers["worker"] == {
        "cmd": "celery -A site_app worker --port $(circus.env.PORT) -c 2",
        "copy_env": True,
        "env_file": ".env",
    }
    assert (watchers["clock"]["shell"], watchers["clock"]["stop_children"]) == (True, True)
    assert (watchers["release"]["autostart"], watchers["release"]["respawn"]) == (False, "no")
    ports = {
        name: environ(daemon, name)["PORT"] for name in ("web", "api", "plain", "worker", "clock", "release")
    }
    assert list(ports.values()) == ["5000", "5100", "5200", "5300", "5400", "5500"]
    assert environ(daemon, "web")["SECRET"] == environ(daemon, "worker")["SECRET"] == "a b"
    assert any(note.startswith("$THREADS was replaced") for note in notes)


def test_a_port_of_env_comes_first_and_strange_lines_are_told() -> None:
    Path(".env").write_text('export PORT=7000\nA=x # why\nB="two\\nlines"\nnonsense\nC=\'open\n')
    tables, notes, daemon = made("Procfile", "a: run\nb: granian --interface wsgi site_app --port $PORT\n")
    assert tables["env"] == {
        "a": {"PORT": "7000", "A": "x", "B": "two\nlines"},
        "b": {"PORT": "7100", "A": "x", "B": "two\nlines"},
    }
    assert tables["app"]["b"]["bind"] == ["127.0.0.1:7100"]
    assert (environ(daemon, "a")["A"], environ(daemon, "b")["B"]) == ("x", "two\nlines")
    assert "no equal: .env:4 (a line that is not NAME=VALUE was ignored)" in notes
    assert "no equal: .env:5 (C: no closing quotation)" in notes


def test_a_file_of_gunicorn_sees_what_its_process_sees() -> None:
    Path(".env").write_text("N=4\n")
    Path("gunicorn.conf.py").write_text(
        "import os\nworkers = int(os.environ['N'])\nbind = ':' + os.environ['PORT']\n"
    )
    tables, _, _ = made("Procfile", "x: run\nweb: gunicorn site_app:app\n")
    assert tables["app"]["web"] == {
        "app": "site_app:app",
        "env_file": ".env",
        "bind": ["0.0.0.0:5100"],
        "workers": 4,
    }


def test_a_file_of_uwsgi_in_a_procfile() -> None:
    Path("uwsgi.ini").write_text("[uwsgi]\nhttp-socket = :$(PORT)\nmodule = site_app:app\nmule = jobs.py\n")
    tables, _, daemon = made("Procfile", "jobs: run\nweb: uwsgi uwsgi.ini -p 3\n")
    assert (tables["app"]["web"]["bind"], tables["app"]["web"]["workers"]) == (["0.0.0.0:5100"], 3)
    assert [watcher.name for watcher in daemon.watchers] == ["jobs", "jobs-2"]


def test_an_env_file_is_named_from_where_the_new_file_is(folder: Path) -> None:
    Path(".env").write_text("A=1\n")
    Path("Procfile").write_text("web: gunicorn site_app:app\nx: run\n")
    (folder / "etc").mkdir()
    tables = tomllib.loads(convert("Procfile", beside=str(folder / "etc")))
    assert tables["app"]["web"]["env_file"] == tables["watcher"]["x"]["env_file"] == "../.env"


WORDS = st.text("ab =$'\"\\|&;<>()*?[]{}#~`\n:-PORT", max_size=14)


@given(
    st.lists(st.tuples(st.from_regex(r"[A-Za-z0-9_-]{1,3}", fullmatch=True), WORDS), max_size=4),
    st.text("AB_= '\"\\\n#$x1", max_size=20),
)
@settings(max_examples=20)
def test_any_procfile(lines: list[tuple[str, str]], variables: str) -> None:
    Path(".env").write_text(variables)
    Path("Procfile").write_text("".join(f"{name}: {line.strip()}\n" for name, line in lines))
    refusal = ""
    try:
        checked(convert("Procfile"))
    except ConfigError as error:
        refusal = str(error)
    assert all(re.search("must be NAME: COMMAND|is there twice", line) for line in refusal.splitlines())


# ---- what a shell is needed for


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a 'b c' \"d $X\" e\\ f", ["a", "b c", "d 1", "e f"]),
        ('a ${X}b ${Y:-2} "${Y-}"', ["a", "1b", "2", ""]),
        ("a ''", ["a", ""]),
        ('a "\\$X \\a"', ["a", "$X \\a"]),
        ("A=$X a#b a~", ["A=1", "a#b", "a~"]),
        ("  ", []),
        ("a $Y", None),
        ("a $BLANK", None),
        ('a "$BLANK"', ["a", "two words"]),
        ("a | b", None),
        ("a # b", None),
        ("~/a", None),
        ("a *.py", None),
        ("a 'open", None),
        ("a $(b)", None),
        ('a "`b`"', None),
        ("a > b", None),
    ],
)
def test_words(line: str, words: list[str] | None) -> None:
    assert shell.words(line, {"X": "1", "BLANK": "two words"}) == words


@given(st.text("ab '\"\\$X#~*|", max_size=12))
@example("a 'b'c\\ d")
@example('"\\$" "\\\'"')
@settings(max_examples=100)
def test_words_are_those_of_a_shell(line: str) -> None:
    found = shell.words(line, {})
    if found is not None:
        told = ["sh", "-c", f"""set -- {line}\nfor word; do printf '%s\\0' "$word"; done"""]
        done = subprocess.run(told, capture_output=True, text=True, check=True)
        assert found == done.stdout.split("\0")[:-1]


# ---- pm2

ECOSYSTEM: dict[str, Any] = {
    "apps": [
        {
            "name": "api",
            "script": "uvicorn",
            "args": "site_app:asgi --port 8090 --workers 2",
            "interpreter": "none",
            "cwd": "public",
            "kill_timeout": 2500,
            "max_memory_restart": "200M",
            "env": {"GREETING": "hello", "N": 3},
            "instances": 2,
            "out_file": "x.log",
        },
        {
            "name": "my worker",
            "exec": "./worker.py",
            "args": ["--x", "a b; c"],
            "instances": "max",
            "max_memory_restart": "300M",
            "kill_timeout": 3000,
            "autorestart": True,
            "stop_exit_codes": [0, 3],
            "restart_delay": 1500,
            "max_restarts": 5,
            "min_uptime": "2m",
            "out": "out.log",
            "error_file": "/dev/null",
            "env_production": {"N": 5},
            "watch": ["src"],
            "cron_restart": "0 0 * * *",
            "exec_mode": "fork",
            "merge_logs": True,
            "port": 3000,
        },
        {"script": "npm start", "interpreter": "none", "treekill": False, "autorestart": False},
    ],
    "deploy": {},
}


def test_an_ecosystem_file() -> None:
    tables, notes, daemon = made("ecosystem.json", json.dumps(ECOSYSTEM))
    assert tables["app"]["api"] == {
        "app": "site_app:asgi",
        "chdir": "public",
        "bind": ["127.0.0.1:8090"],
        "workers": 2,
        "graceful_timeout": 2.5,
        "max_memory": "200M",
        "access_logfile": "-",
    }
    assert tables["watcher"]["my-worker"] == {
        "cmd": "python3 ./worker.py --x 'a b; c'",
        "copy_env": True,
        "stop_signal": "INT",
        "stop_children": True,
        "numprocesses": "auto",
        "max_rss": "300M",
        "graceful_timeout": 3,
        "expected_exits": ["0", "3"],
        "respawn": "unexpected",
        "ready": "delay:120",
        "close_child_stderr": True,
        "flapping": {"retry_in": 1.5, "factor": 1, "max_retry": 5},
        "stdout_stream": {"class": "FileStream", "filename": "out.log"},
    }
    last = tables["watcher"]["npm-start"]
    assert (last["cmd"], last["respawn"], last["stop_children"]) == ("npm start", "no", False)
    assert environ(daemon, "api") == {"GREETING": "hello", "N": "3"}
    assert environ(daemon, "my-worker")["PORT"] == "3000"
    lacking = {note.split()[2] for note in notes if note.startswith("no equal: ")}
    assert lacking == {"deploy", "out_file", "instances", "env_production", "watch", "cron_restart"}


PM2_KEYS = st.sampled_from(
    [
        *("name", "args", "interpreter", "interpreter_args", "instances", "max_memory_restart"),
        *("autorestart", "kill_timeout", "stop_exit_codes", "listen_timeout", "min_uptime", "max_restarts"),
        *("restart_delay", "exp_backoff_restart_delay", "env", "port", "watch", "treekill", "exec_mode"),
        *("whatever", "disable_logs", "pid", "log_file", "out_file"),
    ]
)
PM2_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["max", "5s", "1h", "300M", "none", "python3", "x.log", "a 'b"]),
    st.lists(st.one_of(st.integers(0, 300), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.from_regex(r"[A-Z]{1,3}", fullmatch=True), st.text(max_size=5), max_size=2),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x", "w.py", "uvicorn", "gunicorn"]),
            st.dictionaries(PM2_KEYS, PM2_VALUES, max_size=6),
        ),
        max_size=3,
    )
)
@example([("uvicorn", {"port": "\0"}), ("x", {"env": {"A": "\0"}})])
@settings(max_examples=20)
def test_any_ecosystem_file(apps: list[tuple[str, dict[str, Any]]]) -> None:
    described = [
        {**app, "script": script, **({"args": "site_app:asgi"} if script.endswith("corn") else {})}
        for script, app in apps
    ]
    Path("ecosystem.json").write_text(json.dumps({"apps": described}))
    try:
        checked(convert("ecosystem.json"))
    except ConfigError as error:  # with pm2 one of both would start and find its address taken
        wrong = str(error).splitlines()
    else:
        wrong = []
    assert all(" has the address of [app:" in line for line in wrong)
    assert not wrong or sum(script.endswith("corn") for script, _ in apps) > 1


def test_variables_that_cannot_be_have_no_equal() -> None:
    app = {
        "script": "uvicorn",
        "args": "site_app:asgi",
        "env": {"A": "\0", "B": "b", "C-D": "1"},
        "port": "\0",
    }
    tables, notes, daemon = made("ecosystem.json", json.dumps(app))
    assert environ(daemon, *tables["app"]) == {"B": "b"}
    assert "no equal: env.A (no variable holds a NUL)" in notes
    assert "no equal: port (no variable holds a NUL)" in notes
    assert "no equal: env.C-D (it is no name of a variable)" in notes


# ---- what the documentation shows

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["from-uwsgi.md", "from-procfile.md"])
def test_examples_are_what_is_written(page: str) -> None:
    (name, before), (_, after) = BLOCK.findall((ROOT / "docs/howto" / page).read_text())
    Path(name).write_text(before)
    Path(".env").write_text("SECRET=1\n")
    _made_from, _, text = convert(name).partition("\n\n")
    assert text == after


# ---- uWSGI

UWSGI = """\
# a site as documentation has it
[uwsgi]
base = public
project = shop
chdir = %(base)
wsgi-file = ../site_app.py
callable = app
master
processes = %k
threads = 2
socket = /run/%(project).sock
chmod-socket = 660
chown-socket = 0:0
http = :8080
vacuum = true
lazy-apps = false
harakiri = 20
buffer-size = 32768
static-map = /static=/
static-map2 = /etc=/
env = GREETING=hello
procname-prefix = shop-
logto = %n.log
cheaper = 2
touch-reload = %s
py-autoreload = 1
mount = /api=../site_app.py
attach-daemon = celery -A shop worker | tee x
attach-daemon2 = cmd=memcached -m 64,touch=/x,stopsignal=2
smart-attach-daemon = /run/x.pid redis-server
mule = jobs.py
mule = shop.jobs:run
mule
cron = -5 -1 -1 -1 -1 python manage.py clear
cron2 = hour=3,minute=0,unique=1 python -m shop.backup "a b"
cron = 1 2 3
unknown = 1
gid = 0
long = a \\
    b
[more]
x = 1
"""


def test_a_file_of_uwsgi() -> None:
    tables, notes, daemon = made("uwsgi.ini", UWSGI)
    assert tables["circus"] == {"logoutput": "public/uwsgi.log"}
    assert tables["app"]["shop"] == {
        "app": "../site_app.py:app",
        "chdir": "public",
        "env": ["GREETING=hello"],
        "mount": ["/api=../site_app.py:app"],
        "bind": ["unix:/run/shop.sock", "0.0.0.0:8080"],
        "bind_mode": "660",
        "bind_owner": "0",
        "bind_group": "0",
        "static": ["/static=/", "/etc=//etc"],
        "workers": "auto",
        "threads": 2,
        "timeout": 20,
        "limit_request_line": 0,
        "limit_request_field_size": 0,
        "limit_request_head": 32768,
        "group": "0",
        "access_logfile": "-",
    }
    watchers = tables["watcher"]
    assert list(watchers) == [
        "celery",
        "memcached",
        "redis-server",
        "jobs",
        "shop-jobs",
        "clear",
        "shop-backup",
    ]
    assert {name: one.pop("working_dir") for name, one in watchers.items()} == dict.fromkeys(
        watchers, "public"
    )
    assert {name: one.pop("gid") for name, one in watchers.items()} == dict.fromkeys(watchers, "0")
    assert watchers["celery"]["shell"]
    assert environ(daemon, "celery")["GREETING"] == "hello"
    assert (watchers["memcached"]["cmd"], watchers["memcached"]["stop_signal"]) == ("memcached -m 64", "INT")
    assert watchers["shop-jobs"]["cmd"] == "python -u -c 'import shop.jobs; shop.jobs.run()'"
    assert (watchers["clear"]["schedule"], watchers["shop-backup"]["schedule"]) == (
        "*/5 * * * *",
        "0 3 * * *",
    )
    lacking = [
        note.removeprefix("no equal: ").split(" (")[0] for note in notes if note.startswith("no equal: ")
    ]
    assert lacking == [
        "socket = /run/shop.sock with the protocol uwsgi",
        "cheaper = 2",
        "touch-reload = uwsgi.ini",
        "py-autoreload = 1",
        "unknown = 1",
        "long = a b",
        "[more]",
        "mule",
        "cron = 1 2 3",
        "touch=/x of attach-daemon2",
        "pidfile /run/x.pid of smart-attach-daemon",
        "the module uwsgi in a mule",
        "the module uwsgi in a mule",
    ]
    assert len(daemon.watchers) == 7


@pytest.mark.parametrize(
    ("lines", "app"),
    [
        ("module = site_app", "site_app"),
        ("wsgi = site_app:app", "site_app:app"),
        ("module = site_app\ncallable = asgi", "site_app:asgi"),
        ("mount = /=site_app.py\ncallable = app", "site_app.py:app"),
        ("mount = /x=site_app.py", "site_app.py"),
        ("file = %d/site_app.py", "{folder}//site_app.py"),
        ("callable = site_app:app", "site_app:app"),
    ],
)
def test_how_uwsgi_is_told_of_the_application(lines: str, app: str, folder: Path) -> None:
    tables, notes, _ = made("uwsgi.ini", f"[uwsgi]\n{lines}\n")
    (table,) = tables["app"].values()
    assert table["app"] == app.format(folder=folder)
    assert (table["timeout"], table["access_logfile"]) == (0, "-")
    assert "There was no harakiri; a time limit such as timeout = 30 has hung workers replaced." in notes
    assert table.get("root_path", "") == ("/x" if "/x" in lines else "")


@pytest.mark.parametrize("key", ["static-map", "static-map2"])
def test_a_path_for_files_without_a_folder_has_no_equal(key: str) -> None:
    """It is a folder of the machine, too."""
    tables, notes, _ = made("uwsgi.ini", f"[uwsgi]\nmodule = site_app\n{key} = /etc\n")
    assert "static" not in tables["app"]["site_app"]
    assert any(note.startswith(f"no equal: {key} = /etc") for note in notes)


def test_a_paste_file_of_uwsgi() -> None:
    Path("site.ini").write_text("[app:main]\nuse = call:site_app:app\n")
    tables, _, _ = made("uwsgi.ini", "[uwsgi]\nini-paste-logged = site.ini\ndisable-logging = true\n")
    assert tables["app"] == {
        "site": {"app": "paste:site.ini", "paste_logging": True, "timeout": 0},
    }
