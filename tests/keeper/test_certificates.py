# What a pair of certificate and key is found to be.

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper import certificates
from bigtop.keeper.certificates import CertificateError
from tests.support.issued import DAY, NOW, Issued, between, needs_openssl, root, small_rsa

GOOD = Issued("example.com", "*.example.com", "192.0.2.1", by=between())


def pair(one: Issued, *more: Issued, key: Issued | None = None) -> certificates.Pair:
    chain = b"".join(each.pem for each in (one, *more))
    return certificates.read(chain, (key or one).key_pem, "site.pem")


def faults(found: certificates.Pair, *wanted: str, now: float = NOW) -> list[str]:
    return [finding.text for finding in certificates.check(found, now, wanted) if finding.is_fault]


def warnings(found: certificates.Pair, now: float = NOW) -> list[str]:
    return [finding.text for finding in certificates.check(found, now) if not finding.is_fault]


def test_a_good_pair_has_nothing_wrong_with_it_and_one_line() -> None:
    found = pair(GOOD, between())
    assert certificates.check(found, NOW, ["example.com", "a.example.com", "192.0.2.1"]) == []
    assert certificates.describe(found, NOW) == (
        "example.com, *.example.com, 192.0.2.1: ECDSA P-256, 89 days left (until 2027-02-28), by An Issuer"
    )
    assert certificates.days_left(found, NOW) == 89
    assert "PRIVATE" not in repr(found)


def test_key_and_chain_may_stand_in_one_file_with_other_text() -> None:
    text = b"subject=example.com\n" + GOOD.key_pem + b"\n\n" + GOOD.pem + between().pem
    found = certificates.read(text, text, "both.pem")
    assert len(found.chain) == 2
    assert found == pair(GOOD, between())
    assert certificates.read(found.pem, found.pem, "again") == found


@pytest.mark.parametrize(
    "form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
)
def test_keys_of_both_forms_are_read(form: serialization.PrivateFormat) -> None:
    assert certificates.read(GOOD.pem, GOOD.key_as(form), "x").leaf == GOOD.certificate


@needs_openssl
def test_what_openssl_writes_is_read(tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -days 30 -subj /CN=x -addext"
    subprocess.run(
        [*command.split(), "subjectAltName=DNS:a.test"], cwd=tmp_path, check=True, capture_output=True
    )
    found = certificates.read((tmp_path / "c").read_bytes(), (tmp_path / "k").read_bytes(), "c", "k")
    assert certificates.check(found, found.not_before + 1, ["a.test"]) == []
    assert certificates.kind(found.key) == "RSA 2048"


OTHER_KIND = x25519.X25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    ("chain", "key", "message"),
    [
        (b"", GOOD.key_pem, "c.pem: there is no certificate in it: it is empty"),
        (b"\x30\x82", GOOD.key_pem, "c.pem: there is no certificate in it: it is not PEM"),
        (GOOD.key_pem, GOOD.pem, "c.pem: there is no certificate in it, only: private key"),
        (GOOD.pem, GOOD.pem, "k.pem: there is no private key in it, only: certificate"),
        (GOOD.pem, GOOD.key_pem * 2, "k.pem: there are 2 private keys in it"),
        (GOOD.pem, GOOD.key_as(serialization.PrivateFormat.PKCS8, b"x"), "k.pem: the key is encrypted"),
        (GOOD.pem, OTHER_KIND, "k.pem: a key of this kind cannot serve TLS"),
        (
            GOOD.pem,
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "k.pem: the key cannot",
        ),
        (
            GOOD.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            GOOD.key_pem,
            "c.pem: the 2nd certificate cannot be read",
        ),
        (b"x" * (1 << 21), GOOD.key_pem, "c.pem: 2097152 bytes are too many"),
    ],
)
def test_what_cannot_be_read_is_one_error_that_names_the_file(chain: bytes, key: bytes, message: str) -> None:
    with pytest.raises(CertificateError) as raised:
        certificates.read(chain, key, "c.pem", "k.pem")
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@given(st.binary(max_size=200), st.integers(0, len(GOOD.pem)), st.booleans())
def test_no_bytes_raise_anything_else(noise: bytes, cut: int, of_key: bool) -> None:
    text = GOOD.key_pem if of_key else GOOD.pem
    broken = text[:cut] + noise + text[cut:]
    with suppress(CertificateError):
        certificates.read(broken, broken if of_key else GOOD.key_pem, "x")


