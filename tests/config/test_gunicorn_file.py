# A gunicorn.conf.py: who wins, who is blamed, and what is wrong with one.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bigtop.config.serve import flags, listing
from bigtop.config.serve import options as o
from bigtop.config.serve.settings import ServeConfig
from bigtop.config.serve.sources import gather
from bigtop.errors import ConfigError

pytestmark = pytest.mark.case("C1")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(
    argv: Sequence[str] = (), environ: Mapping[str, str] | None = None, app: str = "a:app"
) -> ServeConfig:
    return gather(app, environ or {}, flags.parse(argv, "line"), by_itself=True).read()


def test_the_file_in_the_working_folder_is_read_by_itself_unless_something_else_is_said() -> None:
    assert configured()[o.WORKERS].least == 1
    Path("gunicorn.conf.py").write_text("workers = 3\n")
    Path("other.py").write_text("workers = 4\n")
    assert configured()[o.WORKERS].least == 3
    assert configured(["-c", "other.py"])[o.WORKERS].least == 4
    assert configured(["--config", "file:other.py"])[o.WORKERS].least == 4
    assert configured(["-c", "python:other"])[o.WORKERS].least == 4
    assert configured(environ={"GUNICORN_CMD_ARGS": "-c other.py"})[o.WORKERS].least == 4
    assert configured(["-c", "off"])[o.WORKERS].least == 1
    assert gather("a:app", {}, {}).read()[o.WORKERS].least == 1


def test_the_order_is_that_of_gunicorn() -> None:
    Path("gunicorn.conf.py").write_text("workers = 3\nthreads = 3\ntimeout = 3\nbacklog = 3\n")
    environ = {
        "WEB_CONCURRENCY": "2",
        "GUNICORN_CMD_ARGS": "--threads 4 --timeout 4 --backlog 4",
        "BIGTOP_TIMEOUT": "5",
    }
    config = configured(["--backlog", "6"], environ)
    origins = {
        option.name: config.settings[option.name].given.origin
        for option in (o.WORKERS, o.THREADS, o.TIMEOUT, o.BACKLOG)
    }
    assert origins == {
        "workers": "gunicorn.conf.py:1: workers",
        "threads": "--threads in $GUNICORN_CMD_ARGS",
        "timeout": "$BIGTOP_TIMEOUT",
        "backlog": "--backlog in line",
    }
    assert "gunicorn.conf.py:1: workers" in listing.print_config(config)


def test_the_file_may_name_the_application_and_others_win() -> None:
    Path("gunicorn.conf.py").write_text("wsgi_app = 'file:app'\n")
    assert configured(app="").app == "file:app"
    assert configured(app="line:app").app == "line:app"


def test_what_files_do_besides_is_nobodys_affair() -> None:
    Path("helper.py").write_text("N = 2\n")
    Path("gunicorn.conf.py").write_text(
        "import multiprocessing, os\nfrom helper import N\n_private = object()\nmy_own = {1, 2}\n"
        "workers = multiprocessing.cpu_count() * 0 + N\nprint('hello')\n"
        "class Helper: pass\ndef helper(): pass\nlogger = object()\n"
    )
    assert configured()[o.WORKERS].least == 2


def test_other_names_for_the_server_are_those_of_the_header() -> None:
    Path("gunicorn.conf.py").write_text("import gunicorn\ngunicorn.SERVER = 'shop'\nworkers = 2\n")
    assert configured()[o.SERVER_HEADER] == "shop"
    assert configured().remarks == ()
    assert configured(["--server-header", ""])[o.SERVER_HEADER] == ""
    Path("gunicorn.conf.py").write_text("import gunicorn\ngunicorn.SERVER_SOFTWARE = 'shop'\n")
    assert configured()[o.SERVER_HEADER] == "bigtop"
    (remark,) = configured().remarks
    assert remark.startswith("gunicorn.conf.py: gunicorn.SERVER_SOFTWARE has no effect: --server-header")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers = 1\nx = 1 / 0\n", "gunicorn.conf.py:2: ZeroDivisionError: division by zero"),
        ("workers = (\n", "gunicorn.conf.py:1: SyntaxError: '(' was never closed"),
        ("import os\n\ndef f():\n    import nothing_there\nf()\n", "gunicorn.conf.py:4: ModuleNotFoundError"),
        ("raise SystemExit('no')\n", "gunicorn.conf.py:1: it called sys.exit('no')"),
        ("import os\nos._exit(9)\n", "the process that executed it ended with status 9"),
        ("\nworkers = 'many'\n", "gunicorn.conf.py:2: workers: must be auto or a whole number"),
        ("threads = 1\nthreads = object()\n", "gunicorn.conf.py:2: threads: cannot be of type object"),
        ("http_protocols = 'h3'\n", "gunicorn.conf.py:1: http_protocols: must be h1, h2 or both, got 'h3'"),
        (
            "def ssl_context(conf, factory): pass\n",
            "conf.py:1: ssl_context: it is code that makes a",
        ),
        ("def on_exit(): pass\n", "gunicorn.conf.py:1: on_exit: takes 0 arguments, and is given 1 (server)"),
        ("def post_request(a, b, c, d, e): pass\n", "takes 5 arguments, and is given 1 to 4"),
    ],
)
def test_mistakes_are_told_in_one_line_that_names_the_place(text: str, message: str) -> None:
    Path("gunicorn.conf.py").write_text(text)
    with pytest.raises(ConfigError) as error:
        configured()
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named_by_who_named_it() -> None:
    with pytest.raises(ConfigError, match=r"^--config in line: there is no file .*/nix.py$"):
        configured(["-c", "nix.py"])
    with pytest.raises(ConfigError, match=r"^python:nix: ModuleNotFoundError: No module named 'nix'$"):
        configured(["-c", "python:nix"])


def test_hooks_are_found_however_they_are_given() -> None:
    Path("gunicorn.conf.py").write_text(
        "import functools, os\ndef on_starting(server): pass\npost_request = lambda worker, req: None\n"
        "on_exit = 'os.getpid'\nwhen_ready = None\nworker_exit = print\ndef other(a, b, c): pass\n"
    )
    file = configured().file
    assert file is not None
    assert sorted(file.hooks) == ["on_exit", "on_starting", "post_request", "worker_exit"]
