# Certificates for tests, made by openssl; each is its own issuer, and made once.

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from bigtop.ipc.keyring import KeyPair, Keyring, TicketSecret

_KINDS = {"EC": ("ec", "ec_paramgen_curve:P-256"), "RSA": ("rsa", "rsa_keygen_bits:2048")}


@cache
def made(*names: str, kind: str = "EC", days: int = 90) -> KeyPair:
    """Return a certificate for hosts, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (apt install openssl)")
    algorithm, option = _KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        command = ["openssl", "req", "-x509", "-nodes", "-newkey", algorithm, "-pkeyopt", option]
        command += ["-subj", f"/CN={names[0]}", "-days", str(days), "-keyout", str(key)]
        command += ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)]
        subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
        return KeyPair(certificate.read_text(), key.read_text(), names[0])


@cache
def issued(by: KeyPair, subject: str) -> KeyPair:
    """Return a certificate that another one has issued, for a client: "/O=Shop/CN=a"."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("ca.pem", "ca.key", "client.pem", "client.key")]
        paths[0].write_text(by.certificate)
        paths[1].write_text(by.key)
        ca, ca_key, certificate, key = map(str, paths)
        command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", _KINDS["EC"][1]]
        command += [
            "-CA",
            ca,
            "-CAkey",
            ca_key,
            "-subj",
            subject,
            "-days",
            "9",
            "-keyout",
            key,
            "-out",
            certificate,
        ]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(command, check=True, capture_output=True)
        return KeyPair(paths[2].read_text(), paths[3].read_text(), subject)


def revoking(by: KeyPair, *revoked: KeyPair, days: int = 9, more: Sequence[str] = ()) -> str:
    """Return the list of certificates that an issuer has revoked; `more` is for openssl."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "ca.pem").write_text(by.certificate)
        (base / "ca.key").write_text(by.key)
        (base / "index").write_text("")
        (base / "conf").write_text(
            f"[ca]\ndefault_ca = one\n[one]\ndatabase = {base}/index\ndefault_md = sha256\n"
            f"certificate = {base}/ca.pem\nprivate_key = {base}/ca.key\n"
        )
        command = ["openssl", "ca", "-config", str(base / "conf")]
        for one in revoked:
            (base / "revoked.pem").write_text(one.certificate)
            subprocess.run([*command, "-revoke", str(base / "revoked.pem")], check=True, capture_output=True)
        ends = more or ["-crldays", str(days)]
        made = subprocess.run([*command, "-gencrl", *ends], check=True, capture_output=True, text=True)
        return made.stdout


def ring(*pairs: KeyPair, client_ca: str = "", client_crl: str = "") -> Keyring:
    return Keyring(pairs or (made("localhost"),), client_ca, client_crl, (TicketSecret(0, "ab" * 32),))


def written(folder: Path, pair: KeyPair, name: str = "site") -> str:
    """Write a certificate and its key; return what --tls is told of them."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    return f"files:{certificate},{key}"
