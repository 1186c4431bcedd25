# How workers log, as a gunicorn.conf.py says it: by gunicorn itself, and by Bigtop, with gunicorn installed
# and without.

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.test_gunicorn_file import Described
from tests.support.procfs import descriptors
from tests.support.site import DEADLINE, ROOT, until
from tests.support.stack import Stack, free_port

pytestmark = pytest.mark.case("C1")

# What Python finds when gunicorn is not installed: perhaps a folder that is called so.
HIDING = """
import sys
from importlib.machinery import PathFinder

class Hiding:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "gunicorn":
            path = [folder for folder in sys.path if "site-packages" not in folder]
        return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""
WSGI = """
import logging

HANDLERS = len(logging.getLogger("gunicorn.error").handlers)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        1 / 0
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
    return [str(HANDLERS).encode()]
"""
ASGI = """
import logging

HANDLERS = len(logging.getLogger("gunicorn.error").handlers)

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        1 / 0
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(HANDLERS).encode()})
"""
CONF = """
import logging
from gunicorn import glogging, util
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

class NoHealth(logging.Filter):
    def filter(self, record):
        return record.args["U"] != "/health" and "/quiet" not in record.getMessage()

class CustomLogger(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        logging.getLogger("gunicorn.access").addFilter(NoHealth())

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["own"] = f"{req.method}+{resp.status_code if hasattr(resp, 'status_code') else 0}"
        return atoms

    def access(self, resp, req, environ, request_time):
        if req.path != "/skipped":
            super().access(resp, req, environ, request_time)

wsgi_app = "logged:app"
logger_class = CustomLogger
accesslog = "access.log"
access_log_format = '%(m)s %(U)s %(q)s %(s)s %(B)s %({x-mark}i)s %({content-type}o)s %({raw_uri}e)s %(own)s'
control_socket_disable = True
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(name)s|%(levelname)s|%(message)s"}},
    "handlers": {"errors": {"()": logging.FileHandler, "filename": "errors.log", "formatter": "plain"}},
    "root": {"level": "WARNING", "handlers": []},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["errors"], "propagate": False}},
}

def when_ready(server):
    server.log.info("ready")

def child_exit(server, worker):
    server.log.info("gone: %s", worker.pid)

def post_fork(server: Arbiter, worker: Worker):
    worker.log.info("forked in %s", util.getcwd())
"""
EXPECTED = [
    "GET /a b c=d 200 1 here text/plain /a%20b?c=d GET+200",
    "GET /  200 1 here text/plain / GET+200",
]


class Folder:
    def __init__(self, path: Path, app: str = WSGI) -> None:
        self.path = path
        self.address = f"127.0.0.1:{free_port()}"
        (path / "logged.py").write_text(app)
        (path / "gunicorn.conf.py").write_text(CONF + f"bind = {self.address!r}\n")

    def get(self, path: str) -> str:
        wanted = urllib.request.Request(f"http://{self.address}{path}", headers={"X-Mark": "here"})
        with urllib.request.urlopen(wanted, timeout=DEADLINE) as response:
            return str(response.read().decode())

    def ask(self) -> None:
        """Send what should be logged, and what should not."""
        assert int(self.get("/a%20b?c=d")) > 0, "handlers of gunicorn.error while it is imported"
        for path in ("/health", "/quiet?x=1", "/skipped", "/"):
            self.get(path)
        with pytest.raises(urllib.error.HTTPError, match="500"):
            self.get("/fail")

    def lines(self, name: str) -> list[str]:
        with suppress(FileNotFoundError):
            return (self.path / name).read_text().splitlines()
        return []

    def check(self) -> None:
        until(lambda: len(self.lines("access.log")) >= len(EXPECTED), "the access log")
        assert [line for line in self.lines("access.log") if "/fail" not in line] == EXPECTED
        until(lambda: "ZeroDivisionError: division by zero" in self.lines("errors.log"), "the error")
        said = self.lines("errors.log")
        assert any(line.endswith(f"|INFO|forked in {self.path}") for line in said)
        assert any("|ERROR|" in line for line in said)


@contextmanager
def gunicorn(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
    with open(path / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=path, stdout=log, stderr=log)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(DEADLINE)
        finally:
            server.kill()
            server.wait()


def test_gunicorn_itself_logs_so(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="pip install 'bigtop[test]' brings gunicorn 27")
    folder = Folder(tmp_path)
    with gunicorn(tmp_path):
        until(lambda: any("forked" in line for line in folder.lines("errors.log")), "a worker")
        folder.ask()
        folder.check()


@pytest.mark.parametrize(
    ("app", "installed"), [(WSGI, False), (ASGI, True)], ids=["wsgi-without", "asgi-with-gunicorn"]
)
def test_workers_log_as_a_file_says(tmp_path: Path, app: str, installed: bool) -> None:
    env = {}
    if not installed:
        hiding = tmp_path / "hiding"
        hiding.mkdir()
        (hiding / "sitecustomize.py").write_text(HIDING)
        (tmp_path / "gunicorn").mkdir()
        env["PYTHONPATH"] = f"{hiding}:{ROOT}"
    folder = Folder(tmp_path, app)
    with Described(tmp_path, env=env) as site:
        folder.ask()
        folder.check()
        for name in ("access.log", "errors.log"):
            (tmp_path / name).rename(tmp_path / f"{name}.1")
        site.send(signal.SIGUSR1)
        (worker,) = site.workers()
        # It is not enough that the file is there: the process of hooks opens it, too.
        access = str(tmp_path / "access.log")
        until(lambda: access in descriptors(worker).values(), "the worker to open a new file")
        folder.get("/")
        until(lambda: folder.lines("access.log") == EXPECTED[-1:], "a line in the new file")
        os.kill(worker, signal.SIGKILL)
        until(lambda: site.workers().keys() - {worker}, "another worker")
        gone = f"gunicorn.error|INFO|gone: {worker}"
        until(lambda: gone in folder.lines("errors.log"), "a line of the process of hooks")
        folder.get("/")
        until(lambda: folder.lines("access.log") == 2 * EXPECTED[-1:], "a line of that in the same file")
        assert "has no effect" not in site.log()
        assert "Traceback" not in site.log(), "it is in errors.log"


INI = """
[loggers]
keys = root, gunicorn.access

