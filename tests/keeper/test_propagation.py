# Whether a TXT record has arrived, asked of a zone's own servers.

from __future__ import annotations

import struct
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper.ordering import dns_message, propagation
from bigtop.keeper.ordering.dns_message import AAAA, CNAME, NS, TXT, A, MalformedDnsError
from bigtop.keeper.ordering.propagation import Propagation
from tests.support.dns_server import DnsServer, answer

NAME = "_acme-challenge.www.example.com"
QUESTION = dns_message.question(7, NAME, TXT, recursive=False)
GOOD = answer(QUESTION, [(TXT, "value"), (TXT, "x" * 300)])


def test_an_answer_is_read() -> None:
    found = dns_message.read(GOOD, 7, f"{NAME}.", TXT)
    assert found.of(TXT) == ("value", "x" * 300)
    assert (found.code, found.is_cut) == (0, False)
    for kind, text in (
        (A, "192.0.2.1"),
        (AAAA, "2001:db8::1"),
        (NS, "ns.example.com"),
        (CNAME, "a.example.net"),
    ):
        asked = dns_message.question(7, "example.com", kind, recursive=True)
        assert dns_message.read(answer(asked, [(kind, text)]), 7, "example.com", kind).of(kind) == (text,)
    assert dns_message.read(answer(QUESTION, [], 0x8383), 7, NAME, TXT).is_cut


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "a." * 130, "ü.de"])
def test_what_is_no_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(MalformedDnsError):
        dns_message.question(7, name, TXT, recursive=False)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", GOOD[:-1], GOOD[:20], QUESTION, b"\0\x08" + GOOD[2:]),
        answer(dns_message.question(7, "other.example.com", TXT, recursive=False), []),
        GOOD[:12] + b"\xc0\x0c" + GOOD[12:],  # a pointer to itself
        GOOD[:6] + struct.pack("!H", 60000) + GOOD[8:],
    ],
)
def test_what_is_no_answer_to_the_question(data: bytes) -> None:
    with pytest.raises(MalformedDnsError):
        dns_message.read(data, 7, NAME, TXT)


@given(st.binary(max_size=60), st.integers(0, len(GOOD)), st.integers(0, 40))
def test_no_bytes_raise_anything_else(noise: bytes, at: int, cut: int) -> None:
    with suppress(MalformedDnsError):
        dns_message.read(GOOD[:at] + noise + GOOD[at + cut :], 7, NAME, TXT)


ZONE = {("example.com", NS): ["ns1.example.com"], ("ns1.example.com", A): ["127.0.0.1"]}


def test_the_servers_of_the_zone_are_asked_until_they_have_it() -> None:
    with DnsServer({**ZONE, (NAME, TXT): ["old"]}) as server:
        found = Propagation(("127.0.0.1",), server.port)
        assert not found.has(NAME, {"value"})
        timer = threading.Timer(0.1, lambda: server.zone.update({(NAME, TXT): ["old", "value"]}))
        timer.start()
        assert found.wait({NAME: {"value"}}, 60.0, threading.Event())
        timer.join()
        assert (NAME, NS) in server.asked
        assert ("com", NS) not in server.asked


def test_a_challenge_that_is_delegated_is_looked_for_where_it_leads() -> None:
    zone = {
        (NAME, CNAME): ["x.auth.example.net"],
        ("example.net", NS): ["ns1.example.com"],
        ("ns1.example.com", A): ["127.0.0.1"],
        ("x.auth.example.net", TXT): ["value"],
    }
    with DnsServer(zone) as server:
        assert Propagation(("127.0.0.1",), server.port).has(NAME, {"value"})
    with DnsServer({("a", CNAME): ["b"], ("b", CNAME): ["a"]}) as server:
        assert not Propagation(("127.0.0.1",), server.port).has("a", {"value"})


def test_where_nobody_can_be_asked_the_time_is_waited() -> None:
    stopping = threading.Event()
    assert not Propagation(()).wait({NAME: {"value"}}, 0.01, stopping)
    stopping.set()
    assert not Propagation(()).wait({NAME: {"value"}}, 60.0, stopping)
    with DnsServer({}) as server:
        assert not Propagation(("127.0.0.1",), server.port).has(NAME, {"value"})
        port = server.port
    assert not Propagation(("127.0.0.1",), port).has(NAME, {"value"})


def test_the_resolvers_of_a_machine() -> None:
    text = (
        "# a comment\nnameserver 192.0.2.1\nnameserver\nnameserver x\n nameserver fe80::1%eth0\nsearch a.b\n"
    )
    assert propagation.resolvers(text) == ("192.0.2.1", "fe80::1%eth0")
    assert isinstance(propagation.of_this_machine(), Propagation)
