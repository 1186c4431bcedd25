# HTTPS with certificates that take care of themselves: `bigtop serve --tls auto:NAMES` and a real CA.

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auto import Ca, served
from tests.support.pebble import needs_pebble

APPS = {"wsgi": "tests.apps.tls:wsgi", "asgi": "tests.apps.tls:asgi"}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    found = Ca(tmp_path_factory.mktemp("ca"))
    yield found
    found.close()


@needs_pebble
@pytest.mark.parametrize("kind", APPS)
def test_a_site_gets_its_certificate_by_http(kind: str, ca: Ca, tmp_path: Path) -> None:
    with ca.site(APPS[kind], tmp_path / "tls", "--workers", "2") as site:
        site.wait_for("there is a new certificate for a.example.com", timeout=60)
        served(site)
        with ca.client() as one:
            assert "https" in json.loads(one.get("/").body).values()
        assert site.stop() == 0
