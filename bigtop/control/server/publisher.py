# Events to whoever subscribes.
#
# Rule 1: nobody waits for a subscriber. One that reads too slowly loses events once its queue is full; the
# others and the supervisor do not notice. Rule 2: output of processes is published only while somebody asked
# for it: an XPUB socket is a PUB socket that tells who did. Rule 3: ZeroMQ keeps subscriptions in a tree that
# takes many bytes for each of theirs, so a client has few of them, and short ones.

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import zmq

from bigtop.control import events
from bigtop.control.server.client_acceptor import ClientRelay
from bigtop.control.server.zmq_socket import EdgeSocket
from bigtop.supervisor.policy import messages

# Messages that wait for one slow subscriber.
QUEUE = 1000
# Of one client.
LONGEST_TOPIC = 256
MOST_TOPICS = 1000
MOST_BYTES_OF_TOPICS = 16 << 10


class Publisher:
    """Takes over an XPUB socket. `client` says whose a frame is, `may_listen` whether it still may."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        client: Callable[[zmq.Frame], ClientRelay | None],
        may_listen: Callable[[ClientRelay, zmq.Frame], bool],
    ) -> None:
        self._prefixes: Counter[bytes] = Counter()
        self._client = client
        self._may_listen = may_listen
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # told of each subscription, not only of new topics
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
        return any(topic[:length] in self._prefixes for length in range(1, len(topic) + 1))

    def output(self, name: str, line: Mapping[str, object]) -> None:
        """Publish a line of output: {"time", "pid", "stream", "line"}."""
        if self.wants_output(name):
            self._edge.send([_output_topic(name), json.dumps(line).encode()])

    def close(self) -> None:
        self._edge.close(linger=100)

    def _subscribed(self, frames: Sequence[zmq.Frame]) -> None:
        # b"\x01topic" for a subscription to a topic, b"\x00topic" when one is gone.
        message = frames[0].bytes
        kind, topic = message[:1], message[1:]
        if kind == b"\x01":
            self._prefixes[topic] += 1
        elif kind == b"\x00":
            self._prefixes[topic] -= 1
            if self._prefixes[topic] <= 0:
                del self._prefixes[topic]
        client = self._client(frames[0])
        if client is None:  # it left, and ZeroMQ takes its subscriptions back
            return
        client.took(map(len, frames))
        if not self._may_listen(client, frames[0]):
            client.refuse("its key is not known any more")
        elif kind == b"\x01":
            client.topics[topic] = client.topics.get(topic, 0) + 1
            size = sum(map(len, client.topics))
            if len(topic) > LONGEST_TOPIC or len(client.topics) > MOST_TOPICS or size > MOST_BYTES_OF_TOPICS:
                client.refuse(
                    f"it subscribes to more than {MOST_TOPICS} topics, {MOST_BYTES_OF_TOPICS} bytes of them,"
                    f" or {LONGEST_TOPIC} in one"
                )
        elif kind == b"\x00" and topic in client.topics:
            client.topics[topic] -= 1
            if not client.topics[topic]:
                del client.topics[topic]


def _output_topic(name: str) -> bytes:
    return f"output.{events.topic_word(name)}.".encode()
