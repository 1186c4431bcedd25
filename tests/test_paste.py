# Applications of PasteDeploy files: one way to name them for serve, run, worker and check.

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from bigtop.config.serve import paste_server
from tests.support.site import ROOT, Site
from tests.support.stack import Stack

pytestmark = pytest.mark.case("F2")
pytest.importorskip("paste.deploy")

CODE = """
import logging

def factory(global_conf, greeting):
    def app(environ, start_response):
        logging.getLogger("shop").info("asked for %s", environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [greeting.encode()]
    return app
"""
INI = """
[DEFAULT]
anything = 50%

[app:main]
use = call:shop_of_paste:factory
greeting = good morning

[app:evening]
use = call:shop_of_paste:factory
greeting = good night

[loggers]
keys = root

[handlers]
keys = file

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = file

[handler_file]
class = FileHandler
args = ("%(here)s/paste.log",)
formatter = plain

[formatter_plain]
format = %(name)s says %(message)s
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop_of_paste.py").write_text(CODE)
    (tmp_path / "production.ini").write_text(INI.replace("%(here)s", str(tmp_path)).replace("50%", "half"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "greeting"),
    [
        (["paste:{folder}/production.ini"], "good morning"),
        (["paste:production.ini#evening", "--chdir", "{folder}"], "good night"),
        (["--paste={folder}/production.ini#evening"], "good night"),
    ],
)
def test_serve(folder: Path, words: list[str], greeting: str) -> None:
    first, *rest = (word.replace("{folder}", str(folder)) for word in words)
    with Site(first, *rest, "--pythonpath", str(folder)) as site:
        assert site.get() == greeting
        assert not (folder / "paste.log").exists()
        assert "production: " in site.log()  # its name


def test_the_loggers_of_the_file_by_option(folder: Path) -> None:
    with Site(f"--paste={folder}/production.ini", "--paste-logging", "--pythonpath", str(folder)) as site:
        assert site.get("/x") == "good morning"
        assert "shop says asked for /x\n" in (folder / "paste.log").read_text()
        site.stop()
        assert "production: stopped" in site.log()


def test_run_serves_it_too(folder: Path) -> None:
    text = f"""
        [app.shop]
        app = "paste:{folder}/production.ini#evening"
        paste_logging = true
        pythonpath = "{folder}"
        sockets = "web"
        [socket.web]
        port = 0
        host = "127.0.0.1"
        """
    with Stack(text) as stack:
        stack.wait_for("shop: started")
        (port,) = {entry["port"] for entry in stack.asked("listsockets")["sockets"]}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.read() == b"good night"


SERVER = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = %(http_port)s
threads = 4
expose_tracebacks = false
"""
FLAGS = "--bind 127.0.0.1:6543, --threads 4; without an equal: expose_tracebacks"
KEYS = 'bind = "127.0.0.1:6543", threads = "4"; without an equal: expose_tracebacks'


@pytest.fixture
def with_server(folder: Path) -> Path:
    """The file with a section that says how pserve would serve it; "line" is its line."""
    file = folder / "production.ini"
    file.write_text(file.read_text().replace("[DEFAULT]", "[DEFAULT]\nhttp_port = 6543") + SERVER)
    return file


def noted(file: Path, words: str) -> str:
    line = file.read_text().splitlines().index("[server:main]") + 1
    return f"{file}:{line}: [server:main] has no effect here; what says the same: {words}"


def test_how_it_would_be_served_elsewhere_is_told(with_server: Path) -> None:
    with Site(f"paste:{with_server}", "--pythonpath", str(with_server.parent)) as site:
        assert site.log().count(noted(with_server, FLAGS)) == 1


def test_check_tells_it_too(with_server: Path) -> None:
    folder = with_server.parent
    (folder / "x.toml").write_text(f'[app.x]\napp = "paste:{with_server}"\n')
    checked = said("check", "--quiet", f"{folder}/x.toml")
    assert (checked.returncode, checked.stderr) == (
        0,
        f"bigtop: warning: {folder}/x.toml:2: {noted(with_server, KEYS)}\n",
    )
    checked = said("serve", f"paste:{with_server}", "--pythonpath", str(folder), "--check-config")
    assert checked.stderr == f"bigtop: warning: {noted(with_server, FLAGS)}\n"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            "listen = *:80 [::1]:80\nunix_socket_perms = 600",
            "--bind 0.0.0.0:80, --bind [::1]:80, --bind-mode 600",
        ),
        ("use = egg:gunicorn#main\nworkers = 3\nkeepalive = 2", "--workers 3, --keep-alive 2"),
        ("unix_socket = %(here)s/app.sock", "--bind unix:{folder}/app.sock"),
        ("port = %(nobody)s", "--bind 0.0.0.0:%(nobody)s"),
    ],
)
def test_words_of_other_servers(folder: Path, section: str, words: str) -> None:
    file = folder / "production.ini"
    file.write_text(f"{file.read_text()}\n[server:main]\n{section}\n")
    note = paste_server.advice(f"paste:{file}", "/", paste_server.as_flag)
    assert note == noted(file, words.replace("{folder}", str(folder)))


def test_a_file_without_such_a_section(folder: Path) -> None:
    assert paste_server.advice("paste:production.ini", str(folder), paste_server.as_flag) == ""
    assert paste_server.advice("a:b", str(folder), paste_server.as_flag) == ""


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("paste:{folder}/nowhere.ini", "there is no file {folder}/nowhere.ini"),
        ("paste:{folder}/production.ini#noon", "has no section [app:noon]; it has app:main, app:evening"),
        ("paste:{folder}/shop_of_paste.py", "File contains no section headers"),
    ],
)
def test_what_is_not_there_is_told_by_all(folder: Path, target: str, problem: str) -> None:
    target, problem = (text.replace("{folder}", str(folder)) for text in (target, problem))
    (folder / "x.toml").write_text(f'[app.x]\napp = "{target}"\n')
    for words, status in (
        (["serve", target], 3),
        (["worker", target], 3),
        (["check", "--quiet", f"{folder}/x.toml"], 78),
        (["run", f"{folder}/x.toml"], 78),
    ):
        done = said(*words)
        assert (done.returncode, problem in done.stderr) == (status, True), (words, done.stderr)
        assert "Traceback" not in done.stderr
        assert status == 3 or f"{folder}/x.toml:2: app: " in done.stderr


def test_check_says_when_pastedeploy_is_missing(folder: Path) -> None:
    (folder / "x.toml").write_text(f'[app.x]\napp = "paste:{folder}/production.ini"\n')
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['paste'] = None")  # as not installed
    done = said("check", f"{folder}/x.toml", path=f"{folder}:{ROOT}")
    assert done.returncode == 78
    assert "x.toml:2: app: paste: applications need PasteDeploy: pip install 'bigtop[paste]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a:b", "--paste", "x.ini"], "--paste: a:b is an application already; give one of them"),
        (
            ["a:b", "--paste-logging"],
            "--paste-logging: a:b is not of a PasteDeploy file; name it as paste:FILE",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(words: list[str], problem: str) -> None:
    done = said("serve", *words)
    assert (done.returncode, done.stderr) == (78, f"bigtop: {problem}\n")


def said(*words: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "bigtop", *words]
    env = {"PYTHONPATH": path, "PATH": "/bin"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)
