# Commands of `bigtop ctl` for nodes of a cluster: one, those with a tag, or all.

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from bigtop.cli.ctl import ctl_show
from bigtop.record import Record

REFUSED = 1
_TIMEOUT = 600.0  # seconds, for what waits


class Nodes(Record):
    """Which: those of `names`, or all, that have the tag."""

    cluster: str
    names: tuple[str, ...] = ()
    tag: str | None = None


def nodes(options: Mapping[str, Any]) -> Nodes | None:
    """Return which nodes a command line means, None: no cluster."""
    cluster, names, tag = (options[name] for name in ("cluster", "node", "tag"))
    if cluster is None:
        if names or tag:
            raise click.UsageError("--node and --tag say which nodes of a --cluster")
        return None
    if options["endpoint"]:
        raise click.UsageError("--endpoint and --cluster: have one of them")
    return Nodes(cluster, names, tag)


def run(
    chosen: Nodes, word: str, properties: Mapping[str, Any], timeout: float | None, *, as_json: bool
) -> int:
    """Have them carry a command out, print their replies, return the exit status: 1 if one did not."""
    import asyncio  # all of these here: who controls one supervisor does without

    from bigtop.cluster import asking, places

    limit = timeout or (_TIMEOUT if properties.get("waiting") else asking.TIMEOUT)
    said = {
        "command": word,
        "properties": dict(properties),
        "nodes": list(chosen.names) or None,
        "tag": chosen.tag,
        "timeout": limit,
    }
    authority = places.Authority(places.chosen(chosen.cluster, os.environ))
    answers = asyncio.run(asking.ask(authority, "command", said, limit + asking.TIMEOUT))["answers"]
    for node, answer in answers.items():
        if as_json:
            click.echo(json.dumps({"node": node, **answer}))
        elif answer["status"] == "ok":
            click.echo(f"{node}:\n{ctl_show.reply(word, answer['reply'])}")
        else:
            click.echo(f"bigtop: {node}: {answer['reason']}", err=True)
    return max((0 if one["status"] == "ok" else REFUSED) for one in answers.values())
