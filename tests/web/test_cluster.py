# Nodes and rollouts in the console: a real hub, a real controller and Chromium; a thousand nodes that say
# what a test has them say.

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bigtop.cluster import asking, claims, link
from bigtop.cluster.keys import USER, KeyPair
from bigtop.cluster.policy import powers
from bigtop.cluster.policy.strategy import Strategy
from bigtop.cluster.revision import Artifact, Revision
from bigtop.errors import CommandError
from bigtop.record import as_dict
from bigtop.web import preflight
from bigtop.web.spec import WebSpec
from tests.support.browser import expect, launched, opened, unfit
from tests.support.cluster import Cluster
from tests.support.console import Client, Console
from tests.support.site import until
from tests.support.stack import Stack

COUNT = 1000
FIGURES = {"requests": 600, "errors": 0, "p99": 0.02, "respawns": 0}
LOAD = {"busy": 1, "places": 4, "rate": 10.0, "errors": 0.0, "p99": 0.02}


class Fleet:
    """Nodes without machines: one connection says for each that it lives. `odd` has what some say else."""

    def __init__(self, cluster: Cluster) -> None:
        self.odd: dict[str, dict[str, Any]] = {}
        self.names = [f"n{number:04}" for number in range(COUNT)]
        self._cluster, self._over = cluster, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._beat()))
        key = KeyPair.made(USER).public
        nodes = {name: {"key": key, "tags": ["web"], "cordoned": False} for name in self.names}
        asyncio.run(asking.ask(cluster.authority, "import", {"nodes": nodes, "apps": {}}, 120))

    def __enter__(self) -> Fleet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    async def _beat(self) -> None:
        authority, sequence = self._cluster.authority, 0
        client = await link.connected(authority.cluster, authority.identity("fleet", claims.CONTROLLER))
        while not self._over.is_set():
            sequence += 1
            for name in self.names:
                await client.publish(f"bt.test.hb.{name}", self._said(name, sequence))
            await client.flush()
            await asyncio.to_thread(self._over.wait, 1)
        await client.close()

    def _said(self, name: str, sequence: int) -> bytes:
        odd = self.odd.get(name, {})
        app = {"number": 0, "revision": 1, "condition": "applied", "why": "", "figures": FIGURES, **odd}
        said = {"boot": name, "sequence": sequence, "version": "1", "epoch": "", "watchers": {}}
        return json.dumps({**said, "apps": {"shop": app}, "loads": {"shop": LOAD}}).encode()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with (
        tempfile.TemporaryDirectory(prefix="bt-") as name,
        Cluster(Path(name)) as cluster,
        Fleet(cluster) as fleet,
    ):
        yield fleet


@pytest.fixture
def cluster(fleet: Fleet) -> Cluster:
    return fleet._cluster


