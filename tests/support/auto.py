# Sites that get their certificates by themselves, of pebble, which comes to the ports that are held here.

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from bigtop.control.client.client import Client as Control
from tests.support.pebble import Pebble
from tests.support.site import DEADLINE, Site, until
from tests.support.tls_client import TlsClient


class Held:
    """A port of the kernel that stays ours: it is bound, and who serves there shares it (--reuse-port)."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.close()


class Ca:
    """Pebble, and the two ports where it goes for challenges. One site at a time is there."""

    def __init__(self, folder: Path) -> None:
        self.http, self.https = Held(), Held()
        self.pebble = Pebble(folder, self.http.port, self.https.port)

    def close(self) -> None:
        self.pebble.close()
        self.http.close()
        self.https.close()

    def flags(self, storage: Path, *names: str) -> list[str]:
        """Return what has `bigtop serve` get certificates here."""
        found = ["--http-bind", self.http.address, "--reuse-port", "--name", "site"]
        found += ["--tls", f"auto:{','.join(names)}", "--tls-storage", str(storage)]
        return [*found, "--acme-directory", self.pebble.directory, "--acme-root-cert", self.pebble.root_cert]

    def site(self, app: str, storage: Path, *more: str, names: tuple[str, ...] = ("a.example.com",)) -> Site:
        return Site(app, *self.flags(storage, *names), *more, bind=self.https.address)

    def context(self) -> ssl.SSLContext:
        """Return that of a client who trusts what pebble issues."""
        return ssl.create_default_context(cadata=self.pebble.root().decode())

    def client(self, name: str = "a.example.com") -> TlsClient:
        return TlsClient(("127.0.0.1", self.https.port), name=name, by=self.context())


def shown(site: Site, do: str = "show") -> list[dict[str, Any]]:
    """Return what `bigtop ctl certificates` does."""
    with Control(str(site.folder / "bigtop" / "site.ctl"), timeout=4 * DEADLINE) as control:
        found: list[dict[str, Any]] = control.call("certificates", do=do)["certificates"]
    return found


def served(site: Site, count: int = 1) -> None:
    """Wait until all workers serve with so many certificates, and nothing is wrong."""

    def is_there() -> bool:
        rows = shown(site)
        return len([row for row in rows if row["days"] is not None and not row["behind"]]) == count

    until(is_there, f"{count} certificates", 2 * DEADLINE)
