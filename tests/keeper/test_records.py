# What a keeper keeps: as it was kept, or one error that names the file.

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop.errors import BigtopError
from bigtop.keeper import certificates, signing
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.records import Account, OrderUnderWay, Records, title
from bigtop.keeper.storage import Storage
from tests.support.issued import Issued, between, small_rsa

CA = "https://acme.example/v2/directory"
NAMES = ("a.com", "b.com")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "tls"))


@pytest.fixture
def records(storage: Storage) -> Records:
    return Records(storage)


def test_an_account_is_made_once_for_each_ca(records: Records, storage: Storage) -> None:
    first = records.account(CA)
    assert first.url == ""
    records.keep_account(CA, Account(first.key, "https://acme.example/account/1"))
    again = records.account(CA)
    assert certificates.key_text(again.key) == certificates.key_text(first.key)
    assert again.url == "https://acme.example/account/1"
    other = records.account("https://acme.example/staging")
    assert certificates.key_text(other.key) != certificates.key_text(first.key)
    assert storage.names("accounts") == ["acme.example-staging.json", "acme.example-v2_directory.json"]


def test_an_order_is_for_these_names_and_this_ca(records: Records) -> None:
    key = signing.new_key()
    records.keep_order("a.com", OrderUnderWay(CA, NAMES, key, "https://acme.example/order/1", 2))
    found = records.order("a.com", CA, NAMES)
    assert found is not None
    assert (found.url, found.resumed) == ("https://acme.example/order/1", 2)
    assert certificates.key_text(found.key) == certificates.key_text(key)
    assert records.order("a.com", CA, NAMES[:1]) is None
    assert records.order("a.com", "https://other.example/", NAMES) is None
    assert records.order("b.com", CA, NAMES) is None
    records.keep_order("a.com", None)
    assert records.order("a.com", CA, NAMES) is None


def test_challenges_and_pairs(records: Records) -> None:
    one = Challenge("http-01", "a.com", "token", "token.x")
    records.keep_challenge(one)
    assert records.challenges() == [one]
    assert records.challenge("token") == one
    assert records.challenge("other") is None
    records.forget_challenge(one)
    assert records.challenges() == []
    assert records.pair("a.com") is None
    made = Issued("a.com", by=between())
    pair = certificates.read(made.pem + between().pem, made.key_pem, "x")
    records.keep_pair("a.com", pair)
    assert records.pair("a.com") == pair
    assert title(["*.A.com", "b.com"]) == "_.a.com"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "is no object of JSON"),
        (b"{", "is no object of JSON"),
        (b"{}", "there is no private key in it"),
    ],
)
def test_what_cannot_be_understood_is_never_taken_for_nothing(
    records: Records, storage: Storage, text: bytes, words: str
) -> None:
    records.account(CA)
    storage.store("accounts/acme.example-v2_directory.json", text)
    with pytest.raises(BigtopError, match=f"acme.example-v2_directory.json: .*{words}"):
        records.account(CA)


def test_an_account_has_a_key_that_signatures_can_be_made_with(records: Records, storage: Storage) -> None:
    import json

    key = certificates.key_text(small_rsa()).decode()
    storage.store("accounts/acme.example-v2_directory.json", json.dumps({"key": key}).encode())
    with pytest.raises(BigtopError, match="the key of an account is ECDSA on P-256"):
        records.account(CA)


def test_a_challenge_that_is_none_is_left_out(records: Records, storage: Storage) -> None:
    storage.store("challenges/token.json", b"{}")
    assert records.challenges() == []


FULL = """
import resource, sys
from bigtop.keeper.storage import Storage, StorageError
storage = Storage(sys.argv[1])
storage.store("a/b", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    storage.store("a/b", b"x" * 5000)
except StorageError as error:
    print(error)
print(storage.load("a/b"), storage.create("a/c", b"new"))
"""


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    """By a limit for the size of files, which fails in the same place."""
    assert resource.RLIMIT_FSIZE
    said = subprocess.check_output([sys.executable, "-c", FULL, str(tmp_path / "tls")], text=True)
    path = tmp_path / "tls/a/b"
    assert said == f"{path}: File too large\nb'old' True\n"
    assert sorted(file.name for file in path.parent.iterdir()) == ["b", "c"]
