# Pebble, the CA for tests of Let's Encrypt, with a DNS in which each name leads to this machine.
#
# apt install pebble. Without it, tests that need a real CA are skipped.

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from tests.support.site import until

PROGRAMS = ("pebble", "pebble-challtestsrv", "openssl", "curl")
needs_pebble = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason="apt install pebble openssl curl"
)
# With the certificate of its own HTTPS.
COMMAND = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost"


class Answers:
    """Tiny servers on port 80 and 443, as far as pebble is concerned, which answer what `known` has."""

    def __init__(self, folder: Path) -> None:
        self.known: dict[str, Challenge] = {}
        self.asked: list[str] = []
        self._folder = folder
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                token = self.path.removeprefix(challenges.PATH)
                answers.asked.append(token)
                challenge = answers.find(token)
                body = challenge.answer.encode() if challenge else b""
                self.send_response(200 if challenge else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._tls = socket.create_server(("127.0.0.1", 0))
        self._threads = [
            threading.Thread(target=self._http.serve_forever),
            threading.Thread(target=self._serve),
        ]
        for thread in self._threads:
            thread.start()

    def find(self, token: str) -> Challenge | None:
        return self.known.get(token)

    def find_pem(self, name: str) -> str | None:
        for challenge in self.known.values():
            if challenges.server_name(challenge) == name:
                return challenges.alpn_pair(challenge, 1_700_000_000.0).pem.decode()
        return None

    @property
    def http_port(self) -> int:
        return self._http.server_address[1]

    @property
    def tls_port(self) -> int:
        port: int = self._tls.getsockname()[1]
        return port

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._tls.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        self._tls.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._tls.accept()[0]
                connection.settimeout(30)
                with suppress(OSError):
                    self._handshake(connection)
                connection.close()

    def _handshake(self, connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols([challenges.PROTOCOL])
        context.sni_callback = self._named  # type: ignore[assignment]
        with context.wrap_socket(connection, server_side=True):
            pass

    def _named(self, connection: ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> int | None:
        pem = self.find_pem(name or "")
        if pem is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        other.set_alpn_protocols([challenges.PROTOCOL])
        path = self._folder / "challenge.pem"
        path.write_text(pem)
        other.load_cert_chain(path)
        connection.context = other
        return None


class Pebble:
    """Both programs; `http_port` and `tls_port` are where it goes for challenges. `bindings` are the only
    accounts that it takes: secrets by key id."""

    def __init__(
        self,
        folder: Path,
        http_port: int,
        tls_port: int,
        bindings: dict[str, str] | None = None,
        **environ: str,
    ) -> None:
        self._bindings = bindings or {}
        self.folder = folder
        self.root_cert = str(folder / "pebble.pem")
        words = ["-keyout", "pebble.key", "-out", "pebble.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*COMMAND.split(), *words], cwd=folder, check=True, capture_output=True)
        self._environ = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", **environ}
        self._ports = (http_port, tls_port)
        self._log = folder / "pebble.log"
        self._started: list[subprocess.Popen[bytes]] = []
        for _ in range(5):  # the ports of a kernel are another's sometimes before they are ours
            if self._starts():
                return
            self.close()
        raise AssertionError(self._log.read_text())

    def __enter__(self) -> Pebble:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self._port}/dir"

    @property
    def pid(self) -> int:
        return self._started[-1].pid

    def text(self) -> str:
        """Return what it said so far."""
        return self._log.read_text()

    def root(self) -> bytes:
        """Return the root of what it issues."""
        context = ssl.create_default_context(cafile=self.root_cert)
        url = f"https://127.0.0.1:{self._management}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=30) as answer:
            return bytes(answer.read())

    def dns(self, word: str, **words: str) -> None:
        """Tell its DNS something, as `set-txt`."""
        url = f"http://127.0.0.1:{self.dns_management}/{word}"
        with urllib.request.urlopen(url, json.dumps(words).encode(), timeout=30):
            pass

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        self._started.clear()

    def _starts(self) -> bool:
        self._port, self._management, dns, self.dns_management = _free_ports(4)
        config = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": "pebble.pem",
            "privateKey": "pebble.key",
            "httpPort": self._ports[0],
            "tlsPort": self._ports[1],
            "externalAccountBindingRequired": bool(self._bindings),
            "externalAccountMACKeys": self._bindings,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        others = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
        dns_words = ["-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{self.dns_management}"]
        with self._log.open("w") as log:
            for command in (
                ["pebble-challtestsrv", *dns_words, *others],
                ["pebble", "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{dns}"],
            ):
                process = subprocess.Popen(
                    command, cwd=self.folder, env=self._environ, stdout=log, stderr=subprocess.STDOUT
                )
                self._started.append(process)
        until(self._is_ready, "pebble", 60)
        return not self._ended()

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self._started)

    def _is_ready(self) -> bool:
        return self._ended() or all(map(_accepts, (self._port, self._management, self.dns_management)))


def _accepts(port: int) -> bool:
    with closing(socket.socket()) as tried:
        tried.settimeout(30)
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
