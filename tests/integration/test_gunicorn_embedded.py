# Programs that embed gunicorn as its documentation shows it, with the import changed.

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.site import Site, until

pytestmark = pytest.mark.case("C1")

# As in the documentation, section "Custom Application", in words of our own.
STANDALONE = """
import logging
import multiprocessing
import os
import sys

import PACKAGE.app.base


def number_of_workers():
    return multiprocessing.cpu_count() * 0 + 2


def handler_app(environ, start_response):
    body = f"{__name__} {sys.argv[1:]} {os.path.basename(os.getcwd())}".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


class StandaloneApplication(PACKAGE.app.base.BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {
            key: value
            for key, value in self.options.items()
            if key in self.cfg.settings and value is not None
        }
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application


def post_fork(server, worker):
    worker.log.info("hook of a worker, %s", server.cfg.workers)


def child_exit(server, worker):
    server.log.info("hook of the master")


logging.getLogger("gunicorn.access").addFilter(lambda record: "/health" not in record.getMessage())

if __name__ == "__main__":
    os.makedirs("below", exist_ok=True)
    os.chdir("below")
    options = {
        "bind": "%s:%s" % ("127.0.0.1", "0"),
        "workers": number_of_workers(),
        "post_fork": post_fork,
        "child_exit": child_exit,
        "unknown": 1,
        "timeout": None,
        "accesslog": "access.log",
        "access_log_format": "%(U)s",
    }
    StandaloneApplication(handler_app, options).run()
"""


class Program(Site):
    """A program that embeds the server."""

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        super().__init__("", cwd=folder, env=env)
        self.command = [sys.executable, *words]


def test_the_documented_application_with_only_the_import_changed(tmp_path: Path) -> None:
    (tmp_path / "standalone.py").write_text(STANDALONE.replace("PACKAGE", "bigtop.gunicorn"))
    with Program(tmp_path, "standalone.py", "one", "two") as site:
        assert site.get("/") == "__main__ ['one', 'two'] below"
        until(lambda: len(site.workers()) == 2, "two workers")
        assert next(iter(site.workers().values())).endswith("[standalone]")
        site.wait_for("[INFO] hook of a worker, 2", times=2)
        assert "settings are those of " in site.log()

        site.get("/health")
        site.get("/seen")
        accesses = tmp_path / "below" / "access.log"
        # Either worker may have answered each, and writes its line when its client has the answer.
        until(lambda: sorted(accesses.read_text().split()) == ["/", "/seen"], "accesses, one is filtered")
        text = (tmp_path / "standalone.py").read_text()
        (tmp_path / "standalone.py").write_text(text.replace('f"{__name__}', 'f"new {__name__}'))
        site.send(signal.SIGHUP)
        site.wait_for("standalone: reloaded")
        assert site.get("/").startswith("new __main__")
        site.wait_for("[INFO] hook of the master")
        assert site.stop() == 0
        until(site.is_gone, "the end of all processes")


def test_a_module_that_init_and_app_uri_describe(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "from bigtop.gunicorn import WSGIApplication\n"
        "from . import site\n"
        "class Own(WSGIApplication):\n"
        "    app_uri = 'package.site:app'\n"
        "    def init(self, parser, opts, args):\n"
        "        return {'bind': '127.0.0.1:0', 'worker_class': 'uvicorn.workers.UvicornWorker'}\n"
        "Own().run()\n"
    )
    (package / "site.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'asgi'})\n"
    )
    with Program(tmp_path, "-m", "package") as site:
        assert site.get("/") == "asgi"
        assert next(iter(site.workers().values())).endswith("[package]")


ONCE = "import os\noptions = {}\nbefore = os.environ.setdefault('BY', str(os.getpid()))\n"
ONCE += "if before != str(os.getpid()):"


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("options = {'spew': True, 'workers': 'many'}", 78, "program.py: spew: use a debugger"),
        ("options = {'wokers': 1}", 1, "Error: No configuration setting for: wokers"),
        (f"{ONCE} raise SystemExit(3)", 78, "program.py:5: it called sys.exit(3)"),
        (f"{ONCE} Application.run = print", 78, "program.py: it has ended and not called run() of an"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_the_name_of_the_program(
    tmp_path: Path, text: str, status: int, message: str
) -> None:
    (tmp_path / "program.py").write_text(
        f"from bigtop.gunicorn.app.base import Application\n{text}\n"
        "class Own(Application):\n    def init(self, *_): return options\n"
        "Own().run()\n"
    )
    done = run(tmp_path, ["program.py"])
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_of_gunicorn_is_that_of_bigtop(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys\nfrom bigtop.gunicorn.app.wsgiapp import run\n"
        "sys.argv = ['gunicorn', '--workers', '3', '--print-config', 'a:app']\nrun()\n"
    )
    done = run(tmp_path, ["program.py"])
    assert done.returncode == 0
    assert "--workers" in done.stdout


def run(folder: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=30
    )
