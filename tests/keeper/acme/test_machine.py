# The ACME machine, driven in a time of its own against a CA in memory.

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper import certificates, signing
from bigtop.keeper.acme import jose, machine
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.messages import (
    Answered,
    Event,
    Fail,
    Finish,
    Get,
    NotShown,
    Post,
    RememberAccount,
    RememberOrder,
    Show,
    Shown,
    Unreachable,
    Wait,
    Withdraw,
    Woken,
)
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.acme.state import Goal
from tests.support.fake_ca import BASE, FakeCA, problem
from tests.support.issued import NOW

ACCOUNT_KEY = ec.generate_private_key(ec.SECP256R1())
KEY = signing.new_key()
NAMES = ("example.com", "*.example.com", "192.0.2.1")


def goal(*names: str, **more: Any) -> Goal:
    names = names or ("example.com",)
    request = signing.request(names, KEY)
    return Goal(f"{BASE}/directory", names, request, jose.jwk(ACCOUNT_KEY), **more)


class Run:
    """One order from its beginning to its end, or to where `stop` says so."""

    def __init__(
        self,
        ca: FakeCA,
        wanted: Goal,
        account: str = "",
        order: str = "",
        stop: Callable[[object], bool] = lambda _: False,
        show: Callable[[Show], Event] = lambda _: Shown(),
        lose: Callable[[Get | Post], bool] = lambda _: False,
    ) -> None:
        self.account, self.order = account, order
        self.shown: set[Challenge] = set()
        self.ever_shown: set[Challenge] = set()
        self.end: Finish | Fail | None = None
        self.now = NOW
        self.steps = 0
        state, actions = machine.begin(wanted, NOW, account, order)
        while True:
            event: Event | None = None
            for action in actions:
                assert event is None, "what brings an event comes last"
                if stop(action):
                    return
                match action:
                    case Get() | Post():
                        lost = lose(action)
                        event = Unreachable("gone") if lost else ca.answer(action, self.now)
                    case Show(found):
                        event = show(action)
                        if isinstance(event, Shown):
                            self.shown |= set(found)
                        self.ever_shown |= set(found)
                    case Wait(until):
                        assert self.now < until <= self.now + 60
                        self.now, event = until, Woken()
                    case Withdraw(found):
                        self.shown -= set(found)
                    case RememberAccount(url):
                        self.account = url
                    case RememberOrder(url):
                        self.order = url
                    case Finish() | Fail():
                        self.end = action
                        assert action is actions[-1]
                        assert self.shown == set(), "nothing stays shown"
                        return
            assert event is not None
            self.steps += 1
            assert self.steps < 500
            state, actions = machine.handle(state, event, self.now)

    @property
    def failure(self) -> Fail:
        assert isinstance(self.end, Fail), self.end
        return self.end

    def pair(self) -> certificates.Pair:
        assert isinstance(self.end, Finish), self.end
        return certificates.read(self.end.chain, certificates.key_text(KEY), "ca")


def test_from_nothing_to_a_certificate() -> None:
    ca = FakeCA()
    run = Run(ca, goal(*NAMES, email="a@example.com"))
    assert certificates.check(run.pair(), run.now, NAMES) == []
    assert run.account == f"{BASE}/accounts/1"
    assert ca.asked[1][1] == {"termsOfServiceAgreed": True, "contact": ["mailto:a@example.com"]}
    kinds = [each["type"] for each in ca.orders[0]["wanted"]["identifiers"]]
    assert kinds == ["dns", "dns", "ip"]
    assert {challenge.kind for challenge in run.ever_shown} == {"http-01"}
    thumbprint = jose.thumbprint(jose.jwk(ACCOUNT_KEY))
    assert {challenge.answer for challenge in run.ever_shown} == {
        f"token-0-{number}.{thumbprint}" for number in range(3)
    }


def test_a_known_account_is_used() -> None:
    ca = FakeCA()
    run = Run(ca, goal(), account=f"{BASE}/accounts/1")
    assert run.pair().leaf
    assert "account" not in ca.words()


def test_the_kind_of_challenge_is_the_first_wanted_one_that_is_offered() -> None:
    ca = FakeCA()
    ca.kinds = ["dns-01", "tls-alpn-01"]
    run = Run(ca, goal(kinds=("http-01", "tls-alpn-01", "dns-01")))
    assert {challenge.kind for challenge in run.ever_shown} == {"tls-alpn-01"}
    failure = Run(ca, goal(kinds=("http-01",))).failure
    assert failure.text == (
        "the CA offers dns-01, tls-alpn-01 for example.com, and http-01 is what can be done here"
    )
    assert failure.fault is Fault.SETUP


