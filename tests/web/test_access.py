# Who is let in: sessions, links, passwords, pauses, origins, cookies. Pure.

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.web.access import attempts, links, origins, passwords, roles, sessions
from bigtop.web.access.attempts import Account, Attempts
from bigtop.web.access.links import Links
from bigtop.web.access.origins import Asked
from bigtop.web.access.sessions import Person, Sessions
from bigtop.web.rules import headers, origins_asked

ANN = Person("ann", "operate", "password")


@pytest.mark.parametrize(("one", "other"), list(itertools.product(roles.ROLES, repeat=2)))
def test_a_role_includes_those_before_it(one: str, other: str) -> None:
    order = ["view", "operate", "admin"]
    assert roles.includes(one, other) is (order.index(one) >= order.index(other))
    assert roles.lower(one, other) == roles.lower(other, one) == min(one, other, key=order.index)


# ---- sessions


def test_a_session_is_found_by_its_id_alone_until_it_is_closed() -> None:
    some = Sessions()
    some.open(ANN, "word", 0.0)
    found = some.find("word", 1.0)
    assert found is not None
    assert found.person == ANN
    assert some.find("", 1.0) is some.find("other", 1.0) is None
    some.close("word")
    assert some.find("word", 1.0) is None


def test_a_session_ends_when_nobody_uses_it_and_after_a_week_in_any_case() -> None:
    some = Sessions()
    some.open(ANN, "idle", 0.0)
    assert some.find("idle", sessions.IDLE - 1) is not None
    assert some.find("idle", 2 * sessions.IDLE - 2) is not None
    assert some.find("idle", 3 * sessions.IDLE) is None
    some.open(ANN, "used", 0.0)
    now = 0.0
    while now + 3600 < sessions.LONGEST:
        now += 3600
        assert some.find("used", now) is not None
    assert some.find("used", sessions.LONGEST) is None
    assert len(some) == 0


def test_sessions_are_bounded_and_the_least_used_one_goes_first() -> None:
    some = Sessions()
    for number in range(sessions.MOST):
        some.open(ANN, str(number), float(number))
    some.find("0", sessions.MOST + 1.0)
    some.open(ANN, "new", sessions.MOST + 2.0)
    assert len(some) == sessions.MOST
    assert some.find("0", sessions.MOST + 3.0) is not None
    assert some.find("1", sessions.MOST + 3.0) is None


def test_sessions_go_on_in_another_console_and_what_is_kept_lets_nobody_in() -> None:
    some, other = Sessions(), Sessions()
    some.open(ANN, "its id", 0.0, "digest")
    some.open(ANN, "old", 0.0)
    assert some.has_news
    assert some.find("its id", 100.0) is not None
    text = some.text()
    assert not some.has_news
    assert "its id" not in text
    other.take(text)
    found = other.find("its id", sessions.IDLE + 50.0)  # it was used at 100
    assert found is not None
    assert (found.person, found.began, found.kept) == (ANN, 0.0, "digest")
    assert other.find("old", sessions.IDLE + 50.0) is None
    for key in json.loads(text):
        assert other.find(key, 100.0) is None
    assert other.has_news  # that of the use
    other.take("{}")
    assert other.find("its id", 100.0) is None


def test_the_use_of_a_session_is_news_from_time_to_time() -> None:
    some = Sessions()
    some.open(ANN, "word", 0.0)
    some.text()
    some.find("word", 599.0)
    assert not some.has_news
    some.find("word", 601.0)
    assert some.has_news
    some.text()
    some.close("other")
    assert not some.has_news
    some.close("word")
    assert some.has_news


@pytest.mark.parametrize(
    "text", ["", "[]", "1", '{"a": 1}', '{"a": [1]}', '{"a": ["n", "king", "link", 0, 0, ""]}', '{"a": null}']
)
def test_what_is_no_text_of_sessions(text: str) -> None:
    some = Sessions()
    with pytest.raises(ValueError):
        some.take(text)


def test_pages_of_two_sessions_have_two_proofs() -> None:
    found = {sessions.proof(secret, word) for secret in (b"a", b"b") for word in ("one", "two")}
    assert len(found) == 4
    assert sessions.proof(b"a", "one") in found


# ---- links

SECRET = b"s" * 32


def link(now: float = 100.0, audience: str = "here", secret: bytes = SECRET, role: str = "admin") -> str:
    return links.make(secret, audience, Person("root", role, "link"), "nonce", now)


def test_a_link_counts_once() -> None:
    used = Links(SECRET, "here", 50.0)
    assert used.spend(link(), 101.0) == Person("root", "admin", "link")
    assert used.spend(link(), 102.0) is None


