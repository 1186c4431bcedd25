# Who a request came from, as proxies tell it, and as clients would like to have it told.

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.clients.forwarded import Forwarding, Origin, Trust
from bigtop.http.declarations import FIELDS

PEER = Origin("10.0.0.1", "5000", "http")
TRUSTED = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]


def origin(*lines: str, believed: str = "for proto host port forwarded", peer: Origin = PEER) -> Origin:
    pairs = (line.split(": ", 1) for line in lines)
    fields = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    return Forwarding(Trust(TRUSTED), believed.split()).origin(fields, peer)


def address(*lines: str) -> str:
    return origin(*lines).address


@pytest.mark.parametrize(
    ("peers", "address", "trusted"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["::/0"], "10.0.0.1", False),
        (["*"], "203.0.113.9", True),
        ([], "", True),  # a unix socket
        ([], "127.0.0.1", False),
    ],
)
def test_trust(peers: list[str], address: str, trusted: bool) -> None:
    assert (address in Trust(peers)) is trusted


def test_nothing_said_nothing_changed() -> None:
    assert origin() == PEER


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # what is left of it, the client may have written
        ("203.0.113.9, 10.1.1.1, 192.0.2.7", "203.0.113.9"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),  # all trusted: the farthest
        ("203.0.113.9,10.1.1.1", "203.0.113.9"),
        ("2001:db9::1", "2001:db9::1"),
        ("[2001:db9::1]", "2001:db9::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.9, unknown", "10.0.0.1"),
        ("203.0.113.9, , 10.1.1.1", "10.1.1.1"),
        ("203.0.113.9;drop table", "10.0.0.1"),
        ("127.1", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
    ],
)
def test_x_forwarded_for(value: str, client: str) -> None:
    assert address(f"X-Forwarded-For: {value}") == client


@pytest.mark.case("E20")
@pytest.mark.parametrize("zone", ["eth0", "x 200 17", '" 200 5 "', ""])
def test_an_address_brings_no_text_of_its_own_into_the_access_log(zone: str) -> None:
    expected = "fe80::1"
    assert address(f"X-Forwarded-For: fe80::1%{zone}") == expected
    assert address(f"X-Forwarded-For: [fe80::1%{zone}]:81") == expected
    quoted = zone.replace('"', '\\"')
    assert address(f'Forwarded: for="[fe80::1%{quoted}]:81"') == expected


def test_repeated_fields_are_one_list() -> None:
    assert address("X-Forwarded-For: 198.51.100.1", "x-forwarded-for: 203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize(
    ("value", "port"),
    [("203.0.113.9:81", "81"), ("[2001:db9::1]:82", "82"), ("203.0.113.9", ""), ("203.0.113.9:x", "")],
)
def test_ports(value: str, port: str) -> None:
    assert origin(f"X-Forwarded-For: {value}").port == port


def test_scheme_host_and_port() -> None:
    lines = ["X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: example.org", "X-Forwarded-Port: 444"]
    assert origin(*lines) == Origin("10.0.0.1", "5000", "https", "example.org", "444")


def test_the_last_of_several_counts() -> None:
    made = origin("X-Forwarded-Proto: https, http", "X-Forwarded-Host: evil", "X-Forwarded-Host: good")
    assert (made.scheme, made.host) == ("http", "good")


@pytest.mark.parametrize(
    "line",
    ["X-Forwarded-Proto: gopher", "X-Forwarded-Host: a b", "X-Forwarded-Host: a/b", "X-Forwarded-Port: 1e3"],
)
def test_nonsense_changes_nothing(line: str) -> None:
    assert origin(line) == PEER


@pytest.mark.case("E16")
def test_what_stands_beside_a_quotation_mark_that_is_not_closed_counts_for_nothing() -> None:
    assert origin('Forwarded: "for=203.0.113.9') == origin('Forwarded: for=203.0.113.9;"') == PEER


