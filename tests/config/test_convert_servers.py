# Files and command lines of other servers, converted: what becomes of what they say, and that `bigtop check`
# accepts whatever is written.

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from granian.cli import cli as granian_command
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigtop.config.convert import granian, uwsgi_settings
from bigtop.config.convert.pages import written as page
from bigtop.config.convert.site import SiteDraft
from bigtop.config.convert.sources import convert, of_command
from bigtop.config.file.daemon import resolve
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.errors import ConfigError
from bigtop.launch.run.file_preflight import check

APP = "def app(environ, start_response): ...\nasync def asgi(scope, receive, send): ...\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an application, in which other servers are started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site_app.py").write_text(APP)
    for folder in (tmp_path, tmp_path / "public"):  # where things may be told to be
        (folder / "public" / "a").mkdir(parents=True)
        (folder / "log.ini").write_text("[loggers]\nkeys=root\n")
        (folder / "log.json").write_text('{"version": 1}')
    return tmp_path


def checked(text: str, directory: Path) -> dict[str, Any]:
    """Return what `bigtop check` accepted."""
    path = directory / "made.toml"
    path.write_text(text)
    check(resolve(str(path), {}).daemon)
    return tomllib.loads(text)


def made(directory: Path, name: str, text: str) -> tuple[dict[str, Any], list[str]]:
    """Return the tables that a file becomes, and the comments."""
    (directory / name).write_text(text)
    new = convert(name)
    return checked(new, directory), comments(new)


def comments(text: str) -> list[str]:
    return [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]


# ---- gunicorn

GUNICORN = """\
import multiprocessing, os
os.environ["GREETING"] = "hello"
del os.environ["TO_BE_DELETED"]
wsgi_app = "site_app:app"
bind = [":8001", "unix:site.sock"]
workers = multiprocessing.cpu_count() * 0 + 3
worker_class = "gthread"
threads = 4
timeout = 60
raw_env = ["A=1"]
preload_app = True
pidfile = "site.pid"
errorlog = "error.log"
loglevel = "WARNING"
proc_name = "the shop"
worker_tmp_dir = "/dev/shm"
dirty_workers = 2
sendfile = None
logger_class = object()
my_own = object()


def post_fork(server, worker): ...
"""


def test_a_file_of_gunicorn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TO_BE_DELETED", "1")
    tables, notes = made(folder, "gunicorn.conf.py", GUNICORN)
    assert tables == {
        "circus": {"pidfile": "site.pid", "logoutput": "error.log", "loglevel": "warning"},
        "app": {
            "the-shop": {
                "app": "site_app:app",
                "env": ["A=1", "GREETING=hello"],
                "bind": ["0.0.0.0:8001", "unix:site.sock"],
                "workers": 3,
                "threads": 4,
                "backend": "wsgi",
                "preload": "on",
                "timeout": 60,
                "log_level": "warning",
            }
        },
    }
    for note in (
        "not needed: worker_tmp_dir = /dev/shm (workers show",
        "no equal: dirty_workers = 2 (there are no dirty arbiters;",
        "no equal: logger_class, an object of type object (write what it says as an option)",
        f"no equal: post_fork, a function in line {len(GUNICORN.splitlines())} (such hooks",
        "no equal: del os.environ['TO_BE_DELETED'] (start Bigtop without that variable)",
    ):
        assert [one for one in notes if one.startswith(note)] != [], note
    assert not any("my_own" in note for note in notes)


