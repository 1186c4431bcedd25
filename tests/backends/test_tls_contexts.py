# TLS contexts: what is chosen for a name, and by which keys sessions are resumed.

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from base64 import b64decode, b64encode
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.backends.native.handlers.handler_chain import chain_of, with_challenges
from bigtop.backends.native.transport.encryption import Encryption
from bigtop.backends.native.transport.ticket_keys import TicketKeys
from bigtop.backends.native.transport.tls_contexts import TlsContexts
from bigtop.backends.serve_options import Gates, ServeOptions, TlsPolicy
from bigtop.errors import ConfigError
from bigtop.http.declarations import Rate
from bigtop.ipc import keyring
from bigtop.ipc.keyring import TURN, Keyring, TicketSecret
from bigtop.keeper.publishing.answers import Answers
from bigtop.record import replace
from bigtop.system import certificates, revocations
from tests.support.certificates import made, revoking, ring
from tests.support.tls_client import context


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLObject:
    """Return the client's side of a connection, which has its ticket."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname="localhost", session=session)
    theirs = server.wrap_bio(there, back, server_side=True)
    done = set()
    while len(done) < 2:
        for side in (ours, theirs):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    theirs.write(b"x")
    assert ours.read(1) == b"x"
    return ours


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_keys_of_one_secret_resume_what_others_began(version: str) -> None:
    clock, client = Clock(), context(version=version)

    def chosen(keys: Keyring) -> ssl.SSLContext:
        contexts = TlsContexts(keys, TlsPolicy(), clock)
        if "also behind a reload" not in contexts.tickets:
            pytest.skip("OpenSSL takes no keys here")
        found = contexts.choose("localhost")
        assert found is not None
        return found

    first, second = chosen(ring()), chosen(ring())
    began = shake_hands(first, client)
    assert not began.session_reused
    assert shake_hands(second, client, began.session).session_reused
    other = chosen(replace(ring(), ticket_secrets=(TicketSecret(0, "cd" * 32),)))
    assert not shake_hands(other, client, began.session).session_reused
    clock.now += TURN
    assert not shake_hands(chosen(ring()), client, began.session).session_reused, "keys turn"


def test_keys_turn_while_contexts_are_in_use() -> None:
    clock = Clock()
    contexts = TlsContexts(ring(), TlsPolicy(), clock)
    if "also behind a reload" not in contexts.tickets:
        pytest.skip("OpenSSL takes no keys here")
    before, client = contexts.choose("localhost"), context()
    assert before is not None
    began = shake_hands(before, client)
    assert contexts.choose("localhost") is before
    clock.now += TURN
    now = contexts.choose("localhost")
    assert now is before
    assert not shake_hands(now, client, began.session).session_reused
    again = shake_hands(now, client)
    fresh = TlsContexts(ring(), TlsPolicy(), clock).choose("")
    assert fresh is not None
    assert shake_hands(fresh, client, again.session).session_reused


def test_of_secrets_that_machines_share_the_last_one_counts_that_has_begun() -> None:
    clock, client = Clock(), context()
    turn = int(clock.now // TURN)
    first, second, third = (TicketSecret(turn + number, f"{number}a" * 32) for number in range(3))

    def resumes(*secrets: TicketSecret) -> bool:
        """Whether a machine that has these goes on with what one began that has first and second."""
        contexts = []
        for keys in ((first, second), secrets):
            one = TlsContexts(replace(ring(), ticket_secrets=keys), TlsPolicy(), clock)
            if "also behind a reload" not in one.tickets:
                pytest.skip("OpenSSL takes no keys here")
            contexts.append(one.choose(""))
        began, other = contexts
        assert began is not None
        assert other is not None
        return bool(shake_hands(other, client, shake_hands(began, client).session).session_reused)

    assert resumes(first)
    assert not resumes(second), "which is the first that it has"
    clock.now += TURN
    assert resumes(second, third)
    assert not resumes(first)
    clock.now += 5 * TURN  # nobody could tell them of others
    assert resumes(first, second)
    assert not resumes(first, second, third)


def test_no_session_is_kept_for_those_who_take_no_ticket() -> None:
    contexts = TlsContexts(ring(), TlsPolicy())
    if "also behind a reload" not in contexts.tickets:
        pytest.skip("OpenSSL takes no keys here")
    server, client = contexts.choose(""), context(version="1.2")
    assert server is not None
    client.options |= ssl.OP_NO_TICKET
    began = shake_hands(server, client)
    assert not shake_hands(server, client, began.session).session_reused
    assert server.session_stats()["number"] == 0
    with_tickets = context(version="1.2")
    began = shake_hands(server, with_tickets)
    assert shake_hands(server, with_tickets, began.session).session_reused


@pytest.mark.parametrize(
    ("version", "name"), [("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("1.3", "TLS_AES_128_GCM_SHA256")]
)
def test_what_is_shorter_comes_first(version: str, name: str) -> None:
    contexts = TlsContexts(ring(), TlsPolicy())
    if "also behind a reload" not in contexts.tickets:
        pytest.skip("OpenSSL takes no keys here")  # nor anything else
    server = contexts.choose("")
    assert server is not None
    cipher = shake_hands(server, context(version=version)).cipher()
    assert cipher is not None
    assert cipher[0] == name
    suites = [one["name"] for one in server.get_ciphers() if one["protocol"] == "TLSv1.3"]
    assert set(suites) == {
        one["name"]
        for one in ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).get_ciphers()
        if one["protocol"] == "TLSv1.3"
    }, "none is lost"


def test_labels_keep_sessions_apart() -> None:
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2)]
    for label, one in zip("ab", contexts, strict=True):
        certificates.load(one, made("localhost").certificate, made("localhost").key)
        clock = Clock()
        keys = TicketKeys((TicketSecret(0, "ab" * 32),), label, clock)
        keys.give([one])
        assert keys.began <= clock.now < keys.until
        if not keys.are_shared:
            pytest.skip("OpenSSL takes no keys here")
    client = context()
    began = shake_hands(contexts[0], client)
    assert shake_hands(contexts[0], client, began.session).session_reused
    assert not shake_hands(contexts[1], client, began.session).session_reused


def test_facts() -> None:
    facts = certificates.facts_of(made("shop.example", "*.Shop.example").certificate)
    assert facts.names == ("shop.example", "*.shop.example")
    assert facts.kind == "EC"
    assert certificates.facts_of(made("shop.example", kind="RSA").certificate).kind == "RSA"
    with pytest.raises(ConfigError, match="no certificate"):
        certificates.facts_of("nothing")


SUBJECTS = [
    "DNS:Shop.Example,DNS:*.shop.example",
    "IP:2001:db8::1,DNS:a.example,IP:192.0.2.1,email:a@b.example,URI:https://c.example/",
    "DNS:last.example.",
]


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_both_readers_say_the_same(subject: str, kind: str, tmp_path: Path) -> None:
    readers = pytest.importorskip("bigtop.keeper.certificates", reason="pip install 'bigtop[tls]'")
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (apt install openssl)")
    option = "ec_paramgen_curve:P-256" if kind == "ec" else "rsa_keygen_bits:2048"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", kind, "-pkeyopt", option, "-subj", "/CN=x"]
    command += ["-addext", f"subjectAltName={subject}", "-keyout", str(tmp_path / "key")]
    subprocess.run([*command, "-out", str(tmp_path / "pem")], check=True, capture_output=True)
    text, key = (tmp_path / "pem").read_bytes(), (tmp_path / "key").read_bytes()
    facts, pair = certificates.facts_of(text.decode()), readers.read(text, key, "pem")
    assert list(facts.names) == [readers.plain(name) for name in readers.names(pair.leaf)]
    assert facts.ends == pair.not_after
    assert int(facts.serial, 16) == pair.leaf.serial_number
    assert readers.kind(pair.key).startswith({"EC": "ECDSA", "RSA": "RSA"}[facts.kind])


def test_chains_that_clients_can_follow() -> None:
    issued = pytest.importorskip("tests.support.issued", reason="pip install 'bigtop[tls]'").Issued
    root = issued(title="root")
    between = issued(title="between", by=root)
    leaf = issued("a.example", by=between)
    late = issued("a.example", by=between, begin=0, end=9)
    stranger = issued(title="stranger")

    def problem(*chain: Any) -> str:
        texts = [one.pem.decode() for one in chain]
        return certificates.chain_problem("".join(texts), chain[0].key_pem.decode())

    assert problem(leaf, between) == problem(leaf, between, root) == problem(late, between) == ""
    assert problem(leaf) == "that of its issuer is missing"
    assert problem(leaf, stranger) == problem(leaf, root) == "unable to get local issuer certificate"
    own = made("a.example")
    assert certificates.chain_problem(own.certificate, own.key) == ""


def test_when_lists_of_revoked_certificates_end() -> None:
    authority = made("authority.example")
    dates = [("20240101000000Z", "20300102030405Z"), ("20240101000000Z", "20600102030405Z")]
    texts = [
        revoking(authority, more=["-crl_lastupdate", first, "-crl_nextupdate", end]) for first, end in dates
    ]
    soon, late = (datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp() for year in (2030, 2060))
    assert [revocations.end_of(text) for text in texts] == [soon, late]
    assert revocations.end_of("".join(texts)) == soon
    assert revocations.end_of("nothing") is None
    with pytest.raises(ConfigError, match="cannot be read"):
        revocations.end_of("-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----")


@given(st.data())
def test_a_list_that_is_broken_is_told_so_or_has_an_end(data: st.DataObject) -> None:
    der = bytearray(b64decode("".join(revoked_once().splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    text = b64encode(der[: data.draw(st.integers(0, len(der)))]).decode()
    with suppress(ConfigError):
        revocations.end_of(f"-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n")


@cache
def revoked_once() -> str:
    return revoking(made("authority.example"))


def test_a_keyring_is_sealed() -> None:
    fd = ring().seal()
    try:
        assert keyring.read(fd) == ring()
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def test_where_certificates_are_got_nothing_else_is_lost_in_front_of_the_application() -> None:
    contexts = TlsContexts(ring(made("localhost")), TlsPolicy())
    whole = chain_of(ServeOptions(max_queue_time=1.0, gates=Gates(connections=9, rate=Rate(5, 1))), lambda: 0)
    found = with_challenges(whole, Encryption(contexts, frozenset((0,)), Answers(-1, -1)))
    assert found.handlers is not whole.handlers
    assert found.queue_limit is whole.queue_limit is not None
    assert found.connections is whole.connections is not None
