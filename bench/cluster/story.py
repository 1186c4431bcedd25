# Story of a cluster: what fails, and what becomes of its nodes and of who leads.
#
# Rule: each step begins where the one before ended, and leaves everything so that the next one can follow. A
# step that does not come out as it should ends with AssertionError.

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from bench.cluster.agents import Crowd, Opinions
from bench.cluster.processes import PATIENCE, Cluster
from bigtop.cluster import claims, link
from bigtop.cluster.places import Identity
from bigtop.cluster.policy.strategy import Strategy
from bigtop.cluster.revision import Artifact, Revision
from bigtop.control.addresses import UnreachableError
from bigtop.errors import BigtopError
from bigtop.record import as_dict

BRISK = Strategy(max_parallel=1000, max_unavailable="100%", min_healthy_time=0.1)


class Story:
    """The cluster, its agents, and what both come to."""

    def __init__(self, cluster: Cluster, crowd: Crowd, opinions: Opinions) -> None:
        self.cluster, self.crowd, self._opinions = cluster, crowd, opinions
        self.newest = self.good = 0  # revisions
        self.missing: tuple[str, ...] = ()  # hubs
        self.agents = crowd.agents
        self.count = len(crowd.agents)

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > limit:
                raise AssertionError(f"waited in vain for {what}\n{self.cluster.log()}")
            time.sleep(0.02)

    def apply(self, opinion: Callable[[str], str] | None = None) -> None:
        """Have all nodes get a new revision; `opinion` is what each node thinks of it, None: it is good."""
        self.newest += 1
        if opinion is None:
            self.good = self.newest
        else:
            self._opinions[self.newest] = opinion
        what = Revision("site", Artifact("folder", f"/r{self.newest}", f"{self.newest:064}"))
        said = {"revision": as_dict(what), "strategy": as_dict(BRISK), "dry_run": False}
        assert self.cluster.ask("apply", **said)["revision"] == self.newest

    def rollout(self, *phases: str) -> dict[str, Any]:
        def is_there(told: Any) -> bool:
            return told["apps"]["site"]["rollout"]["phase"] in phases

        return dict(self.cluster.wait(is_there)["apps"]["site"]["rollout"])

    def revisions(self) -> set[int]:
        return {agent.revision for agent in self.agents.values()}

    def leading_hub(self) -> str:
        """Return the name of the hub that leads the store."""

        async def ask() -> str:
            identity = self.cluster.authority.identity("looking", claims.CONTROLLER)
            client = await link.connected(self.cluster.authority.cluster, identity)
            try:
                found = await client.jetstream().stream_info("KV_bigtop")
                assert found.cluster is not None
                return str(found.cluster.leader)
            finally:
                await client.close()

        return asyncio.run(ask())

    def kill(self, *names: str) -> None:
        for name in names:
            self.cluster.processes[name].kill()
            self.cluster.processes[name].wait()

    def start_hub(self, *names: str) -> None:
        for name in names:
            self.cluster.start_hub(int(name.removeprefix("hub")))


def command_all(story: Story) -> None:
    said: dict[str, Any] = {"command": "status", "properties": {}, "nodes": None, "tag": None, "timeout": 30}
    answers = story.cluster.ask("command", **said)["answers"]
    assert len(answers) == story.count
    assert {one["status"] for one in answers.values()} == {"ok"}
    with_tag = story.cluster.ask("command", **{**said, "tag": "rack1"})["answers"]
    assert 0 < len(with_tag) < story.count


def refuse_strange_hubs(story: Story) -> None:
    """Who does not know the password is no hub of this cluster, and nobody passes on what it says."""
    with socket.create_connection(("127.0.0.1", story.cluster.routes[0]), PATIENCE) as stranger:
        lines = stranger.makefile("rb")
        assert lines.readline().startswith(b"INFO ")
        said = {"verbose": False, "user": "hub", "pass": "guessed", "name": "evil", "cluster": "test"}
        stranger.sendall(f"CONNECT {json.dumps(said)}\r\nPING\r\n".encode())
        told = lines.read()
    assert b"Authorization Violation" in told, told


def see_who_is_cut_off(story: Story) -> None:
    """A hub tells at once: nobody waits until beats were missed."""
    story.crowd.cut(["n00001"])
    story.until(lambda: "n00001: its connection is gone" in story.cluster.log(), "word from a hub")
    told = story.cluster.ask("status")
    assert told["nodes"]["n00001"]["state"] in ("suspect", "lost")
    story.crowd.restore(["n00001"])
    story.cluster.wait(lambda told: told["count"]["alive"] == story.count)


