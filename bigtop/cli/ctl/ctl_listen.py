# `bigtop ctl listen` and `bigtop ctl tail --follow`: what goes on until it is interrupted.
#
# Rule: of several supervisors each line begins with whose it is; those that are away are told, and the others
# are heard.

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import click

from bigtop.cli.ctl import ctl_show
from bigtop.cli.ctl.ctl_target import Target
from bigtop.control import events
from bigtop.control.client.client import Client, Event, Events, merged
from bigtop.errors import BigtopError


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
    marks: list[str] = []
    streams: list[Events] = []
    with contextlib.ExitStack() as open_ones:
        for place, endpoint in enumerate(target.endpoints, 1):
            mark = f"{endpoint}: " if several else ""
            try:
                client = open_ones.enter_context(target.client(endpoint))
                # Subscribed before the last lines are asked for: rather a line twice than one missed.
                stream = open_ones.enter_context(client.events(*topics))
                lines = first(client)
            except BigtopError as error:
                if place == len(target.endpoints) and not streams:
                    raise
                click.echo(f"bigtop: {mark}{error}", err=True)
                continue
            marks.append(mark)
            streams.append(stream)
            for line in lines:
                click.echo(mark + line)
        for number, event in merged(streams):
            click.echo(marks[number] + show(event))