@pytest.mark.parametrize("where", range(14))
def test_a_keeper_that_was_killed_goes_on_where_it_was(where: int) -> None:
    """At each step: the next keeper has the account and the order, if these were to be remembered."""
    ca = FakeCA()
    steps = iter(range(100))
    first = Run(ca, goal(*NAMES[:2]), stop=lambda _: next(steps) == where)
    assert first.end is None, "there are fewer steps"
    second = Run(ca, goal(*NAMES[:2]), first.account, first.order)
    assert second.pair().leaf
    # The CA got one order, unless it was killed between the answer and remembering it.
    assert len(ca.orders) <= 1 + (first.order == "")
    assert second.order != ""


def test_an_order_of_other_names_is_not_gone_on_with() -> None:
    ca = FakeCA()
    first = Run(ca, goal("a.test"), stop=lambda action: isinstance(action, Show))
    second = Run(ca, goal("b.test"), first.account, first.order)
    assert certificates.names(second.pair().leaf) == ("b.test",)


@pytest.mark.parametrize("status", ["invalid", "deactivated", "revoked", "expired"])
def test_an_authorisation_that_was_taken_back_costs_an_order(status: str) -> None:
    ca = FakeCA()
    words = {"status": status, "identifier": {"type": "dns", "value": "example.com"}, "challenges": []}
    ca.faults["authorization"] = [Answered(200, {}, json.dumps(words).encode())]
    run = Run(ca, goal())
    assert run.pair().leaf
    assert len(ca.orders) == 2
    ca.faults["authorization"] = [Answered(200, {}, json.dumps(words).encode())] * 10
    assert Run(ca, goal()).failure.text == f"the CA calls example.com {status}"
    assert len(ca.orders) == 5


def test_a_challenge_that_failed_is_told_in_words() -> None:
    ca = FakeCA()
    error = {"type": "urn:ietf:params:acme:error:connection", "detail": "Timeout"}
    offer = {"type": "http-01", "url": f"{BASE}/x", "token": "t", "error": error}
    words = {
        "status": "invalid",
        "identifier": {"type": "dns", "value": "example.com"},
        "challenges": [offer],
    }
    ca.answer_to("/directory", None, NOW)
    bad = Answered(200, {}, json.dumps(words).encode())
    run = Run(ca, goal(), show=lambda _: (ca.faults["authorization"].append(bad), Shown())[1])
    assert run.failure == Fail(
        "the CA cannot connect to example.com: port 80 has to be open to the Internet, "
        "and lead to this machine (the CA says: Timeout)",
        Fault.NAME,
    )
    assert run.order == ""


def test_a_hook_that_fails_ends_it() -> None:
    run = Run(FakeCA(), goal(), show=lambda _: NotShown("hook: exit status 1"))
    assert run.failure == Fail("hook: exit status 1", Fault.SETUP)


@pytest.mark.parametrize(
    "word", ["directory", "account", "order", "orders", "challenge", "finalize", "certificate"]
)
def test_a_ca_that_is_busy_is_asked_again_and_not_for_ever(word: str) -> None:
    ca = FakeCA()
    ca.faults[word] = [
        Answered(503),
        Answered(500, {"retry-after": "7"}),
        problem("serverInternal", status=500),
    ]
    assert Run(ca, goal()).pair().leaf
    ca.faults[word] = [Answered(503)] * 9
    run = Run(ca, goal())
    assert run.failure.fault is Fault.ISSUER
    assert run.failure.text.endswith(": the CA answers 503")
    assert len(ca.faults[word]) == 4


def test_a_network_that_fails_now_and_then_costs_no_order() -> None:
    ca = FakeCA()
    count = iter(range(1000))
    run = Run(ca, goal(*NAMES), lose=lambda _: next(count) % 2 == 0)
    assert run.pair().leaf
    assert len(ca.orders) == 1
    run = Run(ca, goal(*NAMES), lose=lambda _: True)
    assert run.failure.text == "asks for the directory: gone"


