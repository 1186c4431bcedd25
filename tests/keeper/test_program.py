# The keeper's process: it gets certificates of pebble, whoever is killed meanwhile, and tells everybody.

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigtop.errors import ConfigError
from bigtop.keeper import certificates
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.certificates import Pair
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.ordering.dns_hook import DnsHook
from bigtop.keeper.orders import Orders
from bigtop.keeper.records import Records
from bigtop.keeper.schedule import Tries, failed
from bigtop.keeper.storage import Storage
from tests.support.dns_gate import DnsGate
from tests.support.issued import DAY, Issued, between
from tests.support.keeper import Keeper, Workers
from tests.support.pebble import Pebble, needs_pebble

NAMES = ("a.example.com", "b.example.com")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    found = Workers(tmp_path_factory.mktemp("workers"))
    yield found
    found.close()


@pytest.fixture(autouse=True)
def without_keepers(workers: Workers) -> Iterator[None]:
    yield
    workers.keepers.clear()
    workers.held = False


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Iterator[Pebble]:
    folder = tmp_path_factory.mktemp("pebble")
    with Pebble(folder, workers.http_port, workers.tls_port) as started:
        yield started


class Site:
    """A storage, and the keepers that share it."""

    def __init__(self, folder: Path, pebble: Pebble, workers: Workers) -> None:
        self.folder = folder
        self.storage = str(folder / "tls")
        self.issuers: tuple[Issuer, ...] = (Issuer(pebble.directory, "", root_cert=pebble.root_cert),)
        self._pebble = pebble
        self._workers = workers
        self._made = pebble.text().count("Added order")

    def keeper(self, **more: Any) -> Keeper:
        ports = (self._workers.http_port, self._workers.tls_port)
        orders = {"storage": self.storage, "sites": (NAMES,), "issuers": self.issuers, "ports": ports, **more}
        keeper = Keeper(self.folder / "log", **orders)
        self._workers.keepers.append(keeper)
        return keeper

    def orders(self) -> int:
        """Return how many orders the CA has got of this site."""
        return self._pebble.text().count("Added order") - self._made

    def records(self) -> Records:
        return Records(Storage(self.storage))

    def keep(self, one: Issued, directory: str = "") -> Pair:
        """Have a certificate in the storage."""
        pair = certificates.read(one.pem + between().pem, one.key_pem, "kept")
        self.records().keep_pair(NAMES[0], pair)
        self.records().keep_notes("issued", NAMES[0], {"directory": directory})
        return pair


@pytest.fixture
def site(tmp_path: Path, pebble: Pebble, workers: Workers) -> Site:
    return Site(tmp_path, pebble, workers)


def published(keeper: Keeper) -> Pair:
    (found,) = keeper.certificates()
    return certificates.read(found.pem.encode(), found.pem.encode(), "published")


@needs_pebble
@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_a_site_gets_its_certificate_and_keeps_it(site: Site, kind: str) -> None:
    with site.keeper(kinds=(kind,)) as keeper:
        keeper.wait(keeper.certificates, "a certificate")
        pair = published(keeper)
        assert certificates.check(pair, time.time(), NAMES) == []
        keeper.wait(lambda: keeper.standings()[NAMES[0]].not_after, "its standing")
        standing = keeper.standings()[NAMES[0]]
        assert standing.line == certificates.describe(pair, time.time())
        assert standing.error == ""
        due = pair.not_before + (pair.not_after - pair.not_before) * 2 / 3
        assert standing.next_try == pytest.approx(due, rel=0, abs=1)
        generations = [generation for _, generation in keeper.snapshots]
        assert generations == sorted(set(generations))
        keeper.line.shutdown(socket.SHUT_RDWR)
        assert keeper.process.wait(30) == 0
    with site.keeper() as keeper:
        keeper.wait(keeper.certificates, "the same certificate")
        assert published(keeper) == pair
    assert site.orders() == 1


