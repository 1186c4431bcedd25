# Old revisions of an application: which are needed, and what becomes of the others in a real store.

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from bigtop.cluster import claims, link
from bigtop.cluster.hubs import Hubs
from bigtop.cluster.leader import Leader
from bigtop.cluster.policy.deployment import Assignment, Deployment, Phase, Rollout, plain
from bigtop.cluster.policy.retention import KEPT, outdated
from bigtop.cluster.policy.strategy import Strategy
from bigtop.cluster.revision import Artifact, Revision
from bigtop.cluster.store import LostError, Store
from bigtop.record import as_dict
from tests.support.cluster import Cluster
from tests.support.site import until

MANY = KEPT + 6
USED = Deployment("site", stable=3, previous=2, serial=9, assigned={"away": Assignment(1, 1)})


def test_the_newest_stay_and_all_that_somebody_has_or_may_get() -> None:
    assert outdated(Deployment("site"), range(1, KEPT + 1)) == ()
    assert outdated(Deployment("site"), range(MANY, 0, -1)) == (1, 2, 3, 4, 5, 6)
    assert outdated(USED, range(1, MANY + 1)) == (4, 5, 6)
    under_way = Rollout(9, 4, 6, Strategy(), (("away",),), phase=Phase.STOPPED)
    held = Deployment("site", stable=4, previous=4, serial=9, rollout=under_way)
    assert outdated(held, range(1, MANY + 1)) == (1, 2, 3, 5)


def whole() -> dict[str, Any]:
    """Return what `import` takes: one application with many revisions."""
    one = as_dict(Revision("site", Artifact("folder", "/nowhere", "0" * 64)))
    what = {str(number): one for number in range(1, MANY + 1)}
    return {"nodes": {}, "apps": {"site": {"what": what, "deployment": plain(USED)}}}


async def connected(cluster: Cluster) -> Any:
    identity = cluster.authority.identity("looking", claims.CONTROLLER)
    return await link.connected(cluster.authority.cluster, identity)


def specs(cluster: Cluster) -> dict[str, int]:
    """Return what the store has of revisions, marks of what is gone, too."""

    async def look() -> dict[str, int]:
        client = await connected(cluster)
        try:
            found = await client.jetstream().stream_info("KV_bigtop", subjects_filter="$KV.bigtop.spec.>")
            return dict(found.state.subjects or {})
        finally:
            await client.close()

    return asyncio.run(look())


def test_the_controller_that_leads_removes_them_and_one_that_led_before_does_not() -> None:
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        cluster.ask("import", **whole())
        kept = {1, 2, 3, *range(7, MANY + 1)}
        wanted = {f"$KV.bigtop.spec.site.{number}": 1 for number in kept}
        until(lambda: specs(cluster) == wanted, "old revisions to go")
        told = cluster.ask("export")["apps"]["site"]
        assert set(told["what"]) == set(map(str, kept))
        assert (told["deployment"]["stable"], told["deployment"]["previous"]) == (3, 2)
        cluster.processes["controller-a"].terminate()
        cluster.processes["controller-a"].wait()
        asyncio.run(lead_two(cluster))
        assert specs(cluster) == wanted, "the later one removed 4 and 5 alone"


async def lead_two(cluster: Cluster) -> None:
    """Have two lead, one of whom does not know of the other; both find more than is needed."""
    client = await connected(cluster)
    try:
        store = await Store.open(client, cluster.authority)
        hubs = Hubs(cluster.authority, "looking")
        claim = ("x 1", 0, time.monotonic() + 1000)
        for number in (4, 5):
            await store.put(f"spec.site.{number}", whole()["apps"]["site"]["what"]["1"], 0)
        before, after = (Leader(client, store, cluster.authority, hubs, claim) for _ in range(2))
        await before.begin(0)
        await after.begin(0)
        assert after.epoch > before.epoch
        with pytest.raises(LostError, match=r"meta\.epoch"):
            await before.step("site")
        assert set(before.apps["site"].what) >= {4, 5}
        await after.step("site")
        assert not {4, 5} & set(after.apps["site"].what)
    finally:
        await client.close()
