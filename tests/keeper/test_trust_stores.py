# Trust stores: a root gets in and out, and nothing else is touched.

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bigtop.keeper.local import trust_stores
from bigtop.keeper.local.trust_stores import NssStore, SystemStore
from tests.support.issued import needs_openssl, root
from tests.support.nobody import as_nobody

needs_nss = pytest.mark.skipif(shutil.which("certutil") is None, reason="apt install libnss3-tools")
needs_updater = pytest.mark.skipif(
    shutil.which("update-ca-certificates") is None, reason="apt install ca-certificates"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes nobody")


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(b"# a comment\n" + root().pem)
    return str(path)


def debian(folder: Path) -> SystemStore:
    """Debian's program on folders of a test."""
    local, made, hooks = (folder / name for name in ("local", "certs", "hooks"))
    for each in (local, made, hooks):
        each.mkdir()
    (folder / "conf").write_text("\n")
    options = ("--localcertsdir", local, "--etccertsdir", made, "--certsconf", folder / "conf", "--hooksdir")
    return SystemStore(str(local), ("update-ca-certificates", *map(str, options), str(hooks)))


@needs_updater
@needs_openssl
def test_the_system_trusts_and_forgets(tmp_path: Path, pem: str) -> None:
    store = debian(tmp_path)
    (Path(store.folder) / "other.crt").write_bytes(root().pem)
    bundle = tmp_path / "certs/ca-certificates.crt"
    assert not store.has("ours")
    outcome = store.add("ours", pem)
    assert outcome == trust_stores.Outcome("the system", is_done=True)
    assert store.has("ours")
    assert bundle.read_bytes().count(b"BEGIN") == 2
    verify = ["openssl", "verify", "-CAfile", bundle, "-no_check_time", pem]
    assert subprocess.run(verify, capture_output=True).returncode == 0
    assert store.remove("ours") == trust_stores.Outcome("the system", is_done=True)
    assert store.remove("ours") is None
    assert os.listdir(store.folder) == ["other.crt"]
    assert bundle.read_bytes().count(b"BEGIN") == 1


@needs_updater
def test_a_program_that_fails_is_quoted(tmp_path: Path, pem: str) -> None:
    store = debian(tmp_path)
    shutil.rmtree(tmp_path / "certs")
    outcome = store.add("ours", pem)
    assert not outcome.is_done
    assert outcome.trouble.startswith("update-ca-certificates: ")
    assert outcome.typed.startswith("sudo install -m 644 ")


@needs_root
def test_who_may_not_write_is_told_what_to_type(tmp_path: Path, pem: str) -> None:
    store = SystemStore("/usr/local/share", ("true",))

    def told() -> None:
        outcome = store.add("ours", pem)
        assert not outcome.is_done
        file = "/usr/local/share/ours.crt"
        assert outcome.typed == f"sudo install -m 644 {pem} {file} && sudo true"

    assert as_nobody(told)


def test_a_store_is_there_with_folder_and_program(tmp_path: Path) -> None:
    assert SystemStore(str(tmp_path), ("true",)).is_there
    assert not SystemStore(str(tmp_path / "x"), ("true",)).is_there
    assert not SystemStore(str(tmp_path), ("no-such-program",)).is_there


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with Chromium and a profile of Firefox."""
    folder = tmp_path / "home [1]"
    for database in (".pki/nssdb", ".mozilla/firefox/abc.default"):
        (folder / database).mkdir(parents=True)
        command = ["certutil", "-d", f"sql:{folder / database}", "-N", "--empty-password"]
        subprocess.run(command, check=True, capture_output=True)
    return folder


@needs_nss
def test_browsers_trust_and_forget(home: Path, pem: str) -> None:
    stores = list(trust_stores.found({"HOME": str(home)}, ()))
    assert [store.title for store in stores] == ["Chromium and Chrome", "Firefox (abc.default)"]
    for store in stores:
        assert store.remove("ours") is None
        assert store.add("ours", pem).is_done
        assert store.add("ours", pem).is_done
        assert store.has("ours")
        listed = subprocess.check_output(["certutil", "-d", f"sql:{store.folder}", "-L"], text=True)
        assert "C,," in listed
        outcome = store.remove("ours")
        assert outcome is not None
        assert outcome.is_done
        assert not store.has("ours")


def test_without_certutil_the_command_is_said(
    tmp_path: Path, pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    store = NssStore("/home/a b/.pki/nssdb", "Chromium and Chrome")
    outcome = store.add("ours", pem)
    assert not outcome.is_done
    assert outcome.typed == f"certutil -d 'sql:/home/a b/.pki/nssdb' -A -t C,, -n ours -i {pem}"
    assert "libnss3-tools" in outcome.trouble
    assert not store.has("ours")


def test_a_user_without_a_home_has_no_browsers() -> None:
    assert list(trust_stores.found({}, ())) == []