def test_a_file_that_names_no_application_and_one_that_fails(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^gunicorn.conf.py: names no application; wsgi_app does, or the"):
        made(folder, "gunicorn.conf.py", "workers = 2\n")
    with pytest.raises(ConfigError, match=r"gunicorn.conf.py:2: ZeroDivisionError"):
        made(folder, "gunicorn.conf.py", "workers = 2\n1 / 0\n")


def test_what_a_backend_cannot_have_is_no_equal(folder: Path) -> None:
    text = "wsgi_app = 'site_app:app'\nworker_class = 'gevent'\nthreads = 4\n"
    tables, notes = made(folder, "gunicorn.conf.py", text)
    assert tables["app"]["site_app"] == {"app": "site_app:app", "backend": "gevent"}
    (note,) = [note for note in notes if note.startswith("no equal")]
    assert note.startswith("no equal: threads = 4 (backend 'gevent' does not support threads")


def test_a_command_of_gunicorn_wins_over_its_file(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text(
        "wsgi_app = 'nothing:app'\nworkers = 2\ntimeout = 9\nbind = ':1'\n"
    )
    command = (
        "A=1 exec poetry run python3 -m gunicorn -w 4 -b 127.0.0.1:2 -b unix:x --proxy-protocol "
        "--access-logfile - --statsd-host here --enable-backlog-metric --reload site_app:app"
    )
    text = of_command(command, {})
    assert checked(text, folder)["app"]["site_app"] == {
        "app": "site_app:app",
        "env": ["A=1"],
        "bind": ["127.0.0.1:2", "unix:x"],
        "proxy_protocol": "auto",
        "workers": 4,
        "timeout": 9,
        "access_logfile": "-",
    }
    assert checked(text, folder)["stats"] == {"statsd_host": "here", "enable_backlog_metric": True}
    assert any(note.startswith("figures for statsd have the name of") for note in comments(text))
    assert any(
        note.startswith("no equal: --reload (`bigtop run` watches no source") for note in comments(text)
    )
    assert "not needed: poetry run (Bigtop runs in the Python that it is installed in)" in comments(text)


# ---- uvicorn, granian


def test_a_command_of_uvicorn(folder: Path) -> None:
    (folder / ".env").write_text("SECRET='a b'\n")
    command = (
        "uvicorn site_app:asgi --host 0.0.0.0 --port ${PORT:-8080} --workers 2 --timeout-keep-alive 5 "
        "--ws-max-size 1000 --limit-concurrency 7 --env-file .env --ssl-keyfile-password x --http2 "
        "--http h11 --header a:b --log-config log.json"
    )
    text = of_command(command, {})
    assert checked(text, folder)["app"]["site_app"] == {
        "app": "site_app:asgi",
        "env_file": ".env",
        "bind": ["0.0.0.0:8080"],
        "workers": 2,
        "keep_alive": 5,
        "limit_concurrency": 7,
        "ws_max_size": 1000,
        "log_config_json": "log.json",
        "access_logfile": "-",
    }
    lacking = [note.split()[2] for note in comments(text) if note.startswith("no equal: ")]
    assert lacking == ["--ssl-keyfile-password", "--http2", "--header"]


def test_what_uvicorn_reads_as_yaml_has_no_equal(folder: Path) -> None:
    text = of_command("uvicorn site_app:asgi --log-config log.yaml", {})
    assert "log_config" not in checked(text, folder)["app"]["site_app"]
    assert [note for note in comments(text) if "write log.yaml as JSON" in note]


def test_what_a_file_of_variables_says_differently_is_copied(folder: Path) -> None:
    (folder / ".env").write_text("A=x # why\n")
    table = checked(of_command("uvicorn site_app:asgi --env-file=.env --no-access-log", {}), folder)["app"][
        "site_app"
    ]
    assert table == {"app": "site_app:asgi", "env": ["A=x"], "bind": ["127.0.0.1:8000"]}


def test_a_command_of_granian(folder: Path) -> None:
    command = (
        "granian --interface asginl --host ::1 --port 81 --workers 3 --blocking-threads 2 --no-ws "
        "--http1-header-read-timeout 2500 --no-http1-keep-alive --log-level warn --access-log "
        "--static-path-mount public --url-path-prefix /x --pid-file g.pid --workers-lifetime 60 "
        "--workers-max-rss 300 --env-files a.env --env-files b.env site_app:asgi"
    )
    (folder / "a.env").write_text("A=1\n")
    text = of_command(command, {})
    assert checked(text, folder) == {
        "circus": {"pidfile": "g.pid", "loglevel": "warning"},
        "app": {
            "site_app": {
                "app": "site_app:asgi",
                "env_file": "a.env",
                "interface": "asgi",
                "root_path": "/x",
                "bind": ["[::1]:81"],
                "static": ["/static=public"],
                "workers": 3,
                "max_age": "60",
                "max_memory": "300M",
                "keep_alive": 0,
                "header_timeout": 2.5,
                "lifespan": "off",
                "access_logfile": "-",
                "log_level": "warning",
            }
        },
    }
    lacking = [note.split()[2] for note in comments(text) if note.startswith("no equal: ")]
    assert lacking == ["--no-ws", "--env-files"]


def test_granian_for_wsgi_and_by_default(folder: Path) -> None:
    words = "--interface wsgi --blocking-threads 2 --http 1 --uds x.sock site_app:app"
    text = of_command(f"granian {words}", {})
    table = checked(text, folder)["app"]["site_app"]
    assert (table["threads"], table["timeout"], table["bind"]) == (2, 0, ["unix:x.sock"])
    assert table["http1_only"] is True
    assert any("RSGI is not spoken" in note for note in comments(of_command("granian site_app:app", {})))


def test_every_flag_of_granian_has_a_row() -> None:
    theirs = {flag for param in granian_command.params for flag in (*param.opts, *param.secondary_opts)}
    ours = {flag for row in granian.FLAGS.values() for flag in row.flags}
    assert {flag for flag in theirs if flag.startswith("--")} - ours == {"--version"}
    assert ours - theirs == set()
    switches = {param.opts[0] for param in granian_command.params if getattr(param, "is_flag", False)}
    assert {
        row.flags[0] for row in granian.FLAGS.values() if not row.takes and not row.name.startswith("no_")
    } == (switches - {"--version"})


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "celery -A x worker",
            r"^--command: 'celery -A x worker' starts none of gunicorn, uvicorn, granian, uwsgi",
        ),
        ("uvicorn site_app:asgi --port $NOT_SET", r"^--command: \$NOT_SET has no value here"),
        ("uvicorn site_app:asgi | tee log", r"^--command: takes a shell"),
        ("uvicorn --port 1", r"^--command: names no application"),
        ("gunicorn -c nothing.py site_app:app", r"^--command: there is no file .*/nothing.py"),
        ("gunicorn --nonsense site_app:app", r"^--command: No such option"),
        ("granian --nonsense site_app:app", r"^--command: No such option"),
    ],
)
def test_commands_that_cannot_be_converted(command: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of_command(command, {})


def test_a_script_that_starts_servers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "81")
    text = "#!/bin/sh\nset -e\nexec uvicorn site_app:asgi \\\n  --port $PORT \\\n  -w 2\ngunicorn site_app\n"
    tables, notes = made(folder, "start.sh", text)
    assert tables["app"]["site_app"]["bind"] == ["127.0.0.1:81"]
    assert tables["app"]["site_app-2"] == {"app": "site_app"}
    assert "no equal: line 2: set -e (it is for a shell)" in notes


