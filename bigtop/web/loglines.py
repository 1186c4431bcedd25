# Log lines of watchers on their way to a tab: what was written, then what is.
#
# Rules: event loop only. Lines are read in bulk, since to wait for each one costs more than to read it, and
# go into a queue that drops and counts (flows.py). What was lost on the way here is known by the numbers of
# lines, and told where it is missing. What a line says is the page's business, and never becomes markup
# there.

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import zmq.asyncio

from bigtop.control.client import connection
from bigtop.control.events import topic_word
from bigtop.errors import BigtopError
from bigtop.record import Record
from bigtop.web.access.roles import VIEW
from bigtop.web.daemons import Daemon
from bigtop.web.rules.flows import Lines

_TAIL: Final = 300  # lines of each watcher to begin with
_AT_ONCE: Final = 500  # then others have a turn
_AGAIN: Final = 2.0  # seconds
_QUEUE: Final = 20_000  # messages in ZeroMQ's memory
MOST: Final = 50  # watchers


async def follow(daemon: Daemon, names: Sequence[str], lines: Lines, there: Callable[[], None]) -> None:
    """Put what watchers of a daemon write into `lines`, until it is cancelled; `there` is called then."""
    while True:
        with contextlib.suppress(BigtopError):
            await _follow(daemon, names, lines, there)
        await asyncio.sleep(_AGAIN)


async def _follow(daemon: Daemon, names: Sequence[str], lines: Lines, there: Callable[[], None]) -> None:
    words = {topic_word(name): name for name in names}
    topics = tuple(f"output.{word}." for word in words)
    context: zmq.asyncio.Context = zmq.asyncio.Context()
    context.setsockopt(zmq.RCVHWM, _QUEUE)  # of all its sockets
    try:
        async with daemon.place(VIEW).client() as client:
            options = await client.call("globaloptions", option="pubsub_endpoint")
            way = connection.way_to_events(client.way, options["options"]["pubsub_endpoint"])
            with connection.subscriber(context, way, topics) as socket:
                told: list[tuple[float, str]] = []
                for name in names:
                    reply = await client.call("tail", name=name, lines=_TAIL)
                    told += [
                        (float(one.get("time") or 0), line(daemon.name, name, one)) for one in reply["lines"]
                    ]
                    if "note" in reply:
                        told.append((0.0, line(daemon.name, name, {"note": reply["note"]})))
                for _, text in sorted(told, key=lambda one: one[0]):
                    lines.add(text)
                there()
                quick: zmq.Socket[bytes] = zmq.Socket.shadow(socket.underlying)
                numbers: dict[str, int] = {}
                while True:
                    await socket.poll()
                    _take(quick, Sources(daemon.name, words, numbers), lines)
                    there()
                    await asyncio.sleep(0.02)
    finally:
        context.destroy(linger=0)


class Sources(Record):
    """Of lines: the names of watchers by their words in topics, and the number of the last line of each."""

    daemon: str
    names: Mapping[str, str]
    numbers: dict[str, int]

    def take(self, topic: str, text: str, lines: Lines) -> None:
        """Take in a line as it was published."""
        word = topic.split(".")[1]
        name = self.names.get(word, word)
        lost = self._lost(word, text)
        if lost:
            lines.add(line(self.daemon, name, {"lost": lost}), lost)
        lines.add(f"{json.dumps([self.daemon, name])[:-1]}, {text}]")

    def _lost(self, word: str, text: str) -> int:
        """Return how many lines are missing before one. Its number comes last; older supervisors tell none,
        and one that starts anew begins with 1."""
        _, is_there, rest = text.rpartition('"number": ')
        if not is_there or not rest.rstrip("}").isdecimal():
            return 0
        number = int(rest.rstrip("}"))
        before = self.numbers.get(word, number)
        self.numbers[word] = number
        return max(0, number - before - 1)


def _take(quick: zmq.Socket[bytes], sources: Sources, lines: Lines) -> None:
    with contextlib.suppress(zmq.Again):
        for _ in range(_AT_ONCE):
            topic, text = quick.recv_multipart(zmq.NOBLOCK)
            sources.take(topic.decode(), text.decode(), lines)


def line(daemon: str, watcher: str, said: dict[str, Any]) -> str:
    """Return one as the page reads it: [daemon, watcher, {"time", "pid", "stream", "line"}]."""
    return json.dumps([daemon, watcher, said])