def have_one_leave(story: Story) -> None:
    agent = story.agents["n00002"]
    story.cluster.ask("leave", node="n00002")
    story.until(lambda: agent.client.is_closed, "a hub to cut off who left")
    try:
        come_back(story, agent.identity)
    except UnreachableError as error:
        told = str(error).lower()
    else:
        told = "a hub let it in"
    assert "authorization" in told or "revoked" in told, told
    assert "n00002" not in story.cluster.ask("status")["nodes"]
    del story.agents["n00002"]


def come_back(story: Story, identity: Identity) -> None:
    async def connect() -> None:
        await (await link.connected(story.cluster.authority.cluster, identity)).close()

    asyncio.run(connect())


def lose_the_hub_that_leads(story: Story) -> None:
    """In the middle of a rollout, which goes on when the two others have elected one."""
    gone = story.leading_hub()
    story.apply()
    story.kill(gone)
    story.rollout("done")
    story.cluster.wait(lambda told: told["count"]["alive"] == story.count - 1)
    assert story.revisions() == {story.good}
    story.start_hub(gone)


def stop_the_leader(story: Story) -> None:
    """It sleeps in the middle of a rollout; the other one goes on with that, and it finds its lease over."""
    cluster = story.cluster
    if "controller-b" not in cluster.processes:
        cluster.start_controller("b")
    told = cluster.ask("status")
    leader, epoch = told["leader"], told["epoch"]
    over = f"controller {leader} does not lead"
    before = cluster.log().count(over)
    story.apply()
    first = cluster.processes[f"controller-{leader}"]
    os.kill(first.pid, signal.SIGSTOP)
    try:
        found = cluster.wait(lambda told: told["leader"] != leader)
        assert found["epoch"] > epoch
        assert story.rollout("done")["new"] == story.good
    finally:
        os.kill(first.pid, signal.SIGCONT)
    story.until(lambda: cluster.log().count(over) > before, "the end of a lease")
    assert cluster.ask("status")["leader"] != leader
    assert story.revisions() == {story.good}


def lose_most_hubs(story: Story) -> None:
    """What is under way stands still; who asks is told why."""
    names = [story.leading_hub()]
    names.append(next(name for name in ("hub0", "hub1", "hub2") if name not in names))
    story.kill(*names)
    story.until(lambda: "1 of 3 hubs are there" in why(story), "somebody to say that there are too few hubs")
    assert story.revisions() == {story.good}
    story.missing = tuple(names)


def have_hubs_back(story: Story) -> None:
    story.start_hub(*story.missing)
    story.cluster.wait(lambda told: told["count"]["alive"] == story.count - 1)
    story.apply(lambda _: "errors")
    assert "answers were 5xx" in story.rollout("reverted")["reason"]
    assert story.revisions() == {story.good}
    assert sum(story.newest in agent.ever for agent in story.agents.values()) == 1, "the canary"


def why(story: Story) -> str:
    try:
        story.cluster.ask_once("status")
    except BigtopError as error:
        return str(error)
    return ""


def lose_all_that_is_stored(story: Story) -> None:
    """A file and what nodes say make the store anew; who left stays away."""
    cluster, names = story.cluster, ("hub0", "hub1", "hub2")
    kept = cluster.ask("export")
    before = max(agent.epochs[-1] for agent in story.agents.values())
    gone = next(iter(kept["revoked"]))
    story.kill(*names)
    for name in names:
        shutil.rmtree(cluster.folder / name / "store")
        shutil.rmtree(cluster.folder / name / "claims")
    story.start_hub(*names)
    cluster.wait(lambda told: told["nodes"] == {})
    cluster.ask("import", **kept)
    cluster.wait(lambda told: told["count"]["alive"] == story.count - 1 and told["epoch"] > before)
    story.apply()
    story.rollout("done")
    assert story.revisions() == {story.good}
    assert cluster.ask("export")["revoked"] == {gone: kept["revoked"][gone]}
    assert "n00002" not in cluster.ask("status")["nodes"]


def look_at_epochs(story: Story) -> None:
    """Nobody heeded a leader whose epoch was over."""
    for agent in story.agents.values():
        assert agent.epochs == sorted(set(agent.epochs)), agent.name