# ---- whatever is converted is accepted

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=8)
# What fits somewhere, and what fits nowhere.
VALUES = st.one_of(
    st.sampled_from(
        [
            *("1", "2", "0", "auto", "on", "off", "true", "debug", "asgi", "wsgi", "gevent", "-", "*"),
            *("10.0.0.1", "4k", "127.0.0.1:1", "unix:x.sock", "unix:@x", "a=b", "/a=public", "/api", "A=1"),
            *("SCRIPT_NAME=x", "022", "/a=site_app:app", "for", "https://a.example", "sync", "gthread"),
            *("uvicorn", "root", "v1"),
        ]
    ),
    TEXT,
    st.integers(-1, 70000).map(str),
)
OF_A_MACHINE = {"chdir": "public", "chdir2": "public", "cd": "public", "working_dir": "public"}
OF_A_MACHINE |= dict.fromkeys(("tmp_upload_dir", "cwd", "static_path_mount"), "public")
OF_A_MACHINE |= dict.fromkeys(("pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2", "pid_file"), "x.pid")
OF_A_MACHINE |= dict.fromkeys(
    ("errorlog", "logto", "logto2", "logger", "daemonize", "log-master-logger"), "x.log"
)
OF_A_MACHINE |= {
    "logconfig": "log.ini",
    "log_config": "log.ini",
    "logconfig_json": "log.json",
    "chown-socket": "0:0",
}
OF_A_MACHINE |= dict.fromkeys(("user", "group", "uid", "gid"), "0")
OF_SSL = (
    *("certfile", "keyfile", "ciphers", "ca-certs", "cert-reqs"),  # of uvicorn, and of granian
    *("certificate", "keyfile", "protocol-min", "ca", "client-verify"),
)
OF_TLS = {"certfile", "keyfile", "ciphers", "ca_certs", "cert_reqs"}  # which hang together, and on files
LOOSE = {"max_examples": 15}


