# Certbot's folders, read while certbot works.

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bigtop.keeper import certbot, certificates
from bigtop.keeper.certificates import CertificateError
from tests.support.issued import NOW, Issued, between

FILES = ("fullchain", "privkey")


class Certbot:
    """Its folders, and what it does there."""

    def __init__(self, folder: Path) -> None:
        self.live, self.archive = folder / "live/example.com", folder / "archive/example.com"
        self.live.mkdir(parents=True)
        self.archive.mkdir(parents=True)

    def writes(self, number: int, one: Issued) -> None:
        (self.archive / f"fullchain{number}.pem").write_bytes(one.pem + between().pem)
        (self.archive / f"privkey{number}.pem").write_bytes(one.key_pem)

    def links(self, number: int, *names: str) -> None:
        for name in names or FILES:
            link = self.live / f"{name}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/example.com/{name}{number}.pem")


@pytest.fixture
def theirs(tmp_path: Path) -> Certbot:
    made = Certbot(tmp_path)
    made.writes(1, Issued("example.com", by=between()))
    made.links(1)
    return made


def test_a_certificate_of_certbot_is_read_and_its_renewal_is_seen(theirs: Certbot) -> None:
    first = certbot.read(str(theirs.live))
    assert certificates.check(first, NOW, ["example.com"]) == []
    stamp = certbot.stamp(str(theirs.live))
    assert certbot.stamp(str(theirs.live)) == stamp
    theirs.writes(2, Issued("example.com", by=between()))
    assert certbot.stamp(str(theirs.live)) == stamp
    theirs.links(2)
    assert certbot.stamp(str(theirs.live)) != stamp
    assert certbot.read(str(theirs.live)) != first


@pytest.mark.parametrize("name", FILES)
def test_halfway_between_two_it_is_not_read(theirs: Certbot, name: str) -> None:
    theirs.writes(2, Issued("example.com", by=between()))
    theirs.links(2, name)
    with pytest.raises(CertificateError, match="are of different ages: certbot is at work"):
        certbot.read(str(theirs.live))


def test_copies_without_links_are_read_too(tmp_path: Path) -> None:
    one = Issued("example.com", by=between())
    (tmp_path / "fullchain.pem").write_bytes(one.pem)
    (tmp_path / "privkey.pem").write_bytes(one.key_pem)
    assert certbot.read(str(tmp_path)).leaf == one.certificate


def test_what_is_missing_or_open_to_others_is_named(theirs: Certbot) -> None:
    key = theirs.archive / "privkey1.pem"
    os.chmod(key, 0o666)
    with pytest.raises(Exception, match=r"live/example.com/privkey.pem: others may write"):
        certbot.read(str(theirs.live))
    key.unlink()
    with pytest.raises(CertificateError, match=r"privkey.pem: No such file"):
        certbot.read(str(theirs.live))
