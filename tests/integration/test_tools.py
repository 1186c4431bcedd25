# Debuggers and measuring tools: the files and the commands of docs/howto/debug.md, tried as they stand there.

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.site import ROOT, until
from tests.support.stack import free_port
from tests.support.wire import Client, request

PAGE: Final = (ROOT / "docs/howto/debug.md").read_text()
COMMANDS: Final = [
    line
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if "measured:app" not in line  # New Relic: not tried here, as the page says
]
FILES: Final = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL))
WSGI: Final = """\
import os


def view(environ):
    number = 41
    if environ["PATH_INFO"] == "/stop":
        breakpoint()
    return str(number + 1).encode()


def app(environ, start_response):
    start_response("200 OK", [])
    return [view(environ)]
"""
LINE: Final = 8  # of view(), where its number is known
ASGI: Final = """\
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"42"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the page is about: a project, and the files of the page."""
    (tmp_path / "myproj").mkdir()
    (tmp_path / "myproj/__init__.py").touch()
    (tmp_path / "myproj/wsgi.py").write_text(WSGI)
    (tmp_path / "myproj/asgi.py").write_text(ASGI)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def environ(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{folder}:{ROOT}",
        "XDG_RUNTIME_DIR": str(folder),
    }


def command(start: str) -> list[str]:
    """Return the one command of the page that begins so."""
    [line] = [line for line in COMMANDS if line.startswith(start)]
    return line.split()


class Running:
    """A command in a folder, with a terminal of its own."""

    def __init__(self, folder: Path, argv: list[str]) -> None:
        self._terminal, other = pty.openpty()
        self.process = subprocess.Popen(
            argv, cwd=folder, env=environ(folder), stdin=other, stdout=other, stderr=other
        )
        os.close(other)
        self._text = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._text += os.read(self._terminal, 65536)
            except OSError:  # nobody has the other end any more
                return

    def text(self) -> str:
        return self._text.decode(errors="replace")  # the last character may be a half

    def wait_for(self, text: str) -> None:
        def there() -> bool:
            if self.process.poll() is not None:
                self._reader.join(30)  # what it wrote last may still be in the terminal
                assert text in self.text(), self.text()
            return text in self.text()

        until(there, f"{text!r} in {self.text()}")

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    @property
    def address(self) -> tuple[str, int]:
        found = re.search(r"http://127\.0\.0\.1:(\d+)|\('127\.0\.0\.1', (\d+)\)", self.text())
        assert found, self.text()
        return "127.0.0.1", int(found[1] or found[2])

    def get(self, path: str = "/") -> bytes:
        with Client(self.address) as client:
            return client.get(path).body

    def stop(self) -> str:
        """End it in order; return all that it wrote."""
        self.process.terminate()
        assert self.process.wait(30) == 0, self.text()
        self._reader.join(30)
        return self.text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # a supervisor takes its children with it
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(30)
        os.close(self._terminal)


@contextmanager
def running(folder: Path, argv: list[str], ready: str) -> Iterator[Running]:
    process = Running(folder, argv)
    try:
        if ready:
            process.wait_for(ready)
        yield process
    finally:
        process.close()


def served(start: str) -> list[str]:
    return [*command(start), "--bind", "127.0.0.1:0", "--control", "off"]


