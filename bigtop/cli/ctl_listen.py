# `bigtop ctl listen` and `bigtop ctl tail --follow`: what goes on until it is interrupted.
#
# Rule: of several supervisors each line begins with whose it is.

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import click

from bigtop.cli import ctl_show
from bigtop.cli.ctl_target import Target
from bigtop.control import events
from bigtop.control.client.client import Client, Event, merged


def listen(target: Target, topics: tuple[str, ...]) -> None:
    """Print events: topic and JSON, one line each."""

    def show(event: Event) -> str:
        if target.as_json:
            return json.dumps({"topic": event.topic, **event.payload})
        return f"{event.topic}: {json.dumps(event.payload)}"

    _listen(target, topics, show, lambda _client: [])


def follow(target: Target, name: str, lines: int) -> None:
    """Print the last lines that a watcher's processes wrote, then every further one."""

    def last_lines(client: Client) -> list[str]:
        return [ctl_show.line(line) for line in client.call("tail", name=name, lines=lines)["lines"]]

    topic = f"output.{events.topic_word(name)}."
    _listen(target, (topic,), lambda event: ctl_show.line(event.payload), last_lines)


def _listen(
    target: Target,
    topics: tuple[str, ...],
    show: Callable[[Event], str],
    first: Callable[[Client], list[str]],
) -> None:
    several = len(target.endpoints) > 1
    marks = [f"{endpoint}: " if several else "" for endpoint in target.endpoints]
    with contextlib.ExitStack() as open_ones:
        clients = [open_ones.enter_context(target.client(endpoint)) for endpoint in target.endpoints]
        # Subscribed before the last lines are asked for: rather a line twice than one missed.
        streams = [open_ones.enter_context(client.events(*topics)) for client in clients]
        for mark, client in zip(marks, clients, strict=True):
            for line in first(client):
                click.echo(mark + line)
        for number, event in merged(streams):
            click.echo(marks[number] + show(event))
