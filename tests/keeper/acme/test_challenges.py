# What is shown to a CA, as OpenSSL and the RFCs see it.

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper import certificates
from bigtop.keeper.acme import challenges, jose, renewal_info
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.resources import MalformedError
from tests.support.issued import NOW, Issued, between, root

ALPN = Challenge("tls-alpn-01", "example.com", "t", "t.thumbprint")


def test_a_txt_record_is_the_digest_of_the_answer() -> None:
    digest = hashlib.sha256(b"t.thumbprint").digest()
    assert challenges.txt_record(ALPN) == ("_acme-challenge.example.com", jose.encoded(digest))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("example.com", "example.com"),
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        ("::1", "1." + "0." * 31 + "ip6.arpa"),
    ],
)
def test_a_certificate_for_a_challenge(name: str, asked: str) -> None:
    challenge = Challenge("tls-alpn-01", name, "t", "t.thumbprint")
    assert challenges.server_name(challenge) == asked
    pair = challenges.alpn_pair(challenge, NOW)
    assert certificates.names(pair.leaf) == (name,)
    (extension,) = [one for one in pair.leaf.extensions if one.oid.dotted_string == "1.3.6.1.5.5.7.1.31"]
    assert extension.critical
    assert extension.value.public_bytes() == b"\x04\x20" + hashlib.sha256(b"t.thumbprint").digest()


def test_openssl_serves_it(tmp_path: Path) -> None:
    (tmp_path / "pem").write_bytes(challenges.alpn_pair(ALPN, NOW).pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pem")
    server.set_alpn_protocols([challenges.PROTOCOL])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols([challenges.PROTOCOL])
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(30)
    thread = threading.Thread(target=lambda: server.wrap_socket(ours, server_side=True).close())
    thread.start()
    with theirs, client.wrap_socket(theirs, server_hostname="example.com") as connected:
        assert connected.selected_alpn_protocol() == "acme-tls/1"
        assert connected.getpeercert(binary_form=True)
    thread.join(30)


@pytest.mark.parametrize(
    ("text", "is_token"),
    [("aZ09_-", True), ("", False), ("a.b", False), ("a/b", False), ("a" * 181, False), ("a\n", False)],
)
def test_tokens(text: str, is_token: bool) -> None:
    assert challenges.is_token(text) is is_token


def test_a_certificate_has_the_name_that_rfc_9773_gives_it() -> None:
    """The example of its section 4.1: key identifier and serial number of a certificate there."""
    issued = Issued("a.test", by=between())
    key, _, serial = renewal_info.identifier(issued.certificate).partition(".")
    assert between().certificate.extensions.get_extension_for_oid(KEY_OF).value.digest == jose.decoded(key)
    assert int.from_bytes(jose.decoded(serial), "big", signed=True) == issued.certificate.serial_number
    assert jose.encoded((0x8765_4321).to_bytes(5, "big")) == "AIdlQyE"  # there, with the zero that DER wants


def test_a_certificate_that_does_not_say_who_made_it_has_no_name() -> None:
    pair = challenges.alpn_pair(ALPN, NOW)
    assert renewal_info.identifier(pair.leaf) == ""


KEY_OF = root().certificate.extensions[1].oid  # SubjectKeyIdentifier


WINDOW = b'{"suggestedWindow": {"start": "2027-01-01T00:00:00Z", "end": "2027-01-03T00:00:00.5+00:00"}, \
    "explanationURL": "https://ca/why"}'


def test_a_window_and_a_moment_in_it() -> None:
    info = renewal_info.read(WINDOW, {"retry-after": "21600"}, NOW)
    assert (info.end - info.start, info.ask_again, info.explanation) == (
        172800.5,
        NOW + 21600,
        "https://ca/why",
    )
    moments = {renewal_info.moment(info, f"a.{number}") for number in range(100)}
    assert len(moments) == 100
    assert all(info.start <= moment <= info.end for moment in moments)
    assert max(moments) - min(moments) > 86400
    assert renewal_info.moment(info, "a.1") == renewal_info.moment(info, "a.1")


@pytest.mark.parametrize(("wanted", "seconds"), [("0", 60), ("999999", 86400), ("x", 21600)])
def test_it_is_asked_again_within_limits(wanted: str, seconds: float) -> None:
    assert renewal_info.read(WINDOW, {"retry-after": wanted}, NOW).ask_again == NOW + seconds
    assert renewal_info.not_known({"retry-after": wanted}, NOW) == NOW + seconds


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b'{"suggestedWindow": 7}', WINDOW.replace(b"2027-01-03", b"2026-01-03")),
        *(WINDOW.replace(b"00Z", b"00"), WINDOW.replace(b"2027-01-01", b"2027-13-01")),
    ],
)
def test_what_is_no_window(body: bytes) -> None:
    with pytest.raises(MalformedError):
        renewal_info.read(body, {}, NOW)


@given(st.binary(max_size=50), st.integers(0, len(WINDOW)))
def test_no_bytes_raise_anything_else(noise: bytes, cut: int) -> None:
    try:
        info = renewal_info.read(WINDOW[:cut] + noise + WINDOW[cut:], {}, NOW)
    except MalformedError:
        return
    assert info.start < info.end
