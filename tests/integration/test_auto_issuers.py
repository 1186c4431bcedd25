# Which CA a site asks for its certificates, and what that is told: `bigtop serve --tls auto` and a fake CA.

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigtop.keeper.acme import jose
from bigtop.keeper.records import Records
from bigtop.keeper.schedule import Tries
from bigtop.keeper.storage import Storage
from tests.support.auto import LIMIT, NAME
from tests.support.fake_ca_server import FakeCAServer
from tests.support.issued import needs_openssl
from tests.support.site import Site

pytestmark = needs_openssl


@pytest.fixture
def first(tmp_path: Path) -> Iterator[FakeCAServer]:
    (tmp_path / "first").mkdir()
    with FakeCAServer(tmp_path / "first") as found:
        yield found


@pytest.fixture
def second(tmp_path: Path) -> Iterator[FakeCAServer]:
    (tmp_path / "second").mkdir()
    with FakeCAServer(tmp_path / "second") as found:
        yield found


def site(folder: Path, ca: FakeCAServer, *more: str, **env: str) -> Site:
    words = ["--tls", f"auto:{NAME}", "--http-bind", "127.0.0.2:0", "--tls-storage", str(folder / "tls")]
    words += ["--tls-storage-ephemeral", "--acme-directory", ca.directory, "--acme-root-cert", ca.root_cert]
    return Site("tests.apps.tls:wsgi", *words, *more, env=env)


def told(ca: FakeCAServer, path: str) -> Any:
    """Return what a CA was told there first."""
    return next(payload for asked, payload in ca.ca.asked if asked == path)


def key_of_account(folder: Path, name: str) -> str:
    path = folder / name
    path.write_text("c2VjcmV0LW9mLXRoZS10ZXN0cw\n")
    path.chmod(0o600)
    return str(path)


def account_of(payload: Any) -> str:
    """Return the id of the key by which an account is bound to one that the CA knows."""
    kid: str = json.loads(jose.decoded(payload["externalAccountBinding"]["protected"]))["kid"]
    return kid


def test_what_a_ca_is_told(tmp_path: Path, first: FakeCAServer) -> None:
    eab = f"id-1,{key_of_account(tmp_path, 'key')}"
    words = ("--acme-email", "a@example.com", "--acme-profile", "shortlived", "--acme-eab", eab)
    with site(tmp_path, first, *words) as served:
        served.wait_for(f"there is a new certificate for {NAME}", timeout=LIMIT)
    account = told(first, "/account")
    assert account["contact"] == ["mailto:a@example.com"]
    assert account_of(account) == "id-1"
    assert told(first, "/order")["profile"] == "shortlived"


def test_a_second_ca_is_asked_when_the_first_cannot(
    tmp_path: Path, first: FakeCAServer, second: FakeCAServer
) -> None:
    """The first one has failed before."""
    failed = {**Tries(1, issuer=1).encode(), "names": [NAME]}
    Records(Storage(str(tmp_path / "tls"))).keep_notes("tries", NAME, failed)
    eab = f"id-2,{key_of_account(tmp_path, 'key')}"
    words = ("--acme-fallback", second.directory, "--acme-fallback-eab", eab)
    with site(tmp_path, first, *words, SSL_CERT_FILE=second.root_cert) as served:
        served.wait_for(f"there is a new certificate for {NAME}", timeout=LIMIT)
    assert account_of(told(second, "/account")) == "id-2"
    assert "order" not in first.ca.words()
