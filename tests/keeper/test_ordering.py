# Certificates of a real CA, which is pebble: it refuses every second nonce, and takes no old authorisation.

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bigtop.keeper import certificates, leases
from bigtop.keeper.acme import jose, resources
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.messages import Answered, Get, Post
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.certificates import Pair
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.leases import Lease, LeaseLostError
from bigtop.keeper.ordering import obtaining
from bigtop.keeper.ordering.dns_hook import DnsHook
from bigtop.keeper.ordering.https import Https
from bigtop.keeper.ordering.obtaining import OrderFailedError, Tools, Wanted
from bigtop.keeper.ordering.performer import StoppedError
from bigtop.keeper.ordering.responders import Responders
from bigtop.keeper.ordering.session import Session
from bigtop.keeper.records import OrderUnderWay, Records
from bigtop.keeper.storage import Storage
from bigtop.record import replace
from tests.support.pebble import Answers, Pebble, needs_pebble

pytestmark = needs_pebble


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    found = Answers(tmp_path_factory.mktemp("answers"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory, answers: Answers) -> Iterator[Pebble]:
    folder = tmp_path_factory.mktemp("pebble")
    with Pebble(folder, answers.http_port, answers.tls_port, PEBBLE_WFE_NONCEREJECT="50") as started:
        yield started


class Site:
    """One keeper's things, without its process."""

    def __init__(self, folder: Path, pebble: Pebble, answers: Answers) -> None:
        self.storage = Storage(str(folder / "tls"))
        self.records = Records(self.storage)
        self.issuer = Issuer(pebble.directory, root_cert=pebble.root_cert)
        self.stopping = threading.Event()
        self.hook: DnsHook | None = None
        self.look: Callable[[Challenge], list[str]] = lambda _: []
        self._answers = answers

    def obtain(self, names: Sequence[str], kinds: Sequence[str], lease: Lease | None = None) -> Pair:
        taken = lease or leases.take(self.storage, "x", time.time() + 300)
        assert taken is not None
        responders = Responders(self.records, self.hook, self._changed, self.look, self.stopping)
        tools = Tools(self.records, responders, taken, self.stopping)
        wanted = Wanted("x", tuple(names), tuple(kinds), patience=60.0)
        try:
            return obtaining.obtain(wanted, self.issuer, self.issuer.directory, tools)
        finally:
            taken.release()

    def _changed(self) -> None:
        self._answers.known = {one.token: one for one in self.records.challenges()}


@pytest.fixture
def site(tmp_path: Path, pebble: Pebble, answers: Answers) -> Site:
    return Site(tmp_path, pebble, answers)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_a_certificate_for_two_names(site: Site, pebble: Pebble, kind: str) -> None:
    pair = site.obtain(["a.example.com", "b.example.com"], [kind])
    assert certificates.check(pair, time.time(), ["a.example.com", "b.example.com"]) == []
    (root,) = certificates.read_chain(pebble.root(), "root")
    pair.chain[-1].verify_directly_issued_by(root)
    assert site.records.challenges() == []


def test_an_address_gets_a_certificate_and_another_one_by_the_same_account(site: Site) -> None:
    pair = site.obtain(["127.0.0.1"], ["tls-alpn-01"])
    assert certificates.names(pair.leaf) == ("127.0.0.1",)
    account = site.records.account(site.issuer.directory)
    assert account.url != ""
    assert site.obtain(["127.0.0.1"], ["tls-alpn-01"]) == pair, "the same order, until it is forgotten"
    site.records.keep_order("x", None)
    again = site.obtain(["127.0.0.1"], ["tls-alpn-01"])
    assert again.key_pem != pair.key_pem
    assert site.records.account(site.issuer.directory) == account


HOOK = """#!/bin/sh
# As scripts for lego are written; pebble's DNS takes JSON.
case $1 in
present) word=set-txt; more=", \\"value\\": \\"$3\\"";;
cleanup) word=clear-txt;;
*) echo "what is $1?" >&2; exit 1;;
esac
echo "$*" >>"$0.log"
exec curl -sf -d "{\\"host\\": \\"$2\\"$more}" http://127.0.0.1:PORT/$word
"""


def script(path: Path, text: str) -> str:
    path.write_text(text)
    os.chmod(path, 0o755)
    return str(path)


def test_a_wildcard_by_a_hook_of_lego(site: Site, pebble: Pebble, tmp_path: Path) -> None:
    program = script(tmp_path / "hook", HOOK.replace("PORT", str(pebble.dns_management)))
    site.hook = DnsHook(program, seconds=0)
    names = ["*.example.org", "www.example.net"]
    pair = site.obtain(names, ["dns-01"])
    assert certificates.check(pair, time.time(), names) == []
    lines = [line.split() for line in Path(f"{program}.log").read_text().splitlines()]
    assert [(word, name) for word, name, _ in lines] == [
        (word, f"_acme-challenge.{name}.")
        for word in ("present", "cleanup")
        for name in sorted(("example.org", "www.example.net"), key=[line[1][16:-1] for line in lines].index)
    ]
    assert {value for word, _, value in lines if word == "present"} == {line[2] for line in lines[2:]}


def test_a_hook_of_dehydrated_that_fails_is_quoted(site: Site, tmp_path: Path) -> None:
    program = script(tmp_path / "hook", '#!/bin/sh\necho "no $1 for $2, $#" >&2\nexit 3\n')
    site.hook = DnsHook(program, "dehydrated", seconds=0)
    with pytest.raises(OrderFailedError) as raised:
        site.obtain(["a.example.com"], ["dns-01"])
    assert str(raised.value) == (
        f"{program} deploy_challenge: exit status 3: no deploy_challenge for a.example.com, 4"
    )
    assert raised.value.fail.fault is Fault.SETUP
    site.hook = None
    with pytest.raises(OrderFailedError, match="none was named"):
        site.obtain(["a.example.com"], ["dns-01"])


def test_what_the_ca_sees_is_told(site: Site, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "find", lambda _token: None)
    with pytest.raises(OrderFailedError) as raised:
        site.obtain(["a.example.com"], ["http-01"])
    assert str(raised.value).startswith(
        "a.example.com answers the CA something else: does it lead to this machine? (the CA says: "
    )
    assert raised.value.fail.fault is Fault.NAME
    assert site.records.challenges() == []


def half_done(site: Site, names: Sequence[str]) -> OrderUnderWay:
    """Have a keeper end when it has shown what the CA wants to see, and before it says so."""

    def ends(_challenge: Challenge) -> list[str]:
        site.stopping.set()
        return []

    site.look = ends
    with pytest.raises(StoppedError):
        site.obtain(names, ["http-01"])
    site.stopping.clear()
    site.look = lambda _: []
    order = site.records.order("x", site.issuer.directory, names)
    assert order is not None
    assert site.records.challenges() == []
    return order


def test_a_keeper_that_ends_leaves_its_order_to_the_next(site: Site, pebble: Pebble) -> None:
    order = half_done(site, ["a.example.com", "b.example.com"])
    made = pebble.text().count("Added order")
    pair = site.obtain(["a.example.com", "b.example.com"], ["http-01"])
    assert certificates.fits(pair.leaf, order.key)
    assert pebble.text().count("Added order") == made


def test_an_authorisation_that_is_taken_back_costs_another_order(site: Site, pebble: Pebble) -> None:
    """By the account itself, as an operator does who has lost a machine, while no keeper runs."""
    under_way = half_done(site, ["a.example.com"])
    account = site.records.account(site.issuer.directory)
    https = Https(pebble.root_cert)
    session = Session(https, account.key)

    def ask(question: Get | Post) -> bytes:
        found = session.ask(question)
        assert isinstance(found, Answered)
        assert found.status == 200
        return found.body

    nonce = resources.directory(ask(Get(site.issuer.directory))).new_nonce
    (url,) = resources.order(ask(Post(under_way.url, None, account.url, nonce))).authorizations
    assert b"deactivated" in ask(Post(url, {"status": "deactivated"}, account.url, nonce))
    https.close()
    made = pebble.text().count("Added order")
    assert site.obtain(["a.example.com"], ["http-01"]).leaf
    assert pebble.text().count("Added order") == made + 1


def test_who_lost_the_lease_orders_nothing(site: Site, pebble: Pebble) -> None:
    made = pebble.text().count("Added order")
    lease = leases.take(site.storage, "x", time.time())
    assert lease is not None
    site.storage.create("leases/x.2", b"{}")  # by somebody who took this one for dead
    with pytest.raises(LeaseLostError):
        site.obtain(["a.example.com"], ["http-01"], lease)
    assert pebble.text().count("Added order") == made


SECRET = jose.encoded(bytes(range(100, 148)))


def test_a_ca_that_takes_only_its_own_customers(tmp_path: Path, answers: Answers) -> None:
    with Pebble(tmp_path, answers.http_port, answers.tls_port, {"kid-1": SECRET}) as theirs:
        site = Site(tmp_path, theirs, answers)
        for binding, words in (
            (None, "it wants a key id and a secret for EAB"),
            (("kid-1", "no secret"), "the secret for EAB is no base64url"),
            (("kid-1", SECRET[::-1]), "the CA says: "),
        ):
            site.issuer = replace(site.issuer, binding=binding)
            with pytest.raises(OrderFailedError, match=words):
                site.obtain(["a.example.com"], ["http-01"])
        site.issuer = replace(site.issuer, binding=("kid-1", f"{SECRET}=="))
        assert site.obtain(["a.example.com"], ["http-01"]).leaf


def test_a_ca_that_is_not_there_or_not_trusted(site: Site, pebble: Pebble) -> None:
    good = site.issuer
    site.issuer = Issuer("https://127.0.0.1:1/dir", root_cert=pebble.root_cert)
    site.stopping.set()
    with pytest.raises(StoppedError):
        site.obtain(["a.example.com"], ["http-01"])
    site.stopping.clear()
    site.issuer = Issuer(good.directory, root_cert="/nowhere/root.pem")
    with pytest.raises(OrderFailedError, match=r"/nowhere/root.pem: No such file"):
        site.obtain(["a.example.com"], ["http-01"])
