# bigtop worker: chaussette's command line, below Circus, systemd, Paste and by hand.

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.site import DEADLINE, ROOT, until
from tests.support.wire import Client, request

BIGTOP = [sys.executable, "-m", "bigtop", "worker"]
APP = "tests.apps.site:app"


class Worker:
    """A lone worker and its log; `below` are the words of what starts it."""

    def __init__(
        self,
        *args: str,
        fds: tuple[int, ...] = (),
        env: dict[str, str] | None = None,
        cwd: Path = ROOT,
        below: tuple[str, ...] = (),
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        environ = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        command = [*below, *BIGTOP, *args]
        self.process = subprocess.Popen(
            command, cwd=cwd, pass_fds=fds, env=environ, stdout=self._log, stderr=self._log
        )

    def log(self) -> str:
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()

    def wait_for(self, text: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None or text in self.log(), self.log()
            return text in self.log()

        until(there, text)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()


@contextmanager
def worker(*args: str, **options: Any) -> Iterator[Worker]:
    running = Worker(*args, **options)
    try:
        running.wait_for("serving ")
        yield running
    finally:
        running.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener


def get(address: tuple[str, int] | str, path: str = "/") -> bytes:
    with Client(address, DEADLINE) as client:
        return client.get(path, "Connection: close").body


@pytest.mark.parametrize("app", [APP, "tests.apps.site.app"])
def test_an_inherited_descriptor(listener: socket.socket, app: str) -> None:
    fd = str(listener.fileno())
    with worker("--fd", fd, app, fds=(listener.fileno(),)) as running:
        assert get(listener.getsockname()) == b"ok"
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        assert "stopped" in running.log()


def test_chaussettes_command_line(listener: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(
        "def before(args):\n print('before', args.backend, *args.arguments, flush=True)\n"
        "def after(args):\n print('after', args.fd, flush=True)\n"
    )
    words = "--backend wsgiref --backlog 64 --address-family AF_INET --socket-type SOCK_STREAM --no-monkey"
    words += f" --pre-hook hooks.before --post-hook hooks.after --python-path {tmp_path} --spawn 10"
    words += (
        f" --graceful-timeout 5 --log-level debug --log-output - --fd {listener.fileno()} {APP} more words"
    )
    with worker(*words.split(), fds=(listener.fileno(),)) as running:
        assert "before wsgiref more words" in running.log()
        assert get(listener.getsockname()) == b"ok"
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        assert f"after {listener.fileno()}" in running.log()


def test_a_running_request_is_answered_before_it_ends(listener: socket.socket) -> None:
    with worker("--fd", str(listener.fileno()), APP, fds=(listener.fileno(),)) as running:
        with Client(listener.getsockname()) as client:
            client.send(b"GET /sleep/0.3 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: _is_read(client) or client.is_answered(), "the request to be read")
            running.process.send_signal(signal.SIGTERM)
            assert client.answer().status == 200
        assert running.process.wait(DEADLINE) == 0


def test_the_main_thread_alone(listener: socket.socket) -> None:
    words = ("--main-thread", "--fd", str(listener.fileno()), "tests.apps.wsgi_basic:app")
    with worker(*words, fds=(listener.fileno(),)), Client(listener.getsockname()) as client:
        # After a slow call, the thread that took the loop over would run the next one.
        for _ in range(3):
            assert client.get("/sleep/0.1").body == b"slept"
            assert json.loads(client.get("/environ").body)["thread"] == "MainThread"


def test_a_unix_path(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with worker("--host", f"unix:{path}", APP):
        assert get(str(path)) == b"ok"


def test_a_port() -> None:
    with worker("--host", "127.0.0.1", "--port", "0", APP) as running:
        port = int(running.log().partition("('127.0.0.1', ")[2].partition(")")[0])
        assert get(("127.0.0.1", port)) == b"ok"


def test_sockets_from_systemd(listener: socket.socket) -> None:
    # What systemd-socket-activate does: descriptor 3, and the pid of the process that it execs.
    script = f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", *BIGTOP, APP], cwd=ROOT, pass_fds=(listener.fileno(),), stderr=log
        )
        try:
            assert get(listener.getsockname()) == b"ok"
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()


def test_a_reload_keeps_the_sockets_from_systemd(listener: socket.socket, tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    code = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%d']\n"
    (tmp_path / "reloaded.py").write_text(code % 1)
    script = f'exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    command = ["bash", "-c", script, "bash", *BIGTOP, "--use-reloader", "reloaded:app"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=(listener.fileno(),),
            stderr=log,
        )
    try:
        assert get(listener.getsockname()) == b"1"

        replaced_until_restarted(tmp_path / "reloaded.py", code % 22, (tmp_path / "log").read_text)
        assert get(listener.getsockname()) == b"22"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def replaced_until_restarted(file: Path, text: str, log: Callable[[], str]) -> None:
    """Replace a source file, again until the reloader watches, and wait for the successor. The new text has
    another length: Python takes compiled code for that of a file of the same second and the same length."""
    due = 0.0

    def restarted() -> bool:
        nonlocal due
        if "stopped" not in log() and time.monotonic() >= due:
            due = time.monotonic() + 0.5  # a pause, for which the reloader waits
            file.with_suffix(".new").write_text(text)
            file.with_suffix(".new").replace(file)
        return log().count("serving ") > 1

    until(restarted, "the successor")


@pytest.mark.case("F4")
def test_a_reload_finds_what_was_there_before_the_import(listener: socket.socket, tmp_path: Path) -> None:
    """The application wraps what starts programs, and changes its environment."""
    pytest.importorskip("watchfiles")
    changed = tmp_path / "changed.py"
    code = (
        "import os\n"
        "VALUES = [os.environ.get('ADDED', ''), '%d']\n"
        "os.environ['ADDED'] = 'by the import'\n"
        "from tests.apps.wrapped import app as wrapped\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [' '.join(VALUES).encode()]\n"
    )
    changed.write_text(code % 1)
    fd = listener.fileno()
    words = ("--use-reloader", "--python-path", str(tmp_path), "--fd", str(fd), "changed:app")
    with worker(*words, fds=(fd,), cwd=tmp_path) as running:
        assert get(listener.getsockname()) == b" 1"

        replaced_until_restarted(changed, code % 22, running.log)
        assert get(listener.getsockname()) == b" 22"
        assert "wrapper of" not in running.log()


@pytest.mark.case("E17")
@pytest.mark.parametrize("given", ["fd", "systemd", "port"])
def test_programs_of_an_application_inherit_nothing(listener: socket.socket, given: str) -> None:
    fd = listener.fileno()
    words: tuple[str, ...] = ("--host", "127.0.0.1", "--port", "0")
    below: tuple[str, ...] = ()
    if given == "fd":
        words = ("--fd", str(fd))
    elif given == "systemd":
        script = f'exec 3<&{fd}-; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
        below, words = ("bash", "-c", script, "bash"), ()
    fds = () if given == "port" else (fd,)
    with worker(*words, "tests.apps.starter:app", fds=fds, below=below) as running:
        port = int(running.log().partition("('127.0.0.1', ")[2].partition(")")[0])
        for path in ("/import", "/call"):
            assert get(("127.0.0.1", port), path) == b""


def test_systemds_own_activation() -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("needs systemd-socket-activate")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    process = subprocess.Popen([activate, "-l", f"127.0.0.1:{address[1]}", *BIGTOP, APP], cwd=ROOT)
    try:
        until(lambda: _listens(address), "systemd to listen")
        assert get(address) == b"ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def test_what_the_backend_does_nothing_about_is_said(listener: socket.socket) -> None:
    words = ("-k", "wsgiref", "--spawn", "10", "--fd", str(listener.fileno()), APP)
    with worker(*words, fds=(listener.fileno(),)) as running:
        assert get(listener.getsockname()) == b"ok"
        assert "backend 'wsgiref' does nothing about --worker-connections" in running.log()


def test_paste(listener: socket.socket, tmp_path: Path) -> None:
    pytest.importorskip("paste.deploy")
    (tmp_path / "pasted.py").write_text(
        "def main(global_conf, word):\n"
        " def app(environ, start_response):\n"
        "  start_response('200 OK', [('Content-Length', str(len(word)))])\n"
        "  return [word.encode()]\n"
        " return app\n"
    )
    ini = tmp_path / "site.ini"
    ini.write_text("[app:main]\npaste.app_factory = pasted:main\nword = pasted\n")
    words = ["--fd", str(listener.fileno()), "--python-path", str(tmp_path), f"paste:{ini}"]
    with worker(*words, fds=(listener.fileno(),)):
        assert get(listener.getsockname()) == b"pasted"


def test_paste_runs_bigtop() -> None:
    pytest.importorskip("paste.deploy")
    script = (
        "from importlib.metadata import entry_points\n"
        "from tests.apps.site import app\n"
        "runner, = [e for e in entry_points(group='paste.server_runner') if e.value.startswith('bigtop')]\n"
        "words = {'backend': 'wsgiref', 'main_thread': 'on', 'no_monkey': 'off'}\n"
        "runner.load()(app, {}, host='127.0.0.1', port='0', **words)\n"
    )
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=log)
        try:
            until(lambda: b"with backend wsgiref" in os.pread(log.fileno(), 4096, 0), "the server")
            assert b"does nothing about --main-thread" in os.pread(log.fileno(), 4096, 0)
            port = int(os.pread(log.fileno(), 4096, 0).partition(b"('127.0.0.1', ")[2].partition(b")")[0])
            assert get(("127.0.0.1", port)) == b"ok"
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()


def test_circus_itself(tmp_path: Path) -> None:
    pytest.importorskip("circus")
    ini = tmp_path / "circus.ini"
    ini.write_text(
        f"[circus]\nendpoint = ipc://{tmp_path}/c\npubsub_endpoint = ipc://{tmp_path}/p\n"
        "[socket:web]\nhost = 127.0.0.1\nport = 0\n"
        f"[watcher:web]\ncmd = {' '.join(BIGTOP)} --fd $(circus.sockets.web) {APP}\n"
        f"use_sockets = True\nnumprocesses = 2\nworking_dir = {ROOT}\ncopy_env = True\n"
    )
    with open(tmp_path / "log", "w+b") as log:
        circusd = subprocess.Popen([sys.executable, "-m", "circus.circusd", str(ini)], stdout=log, stderr=log)
        try:
            until(lambda: _port_of(circusd), "the socket")
            port = _port_of(circusd)
            until(lambda: _answer_at_once(("127.0.0.1", port)) == 2, "answers of both workers")
            until(lambda: _ends(circusd), "the end", 60)
            assert circusd.returncode == 0
        finally:
            left = psutil.Process(circusd.pid).children() if circusd.poll() is None else []
            circusd.kill()
            circusd.wait()
            for child in left:
                child.kill()


def test_supervisords_fcgi_program(tmp_path: Path) -> None:
    pytest.importorskip("supervisor")
    path = tmp_path / "web"
    ini = tmp_path / "supervisord.conf"
    ini.write_text(
        f"[supervisord]\nnodaemon = true\nlogfile = {tmp_path}/log\npidfile = {tmp_path}/pid\n"
        f"[fcgi-program:web]\nsocket = unix://{path}\ncommand = {' '.join(BIGTOP)} --fd 0 {APP}\n"
        f"numprocs = 2\nprocess_name = %(program_name)s_%(process_num)d\ndirectory = {ROOT}\n"
        f"redirect_stderr = true\nstdout_logfile = {tmp_path}/%(program_name)s_%(process_num)d.log\n"
    )
    with open(tmp_path / "out", "w+b") as out:
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(ini)]
        supervisord = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        children: list[psutil.Process] = []
        try:
            until(lambda: _listens(str(path)), "the socket")
            until(lambda: _answer_at_once(str(path)) == 2, "answers of both workers")
            children = psutil.Process(supervisord.pid).children()
            supervisord.send_signal(signal.SIGTERM)
            assert supervisord.wait(60) == 0
            assert not any(child.is_running() for child in children)
            ends = [line for line in (tmp_path / "log").read_text().splitlines() if "stopped: web" in line]
            assert len(ends) == 2
            assert all("exit status 0" in line for line in ends)
        finally:
            supervisord.kill()
            supervisord.wait()
            for child in children:
                if child.is_running():
                    child.kill()


def _answer_at_once(address: tuple[str, int] | str) -> int:
    """Return how many workers answer two clients at once: who sleeps takes no other client."""
    with Client(address, 30) as one:
        one.send(b"GET /sleep/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: _is_read(one) or one.is_answered(), "somebody who sleeps")
        with Client(address, 30) as other:
            other.send(b"GET /sleep/0 HTTP/1.1\r\nHost: x\r\n\r\n")
            return len({one.answer().body, other.answer().body})


def _is_read(client: Client) -> bool:
    """Whether nothing that the client sent waits for the server to read it; tcp(7) does not tell."""
    if client.socket.family == socket.AF_UNIX:
        return not int.from_bytes(fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    ours, theirs = client.socket.getsockname()[1], client.socket.getpeername()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = (f":{theirs:04X}", f":{ours:04X}")
    there = [row for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1])]
    return any(row[3] == "01" and row[4].endswith(":00000000") for row in there)


def _listens(address: tuple[str, int] | str) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        return probe.connect_ex(address) == 0


def _port_of(circusd: subprocess.Popen[bytes]) -> int:
    """Return the port that it listens on, 0 before it does."""
    found = psutil.Process(circusd.pid).net_connections("tcp4")
    return next((one.laddr.port for one in found if one.status == psutil.CONN_LISTEN), 0)


def _ends(circusd: subprocess.Popen[bytes]) -> bool:
    """Ask it to end: again and again, since it forgets a signal that comes while it does something else, but
    not any more when its workers are gone: then it has forgotten its handler, too."""
    if psutil.Process(circusd.pid).children():
        circusd.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        circusd.wait(2)
    return circusd.returncode is not None


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ([], 2, "bigtop worker wsgiref.simple_server:demo_app"),
        (["--main-thread", "--threads", "2", APP], 78, "--main-thread means one thread"),
        (["--fd", "77", APP], 1, "descriptor 77 is not a socket"),
        (["--pre-hook", "no.such", APP], 78, "hook 'no.such'"),
        (["-k", "nothing", APP], 78, "no backend 'nothing'"),
        (["paste:/no/such.ini"], 3, "there is no file /no/such.ini"),
    ],
)
def test_mistakes_are_told(args: list[str], status: int, message: str) -> None:
    found = subprocess.run(
        [*BIGTOP, "--port", "0", *args], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (found.returncode, message in found.stderr) == (status, True), found.stderr


def test_the_list_of_backends() -> None:
    command = [sys.executable, "-m", "bigtop", "backends"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert "wsgiref" in found.stdout
    assert "meinheld" in found.stdout


# A handler of Python's may come too late to wake a loop that is about to wait, most of all in compiled code.
# Where handlers do nothing, all depends on what the C level does.
@pytest.mark.case("A14")
@pytest.mark.parametrize("args", [(), ("--main-thread",), ("--threads", "3"), ("--backend", "gevent")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_wakes_a_worker_whatever_becomes_of_its_handler(
    number: int, args: tuple[str, ...], listener: socket.socket, tmp_path: Path
) -> None:
    access = tmp_path / "access"
    with (
        worker(
            *(
                "--fd",
                str(listener.fileno()),
                "--access-logfile",
                str(access),
                *args,
                "tests.apps.ending:made_deaf()",
            ),
            fds=(listener.fileno(),),
        ) as running,
        Client(listener.getsockname()) as client,
    ):
        assert client.get("/").body == b"ok"
        access.rename(tmp_path / "rotated")
        os.kill(running.process.pid, signal.SIGUSR1)
        until(access.exists, "the access log to be opened anew")
        os.kill(running.process.pid, number)
        assert running.process.wait(DEADLINE) == 0


@pytest.mark.case("A14")
def test_a_child_that_the_application_forked_has_its_signals_to_itself(listener: socket.socket) -> None:
    with (
        worker(
            "--fd", str(listener.fileno()), "tests.apps.ending:forked", fds=(listener.fileno(),)
        ) as running,
    ):
        for _ in range(2):
            with Client(listener.getsockname()) as client:
                assert client.get("/").body == b"-15"
        assert running.process.poll() is None


@pytest.mark.case("A1", "F5")
@pytest.mark.parametrize(
    ("app", "path", "expected"),
    [
        ("wsgi", "/sleep", ["begun", "finally", "exit handler"]),
        ("asgi", "/sse", ["begun", "finally", "shutdown", "exit handler"]),
        ("asgi", "/block", ["begun", "finally", "shutdown", "exit handler"]),
    ],
)
def test_a_lone_worker_cuts_off_what_outlasts_the_grace(
    app: str, path: str, expected: list[str], listener: socket.socket, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with (
        worker(
            *("--fd", str(listener.fileno()), "--graceful-timeout", "0.3", f"tests.apps.ending:{app}"),
            fds=(listener.fileno(),),
            env={"TEST_NOTES": str(notes)},
        ) as running,
        Client(listener.getsockname()) as client,
    ):
        client.send(request(path))
        until(lambda: "begun" in notes.read_text(), "the request to begin")
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 0
        assert notes.read_text().split() == " ".join(expected).split()
        assert "is cut off after" in running.log()


@pytest.mark.case("F7")
@pytest.mark.parametrize(("words", "zone"), [((), "+1400"), (("--log-time-zone", "utc"), "+0000")])
def test_the_time_zone_of_all_lines(words: tuple[str, ...], zone: str) -> None:
    options = ("--host", "127.0.0.1", "--port", "0", "--access-logfile", "-", *words)
    with worker(*options, APP, env={"TZ": "Pacific/Kiritimati"}) as running:
        port = int(running.log().partition("('127.0.0.1', ")[2].partition(")")[0])
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/pid").status == 200
        running.wait_for('"GET /pid HTTP/1.1" 200')
        assert running.log().count(zone) == len(running.log().splitlines()) >= 3
