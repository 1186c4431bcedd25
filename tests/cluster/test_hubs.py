# Three hubs, two controllers and a hundred scripted agents: what fails, and what becomes of it.
#
# One set of processes goes through all of it, in one test: to start them takes longer than most of the rest.
# The whole story, with a thousand agents and figures: python -m bench.cluster.

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cluster import story as steps
from bench.cluster.agents import Crowd, Opinions, export, pairs
from bench.cluster.story import Story
from tests.support.cluster import Cluster

NODES = 100


@pytest.fixture
def story() -> Iterator[Story]:
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), hubs=3) as cluster:
        members = pairs(NODES)
        cluster.ask("import", **export(members, 5))
        opinions: Opinions = {}
        with Crowd(cluster.authority, members, opinions, beat=2.0) as crowd:
            cluster.wait(lambda told: told["count"]["alive"] == NODES)
            yield Story(cluster, crowd, opinions)


def test_whatever_fails_nodes_keep_what_they_have(story: Story) -> None:
    steps.refuse_strange_hubs(story)
    steps.command_all(story)
    steps.see_who_is_cut_off(story)
    steps.have_one_leave(story)
    steps.lose_the_hub_that_leads(story)
    steps.lose_most_hubs(story)
    steps.look_at_epochs(story)
