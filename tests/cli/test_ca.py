# `bigtop ca`, as it is typed. No system store is in reach here: the PATH has but certutil.

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.issued import needs_openssl
from tests.support.site import ROOT


class Home:
    """A user without anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()

    def bigtop(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bigtop", "ca", *words],
            cwd=self.folder,
            env={"HOME": str(self.folder), "PATH": str(self.programs), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_a_store_the_root_is_named(home: Home) -> None:
    done = home.bigtop("trust")
    path = home.folder / ".local/share/bigtop/ca/root.pem"
    assert (done.returncode, done.stdout) == (
        0,
        f"No trust store that Bigtop knows is here. The root to trust: {path}\n",
    )
    assert path.exists()
    assert home.bigtop("untrust").stdout == "Nobody here trusts the CA.\n"
    shown = home.bigtop("show").stdout
    assert f"root       {path}\n" in shown
    assert re.search(r"^SHA-256    ([0-9A-F]{2}:){31}[0-9A-F]{2}$", shown, re.MULTILINE)


@pytest.mark.skipif(shutil.which("certutil") is None, reason="apt install libnss3-tools")
def test_a_browser_is_told(home: Home) -> None:
    certutil = shutil.which("certutil")
    assert certutil is not None
    (home.folder / ".pki/nssdb").mkdir(parents=True)
    command = [certutil, "-d", f"sql:{home.folder}/.pki/nssdb", "-N", "--empty-password"]
    subprocess.run(command, check=True, capture_output=True)
    done = home.bigtop("trust")
    assert done.returncode == 1
    assert "certutil is not installed" in done.stdout
    assert "\n  certutil -d sql:" in done.stdout
    (home.programs / "certutil").symlink_to(certutil)
    assert home.bigtop("trust").stdout == "Chromium and Chrome: trusts the CA from now on\n"
    assert "trusted by Chromium and Chrome\n" in home.bigtop("show").stdout
    assert home.bigtop("untrust").stdout == "Chromium and Chrome: does not trust the CA any more\n"
    assert "unknown to Chromium and Chrome\n" in home.bigtop("show").stdout


@needs_openssl
def test_a_certificate_for_a_client_can_be_imported(home: Home) -> None:
    done = home.bigtop("client", "alice@example.com")
    assert done.returncode == 0, done.stderr
    path = home.folder / "alice@example.com.p12"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = re.search(r"^password: (\S+)$", done.stdout, re.MULTILINE)
    assert password is not None
    command = ["openssl", "pkcs12", "-in", path, "-passin", f"pass:{password[1]}", "-noenc"]
    text = subprocess.check_output(command, text=True)
    assert text.count("BEGIN CERTIFICATE") == 2
    assert text.count("BEGIN PRIVATE KEY") == 1
    again = home.bigtop("client", "alice@example.com")
    assert (again.returncode, again.stderr) == (
        78,
        "bigtop: alice@example.com.p12: File exists: --out names another file\n",
    )
    assert home.bigtop("client", "alice@example.com", "--out", "other.p12").returncode == 0


def test_without_cryptography_it_says_what_to_install(home: Home) -> None:
    (home.folder / "cryptography.py").write_text("raise ImportError('not here')")
    done = home.bigtop("show")
    assert done.returncode == 78
    assert done.stderr == "bigtop: certificates take cryptography: pip install 'bigtop[tls]'\n"
    assert home.bigtop("--help").returncode == 0
