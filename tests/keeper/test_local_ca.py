# The local CA: for which names, for how long, kept by whom; and what OpenSSL makes of its certificates.

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.keeper import certificates, signing
from bigtop.keeper.certificates import DAY
from bigtop.keeper.local import local_ca, local_names
from bigtop.keeper.local.local_ca import LocalCA
from tests.support.issued import NOW, needs_openssl


@pytest.fixture
def ca(tmp_path: Path) -> LocalCA:
    return LocalCA(str(tmp_path / "data/bigtop/ca"))


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "*.a.localhost", "a.b.localhost", "shop.test", "*.shop.test", "LOCALHOST"),
        *("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.31.0.1", "192.168.1.1", "::1", "fd00::1", "fe80::1"),
    ],
)
def test_local_names(name: str) -> None:
    assert local_names.problem(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "example.com",
            "localhost.example.com",
            "nolocalhost",
            "test.com",
            "com",
            "",
            "*",
            "a.*.test",
        ),
        *(
            "-a.test",
            "a..test",
            "a_b.test",
            "x" * 64 + ".test",
            "a.test.",
            "8.8.8.8",
            "172.32.0.1",
            "2001:db8::1",
        ),
        *("a.test\n", "ü.test"),
    ],
)
def test_all_other_names_may_be_somebody_elses(name: str, ca: LocalCA) -> None:
    assert "local certificates are for" in local_names.problem(name)
    with pytest.raises(ConfigError, match="local certificates are for"):
        ca.leaf([name], NOW)


@pytest.mark.parametrize("name", ["*.localhost", "*.test"])
def test_a_star_below_a_top_level_domain_is_refused(name: str) -> None:
    assert local_names.problem(name) == f"{name}: no client takes that; name the hosts"


@given(st.from_regex(r"[a-z0-9.*-]{0,30}\.(com|org|de|tests|localhosts)", fullmatch=True))
def test_no_public_name_is_local(name: str) -> None:
    assert local_names.problem(name) != ""


def test_roots_stay_and_certificates_are_new_each_time(ca: LocalCA) -> None:
    root = ca.root(NOW)
    assert (root.not_after - NOW) / DAY == 3652
    assert LocalCA(str(Path(ca.root_path).parent)).root(NOW + 3000 * DAY) == root
    first, second = ca.leaf([], NOW), ca.leaf([], NOW)
    assert first.key_pem != second.key_pem
    for leaf in (first, second):
        assert (leaf.not_after - NOW) / DAY == 7
        assert certificates.check(leaf, NOW, ["localhost", "127.0.0.1", "::1"]) == []
    public = Path(ca.root_path).read_bytes()
    assert certificates.read_chain(public, "x") == root.chain
    assert b"PRIVATE" not in public
    assert ca.client_root(NOW).key_pem != root.key_pem


def test_a_root_at_its_end_is_not_used(ca: LocalCA) -> None:
    ca.root(NOW)
    with pytest.raises(ConfigError, match=r"root-with-key.pem: this root is at its end: delete it"):
        ca.leaf(["a.test"], NOW + 3650 * DAY)


def test_of_many_that_begin_at_once_one_makes_the_root(tmp_path: Path) -> None:
    code = "import sys; from bigtop.keeper.local import local_ca; print(local_ca.fingerprint("
    code += "local_ca.LocalCA(sys.argv[1]).root(float(sys.argv[2]))))"
    command = [sys.executable, "-c", code, str(tmp_path / "ca"), str(NOW)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1
    assert len(said.pop().strip()) == 95


def verified(root: str, leaf: certificates.Pair, folder: Path, *words: str) -> str:
    """Return what OpenSSL says of a certificate: "" if it is right."""
    (folder / "leaf.pem").write_bytes(certificates.chain_text(leaf.chain[:1]))
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW + 60)), "-CAfile", root, *words]
    done = subprocess.run([*command, folder / "leaf.pem"], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


@needs_openssl
def test_openssl_takes_what_the_root_may_sign_and_nothing_else(ca: LocalCA, tmp_path: Path) -> None:
    leaf = ca.leaf(["shop.test", "*.a.localhost", "10.1.1.1"], NOW)
    for words in (
        ["-verify_hostname", "shop.test"],
        ["-verify_hostname", "b.a.localhost"],
        ["-verify_ip", "10.1.1.1"],
    ):
        assert verified(ca.root_path, leaf, tmp_path, "-purpose", "sslserver", *words) == ""
    root = ca.root(NOW)
    for name in ("example.com", "8.8.8.8"):  # by somebody who has the key
        stolen = signing.leaf(root, [name], NOW, 7)
        assert "permitted subtree violation" in verified(ca.root_path, stolen, tmp_path)
    assert verified(ca.root_path, leaf, tmp_path, "-purpose", "sslclient") != ""


@pytest.mark.parametrize("name", ["alice", "alice.smith", "alice@example.com", "Ädele @ home"])
@needs_openssl
def test_clients_are_of_a_root_of_their_own(ca: LocalCA, tmp_path: Path, name: str) -> None:
    pair = ca.client(name, NOW)
    assert verified(ca.client_root_path, pair, tmp_path, "-purpose", "sslclient") == ""
    assert verified(ca.client_root_path, pair, tmp_path, "-purpose", "sslserver") != ""
    ca.root(NOW)
    assert verified(ca.root_path, pair, tmp_path) != ""


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb"])
def test_names_that_no_client_has(ca: LocalCA, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name for a client"):
        ca.client(name, NOW)


def test_a_client_that_trusts_the_root_connects(ca: LocalCA, tmp_path: Path) -> None:
    leaf = ca.leaf(["shop.localhost"], time.time())
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf.pem")
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(30)
    thread = threading.Thread(target=lambda: server.wrap_socket(ours, server_side=True).close())
    thread.start()
    context = ssl.create_default_context(cafile=ca.root_path)
    with theirs, context.wrap_socket(theirs, server_hostname="shop.localhost") as client:
        assert client.getpeercert() is not None
    thread.join(30)


def test_the_folder_is_the_users(tmp_path: Path) -> None:
    assert local_ca.folder({"XDG_DATA_HOME": "/d", "HOME": "/h"}) == "/d/bigtop/ca"
    assert local_ca.folder({"XDG_DATA_HOME": "d", "HOME": "/h"}) == "/h/.local/share/bigtop/ca"
    before = len(os.listdir("/proc/self/fd"))
    leaf = local_ca.leaf(["a.test"], NOW, {"HOME": str(tmp_path)})
    assert len(os.listdir("/proc/self/fd")) == before
    assert certificates.names(leaf.leaf) == ("a.test",)
    assert os.listdir(tmp_path / ".local/share/bigtop/ca")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file/ca/x"):
        LocalCA(str(tmp_path / "file/ca/x"))
