# Hooks of a gunicorn.conf.py: called in the same order and with the same facts as by gunicorn itself.

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.test_gunicorn_file import Described
from tests.support.site import DEADLINE, Site, until
from tests.support.stack import free_port
from tests.support.users import python_for_nobody

pytestmark = pytest.mark.case("C3")

NOTE = """
import json, os

def note(name, *facts):
    with open({notes!r}, "a") as file:
        file.write(json.dumps([name, *facts]) + "\\n")
"""
HOOKS = """
def nworkers_changed(server, new, old):
    note("nworkers_changed", new, old)

def on_starting(server):
    note("on_starting", server.cfg.bind, server.app.cfg.workers, list(map(list, server.address)))

def when_ready(server):
    server.log.info("ready for %s", server.num_workers)
    note("when_ready")

def on_reload(server):
    note("on_reload")

def pre_fork(server, worker):
    note("pre_fork", worker.pid)

def post_fork(server, worker):
    worker.log.info("worker spawned (pid: %s)", worker.pid)
    note("post_fork", worker.pid == os.getpid(), worker.age, server.pid == os.getppid(), str(worker)[:8])

def post_worker_init(worker):
    note("post_worker_init", worker.alive, worker.cfg.timeout, worker.wsgi.__name__, worker.nr)

def worker_int(worker):
    note("worker_int")

def worker_abort(worker):
    note("worker_abort", worker.aborted or worker.alive)

def worker_exit(server, worker):
    note("worker_exit", worker.pid == os.getpid(), worker.alive)

def child_exit(server, worker):
    note("child_exit", worker.age, worker.pid in server.WORKERS)

def on_exit(server):
    note("on_exit")

def pre_request(worker, req):
    host = dict(req.headers)["HOST"].partition(":")[0]
    note("pre_request", req.method, req.uri, req.path, req.query, host, req.version)

def post_request(worker, req, environ, resp):
    note("post_request", req.path, environ["QUERY_STRING"], resp.status.split()[0], resp.sent)
"""
WSGI = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        import time
        time.sleep(30)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
ASGI = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""


class Folder:
    def __init__(self, path: Path, app: str = WSGI, hooks: str = HOOKS, **settings: object) -> None:
        self.path = path
        self.address = f"127.0.0.1:{free_port()}"
        settings = {"bind": [self.address], "wsgi_app": "hooked:app", **settings}
        lines = [f"{name} = {value!r}" for name, value in settings.items()]
        (path / "hooked.py").write_text(app)
        (path / "gunicorn.conf.py").write_text(
            NOTE.format(notes=str(path / "notes")) + "\n".join(lines) + hooks
        )

    @property
    def notes(self) -> list[list[object]]:
        with suppress(FileNotFoundError):
            whole, _, _begun = (self.path / "notes").read_text().rpartition("\n")
            return [json.loads(line) for line in whole.splitlines()]
        return []

    def names(self) -> list[object]:
        return [name for name, *_ in self.notes]

    def wait_for(self, name: str, times: int = 1) -> None:
        until(lambda: self.names().count(name) >= times, f"{name} x {times}, in {self.notes}")

    def without_pre_fork(self) -> list[list[object]]:
        """What was noted, but for what happens in two processes at once."""
        return [note for note in self.notes if note[0] != "pre_fork"]


def expected(address: str) -> list[list[object]]:
    host, number = address.split(":")
    return [
        ["nworkers_changed", 1, None],
        ["on_starting", [address], 1, [[host, int(number)]]],
        ["when_ready"],
        ["post_fork", True, 1, True, "<Worker "],
        ["post_worker_init", True, 30, "app", 0],
        ["pre_request", "GET", "/a%20b?c=d", "/a%20b", "c=d", "127.0.0.1", [1, 1]],
        ["post_request", "/a%20b", "c=d", "200", 5],
        ["worker_exit", True, False],
        ["child_exit", 1, False],
        ["on_exit"],
    ]


def get(address: str, path: str = "/a%20b?c=d") -> bytes:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=DEADLINE) as response:
        return bytes(response.read())


