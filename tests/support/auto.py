# Sites that get their certificates by themselves, of pebble, which comes to the ports that are held here.

from __future__ import annotations

import socket
import ssl
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bigtop.control.client.client import Client as Control
from bigtop.keeper import certificates
from bigtop.keeper.records import Records, title
from bigtop.keeper.storage import Storage
from tests.support import procfs
from tests.support.issued import DAY, Issued
from tests.support.pebble import Pebble
from tests.support.site import DEADLINE, Site, halted, until
from tests.support.tls_client import TlsClient

NAME = "a.example.com"
LIMIT = 150.0  # seconds for a certificate


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
        self._root = self.pebble.root().decode()

    def close(self) -> None:
        self.pebble.close()
        self.http.close()
        self.https.close()

    def standing_still(self) -> AbstractContextManager[None]:
        """Have it answer nobody before the end of the block."""
        return halted(self.pebble.pid)

    def flags(self, storage: Path, *names: str) -> list[str]:
        """Return what has `bigtop serve` get a certificate here."""
        found = ["--tls", f"auto:{','.join(names)}", "--tls-storage", str(storage), "--tls-storage-ephemeral"]
        return [*found, "--acme-directory", self.pebble.directory, "--acme-root-cert", self.pebble.root_cert]

    def site(self, app: str, storage: Path, *more: str, http: str = "") -> Site:
        own = ["--http-bind", http or self.http.address, "--reuse-port", "--name", "site"]
        return Site(app, *self.flags(storage, NAME), *own, *more, bind=self.https.address)

    def context(self, *more: str) -> ssl.SSLContext:
        """Return that of a client who trusts what pebble issues, and these certificates (PEM)."""
        return ssl.create_default_context(cadata="".join((self._root, *more)))

    def client(self, name: str = NAME, by: ssl.SSLContext | None = None) -> TlsClient:
        return TlsClient(("127.0.0.1", self.https.port), name=name, by=by or self.context())

    def orders(self) -> int:
        """Return how many it has got so far."""
        return self.pebble.text().count("Added order")


def kept(storage: Path, days: float, *names: str) -> str:
    """Have a certificate in a storage that ends in so many days of ninety; return it as PEM."""
    now = time.time()
    one = Issued(*names, begin=now - (90 - days) * DAY, end=now + days * DAY, title="kept")
    pair = certificates.read(one.pem, one.key_pem, "kept")
    Records(Storage(str(storage))).keep_pair(title(names), pair)
    return one.pem.decode()


def shown(site: Site, do: str = "show") -> list[dict[str, Any]]:
    """Return what `bigtop ctl certificates` does."""
    with Control(str(site.folder / "bigtop" / "site.ctl"), timeout=4 * DEADLINE) as control:
        found: list[dict[str, Any]] = control.call("certificates", do=do)["certificates"]
    return found


def served(site: Site) -> None:
    """Wait until all workers serve with all certificates."""

    def is_there() -> bool:
        return all(row["days"] is not None and not row["behind"] for row in shown(site))

    until(is_there, "all certificates", LIMIT)


def keepers(site: Site) -> list[int]:
    """Return the keepers that run, by pid."""
    found = {one.pid: " ".join(procfs.words(one)).strip() for one in site.family()}
    return [pid for pid, words in found.items() if words == "bigtop: keeper"]