def test_a_limit_is_kept_until_the_ca_says() -> None:
    ca = FakeCA()
    ca.faults["order"] = [problem("rateLimited", "too many", 429, retry_after="86400")]
    failure = Run(ca, goal()).failure
    assert failure.not_before == NOW + 86400
    assert failure.text == "orders: a limit of the CA is reached (the CA says: too many)"
    ca.faults["order"] = [problem("rateLimited", "too many", 429)]
    assert Run(ca, goal()).failure.fault is Fault.ISSUER
    ca.faults["order"] = [problem("rateLimited", "wait a little", 429, retry_after="30")]
    run = Run(ca, goal())
    assert run.pair().leaf
    assert run.now >= NOW + 30


@pytest.mark.parametrize(
    ("wanted", "seconds"), [("5", 5.0), ("0", 0.1), ("3600", 60.0), ("Fri, 01 Jan 2100 00:00:00 GMT", 60.0)]
)
def test_pauses_are_those_of_the_ca_within_limits(wanted: str, seconds: float) -> None:
    ca = FakeCA()
    words = {"status": "pending", "identifier": {"type": "dns", "value": "example.com"}, "challenges": []}
    pending = Answered(200, {"retry-after": wanted}, json.dumps(words).encode())
    run = Run(ca, goal(), show=lambda _: (ca.faults["authorization"].append(pending), Shown())[1])
    assert run.pair().leaf
    assert run.now - NOW == pytest.approx(0.1 + seconds, abs=0.001)


def test_an_order_that_is_never_done_is_given_up() -> None:
    ca = FakeCA()
    run = Run(
        ca, goal(patience=300.0), show=lambda _: (ca.orders[-1].update(status="processing"), Shown())[1]
    )
    assert run.failure.text == "the CA was not done within 300 seconds"
    assert NOW + 300 <= run.now < NOW + 320
    assert run.order == ""


def test_a_certificate_is_replaced_and_if_that_cannot_be_ordered_without() -> None:
    ca = FakeCA()
    assert Run(ca, goal(replaces="aki.serial", profile="shortlived")).pair().leaf
    assert ca.orders[0]["wanted"] == {
        "identifiers": [{"type": "dns", "value": "example.com"}],
        "profile": "shortlived",
        "replaces": "aki.serial",
    }
    ca.faults["order"] = [problem("alreadyReplaced", status=409)]
    assert Run(ca, goal(replaces="aki.serial")).pair().leaf
    assert "replaces" not in ca.orders[1]["wanted"]


def test_what_a_person_has_to_change_is_said_before_anything_is_ordered() -> None:
    ca = FakeCA()
    failure = Run(ca, goal(profile="tlsserver")).failure
    assert failure == Fail("the CA has no profile 'tlsserver'; it has: classic, shortlived", Fault.SETUP)
    ca.meta = {"externalAccountRequired": True}
    assert "key id and a secret for EAB" in Run(ca, goal()).failure.text
    assert ca.orders == []
    assert Run(ca, goal(binding=("kid-1", b"secret"))).pair().leaf
    bound = next(payload for path, payload in ca.asked if path == "/account")["externalAccountBinding"]
    assert json.loads(jose.decoded(bound["protected"]))["url"] == f"{BASE}/account"
    ca.faults["account"] = [problem("invalidContact", "no such domain", 400)]
    assert Run(ca, goal(binding=("kid-1", b"secret"))).failure.text == (
        "the CA refuses the e-mail address (the CA says: no such domain)"
    )


def test_an_account_that_the_ca_forgot_is_made_anew() -> None:
    ca = FakeCA()
    ca.faults["order"] = [problem("accountDoesNotExist", status=400)]
    run = Run(ca, goal(), account=f"{BASE}/accounts/0")
    assert run.pair().leaf
    assert run.account == f"{BASE}/accounts/1"
    ca.faults["order"] = [problem("accountDoesNotExist", status=400)] * 9
    assert Run(ca, goal()).failure.fault is Fault.ISSUER


def test_an_order_that_the_ca_forgot_is_made_anew() -> None:
    ca = FakeCA()
    first = Run(ca, goal(), stop=lambda action: isinstance(action, Show))
    ca.faults["orders"] = [problem("malformed", "no such order", status=404)]
    run = Run(ca, goal(), first.account, first.order)
    assert run.pair().leaf
    assert len(ca.orders) == 2
    ca.faults["orders"] = [problem("malformed", "no such order", status=404)] * 9
    assert Run(ca, goal(), first.account, first.order).failure.fault is Fault.ISSUER