@pytest.mark.parametrize(
    ("app", "flags"),
    [(WSGI, ()), (WSGI, ("-k", "gevent", "--preload", "off")), (ASGI, ())],
    ids=["wsgi", "gevent", "asgi"],
)
def test_hooks_are_called_in_order_and_see_what_they_look_at(
    tmp_path: Path, app: str, flags: tuple[str, ...]
) -> None:
    folder = Folder(tmp_path, app)
    with Described(tmp_path, *flags) as site:
        assert get(folder.address) == b"hello"
        folder.wait_for("post_request")
        assert site.stop() == 0
        assert folder.without_pre_fork() == expected(folder.address)
        assert folder.names().count("pre_fork") == 1
        assert "[INFO] ready for 1" in site.log()
        assert "[INFO] worker spawned (pid: " in site.log()
        until(site.is_gone, "the end of all processes")


def test_gunicorn_itself_calls_them_so(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="pip install 'bigtop[test]' brings gunicorn 27")
    folder = Folder(tmp_path, control_socket_disable=True)
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        folder.wait_for("post_worker_init")
        assert get(folder.address) == b"hello"
        folder.wait_for("post_request")
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
    noted = [[*note[:4], 5] if note[0] == "post_request" else note for note in folder.without_pre_fork()]
    assert noted == expected(folder.address)


def test_reloads_scaling_and_quick_ends_are_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with Described(tmp_path) as site:
        site.send(signal.SIGHUP)
        site.wait_for("hooked: reloaded")
        folder.wait_for("child_exit")
        assert folder.names().index("on_reload") < len(folder.names()) - folder.names()[::-1].index(
            "post_fork"
        )
        site.send(signal.SIGTTIN)
        folder.wait_for("post_worker_init", 3)
        folder.wait_for("nworkers_changed", 2)
        assert ["nworkers_changed", 2, 1] in folder.notes
        assert "worker_int" not in folder.names()
        assert site.stop(signal.SIGINT) == 0
        assert folder.names().count("worker_int") == 2
        assert folder.names()[-1] == "on_exit"


def test_a_worker_that_takes_too_long_hears_of_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path, timeout=1)
    with Described(tmp_path, "--timeout-action", "kill") as site:  # as gunicorn does
        for killed in range(1, 6):  # a worker has a second for it, which a busy machine may take away
            with suppress(OSError):
                get(folder.address, "/sleep")
            folder.wait_for("child_exit", killed)
            if "worker_abort" in folder.names():
                break
        assert ["worker_abort", True] in folder.notes
        assert "worker_int" not in folder.names()
        assert get(folder.address) == b"hello"
        assert site.stop() == 0


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [("on_starting", "server"), ("post_fork", "server, worker"), ("post_worker_init", "w")],
)
def test_a_hook_that_fails_at_the_start_ends_it(tmp_path: Path, hook: str, arguments: str) -> None:
    Folder(tmp_path, hooks=f"\ndef {hook}({arguments}):\n    broken_name\n")
    with Described(tmp_path).attempt() as site:
        assert site.wait() == 3
        assert f"hook {hook} failed: NameError: name 'broken_name' is not defined" in site.log()
        assert 'gunicorn.conf.py", line ' in site.log()


def test_a_hook_of_the_master_that_fails_ends_the_site_as_it_ends_gunicorn(tmp_path: Path) -> None:
    hooks = "\ndef child_exit(server, worker):\n    1 / 0\n\ndef on_exit(server): note('on_exit')\n"
    folder = Folder(tmp_path, hooks=hooks)
    with Described(tmp_path) as site:
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        assert site.wait() == 3
        assert "hook child_exit failed: ZeroDivisionError: division by zero; stopping" in site.log()
        assert "1 / 0" in site.log()
        assert folder.names() == ["on_exit"]


def test_hooks_of_requests_that_fail_cost_no_more_than_with_gunicorn(tmp_path: Path) -> None:
    hooks = (
        "\ndef pre_request(worker, req):\n    assert req.path != '/before'\n"
        "\ndef post_request(worker, req):\n    assert req.path != '/after'\n"
    )
    folder = Folder(tmp_path, hooks=hooks)
    with Described(tmp_path) as site:
        assert get(folder.address, "/after") == b"hello"
        site.wait_for("hook post_request failed")
        with pytest.raises(urllib.error.HTTPError, match="500"):
            get(folder.address, "/before")
        assert get(folder.address, "/") == b"hello"


