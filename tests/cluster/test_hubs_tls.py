# Three hubs that speak TLS to each other and to everybody, with certificates of one CA: one is killed.

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cluster.agents import Crowd, Opinions, export, pairs
from bench.cluster.story import Story
from bigtop.cluster import hub, places
from tests.support.cluster import Cluster
from tests.support.site import DEADLINE

NODES = 10


def certify(folder: Path) -> str:
    """Write hub.pem, with its key, for servers and for clients, by a CA of ours; return that CA."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (apt install openssl)")
    ca, key, pair = (str(folder / name) for name in ("made-ca.pem", "made-ca.key", "hub.pem"))
    new = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*new, "-subj", "/CN=ca", "-out", ca, "-keyout", key], check=True, capture_output=True)
    more = ["-CA", ca, "-CAkey", key, "-subj", "/CN=hub", "-days", "9"]
    for one in (
        "subjectAltName=IP:127.0.0.1",
        "basicConstraints=critical,CA:FALSE",
        "extendedKeyUsage=serverAuth,clientAuth",
    ):
        more += ["-addext", one]
    subprocess.run(
        [*new, *more, "-out", pair, "-keyout", str(folder / "hub.key")], check=True, capture_output=True
    )
    return Path(ca).read_text()


class Encrypted(Cluster):
    """A cluster whose hubs have certificates, and speak nothing but TLS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, hubs=3)
        ca = certify(folder)
        for name in ("authority.json", "cluster.json", "hub.json"):
            (folder / name).unlink()
        urls = tuple(f"tls://127.0.0.1:{port}" for port in self.ports)
        self.authority = places.found("test", urls, folder, ca=ca, lease=5)

    def start_hub(self, number: int = 0) -> None:
        name, folder = f"hub{number}", self.folder / f"hub{number}"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.folder / "hub.json", folder)
        others = tuple(f"127.0.0.1:{one}" for one in self.routes)
        routes = hub.Routes("127.0.0.1", self.routes[number], others)
        files = {"certfile": str(self.folder / "hub.pem"), "keyfile": str(self.folder / "hub.key")}
        spec = hub.HubSpec(folder, port=self.ports[number], name=name, routes=routes, **files)
        self.start(name, self.program, "-c", str(hub.written(spec)))


@pytest.fixture
def story() -> Iterator[Story]:
    with tempfile.TemporaryDirectory() as folder, Encrypted(Path(folder)) as cluster:
        members, opinions = pairs(NODES), Opinions()
        cluster.ask("import", **export(members, 5))
        with Crowd(cluster.authority, members, opinions, beat=1.0) as crowd:
            cluster.wait(lambda told: told["count"]["alive"] == NODES)
            yield Story(cluster, crowd, opinions)


def test_three_hubs_with_tls_go_on_when_the_one_that_leads_is_killed(story: Story) -> None:
    cluster = story.cluster
    for port in cluster.ports:
        refuse_strangers(port, is_told=True)
    for port in cluster.routes:
        refuse_strangers(port, is_told=False)
    gone = story.leading_hub()
    story.apply()
    story.kill(gone)
    story.rollout("done")
    cluster.wait(lambda told: told["count"]["alive"] == NODES)
    assert story.revisions() == {story.good}
    story.start_hub(gone)
    cluster.wait_for_hubs()
    story.apply()
    story.rollout("done")
    assert story.revisions() == {story.good}


def refuse_strangers(port: int, *, is_told: bool) -> None:
    """Who does not know the CA believes no hub; clients are told that TLS is meant."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as plain:
        if is_told:
            assert b'"tls_required":true' in plain.recv(4096)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")