@needs_pebble
def test_of_two_that_share_a_storage_one_orders(site: Site) -> None:
    with site.keeper() as first, site.keeper() as second:
        for keeper in (first, second):
            keeper.wait(keeper.certificates, "a certificate")
        assert published(first) == published(second)
    assert site.orders() == 1


@needs_pebble
def test_a_keeper_that_is_killed_in_an_order_is_followed_by_one_that_goes_on(
    site: Site, pebble: Pebble
) -> None:
    with DnsGate(site.folder, pebble) as gate:
        more = {"kinds": ("dns-01",), "hook": DnsHook(gate.program, seconds=0.0)}
        with site.keeper(**more) as keeper:
            keeper.wait(gate.is_asked, "a challenge")
            keeper.kill()
        (order,) = Path(site.storage, "orders").iterdir()
        assert json.loads(order.read_text().partition("\n")[2])["url"]
        gate.open()
        with site.keeper(**more) as keeper:
            keeper.wait(keeper.certificates, "a certificate")
            assert certificates.check(published(keeper), time.time(), NAMES) == []
            assert not order.exists()
    assert site.orders() == 1


@needs_pebble
def test_what_fails_is_said_and_not_tried_again_by_a_restart(site: Site, workers: Workers) -> None:
    workers.held = True
    with site.keeper(kinds=("http-01",)) as keeper:
        keeper.wait(
            lambda: NAMES[0] in keeper.standings() and keeper.standings()[NAMES[0]].error, "a failure"
        )
        standing = keeper.standings()[NAMES[0]]
        assert "answers the CA something else: does it lead to this machine?" in standing.error
        assert standing.failures == 1
        assert standing.hints[0].startswith(f"{NAMES[0]}: ")
        assert "(try 1 failed, the next in " in keeper.text()
        keeper.process.send_signal(signal.SIGTERM)
        assert keeper.process.wait(30) == 0
    workers.keepers.clear()
    workers.held = False
    with site.keeper(kinds=("http-01",)) as keeper:
        keeper.wait(lambda: NAMES[0] in keeper.standings(), "its standing")
        assert keeper.standings()[NAMES[0]] == standing
        keeper.line.send(b"look")  # which is no reason to try, either
        keeper.line.shutdown(socket.SHUT_WR)
        assert keeper.process.wait(30) == 0
        assert keeper.text().count("asks https") == 1
    assert site.orders() == 1


@needs_pebble
def test_after_a_failure_a_rehearsal_and_then_the_order(site: Site, pebble: Pebble) -> None:
    """The staging is the same CA here, which has other directories for neither."""
    site.issuers = (Issuer(pebble.directory, f"{pebble.directory}?staging", root_cert=pebble.root_cert),)
    tries = failed(Tries(1), Fault.NAME, "why", 0.0, [True])
    site.records().keep_notes("tries", NAMES[0], {**tries.encode(), "names": list(NAMES)})
    with site.keeper() as keeper:
        keeper.wait(keeper.certificates, "a certificate")
        lines = [line for line in keeper.text().splitlines() if NAMES[0] in line and "[INFO]" in line]
        assert "dir?staging for a certificate" in lines[0]
        assert "the rehearsal succeeded; the order follows" in lines[1]
        assert "dir for a certificate" in lines[2]
    assert site.orders() == 2


@needs_pebble
def test_a_second_ca_is_asked_when_the_first_cannot(site: Site, pebble: Pebble) -> None:
    first = Issuer(f"{pebble.directory}-not-there", "", root_cert=pebble.root_cert)
    site.issuers = (first, *site.issuers)
    tries = Tries(1, issuer=1)
    site.records().keep_notes("tries", NAMES[0], {**tries.encode(), "names": list(NAMES)})
    with site.keeper() as keeper:
        keeper.wait(keeper.certificates, "a certificate")
    site.records().keep_notes("tries", NAMES[0], {"names": []})
    Path(site.storage, "certificates", f"{NAMES[0]}.pem").unlink()
    with site.keeper() as keeper:
        keeper.wait(
            lambda: NAMES[0] in keeper.standings() and keeper.standings()[NAMES[0]].error, "a failure"
        )
    words = site.records().notes("tries", NAMES[0])
    assert words is not None
    assert (words["issuer"], words["failures"]) == (1, 1)


