# Renewal information (ARI), with a CA that has it.

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop.keeper import certificates
from bigtop.keeper.acme import renewal_info
from bigtop.keeper.certificates import Pair
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.ordering import renewals
from bigtop.keeper.records import Records
from bigtop.keeper.storage import Storage
from tests.support.fake_ca import problem
from tests.support.fake_ca_server import FakeCAServer
from tests.support.issued import DAY, Issued, between
from tests.support.keeper import Keeper

NAME = "a.example.com"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeCAServer]:
    with FakeCAServer(tmp_path) as started:
        yield started


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(Storage(str(tmp_path / "tls")))


def kept(records: Records, directory: str, age: float) -> Pair:
    """Have a certificate of 90 days in the storage, of which so many have passed."""
    now = time.time()
    one = Issued(NAME, by=between(), begin=now - age * DAY, end=now + (90 - age) * DAY)
    pair = certificates.read(one.pem + between().pem, one.key_pem, "kept")
    records.keep_pair(NAME, pair)
    records.keep_notes("issued", NAME, {"directory": directory})
    return pair


def keeper(server: FakeCAServer, folder: Path) -> Keeper:
    issuer = Issuer(server.directory, "", root_cert=server.root_cert, profile="shortlived")
    storage = str(folder / "tls")
    return Keeper(folder / "log", storage=storage, sites=((NAME,),), issuers=(issuer,), ports=(1, 1))


def test_a_window_that_has_begun_means_now_and_the_old_one_is_replaced(
    server: FakeCAServer, records: Records, tmp_path: Path
) -> None:
    old = kept(records, server.directory, age=1)
    now = time.time()
    server.ca.window = (now - 200, now - 100)
    with keeper(server, tmp_path) as started:
        started.wait(
            lambda: any(certificates_of(started) != old for _ in started.certificates()),
            "another certificate",
        )
        wanted = server.ca.orders[0]["wanted"]
        assert wanted["replaces"] == renewal_info.identifier(old.leaf)
        assert wanted["profile"] == "shortlived"
        new = certificates_of(started)
        # The CA wants that one renewed at once, too: not so fast.
        started.wait(lambda: started.standings()[NAME].not_after == new.not_after, "its standing")
        assert started.standings()[NAME].next_try > now + 5 * 3600
        assert len(server.ca.orders) == 1
    assert server.ca.words().count("ari") == 2


def certificates_of(started: Keeper) -> Pair:
    (found,) = started.certificates()
    return certificates.read(found.pem.encode(), found.pem.encode(), "published")


def test_a_window_to_come_is_waited_for(server: FakeCAServer, records: Records, tmp_path: Path) -> None:
    kept(records, server.directory, age=70)
    now = time.time()
    server.ca.window = (now + DAY, now + 2 * DAY)
    with keeper(server, tmp_path) as started:
        started.wait(lambda: NAME in started.standings(), "its standing")
        assert now + DAY <= started.standings()[NAME].next_try <= now + 2 * DAY
    assert server.ca.words() == ["directory", "ari"]
    with keeper(server, tmp_path) as started:
        started.wait(lambda: NAME in started.standings(), "its standing")
    assert server.ca.words() == ["directory", "ari"], "it was to be asked again in an hour"
    assert server.ca.orders == []


def test_a_ca_without_it_or_that_fails_is_asked_again_later(server: FakeCAServer, records: Records) -> None:
    pair = kept(records, server.directory, age=1)
    issuer = Issuer(server.directory, "", root_cert=server.root_cert)
    now = time.time()
    without = renewals.asked(records, NAME, pair, issuer, server.directory, now)
    assert (without.info, without.ask_again) == (None, now + 6 * 3600)
    server.ca.window = (now + 100, now + 200)
    found = renewals.asked(records, NAME, pair, issuer, server.directory, now)
    assert found.info is not None
    assert found.ask_again == now + 3600
    server.ca.faults["ari"] = [problem("serverInternal", status=500)]
    again = renewals.asked(records, NAME, pair, issuer, server.directory, now + 3600)
    assert again.info is not None, "what was known stays"
    assert (again.info.start, again.ask_again) == (found.info.start, now + 7 * 3600)
    assert renewals.known(records, NAME, pair).info is not None
    other = kept(records, server.directory, age=2)
    assert renewals.known(records, NAME, other).info is None, "which is of another certificate"