def asked(cluster: Cluster, kind: str, **said: Any) -> dict[str, Any]:
    """Ask the controller from a thread of its own: Playwright has the loop of this one."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(cluster.ask, kind, **said).result()


@pytest.fixture(scope="module")
def console(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with Console(tmp_path_factory.mktemp("console"), "--cluster", str(fleet._cluster.folder)) as console:
        yield console


def test_a_thousand_nodes_and_their_rollouts_in_a_browser(
    fleet: Fleet, cluster: Cluster, console: Console
) -> None:
    url = f"http://127.0.0.1:{console.port}"
    with launched() as browser:
        with opened(browser, console, "operate") as page:
            look_at_nodes(page, fleet, cluster, url)
            steer(page, cluster, url)
        with opened(browser, console, "view", viewport={"width": 375, "height": 700}) as page:
            see_it_on_a_phone(page, url)


def look_at_nodes(page: Any, fleet: Fleet, cluster: Cluster, url: str) -> None:
    expect(page.locator(".verdict")).to_contain_text("All is well: 1,000 nodes")
    page.keyboard.press("2")
    assert page.url == f"{url}/#/nodes"
    expect(page.locator(".verdict")).to_contain_text("All is well: 1,000 nodes")
    expect(page.locator("tbody tr")).to_have_count(COUNT)
    expect(page.locator("main")).to_contain_text("1000 of 4000 places busy · 10k/s")

    fleet.odd["n0777"] = {"condition": "refused", "why": "no module named wheels"}
    expect(page.locator(".verdict")).to_contain_text("1 node is not at what was assigned: n0777")
    first = page.locator("tbody tr").first
    expect(first).to_contain_text("n0777")
    expect(first).to_contain_text("shop: no module named wheels")
    page.keyboard.press("/")
    page.keyboard.type("n077")
    expect(page.locator("tbody tr")).to_have_count(10)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Tab")  # from the row to its button
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Cordon n0777?")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Cordon n0777: done")
    expect(first).to_contain_text("refused, cordoned")
    assert asked(cluster, "status")["nodes"]["n0777"]["cordoned"] is True
    fleet.odd.clear()
    expect(page.locator(".verdict")).to_contain_text("All is well")


def steer(page: Any, cluster: Cluster, url: str) -> None:
    page.goto(f"{url}/#/rollouts")
    expect(page.locator("main")).to_contain_text("Nothing has been applied yet")
    revision = Revision("shop", Artifact("folder", "/srv/shop", "0" * 64))
    said = {"revision": as_dict(revision), "strategy": as_dict(Strategy()), "dry_run": False}
    assert sum(map(len, asked(cluster, "apply", **said)["waves"])) == COUNT - 1
    shop = page.get_by_role("region", name="shop")
    expect(shop).to_contain_text("rollout 1 of revision 1 is running, wave 1 of")
    expect(shop.locator("[aria-current=step]")).to_contain_text("Wave 1")
    for button, phase in (("Pause", "paused"), ("Resume", "running"), ("Abort", "revert")):
        shop.get_by_role("button", name=button).click()
        page.get_by_role("dialog").get_by_role("button", name=button).click()
        expect(shop.locator(".told")).to_contain_text(f"is {phase}")
    page.goto(f"{url}/#/")
    expect(page.locator(".concerns")).to_contain_text("shop: rollout 1 of revision 1 is revert")


def see_it_on_a_phone(page: Any, url: str) -> None:
    for path, words in (("nodes?q=n077", "n0770"), ("rollouts", "Wave 1")):
        page.goto(f"{url}/#/{path}")
        expect(page.locator("main")).to_contain_text(words)
        assert unfit(page, 375, path) == []
        expect(page.locator("main button")).to_have_count(0)


def test_who_may_only_look_changes_nothing(cluster: Cluster, console: Console) -> None:
    client = console.client("view")
    refused = client.act("test", "cordon", node="n0001")
    assert (refused.status, "needs the role operate" in refused.text) == (403, True)
    assert console.client("operate").act("test", "cordon", node="nobody").status == 200
    until(lambda: "there is no node nobody" in str(console.audit()), "what the controller said")
    assert client.act("elsewhere", "pause", app="shop").status == 400
    assert client.act("test", "pause", node="n0001").status == 400
    looked = client.look("nodes")
    assert len(looked["tables"]["nodes"]) == COUNT
    assert client.look("rollouts")["values"]["is_known"] is True


def test_a_file_names_the_cluster_that_its_console_shows(cluster: Cluster, tmp_path: Path) -> None:
    text = f"""
    [web]
    bind = "127.0.0.1:0"
    state = "{tmp_path}/state"
    cluster = "{cluster.folder}"
    """
    with Stack(text) as stack:
        stack.wait_for("serving bigtop.web")
        found = re.search(r"serving bigtop.web on \('127.0.0.1', (\d+)\)", stack.log())
        assert found is not None
        client = Client(int(found[1]))
        words = [sys.executable, "-m", "bigtop", "web", "--state", f"{tmp_path}/state", "login-url"]
        link = subprocess.run(words, capture_output=True, text=True, env=stack.env, check=True).stdout
        client.enter(once=link.strip().partition("#login=")[2])
        until(lambda: client.look("nodes")["tables"]["nodes"], "the nodes")
        assert client.ask("GET", "/api/me").json["cluster"] == "test"
        assert len(client.look("front")["values"]["daemons"]) == 1


def test_a_cluster_that_is_not_led_from_here_is_refused(tmp_path: Path) -> None:
    for name in ("nowhere", f"{tmp_path}/nowhere"):
        ((option, why),) = preflight.problems(WebSpec(state=str(tmp_path), cluster=name))
        assert option == "cluster"
        assert "no cluster is led from here" in why


def test_the_controller_refuses_what_a_role_may_not(cluster: Cluster) -> None:
    for role in ("view", "nobody"):
        with pytest.raises(CommandError, match="needs the role operate"):
            cluster.ask("cordon", node="n0002", cordoned=True, role=role)
    with pytest.raises(CommandError, match="needs the role admin"):
        cluster.ask("leave", node="n0002", role="operate")
    assert cluster.ask("status", role="view")["nodes"]["n0002"]["cordoned"] is False


def test_what_is_not_known_takes_the_highest_role() -> None:
    powers.check({"kind": "export"})
    with pytest.raises(CommandError):
        powers.check({"kind": "export", "role": "operate"})
    with pytest.raises(CommandError):
        powers.check({"kind": "steer", "role": ["admin"]})