class Editor:
    """The other end of debugpy: an editor that speaks the Debug Adapter Protocol."""

    def __init__(self, port: int) -> None:
        self._sent = 0

        def connected() -> bool:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), 60)
            except ConnectionRefusedError:
                return False
            return True

        until(connected, "debugpy listens")
        self._file = self._socket.makefile("rb")

    def ask(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return the body of its response."""
        self.send(name, **arguments)
        return self.next("response", "command", name)

    def send(self, name: str, **arguments: Any) -> None:
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": name, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def next(self, kind: str, key: str, name: str) -> dict[str, Any]:
        """Return the body of the next message of that kind and name."""
        while True:
            head = self._file.readline()
            assert head.startswith(b"Content-Length: "), "debugpy has left"
            assert self._file.readline() == b"\r\n"
            message = json.loads(self._file.read(int(head.split()[1])))
            if message["type"] == kind and message[key] == name:
                assert message.get("success", True), message
                return dict(message.get("body") or {})

    def stop_at(self, path: Path, line: int) -> None:
        self.ask("initialize", adapterID="test", pathFormat="path")
        self.send("attach", justMyCode=True)
        self.next("event", "event", "initialized")
        self.ask("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": line}])
        self.ask("configurationDone")

    def look(self, expression: str) -> str:
        """Wait until the program stands, return what an expression is there, and let it go on."""
        thread = self.next("event", "event", "stopped")["threadId"]
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]["id"]
        value = self.ask("evaluate", expression=expression, frameId=frame)["result"]
        self.ask("continue", threadId=thread)
        return str(value)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.mark.case("F11")
def test_breakpoint_opens_pdb_in_the_terminal(folder: Path) -> None:
    with running(folder, served("bigtop serve myproj.wsgi:app"), ": started") as site:
        with Client(site.address) as client:
            client.send(request("/stop"))
            site.wait_for("(Pdb)")
            site.type("p number * 1000\n")
            site.wait_for("41000")
            site.type("c\n")
            assert client.answer().body == b"42"
        site.stop()


@pytest.mark.case("F11")
@pytest.mark.parametrize("start", ["python -m debugpy", "bigtop serve debugged:app"])
def test_an_editor_attaches(folder: Path, start: str) -> None:
    port = str(free_port())
    file = folder / "debugged.py"
    file.write_text(file.read_text().replace("5678", port))
    if start.startswith("python"):
        argv = [word.replace("5678", port) for word in command(start)] + ["--port", "0"]
        ready, at_once = "serving ", False
    else:
        argv, ready, at_once = served(start), ": started", True
    with running(folder, argv, ready if at_once else "") as site:
        editor = Editor(int(port))
        try:
            editor.stop_at(folder / "myproj/wsgi.py", LINE)
            site.wait_for(ready)
            with Client(site.address, 30) as client:
                client.send(request("/"))
                assert editor.look("number") == "41"
                assert client.answer().body == b"42"
        finally:
            editor.close()
        site.stop()


@pytest.mark.case("F11")
def test_coverage_follows_into_the_workers(folder: Path) -> None:
    with running(folder, served("coverage run"), ": started") as site:
        for _ in range(4):
            assert site.get() == b"42"
        site.stop()
    subprocess.run(command("coverage combine"), cwd=folder, env=environ(folder), check=True)
    report = subprocess.run(
        command("coverage report"),
        cwd=folder,
        env=environ(folder),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    [row] = [line.split() for line in report.splitlines() if line.startswith("myproj/wsgi.py")]
    assert row[4:] == ["7"], "all but the breakpoint"


@pytest.mark.case("F11")
@pytest.mark.parametrize("app", ["traced", "traced_asgi"])
def test_spans_of_every_request_are_exported(folder: Path, app: str) -> None:
    with running(folder, served(f"bigtop serve {app}:app"), ": started") as site:
        for _ in range(4):
            assert site.get() == b"42"
        text = site.stop()
    assert text.count('"kind": "SpanKind.SERVER"') == 4
    assert "WARNING" not in text


@pytest.mark.case("F11")
@pytest.mark.parametrize("backend", ["asgi", "uvicorn", "hypercorn"])
def test_event_streams_end_with_their_worker(folder: Path, backend: str) -> None:
    argv = [*served("bigtop serve events:app"), "--backend", backend, "--graceful-timeout", "60"]
    with running(folder, argv, ": started") as site, Client(site.address, 30) as client:
        client.send(request("/"))
        until(client.is_answered, "the first event")
        began = time.monotonic()
        site.process.terminate()
        assert b"begun" in client.rest()
        site.stop()
        assert time.monotonic() - began < 20, "long before the grace is over"


@pytest.mark.case("F11")
def test_event_streams_do_not_hold_up_a_reload(folder: Path) -> None:
    argv = [*served("bigtop serve events:app"), "--graceful-timeout", "60"]
    with running(folder, argv, ": started") as site, Client(site.address, 30) as client:
        client.send(request("/"))
        until(client.is_answered, "the first event")
        site.process.send_signal(signal.SIGHUP)
        assert b"begun" in client.rest()
        site.wait_for("reloaded, every worker is of generation 2 now")
        site.stop()


@pytest.mark.case("F11")
def test_each_command_of_the_page_is_tried_here() -> None:
    """What is added to the page needs a test above."""
    assert [line.split()[:3] for line in COMMANDS] == [
        ["bigtop", "serve", "myproj.wsgi:app"],
        ["python", "-m", "debugpy"],
        ["bigtop", "serve", "debugged:app"],
        ["coverage", "run", "-m"],
        ["coverage", "combine"],
        ["coverage", "report", "--show-missing"],
        ["bigtop", "serve", "traced:app"],
        ["bigtop", "serve", "traced_asgi:app"],
        ["bigtop", "serve", "events:app"],
    ]
