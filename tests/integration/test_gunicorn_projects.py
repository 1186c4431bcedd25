# Projects as people have them, with the settings and hooks of their gunicorn.conf.py: each is served by
# gunicorn and by Bigtop at once, both are asked the same, and are the same, apart from what each test names.
#
# The projects are in tests/apps/projects. Ports, pids and times are left out of what is compared.

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import procfs
from tests.support.site import DEADLINE, ROOT, lives, until
from tests.support.stack import free_port

pytest.importorskip("gunicorn", reason="pip install 'bigtop[test]' brings gunicorn 27")
pytestmark = pytest.mark.case("C1")

PROJECTS = ROOT / "tests" / "apps" / "projects"
# Fields of an answer that are the server's own affair.
OWN_FIELDS = frozenset({"server", "date", "connection", "transfer-encoding", "keep-alive"})
# Variables of an environ: which only gunicorn has, which only Bigtop, and which they fill as they are.
GUNICORNS = frozenset({"gunicorn.socket"})
BIGTOPS = frozenset({"HTTP_X_REQUEST_ID", "REQUEST_URI", "bigtop.deadline"})
# The last one is ours: where the route of a request is left, for figures by route.
THEIR_OWN = frozenset({"REMOTE_PORT", "SERVER_SOFTWARE", "wsgi.multiprocess", "bigtop.route"})
FIELDS = {"User-Agent": "visitor/1", "Referer": "http://other.example/"}
_PID = re.compile(r"pid \d+|\[\d+\]")
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what Python compiles for all tests, wherever it would be kept otherwise: frameworks are large."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folder is one of those of the run
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(folder / "compiled"))
        yield


class Server:
    """One server of a project, in a with statement; what it says is in two files."""

    def __init__(self, command: list[str], folder: Path, out: Path, env: Mapping[str, str]) -> None:
        self.out, self.port = out, free_port()
        self.address: tuple[str, int] | str = ("127.0.0.1", self.port)
        meant = {"{port}": str(self.port), "{other}": str(free_port()), "{out}": str(out)}

        def filled(text: str) -> str:
            return re.sub(r"\{\w+\}", lambda found: meant[found[0]], text)

        self._command = list(map(filled, command))
        self.env = {name: filled(text) for name, text in env.items()}
        self._folder = folder
        self._seen: set[psutil.Process] = set()
        out.mkdir()

    def __enter__(self) -> Server:
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GUNICORN")},
            "PYTHONPATH": f"{PROJECTS}:{ROOT}",
            "PYTHONWARNINGS": "ignore",
            "NOTES": str(self.out / "notes"),
            "XDG_RUNTIME_DIR": str(self.out),
            "PORT": str(self.port),
            **self.env,
        }
        with open(self.out / "stdout", "wb") as stdout, open(self.out / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.family()
        self.process.kill()
        self.process.wait()
        for process in self._seen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: not any(map(lives, self._seen)), "the end of all processes")

    def family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self._seen.update(found)
            return found
        return []

    def connect(self) -> socket.socket:
        """Return a connection, as soon as there is somebody to connect to."""
        kind = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        opened: list[socket.socket] = []

        def connected() -> bool:
            assert self.process.poll() is None, self.said()
            client = socket.socket(kind)
            client.settimeout(DEADLINE)
            try:
                client.connect(self.address)
            except OSError:
                client.close()
                return False
            opened.append(client)
            return True

        until(connected, f"somebody at {self.address}")
        return opened[0]

    def ask(
        self, path: str, fields: Mapping[str, str] | None = None, body: bytes | None = None, method: str = ""
    ) -> Answer:
        client, connection = http.client.HTTPConnection("site.example"), self.connect()
        client.sock = connection.dup()
        client.request(
            method or ("GET" if body is None else "POST"),
            path,
            body,
            {"Connection": "close", **(fields or {})},
        )
        response = client.getresponse()
        kept = {
            name.lower(): value for name, value in response.getheaders() if name.lower() not in OWN_FIELDS
        }
        answer = response.status, kept, response.read()
        client.close()
        with connection:  # which ends when all that is to be said of this request was said
            assert connection.recv(1) == b""
        return answer

    def end(self, number: int = signal.SIGTERM) -> int:
        self.family()
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    # ---- what is left of it

    def read(self, name: str) -> str:
        try:
            return (self.out / name).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def said(self) -> str:
        return self.read("stdout") + self.read("stderr")

    def notes(self) -> list[Any]:
        whole, _, _begun = self.read("notes").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def names(self) -> list[str]:
        return [name for name, *_ in self.notes()]

    def lines(self, word: str, name: str = "") -> list[str]:
        """Return what was said that has `word` in it, from there on, sorted: several processes say it."""
        text = self.read(name) if name else self.said()
        return sorted(_PID.sub("pid", line[line.index(word) :]) for line in text.splitlines() if word in line)

    def workers(self) -> int:
        """Return how many processes there are, but for those that only one of the two has."""
        titles = [" ".join(procfs.words(process)) for process in self.family()]
        return sum(bool(title) and ("bigtop: " not in title or "bigtop: worker" in title) for title in titles)