@pytest.mark.parametrize(
    ("word", "now"),
    [
        (link(), 100.0 + links.LIFE),
        (link(now=49.0), 51.0),  # made before the console started
        (link(now=200.0), 101.0),  # of the future
        (link(audience="there"), 101.0),
        (link(secret=b"other" * 8), 101.0),
        (link(role="king"), 101.0),
        (link()[:-1], 101.0),
        (link().partition(".")[0], 101.0),
        ("", 101.0),
        (".", 101.0),
        ("é.é", 101.0),
        ("a" * 5000 + "." + "b", 101.0),
    ],
)
def test_a_link_that_does_not_count(word: str, now: float) -> None:
    assert Links(SECRET, "here", 50.0).spend(word, now) is None


@given(st.text(max_size=200))
def test_no_text_is_a_link(text: str) -> None:
    assert Links(SECRET, "here", 50.0).spend(text, 101.0) is None


# ---- passwords


def test_a_password_fits_what_was_kept_of_it_and_nothing_else_does() -> None:
    kept = passwords.kept("correct horse", b"salt" * 4)
    assert "correct" not in kept
    assert passwords.fits("correct horse", kept)
    assert not passwords.fits("correct horsf", kept)
    assert not passwords.fits("x" * (passwords.LONGEST + 1), kept)
    assert not passwords.fits("\ud800" * 12, kept)  # as JSON may say it
    assert kept != passwords.kept("correct horse", b"pepp" * 4)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_that_cannot_be_one(password: str) -> None:
    with pytest.raises(ValueError, match="10 to 1024"):
        passwords.kept(password, b"salt" * 4)


def test_nobody_knows_the_password_of_nobody() -> None:
    assert not passwords.fits("", passwords.NOBODY)
    with pytest.raises(ValueError, match="unknown kind"):
        passwords.fits("", "md5$1$1$1$$")


# ---- attempts

ONE = Account("one")


def test_the_first_failures_are_free_and_then_pauses_double() -> None:
    some, now, pauses = Attempts(), 0.0, []
    for _ in range(20):
        pauses.append(some.wait((ONE,), now))
        now += pauses[-1]
        assert some.wait((ONE,), now) == 0.0
        some.failed((ONE,), now)
    assert pauses[: attempts.FREE] == [0.0] * attempts.FREE
    assert pauses[attempts.FREE :][:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(pauses) == attempts.LONGEST


def guesses(some: Attempts, name: str, addresses: Iterable[str], now: float = 0.0) -> float:
    """Fail at each address once; return for how long the last one of these has to wait then."""
    wait = 0.0
    for address in addresses:
        counted = some.of_login(name, address)
        some.failed(counted, now)
        wait = some.wait(counted, now)
    return wait


def test_who_guesses_waits_and_the_user_does_not() -> None:
    some = Attempts()
    assert guesses(some, "ann", ["10.0.0.1"] * 20) == attempts.LONGEST
    assert some.wait(some.of_login("ann", "10.0.0.2"), 0.0) == 0.0
    assert some.wait(some.of_login("bob", "10.0.0.1"), 0.0) == 1.0  # what that address tried counts, too
    some.succeeded(some.of_login("ann", "10.0.0.1"))
    assert some.wait(some.of_login("ann", "10.0.0.1"), 0.0) == 0.0


def test_many_addresses_slow_a_name_down_and_not_for_who_was_here() -> None:
    some = Attempts()
    counted = some.of_login("ann", "192.0.2.1")
    some.failed(counted, 0.0)
    some.succeeded(counted)
    some.remember("ann", "192.0.2.1")
    assert guesses(some, "ann", (f"10.0.{n // 200}.{n % 200}" for n in range(400))) == 30.0
    assert some.wait(some.of_login("ann", "198.51.100.7"), 0.0) == 30.0
    assert some.wait(some.of_login("ann", "192.0.2.1"), 0.0) == 0.0
    assert some.wait(some.of_login("bob", "198.51.100.7"), 0.0) == 0.0


def test_one_customer_of_ipv6_is_one_address() -> None:
    some = Attempts()
    assert guesses(some, "ann", (f"2001:db8::{n:x}" for n in range(1, 10))) > 0.0
    assert some.wait(some.of_login("ann", "2001:db8:0:1::1"), 0.0) == 0.0
    assert some.of_address("2001:db8::1") == some.of_address("2001:db8::2")
    assert some.of_address("unix socket").key == "address:unix socket"


def test_what_came_in_is_no_failure() -> None:
    some = Attempts()
    for _ in range(100):
        counted = some.of_login("ann", "10.0.0.1")
        some.failed(counted, 0.0)
        some.succeeded(counted)
    assert some.wait(some.of_login("bob", "10.0.0.1"), 0.0) == 0.0
    assert some._failures == {}


def test_what_is_kept_of_failures_is_bounded_and_forgotten() -> None:
    some = Attempts()
    for _ in range(9):
        some.failed((ONE,), 0.0)
    some.failed((ONE,), 4000.0)  # an hour later it is the first one
    assert some.wait((ONE,), 4000.0) == 0.0
    for number in range(10_001):
        some.failed((Account(str(number)),), 4000.0)
        some.remember("ann", str(number))
    assert len(some._failures) == 10_000
    assert len(some._known) == 1000


# ---- hosts, pages

HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def asked(scheme: str = "http", **fields: str) -> Asked:
    return Asked("POST", scheme, {name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"]
)
def test_names_of_ours(host: str) -> None:
    assert origins.refusal_of_host(asked(host=host), HOSTS) == ""


ODD = ("::1", "user@localhost", "localhost:8080.evil.example", "127.0.0.1.nip.io", "0x7f000001")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "localhost:80:80",
        "localhost:",
        "127.0.0.2",
    ],
)
def test_names_that_are_not_ours(host: str) -> None:
    assert origins.refusal_of_host(asked(host=host), HOSTS)


