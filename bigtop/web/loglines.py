# Log lines of watchers on their way to a tab: what was written, then what is.
#
# Rules: event loop only. Lines are read in bulk, since to wait for each one costs more than to read it, and
# go into a queue that drops and counts (flows.py). They are not looked into: what a line says is the page's
# business, and never becomes markup there.

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq.asyncio

from bigtop.control.client import connection
from bigtop.control.events import topic_word
from bigtop.errors import BigtopError
from bigtop.web.access.roles import VIEW
from bigtop.web.daemons import Daemon
from bigtop.web.flows import Lines

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
                while True:
                    await socket.poll()
                    _take(quick, daemon.name, words, lines)
                    there()
                    await asyncio.sleep(0.02)
    finally:
        context.destroy(linger=0)


def _take(quick: zmq.Socket[bytes], daemon: str, words: dict[str, str], lines: Lines) -> None:
    with contextlib.suppress(zmq.Again):
        for _ in range(_AT_ONCE):
            topic, text = quick.recv_multipart(zmq.NOBLOCK)
            word = topic.decode().split(".")[1]
            start = json.dumps([daemon, words.get(word, word)])[:-1]
            lines.add(f"{start}, {text.decode()}]")


def line(daemon: str, watcher: str, said: dict[str, Any]) -> str:
    """Return one as the page reads it: [daemon, watcher, {"time", "pid", "stream", "line"}]."""
    return json.dumps([daemon, watcher, said])
