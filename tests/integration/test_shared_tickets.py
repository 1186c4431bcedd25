# Sessions that every machine resumes: two supervisors that have nothing in common but a folder, or a file.

from __future__ import annotations

import json
import ssl
from itertools import cycle, islice
from pathlib import Path

import pytest

from tests.support.auto import NAME, kept, served
from tests.support.certificates import made, written
from tests.support.issued import needs_openssl
from tests.support.site import Site
from tests.support.tls_client import TlsClient, context

APP = "tests.apps.tls:wsgi"
SHARED = "session tickets: of the secrets in the storage"
NOBODY = "https://127.0.0.1:9/"  # a CA that is not needed


def of_storage(folder: Path) -> Site:
    words = ("--tls", f"auto:{NAME}", "--tls-storage", str(folder), "--tls-storage-ephemeral")
    more = ("--acme-directory", NOBODY, "--http-bind", "off", "--workers", "2", "--name", "site")
    return Site(APP, *words, *more)


class Reconnecting:
    """One client, which comes back with what it was given last."""

    def __init__(self, by: ssl.SSLContext, name: str) -> None:
        self._by = by
        self._name = name
        self._session: ssl.SSLSession | None = None

    def resumed(self, sites: tuple[Site, ...], times: int) -> int:
        """Go to each in turn; return how often a session went on."""
        count = 0
        for site in islice(cycle(sites), times):
            address = ("127.0.0.1", site.port)
            with TlsClient(address, name=self._name, by=self._by, session=self._session) as one:
                told = json.loads(one.get("/").body)["SSL_SESSION_RESUMED"]
                assert (told == "Resumed") is one.tls.session_reused
                count += bool(one.tls.session_reused)
                self._session = one.tls.session
        return count


def is_shared(site: Site) -> bool:
    return "sessions are resumed by every worker, also behind a reload" in site.log()


@needs_openssl
def test_machines_of_one_storage_resume_each_others_sessions(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="pip install 'bigtop[tls]'")
    client = Reconnecting(ssl.create_default_context(cadata=kept(tmp_path / "tls", 80, NAME)), NAME)
    with of_storage(tmp_path / "tls") as one:
        one.wait_for(SHARED)  # its keeper has made it
        served(one)
        if not is_shared(one):
            pytest.skip("OpenSSL takes no keys here")
        with of_storage(tmp_path / "tls") as other:
            assert SHARED in other.log(), "it is read before anything starts"
            client.resumed((one,), 1)
            assert client.resumed((other, one), 20) == 20
        with of_storage(tmp_path / "tls") as successor:
            assert client.resumed((successor,), 2) == 2


def test_sites_of_one_file_resume_each_others_sessions(tmp_path: Path) -> None:
    secret = tmp_path / "tickets"
    secret.write_text("a secret of the tests, of thirty-two bytes and more\n")
    secret.chmod(0o600)
    words = ("--tls", written(tmp_path, made("localhost")), "--tls-ticket-secret", str(secret))
    client = Reconnecting(context(version="1.2"), "localhost")
    with Site(APP, *words) as one, Site(APP, *words) as other:
        if not is_shared(one):
            pytest.skip("OpenSSL takes no keys here")
        client.resumed((one,), 1)
        assert client.resumed((other, one), 20) == 20