[handlers]
keys = two

[formatters]
keys =

[logger_root]
handlers =

[logger_gunicorn.access]
handlers = two
qualname = gunicorn.access

[handler_two]
class = FileHandler
args = ("%(here)s/out.ini",)
"""
JSON = """
{
    "version": 1,
    "formatters": {"short": {"format": "%(message)s"}},
    "handlers": {"one": {"class": "logging.FileHandler", "filename": "out.json", "formatter": "short"}},
    "loggers": {"gunicorn.access": {"handlers": ["one"]}}
}
"""
CLASS = """
class Own:
    def __init__(self, cfg):
        self.path = cfg.own if hasattr(cfg, "own") else "out.class"

    def access(self, resp, req, environ, request_time):
        with open(self.path, "a") as file:
            print(req.method, environ["PATH_INFO"], resp.status, file=file)
"""


def test_a_class_and_a_file_of_pythons_logging_without_any_of_gunicorns(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(WSGI + CLASS)
    (tmp_path / "x.json").write_text(JSON)
    (tmp_path / "x.ini").write_text(INI)
    text = "".join(
        f"[socket.{name}]\nhost = '127.0.0.1'\nport = 0\n[app.{name}]\napp = 'logged:app'\n"
        f"sockets = ['{name}']\nchdir = '{tmp_path}'\naccess_logformat = '%(m)s %(U)s %(s)s'\n{said}\n"
        for name, said in (
            ("json", "log_config_json = 'x.json'\nbackend = 'gevent'\npreload = 'off'"),
            ("ini", f"log_config = '{tmp_path}/x.ini'"),
            ("class", "logger_class = 'logged.Own'"),
        )
    )
    with Stack(text) as stack:
        for name in ("json", "ini", "class"):
            stack.wait_for(f"{name}: started")
        for socket in stack.asked("listsockets")["sockets"]:
            file = tmp_path / f"out.{socket['name']}"
            with urllib.request.urlopen(f"http://127.0.0.1:{socket['port']}/a", timeout=DEADLINE):
                until(lambda file=file: file.exists() and file.read_text(), "a line")
    lines = {name: (tmp_path / f"out.{name}").read_text() for name in ("json", "ini", "class")}
    assert lines == {"json": "GET /a 200\n", "ini": "GET /a 200\n", "class": "GET /a 200 OK\n"}


@pytest.mark.parametrize(
    ("flags", "text", "message"),
    [
        ((), "logconfig_dict = {'version': 1, 'handlers': {'x': {'class': 'no.Such'}}}",
         "logconfig_dict: Unable to configure handler 'x': "),
        (("--check-config",), "logger_class = 'logged.Missing'",
         "logger_class logged.Missing: module 'logged' has no attribute"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_ends_the_start_with_one_line(
    tmp_path: Path, flags: tuple[str, ...], text: str, message: str
) -> None:
    (tmp_path / "logged.py").write_text(WSGI)
    (tmp_path / "gunicorn.conf.py").write_text(f"wsgi_app = 'logged:app'\nbind = '127.0.0.1:0'\n{text}\n")
    with Described(tmp_path, *flags).attempt() as site:
        assert site.wait() in (3, 78)
        assert message in site.log()
        assert "Traceback" not in site.log()
