# A subscriber to figures: what the stats process publishes, by topic.

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from tests.support.site import DEADLINE


class Subscriber:
    """Takes what comes, in a with statement of subscribed()."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def subscribe(self, topic: str) -> None:
        """Ask for another topic, or for the same one again."""
        self._socket.subscribe(topic)

    def next(self, topic: str) -> dict[str, Any]:
        """Return the next figures of one topic."""
        return self.until(topic, lambda _figure: True)

    def until(self, topic: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return the first figures of one topic that are as wanted."""
        last: object = None
        for said, figure in self.messages():
            if said == topic:
                last = figure
                if condition(figure):
                    return figure
        raise AssertionError(f"waited in vain for {topic}; the last one was {last}")

    def messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield topic and figures of all that comes, for as long as a test waits for anything."""
        end = time.monotonic() + DEADLINE
        while (left := end - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1000) + 1):
                topic, text = self._socket.recv_multipart()
                yield topic.decode(), json.loads(text)


@contextmanager
def subscribed(endpoint: str, *topics: str) -> Iterator[Subscriber]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(endpoint)
        yield Subscriber(socket)
    context.term()
