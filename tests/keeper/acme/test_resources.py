# What a CA sends, read; and what it must not send.

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper.acme import problems, resources, retry_after
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.acme.resources import MalformedError

NOW = 1_800_000_000.0
DIRECTORY = {
    "newNonce": "https://ca/nonce",
    "newAccount": "https://ca/account",
    "newOrder": "https://ca/order",
    "renewalInfo": "https://ca/ari",
    "meta": {"profiles": {"classic": "", "shortlived": ""}, "externalAccountRequired": True},
}
ORDER = {
    "status": "pending",
    "identifiers": [{"type": "dns", "value": "Example.com"}, {"type": "ip", "value": "2001:DB8::1"}],
    "authorizations": ["https://ca/a/1"],
    "finalize": "https://ca/f/1",
}
AUTHORIZATION = {
    "status": "pending",
    "identifier": {"type": "dns", "value": "example.com"},
    "challenges": [
        {"type": "http-01", "url": "https://ca/c/1", "token": "t"},
        {"type": "dns-persist-01", "url": "https://ca/c/2"},
        "?",
    ],
}


def test_what_is_as_it_should_be() -> None:
    found = resources.directory(json.dumps(DIRECTORY).encode())
    assert (found.new_order, found.renewal_info) == ("https://ca/order", "https://ca/ari")
    assert (found.profiles, found.wants_binding) == (("classic", "shortlived"), True)
    order = resources.order(json.dumps(ORDER).encode())
    assert order.names == ("example.com", "2001:db8::1")
    authorization = resources.authorization(json.dumps(AUTHORIZATION).encode())
    assert [offer.kind for offer in authorization.offers] == ["http-01", "dns-persist-01"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({**DIRECTORY, "newOrder": "http://ca/order"}, "the address of newOrder is 'http://ca/order'"),
        ({**DIRECTORY, "newOrder": "https://ca/a\r\nHost: x"}, "the address of newOrder"),
        ({**DIRECTORY, "newNonce": 7}, "the address of newNonce is 7"),
        ({**DIRECTORY, "newNonce": "https://"}, "the address of newNonce"),
        ({**DIRECTORY, "newNonce": "https://ca:99999/"}, "the address of newNonce"),
        ([], "no object"),
    ],
)
def test_a_directory_that_leads_elsewhere_is_refused(words: object, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        resources.directory(json.dumps(words).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([DIRECTORY, ORDER, AUTHORIZATION]), st.data())
def test_nothing_that_a_ca_sends_raises_anything_else(base: dict[str, object], data: st.DataObject) -> None:
    changed = {**base, data.draw(st.sampled_from(sorted(base))): data.draw(JSON)}
    body = data.draw(
        st.sampled_from([json.dumps(changed).encode(), json.dumps(changed).encode()[:-3], b"\xff"])
    )
    for read in (resources.directory, resources.order, resources.authorization):
        try:
            read(body)
        except MalformedError as error:
            said = str(error)
            assert "\n" not in said
    problem = problems.read(400, body)
    assert "\n" not in problems.words(problem, "example.com")


def problem(kind: str, detail: str = "", **more: object) -> problems.Problem:
    return problems.of({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, **more}, 400)


def test_problems_in_plain_words() -> None:
    assert problems.words(problem("connection", "refused"), "a.com", "http-01") == (
        "the CA cannot connect to a.com: port 80 has to be open to the Internet, and lead to this machine "
        "(the CA says: refused)"
    )
    assert "port 443" in problems.words(problem("connection"), "a.com", "tls-alpn-01")
    assert problems.words(problem("dns"), "a.com").startswith("the CA finds no address of a.com")
    assert problems.words(problems.read(503, b"<html>")) == "the CA answers 503"
    assert problems.words(problem("x\ny", "a\x1b[1mb")) == "the CA answers 400 (the CA says: a\\x1b[1mb)"
    of = [{"type": "urn:ietf:params:acme:error:caa", "identifier": {"type": "dns", "value": "b.com"}}]
    assert problems.words(problem("compound", subproblems=of)) == (
        "several names failed; a CAA record in the DNS forbids this CA to make certificates for b.com"
    )


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("connection", Fault.NAME),
        ("rateLimited", Fault.ISSUER),
        ("caa", Fault.ISSUER),
        ("invalidContact", Fault.SETUP),
        ("unheard", Fault.ISSUER),
    ],
)
def test_whose_fault(kind: str, fault: Fault) -> None:
    assert problems.fault(problem(kind)) is fault


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("99999999999999999999", 7 * 86400),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2017 08:01:00 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after.read({"retry-after": value}, NOW) == (None if seconds is None else NOW + seconds)


@given(st.text())
def test_no_retry_after_is_an_error(value: str) -> None:
    found = retry_after.read({"retry-after": value}, NOW)
    assert found is None or NOW <= found <= NOW + retry_after.LONGEST