@pytest.mark.case("E16")
@pytest.mark.parametrize(
    "line", ['for="1.1.1.1', 'for="1.1.1.1;proto=https', "nonsense", "", 'for="\\', 'for="1.1.1.1" "']
)
def test_a_clients_line_of_forwarded_does_not_reach_into_that_of_a_proxy(line: str) -> None:
    made = origin(f"Forwarded: {line}", 'Forwarded: for="203.0.113.9:81";proto=https')
    assert made == Origin("203.0.113.9", "81", "https")
    assert address("X-Forwarded-For: " + line, "X-Forwarded-For: 203.0.113.9") == "203.0.113.9"


@pytest.mark.case("E16")
def test_a_long_line_of_forwarded_does_not_hide_what_a_proxy_added_to_it() -> None:
    for filling in ("a" * 2000, '"' + "a" * 2000 + '"', "\\" * 2000):
        assert address(f'Forwarded: for={filling}, for="203.0.113.9:81"') == "203.0.113.9"


def test_only_what_the_proxies_set_is_believed() -> None:
    lines = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "Forwarded: for=1.1.1.1",
    ]
    assert origin(*lines, believed="for") == Origin("203.0.113.9", "", "http")
    assert origin(*lines, believed="proto") == Origin("10.0.0.1", "5000", "https")
    assert origin(*lines, believed="") == PEER


@pytest.mark.case("A9")
@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("for=203.0.113.9", Origin("203.0.113.9", "", "http")),
        ("For=203.0.113.9;Proto=https;Host=example.org", Origin("203.0.113.9", "", "https", "example.org")),
        ('for="203.0.113.9:81"', Origin("203.0.113.9", "81", "http")),
        ('for="[2001:db9::1]:82";by=_x', Origin("2001:db9::1", "82", "http")),
        ("for=1.1.1.1, for=203.0.113.9;proto=https", Origin("203.0.113.9", "", "https")),
        ("for=203.0.113.9;proto=https, for=10.1.1.1;proto=http", Origin("203.0.113.9", "", "https")),
        ("for=203.0.113.9;host=a, for=_hidden;host=b", Origin("10.0.0.1", "5000", "http", "b")),
        ("for=unknown;proto=wss", Origin("10.0.0.1", "5000", "https")),
        ("for=unknown;proto=https", Origin("10.0.0.1", "5000", "https")),
        ('for="20\\3.0.113.9"', Origin("203.0.113.9", "", "http")),
        (
            'for="a, for=203.0.113.9',
            Origin("203.0.113.9", "", "http"),
        ),  # an open quotation mark swallows nothing
        ('for="a, for="[2001:db9::1]"', PEER),
        ("nonsense", PEER),
        ("", PEER),
    ],
)
def test_forwarded(value: str, made: Origin) -> None:
    assert origin(f"Forwarded: {value}") == made


def test_forwarded_goes_before_the_others() -> None:
    assert address("X-Forwarded-For: 198.51.100.1", "Forwarded: for=203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize("text", ['"' * 8000, '"\\' * 4000, "for=," * 1600, ";" * 8000, 'for="' * 1600])
def test_long_nonsense_takes_no_time(text: str) -> None:
    began = time.process_time()
    origin(f"Forwarded: {text}")
    origin(f"X-Forwarded-For: {text}")
    assert time.process_time() - began < 1


@given(st.sampled_from(sorted(FIELDS.values())), st.binary(max_size=80))
def test_whatever_is_said_an_origin_comes_out(name: bytes, value: bytes) -> None:
    made = Forwarding(Trust(TRUSTED), list(FIELDS)).origin([(name, value)], PEER)
    assert made.scheme in ("http", "https")
    assert made.address


def at_the_right_end(value: str) -> str:
    return address(f"X-Forwarded-For: {value}, 203.0.113.9")


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=80))
def test_no_client_writes_over_what_a_proxy_adds(value: str) -> None:
    assert at_the_right_end(value) == "203.0.113.9"