def test_a_key_of_another_certificate_is_a_fault() -> None:
    assert faults(pair(GOOD, between(), key=between())) == ["the key belongs to another certificate"]


def test_a_chain_that_does_not_build_is_a_fault() -> None:
    (found,) = faults(pair(GOOD, root(), between()))
    assert found.startswith("the 2nd certificate did not sign the 1st")
    (found,) = faults(pair(GOOD, between(), between()))
    assert found.startswith("the 3rd certificate did not sign the 2nd")
    assert faults(pair(GOOD, between(), root())) == []


def test_an_issuer_that_is_missing_is_a_warning() -> None:
    (found,) = warnings(pair(GOOD))
    assert found.startswith("its issuer's certificate (An Issuer) is not beside it")
    assert warnings(pair(Issued("a.test"))) == []  # which signed itself


@pytest.mark.parametrize(
    ("now", "begin"),
    [
        (GOOD.certificate.not_valid_before_utc.timestamp() - 1, "it is valid from 2026-11-30 00:00 UTC on"),
        (GOOD.certificate.not_valid_after_utc.timestamp(), "it ended at 2027-02-28 00:00 UTC"),
    ],
)
def test_a_time_outside_of_its_own_is_a_fault(now: float, begin: str) -> None:
    (found,) = faults(pair(GOOD, between()), now=now)
    assert found.startswith(begin)


def test_a_third_of_its_time_is_where_warnings_begin() -> None:
    found = pair(GOOD, between())
    assert warnings(found, NOW + 59 * DAY) == []
    assert warnings(found, NOW + 60 * DAY) == ["29 days left of 90 days"]
    assert warnings(found, NOW + 88.5 * DAY) == ["12 hours left of 90 days"]


def test_names_that_it_is_not_for_are_a_fault() -> None:
    text = "it is not for a.b.example.com, org, but for example.com, *.example.com, 192.0.2.1"
    assert faults(pair(GOOD, between()), "EXAMPLE.com", "a.b.example.com", "org") == [text]


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("example.com", True),
        ("Example.COM.", True),
        ("www.example.com", True),
        ("a.www.example.com", False),
        (".example.com", False),
        ("com", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8:0::1", True),
        ("[2001:db8::1]", True),
        ("", False),
        ("shop.localhost", False),
    ],
)
def test_which_hosts_are_covered(host: str, is_covered: bool) -> None:
    names = ["example.com", "*.example.com", "192.0.2.1", "2001:db8::1", "*.localhost"]
    assert certificates.covers(names, host) is is_covered


def test_a_small_rsa_key_and_no_names_are_faults() -> None:
    assert faults(pair(Issued("a.test", key=small_rsa()))) == [
        "clients refuse an RSA key of 1024 bits: 2048 at least"
    ]
    assert faults(pair(root())) == ["it names no host: browsers do not look at its subject any more"]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ECDSA P-384"),
        (small_rsa(), "RSA 1024"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
)
def test_kinds_of_keys(key: certificates.Key, kind: str) -> None:
    assert certificates.kind(key) == kind


def test_a_line_cannot_be_broken_by_what_a_certificate_says() -> None:
    one = Issued("a.test", by=Issued(title="Evil\nCA\x1b[1m"))
    assert certificates.describe(pair(one), NOW).endswith("by Evil\\nCA\\x1b[1m")