@needs_pebble
def test_a_certificate_at_its_end_is_served_until_there_is_another(site: Site, workers: Workers) -> None:
    workers.held = True
    now = time.time()
    old = site.keep(Issued(*NAMES, by=between(), begin=now - 80 * DAY, end=now + 10 * DAY))
    with site.keeper(kinds=("http-01",)) as keeper:
        keeper.wait(keeper.certificates, "the old certificate")
        assert published(keeper) == old
        keeper.wait(lambda: "9 days left of 90 days" in keeper.text(), "a warning")
        keeper.wait(lambda: keeper.standings()[NAMES[0]].error, "a failure")
        assert published(keeper) == old
    workers.held = False
    workers.keepers.clear()
    words = {**Tries().encode(), "names": list(NAMES)}
    site.records().keep_notes("tries", NAMES[0], words)
    with site.keeper(kinds=("http-01",)) as keeper:
        keeper.wait(lambda: keeper.certificates() and published(keeper) != old, "another one")


def test_a_pair_that_does_not_fit_is_never_published(site: Site) -> None:
    one, other = Issued(*NAMES, by=between()), Issued(*NAMES, by=between())
    pair = certificates.read(one.pem, other.key_pem, "x")
    site.records().keep_pair(NAMES[0], pair)
    far = Tries(1, time.time() + DAY)
    site.records().keep_notes("tries", NAMES[0], {**far.encode(), "names": list(NAMES)})
    with site.keeper() as keeper:
        keeper.wait(lambda: NAMES[0] in keeper.standings(), "its standing")
        assert "the key belongs to another certificate" in keeper.text()
        assert keeper.certificates() == []


def test_certbots_folders_are_watched(site: Site) -> None:
    folder = site.folder / "live"
    folder.mkdir()
    now = time.time()

    def write(one: Issued) -> None:
        (folder / "fullchain.pem").write_bytes(one.pem + between().pem)
        (folder / "privkey.pem").write_bytes(one.key_pem)

    first, second = (Issued("c.example.com", by=between(), begin=now, end=now + 90 * DAY) for _ in range(2))
    write(first)
    with site.keeper(sites=(), watched=(str(folder),)) as keeper:
        keeper.wait(keeper.certificates, "a certificate")
        assert published(keeper).leaf == first.certificate
        (folder / "fullchain.pem").write_bytes(second.pem)
        keeper.line.send(b"look")
        keeper.wait(lambda: keeper.standings()["live"].error, "a fault")
        assert keeper.standings()["live"].error == "the key belongs to another certificate"
        assert published(keeper).leaf == first.certificate
        write(second)
        keeper.line.send(b"look")
        keeper.wait(lambda: published(keeper).leaf == second.certificate, "the new one")


def test_a_storage_that_is_not_trusted_ends_it_with_a_message(site: Site) -> None:
    Path(site.storage).mkdir(mode=0o755)
    with site.keeper() as keeper:
        assert keeper.process.wait(30) == 78
        assert "others may look into it (mode 0755): chmod go-rwx" in keeper.text()


def test_orders_are_read_as_they_were_written() -> None:
    for orders in (
        Orders(storage="/s"),
        Orders(
            storage="/s",
            sites=(NAMES, ("c",)),
            issuers=(Issuer(binding=("a", "/b")), Issuer("https://x", "")),
            hook=DnsHook("/p"),
            watched=("/w",),
            line=3,
            questions=4,
        ),
    ):
        assert Orders.decode(orders.encode()) == orders


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ((("a.com",), ("b.com",), ("A.com", "b.com")), "two certificates begin with A.com"),
        ((("a.com", "a.com"),), "each once, not for a.com, a.com"),
        (((),), "is for some names"),
    ],
)
def test_sites_that_cannot_be_told_apart(sites: tuple[tuple[str, ...], ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Orders(storage="/s", sites=sites)
