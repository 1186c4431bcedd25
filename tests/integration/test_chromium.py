# A browser at https://localhost: Chromium, which trusts the local CA once it was told, and not before.

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from tests.support.site import DEADLINE, ROOT, Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CERTUTIL = shutil.which("certutil")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)"),
    pytest.mark.skipif(CERTUTIL is None, reason="needs certutil (apt install libnss3-tools)"),
]


def opened(home: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Have Chromium open `url` for a user with this home; it writes the page as HTML, and its log."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    command += ["--enable-logging=stderr"]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []  # which root cannot have
    command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={home}/profile", url]
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(home)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=4 * DEADLINE)


def test_a_browser_trusts_the_local_ca_when_it_was_told(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="pip install 'bigtop[tls]'")
    assert CERTUTIL is not None
    database, programs = tmp_path / ".pki/nssdb", tmp_path / "bin"
    database.mkdir(parents=True)
    programs.mkdir()
    (programs / "certutil").symlink_to(CERTUTIL)  # and nothing that tells the machine
    subprocess.run([CERTUTIL, "-d", f"sql:{database}", "-N", "--empty-password"], check=True)
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": ""}
    with Site("tests.apps.tls:wsgi", "--tls", "local", env=env) as site:
        url = f"https://localhost:{site.port}/"
        refused = opened(tmp_path, url)
        assert "ERR_CERT_AUTHORITY_INVALID" in refused.stderr
        assert not refused.stdout
        command = [sys.executable, "-m", "bigtop", "ca", "trust"]
        limited = {**env, "PATH": str(programs), "PYTHONPATH": str(ROOT)}
        told = subprocess.run(command, env=limited, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert told.stdout == "Chromium and Chrome: trusts the CA from now on\n"
        shown = opened(tmp_path, url)
        found = re.search(r"\{.*\}", unescape(shown.stdout))
        assert found is not None, shown
        assert "net::ERR_" not in shown.stderr
        environ = json.loads(found[0])
        assert (environ["wsgi.url_scheme"], environ["SSL_PROTOCOL"]) == ("https", "TLSv1.3")
        assert environ["SSL_TLS_SNI"] == "localhost"