def fitting(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is there on this machine in place of what may not be."""
    return {name: OF_A_MACHINE.get(name, value) for name, value in given.items()}


@given(
    values=st.dictionaries(
        st.sampled_from(sorted(SETTINGS.keys() - {"wsgi_app", "paste"} - OF_TLS)),
        st.one_of(
            VALUES, st.integers(-1, 10**6), st.booleans(), st.floats(-1, 99), st.lists(VALUES, max_size=3)
        ),
        max_size=12,
    )
)
@settings(**LOOSE)
def test_any_settings_of_gunicorn(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    site = SiteDraft()
    site.apply(SETTINGS, {"wsgi_app": "site_app:app", **fitting(values)}, {})
    checked(page([], [site], beside="."), Path())


UWSGI_KEYS = sorted(
    (*uwsgi_settings.SETTINGS, "socket", "http", "gevent", "cron", "cron2", "mule", "attach-daemon", "x")
)
UWSGI_KEYS += [
    "attach-daemon2",
    "chown-socket",
    "buffer-size",
    "static-map",
    "static-map2",
    "smart-attach-daemon",
]
UWSGI_VALUES = st.one_of(
    VALUES,
    st.sampled_from(
        ["-5 -1 -1 -1 -1 run", "minute=7 run it", "cmd=run,stopsignal=2", "run 'it'", "%d/x", "$(X)"]
    ),
)


@given(lines=st.lists(st.tuples(st.sampled_from(UWSGI_KEYS), UWSGI_VALUES), max_size=12))
@settings(**LOOSE)
def test_any_settings_of_uwsgi(lines: list[tuple[str, str]]) -> None:
    text = "".join(f"{key} = {OF_A_MACHINE.get(key, value)}\n" for key, value in lines)
    Path("uwsgi.ini").write_text(f"[uwsgi]\nmodule = site_app:app\n{text}")
    checked(convert("uwsgi.ini"), Path())


def flags(command: Any, unwanted: set[str]) -> Any:
    """Return a strategy of command lines with the flags of a program of click's."""

    def words(param: Any) -> Any:
        flag = st.sampled_from([*param.opts, *param.secondary_opts])
        if getattr(param, "is_flag", False):
            return flag.map(lambda one: [one])
        name = param.opts[0].lstrip("-").replace("-", "_")
        values = st.just(OF_A_MACHINE[name]) if name in OF_A_MACHINE else VALUES
        return st.tuples(flag, values).map(list)

    params = [
        one for one in command.params if one.opts[0].startswith("--") and not unwanted.intersection(one.opts)
    ]
    return st.lists(st.sampled_from(params).flatmap(words), max_size=8).map(
        lambda found: [word for one in found for word in one]
    )


def uvicorn_command() -> Any:
    from uvicorn.main import main

    return main


@pytest.mark.parametrize(
    ("program", "app", "command"),
    [("granian", "site_app:asgi", granian_command), ("uvicorn", "site_app:asgi", uvicorn_command())],
)
def test_any_flags(program: str, app: str, command: Any) -> None:
    files = {"--env-file", "--env-files", "--version", "--help"}
    files |= {f"--ssl-{what}" for what in OF_SSL}

    @given(words=flags(command, files))
    @example(words=["--static-path-route", "/a=public", "--static-path-mount", "public"])
    @settings(**LOOSE)
    def anything(words: list[str]) -> None:
        refusal = ""
        try:
            checked(of_command(shlex.join([program, *words, "--", app]), {}), Path())
        except ConfigError as error:
            refusal = str(error)
        # What the program itself would refuse.
        assert not refusal or re.match(
            "^(--command: )?.*(No such option|requires an argument|needs a value|unexpected extra)", refusal
        )

    anything()
