# The web console as a process of its own, and a client that says exactly what it is told to.

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from tests.support.site import DEADLINE, ROOT, until


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def cookie(self) -> str:
        """Return NAME=VALUE of the cookie that it sets; "" if it sets none."""
        return str(self.headers.get("set-cookie", "")).partition(";")[0]


class Client:
    """Of a console on a port of this machine, from the address `source`. It is nobody until it logs in."""

    def __init__(self, port: int, host: str = "127.0.0.1", source: str = "127.0.0.1") -> None:
        self.port = port
        self.source = source
        self.own = f"{host}:{port}"
        self.cookie = self.token = ""

    def ask(
        self, method: str, path: str, body: object = None, fields: Mapping[str, str | None] | None = None
    ) -> Reply:
        """Ask as our pages do; `fields` are others, None leaves one out."""
        said: dict[str, str | None] = {
            "Host": self.own,
            "Cookie": self.cookie or None,
            "Sec-Fetch-Site": "same-origin",
        }
        if method == "POST":
            said |= {
                "Origin": f"http://{self.own}",
                "Content-Type": "application/json",
                "X-Bigtop-Token": self.token or None,
            }
        said |= fields or {}
        raw = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=DEADLINE, source_address=(self.source, 0)
        )
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in said.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(raw)))
            connection.endheaders(raw)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def enter(self, **said: str) -> Reply:
        """Log in: once=WORD, or name=NAME and password=PASSWORD."""
        reply = self.ask("POST", "/api/login", said)
        if reply.status == 200:
            self.cookie, self.token = reply.cookie, reply.json["token"]
        return reply

    def act(self, daemon: str, do: str, fields: Mapping[str, str | None] | None = None, **more: Any) -> Reply:
        return self.ask("POST", "/api/action", {"do": do, "daemon": daemon, **more}, fields)

    def look(self, topic: str, **more: str) -> Any:
        reply = self.ask("GET", f"/api/look?{urlencode({'topic': topic, **more})}")
        assert reply.status == 200, reply.text
        return reply.json


class Console:
    """A running `bigtop web ARGS` with a folder of its own, in a with statement."""

    def __init__(
        self, folder: Path, *args: str, bind: str = "127.0.0.1:0", env: Mapping[str, str] | None = None
    ) -> None:
        self.state = folder / "web"
        self.log_path = folder / "web.log"
        self.args = ("--bind", bind, *args)
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(folder), **(env or {})}

    def __enter__(self) -> Console:
        words = ("--state", str(self.state), *self.args)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bigtop", "web", *words],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._serves, f"the console; its log: {self.log_path}")
        except AssertionError:
            self._end()
            raise
        return self

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.log()}")
        return "serving bigtop.web" in self.log()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is not None:
            print(self.log(), file=sys.stderr)  # pytest shows it beside the failure

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def port(self) -> int:
        found = re.search(r"web console on https?://\S+:(\d+);", self.log())
        assert found, self.log()
        return int(found[1])

    def run(self, *words: str, said: str = "", status: int = 0) -> str:
        """Run `bigtop web WORDS` for it and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "bigtop", "web", "--state", str(self.state), *words],
            cwd=ROOT,
            env=self.env,
            input=said,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if not status else done.stderr

    def link(self, role: str = "admin") -> str:
        return self.run("login-url", "--role", role).strip()

    def client(self, role: str = "admin") -> Client:
        """Return a client that has logged in by a link."""
        client = Client(self.port)
        reply = client.enter(once=self.link(role).partition("#login=")[2])
        assert reply.status == 200, reply.text
        return client

    def audit(self) -> list[dict[str, Any]]:
        path = self.state / "audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
