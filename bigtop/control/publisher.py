# Events to whoever subscribes.
#
# Rule 1: nobody waits for a subscriber. One that reads too slowly loses events once its queue is full; the
# others and the supervisor do not notice. Rule 2: output of processes is published only while somebody asked
# for it: an XPUB socket is a PUB socket that tells who did.

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

import zmq

from bigtop.control import events
from bigtop.control.edge import EdgeSocket
from bigtop.supervisor import messages

# Messages that wait for one slow subscriber.
QUEUE = 1000


class Publisher:
    """Takes over a bound XPUB socket."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._prefixes: set[bytes] = set()
        self._edge = EdgeSocket(socket, self._subscribed)

    def publish(self, name: str, notice: messages.Notice | events.Event) -> None:
        event = notice if isinstance(notice, events.Event) else events.of(notice)
        self._edge.send([events.topic(name, event.name), events.payload(event, time.time())])

    def announce(self, status: str) -> None:
        """Tell the status of the supervisor itself: starting, active, stopping."""
        self._edge.send([f"arbiter.{status}".encode(), events.payload(events.Event(status), time.time())])

    def wants_output(self, name: str) -> bool:
        if not self._prefixes:
            return False
        topic = _output_topic(name)
        return any(prefix and topic.startswith(prefix) for prefix in self._prefixes)

    def output(self, name: str, line: Mapping[str, object]) -> None:
        """Publish a line of output: {"time", "pid", "stream", "line"}."""
        if self.wants_output(name):
            self._edge.send([_output_topic(name), json.dumps(line).encode()])

    def close(self) -> None:
        self._edge.close(linger=100)

    def _subscribed(self, frames: Sequence[zmq.Frame]) -> None:
        # b"\x01topic" for the first subscription to a topic, b"\x00topic" when the last one is gone.
        message = frames[0].bytes
        if message[:1] == b"\x01":
            self._prefixes.add(message[1:])
        elif message[:1] == b"\x00":
            self._prefixes.discard(message[1:])


def _output_topic(name: str) -> bytes:
    return f"output.{events.topic_word(name)}.".encode()
