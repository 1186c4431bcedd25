# Sites that a gunicorn.conf.py describes, as people run them: started with one changed word, and reloaded.

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.site import Site, until
from tests.support.stack import free_port

pytestmark = pytest.mark.case("C1")

APP = """
import json, os

def app(environ, start_response):
    body = json.dumps({"pid": os.getpid(), "variable": os.environ.get("SITE_VARIABLE"), "said": SAID})
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body.encode()]

from site_said import SAID
"""


def write(folder: Path, said: str, **settings: object) -> None:
    (folder / "site_app.py").write_text(APP)
    (folder / "site_said.py").write_text(f"SAID = {said!r}\n")
    lines = ["import os", "os.environ['SITE_VARIABLE'] = 'of the file'"]
    lines += [f"{name} = {value!r}" for name, value in settings.items()]
    (folder / "gunicorn.conf.py").write_text("\n".join(lines) + "\n")


class Described(Site):
    """A site of which everything is said in a gunicorn.conf.py."""

    def __init__(self, folder: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        # Python would take a file of the same second and size for what it has compiled.
        super().__init__("", *args, cwd=folder, env={"PYTHONDONTWRITEBYTECODE": "1", **(env or {})})
        at = self.command.index("serve")
        self.command = [*self.command[: at + 1], *args]


def test_a_file_of_gunicorn_is_all_that_a_site_needs(tmp_path: Path) -> None:
    bind = [f"127.0.0.1:{free_port()}"]
    write(tmp_path, "one", wsgi_app="site_app:app", workers=2, bind=bind, worker_tmp_dir="/x")
    with Described(tmp_path) as site:
        answer = json.loads(site.get("/"))
        assert (answer["variable"], answer["said"]) == ("of the file", "one")
        assert len(site.workers()) == 2
        log = site.log()
        assert log.count("settings are those of gunicorn.conf.py") == 1
        assert log.count("worker_tmp_dir has no effect") == 1


def test_a_reload_reads_it_again_and_names_what_takes_a_new_start(tmp_path: Path) -> None:
    first, second = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    write(tmp_path, "one", wsgi_app="site_app:app", bind=first, timeout=30)
    with Described(tmp_path) as site:
        write(tmp_path, "two", wsgi_app="site_app:app", bind=second, workers=3, timeout=20)
        before = set(site.workers())
        site.send(signal.SIGHUP)
        site.wait_for("site_app: reloaded")
        until(lambda: len(set(site.workers()) - before) == len(site.workers()) == 3, "three new workers")
        assert json.loads(site.get("/"))["said"] == "two"
        assert "gunicorn.conf.py: what changed in bind takes a new start of Bigtop" in site.log()

        (tmp_path / "gunicorn.conf.py").write_text("workers = 1\nnonsense(\n")
        workers = set(site.workers())
        site.send(signal.SIGHUP)
        site.wait_for("nothing changes")
        assert "[ERROR] reload: " in site.log()
        assert "gunicorn.conf.py:2: SyntaxError" in site.log()
        assert "Traceback" not in site.log()
        assert set(site.workers()) == workers
        assert json.loads(site.get("/"))["said"] == "two"
        assert site.stop() == 0


def test_new_bounds_leave_a_number_within_them(tmp_path: Path) -> None:
    site_of = {"wsgi_app": "site_app:app", "bind": f"127.0.0.1:{free_port()}"}
    write(tmp_path, "one", **site_of, workers="1..5")
    with Described(tmp_path) as site:
        for count in (2, 3):
            site.send(signal.SIGTTIN)  # one more
            until(lambda count=count: len(site.workers()) == count, "one more worker")
        before = set(site.workers())
        assert len(before) == 3
        write(tmp_path, "two", **site_of, workers="2..5")
        site.send(signal.SIGHUP)
        site.wait_for("site_app: reloaded")
        until(lambda: not before & set(site.workers()), "new workers")
        assert len(site.workers()) == 3
        assert "processes instead of" not in site.log()


def test_a_file_whose_end_does_not_come_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "one", wsgi_app="site_app:app", bind=f"127.0.0.1:{free_port()}")
    with Described(tmp_path, "--boot-timeout", "8") as site:
        (tmp_path / "gunicorn.conf.py").write_text("import threading\nthreading.Event().wait()\n")
        site.send(signal.SIGHUP)
        site.wait_for(
            "reload: gunicorn.conf.py: not executed after 8 seconds (--boot-timeout); nothing changes"
        )
        assert json.loads(site.get("/"))["said"] == "one"


def test_a_reload_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, "one", wsgi_app="site_app:app", bind=f"127.0.0.1:{free_port()}", workers=2)
    with Described(tmp_path) as site:
        first = set(site.workers())
        write(tmp_path, "two", wsgi_app="site_app:lacking", workers=1)
        site.send(signal.SIGHUP)
        site.wait_for("reload failed")
        assert json.loads(site.get("/"))["said"] == "one"
        # One has left at the reload, or is about to.
        until(lambda: len(site.workers().keys() - first) == 1 and len(site.workers()) == 2, "two workers")
        (worker,) = first & site.workers().keys()
        os.kill(worker, signal.SIGKILL)  # its successor is of the old file, too
        until(lambda: worker not in site.workers() and len(site.workers()) == 2, "its successor")
        assert json.loads(site.get("/"))["said"] == "one"
        write(tmp_path, "three", wsgi_app="site_app:app", workers=1)
        before = set(site.workers())
        site.send(signal.SIGHUP)
        site.wait_for("site_app: reloaded")
        until(lambda: not before & set(site.workers()), "the end of the old worker")
        assert json.loads(site.get("/"))["said"] == "three"