def test_two_hosts_are_none() -> None:
    two = Asked("GET", "http", {"host": "localhost"}, frozenset({"host"}))
    assert origins.refusal_of_host(two, HOSTS)


OWN = {"host": "localhost:8080", "origin": "http://localhost:8080"}


@pytest.mark.parametrize(
    ("fields", "scheme", "is_ours"),
    [
        (OWN, "http", True),
        ({**OWN, "sec_fetch_site": "same-origin"}, "http", True),
        (OWN, "ws", True),
        ({**OWN, "origin": "https://localhost:8080"}, "wss", True),
        ({"host": "localhost:8080"}, "http", False),
        ({**OWN, "origin": "null"}, "http", False),
        ({**OWN, "origin": "http://localhost"}, "http", False),
        ({**OWN, "origin": "http://localhost:9090"}, "http", False),
        ({**OWN, "origin": "http://localhost:8080.evil.example"}, "http", False),
        ({**OWN, "origin": "https://localhost:8080"}, "http", False),
        ({**OWN, "origin": "http://evil.example"}, "ws", False),
        ({**OWN, "sec_fetch_site": "same-site"}, "http", False),
        ({**OWN, "sec_fetch_site": "cross-site"}, "http", False),
        ({**OWN, "sec_fetch_site": "none"}, "http", False),
    ],
)
def test_pages_of_ours(fields: dict[str, str], scheme: str, is_ours: bool) -> None:
    assert (origins.refusal_of_page(asked(scheme, **fields)) == "") is is_ours


def test_two_origins_are_none() -> None:
    fields = {"host": "localhost", "origin": "http://localhost"}
    assert origins.refusal_of_page(Asked("POST", "http", fields, frozenset({"origin"})))


@pytest.mark.parametrize(("site", "reads"), [("same-origin", True), ("none", True), ("cross-site", False)])
def test_other_sites_read_nothing(site: str, reads: bool) -> None:
    assert (origins.refusal_of_reader(asked(sec_fetch_site=site)) == "") is reads


def test_requests_of_asgi() -> None:
    scope: dict[str, Any] = {
        "method": "GET",
        "scheme": "ws",
        "headers": [(b"host", b"a"), (b"Host", b"b"), (b"x", b"1")],
        "query_string": b"a=1&a=2&b=%C3%A9",
    }
    found = origins_asked.of(scope)
    assert (found.fields, found.doubled) == ({"host": "b", "x": "1"}, {"host"})
    assert origins_asked.query(scope) == {"a": "2", "b": "é"}
    assert origins_asked.equal("é", "é")
    assert not origins_asked.equal("", "a")


# ---- header fields


def test_a_cookie_is_for_this_host_and_our_pages_alone() -> None:
    name, value = headers.cookie(headers.cookie_name(8080), "word")
    assert (name, value.decode()) == (
        b"set-cookie",
        "__Host-bigtop-8080=word; Path=/; Secure; HttpOnly; SameSite=Strict",
    )
    assert b"Max-Age=0" in headers.cookie("x", "", is_over=True)[1]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ""),
        ("a=1", "1"),
        ("b=2; a=1", "1"),
        ("a=1; a=2", ""),
        ("aa=1", ""),
        ("a", ""),
        ("a=1=2", "1=2"),
    ],
)
def test_the_value_of_a_cookie(header: str, found: str) -> None:
    assert headers.cookie_of(header, "a") == found


def test_every_answer_says_what_browsers_may_do() -> None:
    fields = dict(headers.of("text/html", 3))
    policy = fields[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'none'; ")
    for word in ("unsafe", "*", "http:", "https:", "data: "):
        assert word not in policy.replace("img-src 'self' data:", "")
    for part in ("frame-ancestors 'none'", "require-trusted-types-for 'script'", "base-uri 'none'"):
        assert part in policy
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert fields[b"cache-control"] == b"no-store"
    assert b"access-control-allow-origin" not in fields
