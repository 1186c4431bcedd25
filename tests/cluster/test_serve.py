# A node whose site is run by `bigtop serve`, with the agent beside it.

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bigtop.cluster import revision
from bigtop.record import as_dict
from tests.support.cluster import Cluster, said
from tests.support.site import Site, until

SITE = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    with open("prepared") as file:
        return [(WORD + file.read()).encode()]
"""


def test_a_site_without_a_file_is_rolled_out_prepared_and_rolled_back() -> None:
    with tempfile.TemporaryDirectory(prefix="bt-") as name, Cluster(Path(name)) as cluster:
        folder = cluster.folder / "one"
        cluster.join("one")
        for word in ("old", "new"):
            (cluster.folder / word).mkdir()
            (cluster.folder / word / "hello.py").write_text(f"WORD = {word!r}\n{SITE}")
        (cluster.folder / "old/prepared").write_text(" by nobody")
        link = folder / "apps/shop/current"
        link.parent.mkdir(parents=True)
        link.symlink_to(cluster.folder / "old")
        control = f"ipc://{cluster.folder}/shop.ctl"
        options = ("--name", "shop", "--chdir", str(link), "--control", str(cluster.folder / "shop.ctl"))
        with Site("hello:application", *options) as site:
            assert site.get("/") == "old by nobody"
            words = ("-P", "-m", "bigtop", "cluster", "agent", control, "--folder", str(folder))
            cluster.start("agent", sys.executable, *words)
            cluster.wait(lambda told: told["nodes"]["one"]["state"] == "alive")
            file = said(
                cluster.folder / "r.toml",
                {
                    "app": "shop",
                    "folder": "new",
                    "prepare": "printf ' by %s' $BIGTOP_NODE > prepared",
                    "prepare_once": "printf ', first' >> prepared",
                },
            )
            what, how = revision.read(file)
            plain = {**as_dict(how), "min_healthy_time": 0.1}
            cluster.ask("apply", revision=as_dict(what), strategy=plain, dry_run=False)
            cluster.wait(lambda told: told["apps"]["shop"]["rollout"]["phase"] == "done")
            assert site.get("/") == "new by one, first"

            kept = cluster.ask("export")
            assert kept["apps"]["shop"]["what"]["1"]["app"] == "shop"
            changed = {**as_dict(what), "prepare": "echo no such luck; exit 3"}
            cluster.ask("apply", revision=changed, strategy=plain, dry_run=False)
            told = cluster.wait(lambda told: told["apps"]["shop"]["rollout"]["phase"] == "reverted")
            assert "ended with 3: no such luck" in told["apps"]["shop"]["rollout"]["reason"]
            cluster.ask("steer", app="shop", how="rollback")
            until(lambda: site.get("/") == "old by nobody", "what was there before the cluster")
            cluster.wait(lambda told: told["apps"]["shop"]["rollout"]["phase"] == "done")
            lose_the_agent(cluster, words, what, plain)
            assert site.get("/") == "new late"


def lose_the_agent(
    cluster: Cluster, words: tuple[str, ...], what: revision.Revision, plain: dict[str, object]
) -> None:
    """It is killed while it prepares a revision; the next one does what was assigned, from the beginning."""
    began, gate = cluster.folder / "began", cluster.folder / "gate"
    prepare = f"echo >> {began}; until [ -e {gate} ]; do sleep 0.1; done; printf ' late' > prepared"
    changed = {**as_dict(what), "prepare": prepare, "prepare_once": ""}
    cluster.ask("apply", revision=changed, strategy=plain, dry_run=False)
    until(began.exists, "the first try")
    cluster.processes["agent"].kill()
    cluster.processes["agent"].wait()
    cluster.start("agent", sys.executable, *words)
    until(lambda: began.read_text() == "\n\n", "the second try")
    gate.touch()
    told = cluster.wait(lambda told: told["apps"]["shop"]["rollout"]["phase"] == "done")
    assert told["nodes"]["one"]["apps"]["shop"]["condition"] == "applied"
