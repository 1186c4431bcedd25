# The lines to a keeper as its supervisor has them: what it takes from there, and what makes no sense.

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bigtop.config.serve import serve
from bigtop.config.serve.settings import Given
from bigtop.ipc.keyring import KeyPair
from bigtop.keeper.publishing import publication
from bigtop.keeper.publishing.publication import Published, Standing
from bigtop.launch.keeper import Keeper
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.certificate_notices import CertificateFailed, CertificateRenewed
from tests.support.auto import kept
from tests.support.site import DEADLINE

NAMES = ("a.example.com", "b.example.com")
OTHERS = ("c.example.com",)


class App:
    """One that serves with a certificate for NAMES, and a keeper that gets one for OTHERS as well."""

    def __init__(self, folder: Path) -> None:
        said = {"tls": f"auto:{','.join(NAMES)}", "tls_storage": str(folder / "tls")}
        layer = {name: Given((text,), name) for name, text in said.items()}
        self.spec = serve.spec(serve.configure("m:a", {}, layer))
        assert self.spec.tls.acme is not None
        self.told: list[messages.Notice] = []
        self.tell: Callable[[messages.Notice], None] = self.told.append
        self.renewals = 0
        self._heard_times = 0
        self.keeper = Keeper(self.spec.tls.acme, [NAMES, OTHERS])

    def renew(self) -> None:
        self.renewals += 1

    def hear(self, *snapshots: tuple[str, bytes]) -> None:
        """Have the keeper say this, and wait until all of it was heard."""
        asyncio.run(self._heard(snapshots))

    async def _heard(self, snapshots: tuple[tuple[str, bytes], ...]) -> None:
        assert self.spec.tls.acme is not None
        self.keeper.attend(lambda: [self])
        watcher = self.keeper.watcher(self.spec.tls.acme, [NAMES, OTHERS])
        (line, *_) = self.keeper.sockets_for(watcher).values()
        with socket.socket(fileno=os.dup(line)) as end:
            for number, (topic, data) in enumerate(snapshots):
                publication.send(end, topic, number, data)
            self._heard_times += 1
            last = Standing(OTHERS[0], OTHERS, "", 0.0, float(self._heard_times), "", 0)
            more = [one for topic, data in snapshots[-1:] if topic == "status" for one in read(data)]
            publication.send(end, publication.STATUS, 99, publication.status_text([*more, last]))
        async with asyncio.timeout(DEADLINE):
            while self.keeper.standing(OTHERS) != last:
                await asyncio.sleep(0)
        self.keeper.leave()


def read(data: bytes) -> list[Standing]:
    try:
        return publication.read_status(data)
    except (ValueError, RecursionError):
        return []


def certificate(names: tuple[str, ...], pem: str) -> tuple[str, bytes]:
    return publication.CERTIFICATES, publication.certificates_text([Published(names[0], names, pem)])


def standing(failures: int, error: str) -> tuple[str, bytes]:
    found = Standing(NAMES[0], NAMES, "", 0.0, 5.0, error, failures, ("hint",))
    return publication.STATUS, publication.status_text([found])


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path)


def test_new_certificates_are_served_and_told_once(app: App) -> None:
    app.hear(certificate(NAMES, "one"))
    assert app.keeper.pairs([NAMES]) == [KeyPair("one", "one", f"auto:{NAMES[0]}")]
    app.hear(certificate(NAMES, "one"), certificate(NAMES, "two"))
    assert app.keeper.pairs([NAMES, OTHERS]) == [KeyPair("two", "two", f"auto:{NAMES[0]}")]
    assert (app.renewals, app.told) == (2, [CertificateRenewed(NAMES)] * 2)
    app.hear(certificate(OTHERS, "three"))
    assert len(app.told) == 2, "that is another application's"
    app.keeper.close()


def test_failures_are_told_once(app: App) -> None:
    app.hear(standing(1, "before we came"))
    app.hear(standing(1, "before we came"))
    assert app.told == []
    app.hear(standing(2, "why"))
    assert app.told == [CertificateFailed(NAMES, "why", ("hint",))]
    assert app.keeper.standing(NAMES).error == "why"
    app.hear(standing(0, ""))
    assert len(app.told) == 1
    app.keeper.close()


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("certificates", b"nonsense"),
        ("certificates", b'[{"title": 1}]'),
        ("certificates", b"[1]"),
        ("status", b"{}"),
        ("status", b"[" * 100_000),
        ("certificates", b" " * (1 << 24) + b"[]"),
        ("else", b"whatever"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    topic: str, data: bytes, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with caplog.at_level(logging.ERROR):
        app.hear(certificate(NAMES, "one"), (topic, data))
    assert app.keeper.pairs([NAMES]) == [KeyPair("one", "one", f"auto:{NAMES[0]}")]
    assert len(os.listdir("/proc/self/fd")) == before
    app.keeper.close()


def test_what_was_kept_needs_no_keeper(tmp_path: Path) -> None:
    kept(tmp_path / "tls", 80, *NAMES)
    kept(tmp_path / "tls", -1, *OTHERS)
    app = App(tmp_path)
    (found,) = app.keeper.pairs([NAMES, OTHERS])
    assert found.origin == f"auto:{NAMES[0]}"
    assert "PRIVATE KEY" in found.key
    app.keeper.close()
