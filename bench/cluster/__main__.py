# What many nodes cost, and what becomes of them: `python -m bench.cluster`.
#
# Rule: agents are scripted and live in this process; hubs and controllers are real, and each is a process of
# its own. All of it is on this machine, so the figures are ones of a machine that does the work of many.

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine, procfs
from bench.cluster import sites, story
from bench.cluster.agents import Crowd, Opinions, export, pairs
from bench.cluster.processes import Cluster
from bench.cluster.story import Story
from bench.progress import tell

# What nats-server and nats-py came to without a controller: measured once with 1,000 nodes, on 2 cores.
ALONE = {"command to all, s": 0.25, "hub, % of a core": 6.9, "hub, MB": 70}
TAGS = 20
DESCRIPTORS = 3  # for each agent, and as many to spare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description="Measure a cluster.")
    parser.add_argument("--nodes", type=int, default=1000, help="scripted agents (1000)")
    parser.add_argument("--hubs", type=int, default=3, choices=(1, 3), help="(3)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of steady state (20)")
    parser.add_argument("--sites", type=int, default=20, help="real nodes with a site each; 0: none (20)")
    parser.add_argument("--no-story", action="store_true", help="measure only; let nothing fail")
    parser.add_argument("--out", type=Path, metavar="FILE", help="results as JSON")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS * options.nodes + 1000), most))
    found: dict[str, Any] = {"machine": machine.facts()}
    if options.nodes:
        found["agents"] = _agents(options)
    if options.sites:
        found["sites"] = sites.tried(options.sites)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _agents(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), options.hubs) as cluster:
        cluster.start_controller("b")
        members, opinions = pairs(options.nodes), Opinions()
        begun = time.monotonic()
        cluster.ask("import", **export(members, TAGS))
        known = time.monotonic()
        with Crowd(cluster.authority, members, opinions) as crowd:
            cluster.wait(lambda told: told["count"]["alive"] == options.nodes)
            found = {"members stored, s": known - begun, "all connected, s": time.monotonic() - known}
            one = Story(cluster, crowd, opinions)
            for part in (_commands, _steady, _rollouts):
                found |= part(one, options)
            for name, value in found.items():
                alone = f"   (alone: {ALONE[name]:g})" if name in ALONE else ""
                print(f"{name:32} {value:10.2f}{alone}")
            if not options.no_story:
                _live(one, is_whole=options.hubs == 3)
    return found


def _commands(one: Story, _options: argparse.Namespace) -> dict[str, float]:
    said: dict[str, Any] = {"command": "status", "properties": {}, "nodes": None, "tag": None, "timeout": 30}
    times = [_took(lambda: one.cluster.ask("command", **said)) for _ in range(3)]
    return {"command to all, s": statistics.median(times)}


def _took(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def _steady(one: Story, options: argparse.Namespace) -> dict[str, float]:
    """What everybody costs while nothing happens but beats."""
    time.sleep(options.seconds / 4)  # the beats of all do not come at once any more
    pids = {name: process.pid for name, process in one.cluster.processes.items()}
    before, begun = {name: procfs.cpu(procfs.tree([pid])) for name, pid in pids.items()}, time.monotonic()
    time.sleep(options.seconds)
    span = time.monotonic() - begun
    shares = {
        name: (procfs.cpu(procfs.tree([pid])) - before[name]) / span * 100 for name, pid in pids.items()
    }
    sizes = {name: procfs.rss(pid) / 1e6 for name, pid in pids.items()}
    leads = f"controller-{one.cluster.ask('status')['leader']}"
    found = {}
    for word, names in (
        ("hub", [name for name in pids if name.startswith("hub")]),
        ("leading controller", [leads]),
        ("waiting controller", [name for name in pids if name.startswith("con") and name != leads]),
    ):
        found[f"{word}, % of a core"] = max(shares[name] for name in names)
        found[f"{word}, MB"] = max(sizes[name] for name in names)
    return found


def _rollouts(one: Story, _options: argparse.Namespace) -> dict[str, float]:
    """A good revision to all, and then one that half of them do badly with: the time until all are back."""
    one.apply()
    begun = time.monotonic()
    one.rollout("done")
    found = {"rollout to all, s": time.monotonic() - begun}
    late = set(sorted(one.agents)[len(one.agents) // 2 :])
    one.apply(lambda name: "errors" if name in late else "good")
    one.rollout("reverted")
    had = [agent for agent in one.agents.values() if one.newest in agent.ever]
    seen = min(agent.since[one.newest] for agent in had if agent.name in late)
    back = max(agent.since[agent.revision] for agent in had)
    return {
        **found,
        "had the bad revision, nodes": float(len(had)),
        "bad seen until all back, s": back - seen,
    }


def _live(one: Story, *, is_whole: bool) -> None:
    steps = [story.command_all, story.see_who_is_cut_off, story.have_one_leave]
    if is_whole:
        steps += [story.lose_the_hub_that_leads, story.stop_the_leader, story.lose_most_hubs]
        steps += [story.have_hubs_back, story.lose_all_that_is_stored]
    for step in [*steps, story.look_at_epochs]:
        tell(f"{step.__name__}: {_took(lambda step=step: step(one)):.1f} s")  # type: ignore[misc]


if __name__ == "__main__":
    sys.exit(main())