@pytest.mark.parametrize("status", ["invalid", "deactivated", "unheard"])
def test_an_order_that_is_spoilt_without_a_word_is_made_anew(status: str) -> None:
    ca = FakeCA()
    first = Run(ca, goal(), stop=lambda action: isinstance(action, Show))
    ca.orders[0]["status"] = status
    assert Run(ca, goal(), first.account, first.order).pair().leaf
    assert len(ca.orders) == 2


def test_a_ca_that_needs_a_moment_is_given_it() -> None:
    """Between the authorisations and the order, and between the order and its certificate."""
    ca = FakeCA()
    order = {
        "identifiers": [{"type": "dns", "value": "example.com"}],
        "authorizations": [f"{BASE}/authorization/0-0"],
        "finalize": f"{BASE}/finalize/0",
    }
    pending = Answered(200, {}, json.dumps({**order, "status": "pending"}).encode())
    processing = Answered(200, {}, json.dumps({**order, "status": "processing"}).encode())
    ca.faults["orders"] = [pending, pending, processing]
    ca.faults["finalize"] = [problem("orderNotReady")]
    run = Run(ca, goal())
    assert run.pair().leaf
    assert len(ca.orders) == 1
    assert run.now > NOW + 1


def test_authorisations_that_were_shown_before_are_not_shown_again() -> None:
    ca = FakeCA()
    words = {"status": "valid", "identifier": {"type": "dns", "value": "example.com"}, "challenges": []}
    ca.faults["authorization"] = [Answered(200, {}, json.dumps(words).encode())]

    def known(question: Get | Post) -> bool:
        if "authorization" in question.url:
            ca.orders[0]["shown"].add("0")
        return False

    run = Run(ca, goal(), lose=known)
    assert run.pair().leaf
    assert run.ever_shown == set()


def test_a_challenge_that_was_said_to_be_shown_before_is_looked_at() -> None:
    ca = FakeCA()

    def said(_show: Show) -> Event:
        ca.orders[0]["shown"].add("0")
        ca.faults["challenge"] = [problem("malformed", "it is not pending", status=400)]
        return Shown()

    assert Run(ca, goal(), show=said).pair().leaf


def test_what_was_not_asked_for_changes_nothing() -> None:
    state, _ = machine.begin(goal(), NOW)
    assert machine.handle(state, Shown(), NOW) == (state, ())


def test_a_ca_that_sends_people_elsewhere_is_not_followed() -> None:
    ca = FakeCA()
    ca.faults["account"] = [Answered(201, {"location": "http://evil.test/"}, b"{}")]
    assert Run(ca, goal()).failure.text.startswith("the address of the account is 'http://evil.test/'")
    ca.faults["certificate"] = [Answered(200, {}, b"<html>")]
    assert Run(ca, goal()).failure.text == "what the CA sent as certificate is none"


PROCESSING = b"""{"status": "processing", "identifiers": [{"type": "dns", "value": "example.com"}],
    "authorizations": [], "finalize": "https://ca.test/f"}"""
ANSWERS = st.builds(
    Answered,
    st.sampled_from([200, 201, 204, 301, 400, 403, 404, 409, 429, 500, 503]),
    st.dictionaries(st.sampled_from(["retry-after", "location"]), st.sampled_from(["1", "x", f"{BASE}/y"])),
    st.sampled_from(
        [
            b"",
            b"[]",
            b'{"status":"pending"}',
            b'{"status":"invalid","identifier":{"type":"dns","value":"example.com"},"challenges":[]}',
            b'{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}',
            b'{"type":"urn:ietf:params:acme:error:orderNotReady"}',
            b'{"type":"urn:ietf:params:acme:error:rateLimited"}',
            PROCESSING,
        ]
    ),
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "directory",
                "account",
                "order",
                "orders",
                "authorization",
                "challenge",
                "finalize",
                "certificate",
            ]
        ),
        st.lists(ANSWERS, max_size=4),
    )
)
def test_whatever_a_ca_answers_it_ends_in_time_and_shows_nothing_longer(
    faults: dict[str, list[Answered]],
) -> None:
    ca = FakeCA()
    ca.faults.update(faults)
    run = Run(ca, goal())
    assert run.end is not None
    assert run.now < NOW + 1000