def test_a_process_of_hooks_that_dies_is_started_anew(tmp_path: Path) -> None:
    hooks = (
        "\ndef child_exit(server, worker):\n    note('child_exit')\n"
        "    if os.path.exists('fatal'):\n        os.unlink('fatal')\n        os._exit(9)\n"
    )
    folder = Folder(tmp_path, hooks=hooks)
    (tmp_path / "fatal").touch()
    with Described(tmp_path) as site:
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("the process of hooks ended with exit status 9")
        until(lambda: len(site.workers()) == 1, "another worker")
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        folder.wait_for("child_exit", 2)
        assert get(folder.address) == b"hello"
        assert site.stop() == 0


def test_prometheus_client_is_told_of_processes_that_are_gone(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="pip install 'bigtop[test]' brings prometheus-client")
    files = tmp_path / "metrics"
    files.mkdir()
    app = """
import os
from prometheus_client import CollectorRegistry, Gauge, generate_latest, multiprocess

alive = Gauge("alive", "Workers", multiprocess_mode="livesum")

def app(environ, start_response):
    alive.set(1)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [generate_latest(registry)]
"""
    hooks = f"""
os.environ["PROMETHEUS_MULTIPROC_DIR"] = {str(files)!r}

from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""
    folder = Folder(tmp_path, app, hooks)
    with Described(tmp_path) as site:
        assert b"\nalive 1.0" in get(folder.address)
        (worker,) = site.workers()
        file = files / f"gauge_livesum_{worker}.db"
        assert file.exists()
        os.kill(worker, signal.SIGKILL)
        until(lambda: not file.exists(), "the end of its file")
        until(lambda: len(site.workers()) == 1, "another worker")
        assert b"\nalive 1.0" in get(folder.address)


def test_a_module_has_hooks_without_a_file_of_gunicorn(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "site_hooks.py").write_text(
        NOTE.format(notes=str(tmp_path / "notes")) + "workers = 'mine'" + HOOKS
    )
    (tmp_path / "gunicorn.conf.py").unlink()
    with Site("hooked:app", "--hooks", "site_hooks", cwd=tmp_path) as site:
        assert site.get("/a%20b?c=d") == "hello"
        assert site.stop() == 0
        assert [note[0] for note in folder.without_pre_fork()] == [
            note[0] for note in expected(folder.address)
        ]


@pytest.mark.parametrize("said", [b"nonsense\n", b'{"error": 5}\n', b"[]\n", b"x" * 100_000])
def test_whatever_a_process_of_hooks_says_costs_that_process_alone(tmp_path: Path, said: bytes) -> None:
    hooks = (
        "\nimport sys\ndef child_exit(server, worker):\n    note('child_exit')\n"
        "    if os.path.exists('mad'):\n        os.unlink('mad')\n"
        f"        os.write(int(sys.argv[1]), {said!r})\n"
        "\ndef on_exit(server):\n    note('on_exit')\n"
    )
    folder = Folder(tmp_path, hooks=hooks)
    (tmp_path / "mad").touch()
    with Described(tmp_path) as site:
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("hook child_exit: the process of hooks ended with")
        assert get(folder.address) == b"hello"
        assert site.stop() == 0
        assert folder.names() == ["child_exit", "child_exit", "on_exit"]
        assert "Traceback" not in site.log()


@pytest.mark.skipif(python_for_nobody() is None, reason="needs root, and a Python that nobody can run")
def test_hooks_of_the_master_are_called_as_the_user_of_the_site() -> None:
    hooks = "\ndef on_starting(server): print('as user', os.geteuid(), flush=True)\n"
    with tempfile.TemporaryDirectory(prefix="bigtop-hooks-") as name:  # pytest's own is for root alone
        path = Path(name)
        path.chmod(0o755)
        folder = Folder(path, hooks=hooks, user="nobody")
        found = python_for_nobody()
        assert found is not None
        program, env = found
        site = Described(path, env=env)
        site.command[0] = program
        with site:
            assert f"as user {pwd.getpwnam('nobody').pw_uid}" in site.log()
            assert get(folder.address) == b"hello"
