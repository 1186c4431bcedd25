# `bigtop check` and `bigtop convert` as their users run them.

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop import build


@pytest.fixture
def bigtop(tmp_path: Path):
    def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bigtop", *words],
            cwd=tmp_path,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


GOOD = """\
[circus]
endpoint = ipc://c
pubsub_endpoint = ipc://p
[watcher:web]
cmd = run $(circus.env.WHERE)
numprocesses = auto
colour = green
[env]
SECRET = hidden
[app:site]
app = site:app
env = KEY=hidden
"""


def test_check_shows_each_value_and_its_place(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(GOOD)
    done = bigtop("check", "x.ini", WHERE="there")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "[circus]",
        "endpoint = ipc://c # x.ini:2",
        "stats_endpoint = tcp://127.0.0.1:5557 # default of Circus",
        "[watcher:web]",
        "cmd = run there # x.ini:5",
        f"numprocesses = auto ({len(os.sched_getaffinity(0))}) # x.ini:6",
        "colour = green # x.ini:7",
        "(environment) = SECRET",
        "[app:site]",
        "app = site:app # x.ini:11",
        "env = SECRET KEY # x.ini:12",
        f"x.ini: OK, 1 watcher, 1 app; this Bigtop is {build.kind()}",
    ):
        assert line in lines
    assert "hidden" not in done.stdout
    assert "graceful_timeout" not in done.stdout


def test_check_shows_the_defaults_if_asked_to(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(GOOD)
    lines = [" ".join(line.split()) for line in bigtop("check", "--all", "x.ini").stdout.splitlines()]
    assert "graceful_timeout = 30 # default" in lines
    assert "workers = 1 # default" in lines


REFUSED = {
    "an address": ("[circus]\nendpoint = tcp://0.0.0.0:1\n", "x.ini:2: endpoint: tcp://0.0.0.0:1: anybody"),
    "a backend": (
        "[socket:web]\nport = 0\n[app:site]\napp = site:app\nsockets = web\nbackend = wsgiref\nthreads = 2\n",
        "x.ini:6: backend: backend 'wsgiref' does not support threads",
    ),
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_check_refuses_what_run_would(bigtop, command: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(text)
    done = bigtop(command, "x.ini")
    assert done.returncode == 78
    assert reason in done.stderr
    assert "OK" not in done.stdout


def test_warnings_go_to_standard_error(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(GOOD.replace("colour", "numproceses"))
    done = bigtop("check", "--quiet", "x.ini")
    assert (done.returncode, done.stdout) == (0, "")
    assert "bigtop: warning: x.ini:7: numproceses is no key of [watcher:web]" in done.stderr


def test_check_names_every_mistake(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[watcher.a]\ncmd = "a"\nnumprocs = 2\n[circus]\ncheck_delay = "x"\n')
    done = bigtop("check", "x.toml")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        "bigtop: x.toml:3: [watcher:a] has no key numprocs; did you mean numprocesses?",
        "bigtop: x.toml:5: check_delay: must be a number, got 'x'",
    ]


def test_a_file_that_is_not_there(bigtop) -> None:
    done = bigtop("check", "none.ini")
    assert done.returncode == 78
    assert done.stderr == "bigtop: none.ini:1: none.ini cannot be read: No such file or directory\n"


def test_convert_writes_a_file_that_check_accepts(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(GOOD)
    done = bigtop("convert", "x.ini", "-o", "x.toml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "x.toml").read_text() == bigtop("convert", "x.ini").stdout
    assert bigtop("check", "x.toml").returncode == 0


def test_convert_takes_command_lines_and_counts_what_has_no_equal(bigtop, tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text("def app(environ, start_response): ...\n")
    line = "gunicorn -w ${WORKERS} --dirty-workers 2 site_app:app"
    done = bigtop("convert", "--command", line, "-o", "x.toml", WORKERS="2")
    told = 'bigtop: x.toml: 1 without an equal; look for "no equal"\n'
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)
    assert "workers = 2" in (tmp_path / "x.toml").read_text().splitlines()
    assert bigtop("check", "x.toml").returncode == 0


@pytest.mark.parametrize(
    ("command", "name", "text", "whose"),
    [
        ("check", "Procfile", "web: gunicorn a:b\n", "procfile"),
        ("run", "uwsgi.ini", "[uwsgi]\nmodule = a\n", "uwsgi"),
        ("check", "x.conf", "[program:x]\ncommand = x\n", "supervisord"),
    ],
)
def test_files_of_others_are_told(
    bigtop, command: str, name: str, text: str, whose: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    done = bigtop(command, name)
    told = f"make one of it: bigtop convert {name} -o bigtop.toml"
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"bigtop: {name}: is no file for Bigtop as it stands ({whose}); {told}\n"


@pytest.mark.parametrize(
    "words", [(), ("x.ini", "--command", "gunicorn a"), ("--command", "x", "--from", "circus")]
)
def test_convert_wants_one_thing(bigtop, words: tuple[str, ...]) -> None:
    done = bigtop("convert", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: give a FILE or --command" in done.stderr or "Error: --from is for a FILE" in done.stderr


def test_convert_writes_over_nothing_unasked(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(GOOD)
    (tmp_path / "x.toml").write_text("precious")
    done = bigtop("convert", "x.ini", "-o", "x.toml")
    assert (done.returncode, done.stderr) == (78, "bigtop: x.toml exists; --force writes over it\n")
    assert (tmp_path / "x.toml").read_text() == "precious"
    assert bigtop("convert", "x.ini", "--force", "-o", "x.toml").returncode == 0
    assert (tmp_path / "x.toml").read_text() != "precious"


def test_convert_cannot_write_everywhere(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(GOOD)
    done = bigtop("convert", "x.ini", "-o", "no/x.toml")
    assert (done.returncode, done.stderr) == (
        78,
        "bigtop: no/x.toml cannot be written: No such file or directory\n",
    )


@pytest.mark.case("B2")
def test_check_says_that_what_is_no_file_is_not_rotated(bigtop, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(
        "[watcher:web]\ncmd = true\nstdout_stream.class = FileStream\nstdout_stream.filename = /dev/stdout\n"
        "stdout_stream.max_bytes = 100\n"
    )
    done = bigtop("check", "x.ini")
    assert done.returncode == 0
    note = (
        "web: stdout_stream: /dev/stdout is no regular file and is not rotated: max_bytes has no effect there"
    )
    assert f"x.ini: {note}\n" in done.stderr
