# `bigtop ctl listen` and `bigtop ctl tail --follow`: what goes on until it is interrupted.

from __future__ import annotations

import json

import click

from bigtop.cli import ctl_show
from bigtop.cli.ctl_target import Target
from bigtop.control import events


def listen(target: Target, topics: tuple[str, ...]) -> None:
    """Print events of one supervisor: topic and JSON, one line each."""
    with target.client(target.endpoints[0]) as client, client.events(*topics) as stream:
        for event in stream:
            if target.as_json:
                click.echo(json.dumps({"topic": event.topic, **event.payload}))
            else:
                click.echo(f"{event.topic}: {json.dumps(event.payload)}")


def follow(target: Target, name: str, lines: int) -> None:
    """Print the last lines that a watcher's processes wrote, then every further one."""
    topic = f"output.{events.topic_word(name)}."
    # Subscribed before the last lines are asked for: rather a line twice than one missed.
    with target.client(target.endpoints[0]) as client, client.events(topic) as stream:
        for line in client.call("tail", name=name, lines=lines)["lines"]:
            click.echo(ctl_show.line(line))
        for event in stream:
            click.echo(ctl_show.line(event.payload))