class Both:
    """gunicorn and Bigtop with the same project, environment and words."""

    def __init__(self, gunicorn: Server, bigtop: Server) -> None:
        self.gunicorn, self.bigtop = gunicorn, bigtop
        self.each = (gunicorn, bigtop)

    def ask(
        self, path: str, fields: Mapping[str, str] | None = None, body: bytes | None = None, method: str = ""
    ) -> Answer:
        """Ask both, and return what both have answered."""
        theirs, ours = (one.ask(path, fields, body, method) for one in self.each)
        if "content-length" not in theirs[1]:  # which is known for an answer in one piece
            assert ours[1].pop("content-length", None) in (None, str(len(ours[2])))
        assert ours == theirs
        return ours

    def environ(
        self, path: str, fields: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        """Ask both for the environ of a request, and return what both have in it."""
        theirs, ours = (json.loads(one.ask(path, fields, body)[2]) for one in self.each)
        for facts, server in ((theirs, self.gunicorn), (ours, self.bigtop)):
            for name in THEIR_OWN & facts.keys():
                del facts[name]
            if facts["SERVER_PORT"] == str(server.port):
                facts["SERVER_PORT"] = "port"
        # Calls in greenlets have a deadline where one is given to their path.
        assert (set(ours) - set(theirs)) | {"bigtop.deadline"} == BIGTOPS
        assert set(theirs) - set(ours) == GUNICORNS
        both = {name: value for name, value in ours.items() if name in theirs}
        assert both == {name: theirs[name] for name in both}
        return both

    def send(self, number: int) -> None:
        for one in self.each:
            one.family()
            one.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.send(number)
        assert [one.process.wait(DEADLINE) for one in self.each] == [0, 0]

    def lines(self, word: str, name: str = "") -> list[str]:
        """Return the lines with `word` that both have said."""
        assert self.bigtop.lines(word, name) == self.gunicorn.lines(word, name)
        return self.bigtop.lines(word, name)

    def notes(self) -> list[Any]:
        assert self.bigtop.notes() == self.gunicorn.notes()
        return self.bigtop.notes()


@contextmanager
def both(
    name: str,
    tmp_path: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    more: tuple[str, ...] = (),
    instead: Mapping[str, str] | None = None,
) -> Iterator[Both]:
    """Start a project twice; Bigtop is told `more`, and has variables `instead`.

    In words and values {port} is that server's port, {other} another one, {out} a folder of its own."""
    gunicorn, bigtop = [sys.executable, "-m", "gunicorn"], [sys.executable, "-m", "bigtop", "serve"]
    servers = [
        Server([*gunicorn, *words], PROJECTS / name, tmp_path / "gunicorn", env or {}),
        Server(
            [*bigtop, *more, *words], PROJECTS / name, tmp_path / "bigtop", {**(env or {}), **(instead or {})}
        ),
    ]
    with ExitStack() as stack:
        try:
            yield Both(*map(stack.enter_context, servers))
        except BaseException:
            for one in servers:
                print(f"---- {one.out.name}\n{one.said()}{one.read('notes')}", file=sys.stderr)
            raise


def moments(text: str) -> str:
    """Return lines without their times."""
    return re.sub(r"\[\d+/\w+/[\d:]+ \+0000\]", "[time]", text)


def test_a_tracker_logs_json_and_says_what_a_worker_was_doing(tmp_path: Path) -> None:
    words = ("-c", "gunicorn.conf.py", "-b", "127.0.0.1:{port}", "--capture-output", "tracker:application")
    with both("tracker", tmp_path, *words) as pair:
        fields = {**FIELDS, "X-Client": "192.0.2.1", "X-Network": "64496"}
        assert pair.ask("/doc/a%20b/?x=1&y=%C3%A9", fields)[0] == 200
        assert pair.ask("/doc/lost/", fields, b"x" * 5000)[0] == 404
        assert pair.ask("/none", {"Host": "[::1]:80"})[0] == 404
        left = [one.connect() for one in pair.each]
        for client in left:
            client.sendall(b"GET /stuck/ HTTP/1.1\r\nHost: a\r\nX-Client: 192.0.2.9\r\n\r\n")
        until(lambda: all(one.names() == ["stuck"] for one in pair.each), "both to be stuck")
        pair.stop(signal.SIGINT)
        for client in left:
            client.close()
        # On purpose: --capture-output has meaning without a file for errors, too, so all of it is on stderr.
        assert not pair.bigtop.read("stdout")
        said = pair.lines("tracker: b") + pair.lines("tracker: i")
        assert any("interrupted in GET /stuck/ (from 192.0.2.9, -)" in line for line in said)
        # On purpose: a request that was cut off has no status, as no client has seen one.
        statuses = [re.findall(r"GET /stuck/ HTTP/1.1.{1,2} (\d+) 0", one.said()) for one in pair.each]
        assert statuses == [["500"], ["0"]]
        for name in ("gunicorn.access", "django.request"):
            theirs, ours = (
                [
                    json.loads(line)
                    for line in moments(one.said()).splitlines()
                    if name in line and "/stuck/" not in line
                ]
                for one in pair.each
            )
            assert ours == theirs
            assert ours


def refusal(project: str, *words: str, **env: str) -> str:
    """Return what Bigtop says of a file that it refuses."""
    command = [sys.executable, "-m", "bigtop", "serve", "--check-config", *words]
    env = {**os.environ, "PYTHONPATH": f"{PROJECTS}:{ROOT}", **env}
    done = subprocess.run(
        command, cwd=PROJECTS / project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 78, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_archive_has_its_own_worker_class_and_the_hooks_of_an_example(tmp_path: Path) -> None:
    words = ("-c", "gunicorn.conf.py", "archive:application")
    # On purpose: a class that drives gunicorn's machinery has nothing to drive here.
    refused = refusal("archive", *words)
    assert "workers.PlacedWorker is a worker class for gunicorn's own machinery" in refused
    # What it says to do instead, in the same file.
    env, instead = {"ARCHIVE_PORT": "{port}", "ARCHIVE_PLACE": "/below"}, {"ARCHIVE_WORKER_CLASS": "asgi"}
    with both("archive", tmp_path, *words, env=env, more=("--root-path", "/below"), instead=instead) as pair:
        answer = pair.ask("/shelf/a%20b/", FIELDS, b"text")
        assert json.loads(answer[2]) == {
            "name": "a b", "path": "/below/shelf/a b/", "script": "/below", "body": "text",
        }  # fmt: skip
        assert [pair.gunicorn.end(), pair.bigtop.end(signal.SIGINT)] == [0, 0]
        # On purpose: pre_exec has no effect, and the log says so once.
        assert pair.bigtop.said().count("pre_exec has no effect") == 1
        # On purpose: uvicorn's class keeps signals to itself, so gunicorn would not call worker_int.
        assert pair.gunicorn.lines("archive: ready") == pair.bigtop.lines("archive: ready")
        assert "archive: worker was interrupted" in pair.bigtop.lines("archive: ")
        assert "archive: stack of MainThread, True" in pair.bigtop.lines("archive: ")


def test_settings_of_the_environment_and_workers_for_each_core(tmp_path: Path) -> None:
    env = {"HOST": "127.0.0.1", "WORKERS_PER_CORE": "0.01", "LOG_LEVEL": "warning"}
    # gunicorn's workers lose a signal that comes before they listen to any; then this much is waited for.
    env["GRACEFUL_TIMEOUT"] = "20"
    with both("cores", tmp_path, "-c", "gunicorn_conf.py", "main:app", env=env) as pair:
        fields = {**FIELDS, "X-Twice": "1", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        assert pair.ask("/scope?a=b%20c", fields)[0] == 200
        assert pair.ask("/scope", FIELDS)[0] == 200
        assert pair.ask("/items/7", {"Content-Type": "application/json"}, b'{"name": "x"}')[0] == 200
        assert pair.ask("/items/x", {"Content-Type": "application/json"}, b"{}")[0] == 422
        until(lambda: [one.workers() for one in pair.each] == [2, 2], "two workers each")
        pair.stop()
        # On purpose: the file is executed by the process that reads it, and in each fork server.
        assert [one.said().count('{"workers": 2') for one in pair.each] == [1, 2]


def test_an_index_behind_a_socket_hides_its_clients(tmp_path: Path) -> None:
    words = ("-c", "gunicorn-prod.conf.py", "index:app")
    with both("index", tmp_path, *words, env={"RUN_FOLDER": "{out}"}) as pair:
        for one in pair.each:
            one.address = str(one.out / "index.sock")
        pair.ask("/simple/x/", {**FIELDS, "Hashed-Client": "d41d8"})
        pair.ask("/nothing", {"Hashed-Client": "98f00"}, method="DELETE")
        # On purpose: who is asked over a file has no name that a client could choose.
        names = [json.loads(one.ask("/environ")[2])["SERVER_NAME"] for one in pair.each]
        assert names == ["site.example", "localhost"]
        pair.stop()
        assert len(pair.lines("d41d8", "stdout")) == len(pair.lines("98f00", "stdout")) == 1


def test_analytics_have_metrics_on_a_port_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="pip install 'bigtop[test]' brings prometheus-client")
    words = ("-c", "gunicorn.config.py", "-k", "gthread", "--threads", "2", "-b", "127.0.0.1:{port}")
    env = {"METRICS_PORT": "{other}", "PROMETHEUS_MULTIPROC_DIR": "{out}", "METRICS_SECONDS": "0.02"}
    with both("analytics", tmp_path, *words, "analytics:app", env=env) as pair:
        pair.environ("/a")
        pair.environ("/b?c")
        pair.environ("/a")
        held = [one.connect() for one in pair.each]
        for one in pair.each:
            until(lambda one=one: "\nopen_connections 1.0" in metrics(one), "one that is open")
        for client in held:
            client.close()
        for one in pair.each:
            until(lambda one=one: "\nopen_connections 0.0" in metrics(one), "none that is open")
        theirs, ours = (
            sorted(line for line in metrics(one).splitlines() if "created" not in line) for one in pair.each
        )
        # On purpose: a worker may have more connections, where nobody says how many.
        assert [line for line in theirs if line not in ours] == ["most_connections 1000.0"]
        assert [line for line in ours if line not in theirs] == ["most_connections 16384.0"]
        assert 'answers_total{path="/a"} 2.0' in ours
        # On purpose: the process that hooks of the master run in has no sockets of the supervisor's.
        listeners = [[["listeners", 1]], [["listeners", 0]]]
        until(lambda: [one.notes() for one in pair.each] == listeners, "the listeners of both")
        pair.stop()
        until(lambda: len(pair.bigtop.lines('{"event": "127', "stdout")) == 3, "an access log")
        theirs, ours = (moments(one.read("stdout")) for one in pair.each)
        assert ours == theirs


def metrics(server: Server) -> str:
    url = f"http://127.0.0.1:{server.env['METRICS_PORT']}/"
    # It is an error for the client of Prometheus, too, when a worker's file is there and still empty.
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        return str(answer.read().decode())
    return ""


def test_notices_wait_in_greenlets_with_defaults_of_a_library(tmp_path: Path) -> None:
    env = {"APP_NAME": "notices", "SLOW_REQUEST_SECONDS": "0.02", "PROMETHEUS_MULTIPROC_DIR": "{out}"}
    with both("notices", tmp_path, "-c", "gunicorn_config.py", "notices:app", env=env) as pair:
        assert pair.ask("/wait")[2] == b"waited"
        assert b"gevent" in pair.ask("/patched")[2]
        pair.environ("/environ?x=%2F", {**FIELDS, "X-Forwarded-Proto": "https"}, b"a=b")
        pair.stop()
        for one in pair.each:
            assert ["slow", "/wait"] in one.notes()
        theirs, ours = ([note for note in one.notes() if note[0] != "slow"] for one in pair.each)
        assert ours == theirs
        assert pair.lines("|notices: ") == ["|notices: starts notices", "|notices: stops notices"]


def test_courses_close_their_caches_in_each_worker(tmp_path: Path) -> None:
    with both("courses", tmp_path, "-c", "gunicorn.conf.py", "courses:application") as pair:
        for number in range(1, 5):
            pair.ask(f"/course/{number}", {"X-Forwarded-Proto": "https"})
        assert b"true" in pair.ask("/closed")[2]
        for one in pair.each:
            until(lambda one=one: one.names().count("child_exit") == 1, "the end of a worker")
        pair.stop()
        assert len(pair.lines("courses: GET")) == 5
        # On purpose: a successor is there before a worker leaves, so that nobody has to wait.
        born, gone = ["post_fork", 2], ["worker_exit", 1]
        for one, order in ((pair.gunicorn, [gone, born]), (pair.bigtop, [born, gone])):
            assert [note[:2] for note in one.notes() if note[:2] in order] == order


def test_cards_make_their_connections_anew_after_the_fork(tmp_path: Path) -> None:
    with both("cards", tmp_path, "-c", "gunicorn.conf.py", "cards:app", env={"WEB_CONCURRENCY": "1"}) as pair:
        assert b'"answer":42' in pair.ask("/card/ace", FIELDS)[2]
        assert b"true" in pair.ask("/imported", FIELDS)[2]
        pair.environ("/environ", {**FIELDS, "Cookie": "a=b", "X-Forwarded-Proto": "https"}, b"some")
        # On purpose: whom a trusted proxy names is the client, for applications and logs.
        answers = [one.ask("/environ", {"X-Forwarded-For": "192.0.2.7"})[2] for one in pair.each]
        assert [json.loads(one)["REMOTE_ADDR"] for one in answers] == ["127.0.0.1", "192.0.2.7"]
        pair.stop()
        assert pair.notes() == [["post_fork", True]]
        theirs, ours = (moments(one.read("stdout")).splitlines() for one in pair.each)
        assert ours[:-1] == theirs[:-1]
        assert (theirs[-1].split()[0], ours[-1].split()[0]) == ("127.0.0.1", "192.0.2.7")


def test_levels_part_what_is_harmless_from_what_is_not(tmp_path: Path) -> None:
    with both("levels", tmp_path, "-c", "gunicorn.conf.py", "api:app", env={"WEB_CONCURRENCY": "1"}) as pair:
        pair.ask("/fine", FIELDS)
        assert pair.ask("/odd", FIELDS)[0] == 418
        pair.stop()
        pair.lines("[INFO] levels:", "stdout")
        assert len(pair.lines("[WARNING] levels:", "stderr")) == 2
        assert len(pair.lines("[INFO] uvicorn.error: Application", "stdout")) == 2
        # On purpose: lines of accesses have gunicorn's form, which uvicorn's class overrules.
        assert '"GET /fine HTTP/1.1" 200\n' in pair.gunicorn.read("stdout")
        assert '"GET /fine HTTP/1.1" 200 17 "http://other.example/" "visitor/1"\n' in pair.bigtop.read(
            "stdout"
        )


def test_every_hook_of_a_service_in_all_that_may_happen_to_it(tmp_path: Path) -> None:
    words, env = ("-c", "gunicorn.conf.py", "service:create()"), {"PIDFILE": "{out}/pid"}
    with both("training", tmp_path, *words, env=env) as pair:
        assert pair.ask("/limit", FIELDS)[2] == b"50"
        pair.environ("/environ?x")
        assert [one.read("pid").strip() for one in pair.each] == [str(one.process.pid) for one in pair.each]
        pair.send(signal.SIGTTIN)
        for one in pair.each:
            until(lambda one=one: one.names().count("post_worker_init") == 2, "a second worker")
            until(lambda one=one: one.names().count("post_request") == 2, "all hooks of the first one")
        pair.stop(signal.SIGINT)
        for number in (None, 1, 2):  # several processes call them at once
            theirs, ours = ([note for note in one.notes() if called_in(note) == number] for one in pair.each)
            assert ours == theirs
            assert ours
        pair.lines("training: ")


OF_WORKERS = frozenset({"post_fork", "post_worker_init", "worker_int", "worker_exit", "child_exit"})


def called_in(note: list[Any]) -> int | None:
    """Return which worker a hook was called for, None for those of the master alone."""
    if note[0].endswith("_request"):
        return 1
    return note[1] if note[0] in OF_WORKERS else None


# ---- Procfiles


@contextmanager
def honcho_and_run(
    name: str, tmp_path: Path, *names: str, changed: tuple[str, str] = ("", "")
) -> Iterator[tuple[Server, Server, str]]:
    """Start a Procfile with honcho, of which `names`, and with `bigtop run`, converted after a word was
    changed; give both and the TOML. A server's port is the PORT of its .env, as is that of the first process.
    """
    pytest.importorskip("honcho", reason="pip install 'bigtop[test]' brings honcho")
    bigtop = [sys.executable, "-m", "bigtop"]
    servers = []
    for kind, command in (
        ("honcho", [sys.executable, "-m", "honcho", "start", *names]),
        ("bigtop", [*bigtop, "run", "made.toml"]),
    ):
        folder = tmp_path / f"{kind} files"
        shutil.copytree(PROJECTS / name, folder)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        server = Server(command, folder, tmp_path / kind, {"PATH": path, "GREETING": "of the shell"})
        (folder / ".env").write_text(f"PORT={server.port}\nGREETING='of the file'\n")
        servers.append(server)
    procfile = folder / "Procfile"
    procfile.write_text(procfile.read_text().replace(*changed))
    done = subprocess.run(
        [*bigtop, "convert", "Procfile", "-o", "made.toml"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with ExitStack() as stack:
        try:
            theirs, ours = map(stack.enter_context, servers)
            yield theirs, ours, (folder / "made.toml").read_text()
        except BaseException:
            for one in servers:
                print(f"---- {one.out.name}\n{one.said()}", file=sys.stderr)
            print((folder / "made.toml").read_text(), file=sys.stderr)
            raise


def test_a_procfile_of_a_site_that_its_flags_describe(tmp_path: Path) -> None:
    # On purpose: a release is for `bigtop ctl start release`; honcho would end with it.
    with honcho_and_run("index", tmp_path, "web") as (honcho, bigtop, text):
        answers = [one.ask("/simple/x/", FIELDS) for one in (honcho, bigtop)]
        assert answers[0] == answers[1]
        assert answers[0][0] == 200
        assert "[app.web]" in text
        assert "no equal: a command that a release begins with" in text
        assert "released" not in bigtop.said()
        assert bigtop.end() == 0


def test_a_procfile_of_a_site_that_a_file_with_hooks_describes(tmp_path: Path) -> None:
    # On purpose: an [app] has no hooks, so a site that has some is left to `bigtop serve`: one changed word.
    change = ("web: gunicorn ", "web: bigtop serve ")
    with honcho_and_run("cards", tmp_path, changed=change) as (honcho, bigtop, text):
        theirs, ours = (one.ask("/card/ace", FIELDS) for one in (honcho, bigtop))
        assert ours == theirs
        assert theirs[0] == 200
        for one in (honcho, bigtop):
            assert one.ask("/port")[2] == str(one.port).encode()
            beside = f"beside: ['{one.port + 100}'] {one.port + 100} of the file"
            until(lambda one=one, beside=beside: beside in one.said(), "the program beside it")
        assert "[watcher.web]" in text
        assert bigtop.end() == 0
