# An XPUB socket: what is sent goes to whoever subscribed, and it is known what that is.
#
# Rule 1: nobody waits for a subscriber. One that reads too slowly loses messages once its queue is full; the
# others and the sender do not notice. Rule 2: ZeroMQ keeps subscriptions in a tree that takes many bytes for
# each of theirs, so a client has few of them, and short ones. Rule 3: a client has a topic or has it not, and
# nobody else's: asking twice is asking once, and who has not asked takes nothing back.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import zmq

from bigtop.control.server.client_acceptor import ClientAcceptor, ClientRelay, RelayLimits
from bigtop.control.server.zmq_socket import EdgeSocket

# A frame is a subscription, or a part of the handshake.
LIMITS = RelayLimits(largest=1024, room=1 << 16)
# Of one client.
LONGEST_TOPIC = 256
MOST_TOPICS = 1000
MOST_BYTES_OF_TOPICS = 16 << 10
_FEW = 20  # topics


class Subscriptions:
    """Takes over an XPUB socket and `clients.on_left`. `may_listen` says whether a client still may;
    `changed` is told of each topic that one asks for (True) or gives up (False)."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        clients: ClientAcceptor,
        may_listen: Callable[[ClientRelay, zmq.Frame], bool],
        changed: Callable[[bytes, bool], None] = lambda _topic, _comes: None,
    ) -> None:
        self._prefixes: Counter[bytes] = Counter()  # how many clients have each
        self._all: tuple[bytes, ...] = ()  # of these, while they are few
        self._client = clients.of
        self._may_listen = may_listen
        self._changed = changed
        clients.on_left = self._left
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # told of each subscription, not only of new topics
        self._edge = EdgeSocket(socket, self._subscribed)
        self.send = self._edge.send  # the frames of a message: its topic, and what it says

    def __bool__(self) -> bool:
        return bool(self._prefixes)

    def wants(self, topic: bytes, *, by_name: bool = False) -> bool:
        """Say whether anybody is sent what has this topic; `by_name`: who asks for everything does not
        count."""
        if not self._prefixes:
            return False
        if len(self._prefixes) <= _FEW and not by_name:  # as is usual: one look-up for all of them
            return topic.startswith(self._all)
        return any(topic[:length] in self._prefixes for length in range(int(by_name), len(topic) + 1))

    def wants_below(self, prefix: bytes) -> bool:
        """Say whether anybody is sent something whose topic begins so."""
        return self.wants(prefix) or any(topic.startswith(prefix) for topic in self._prefixes)

    def count_below(self, prefix: bytes) -> int:
        """Return how many subscriptions there are to topics that begin so."""
        return sum(count for topic, count in self._prefixes.items() if topic.startswith(prefix))

    def close(self) -> None:
        self._edge.close(linger=100)

    def _subscribed(self, frames: Sequence[zmq.Frame]) -> None:
        # b"\x01topic" for a subscription to a topic, b"\x00topic" when it is taken back.
        message = frames[0].bytes
        kind, topic = message[:1], message[1:]
        client = self._client(frames[0])
        if client is None:  # it has left, and _left() has taken its subscriptions back
            return
        client.took(map(len, frames))
        if not self._may_listen(client, frames[0]):
            client.refuse("its key is not known any more")
        elif kind == b"\x01" and topic not in client.topics:
            client.topics.add(topic)
            self._count(topic, 1)
            size = sum(map(len, client.topics))
            if len(topic) > LONGEST_TOPIC or len(client.topics) > MOST_TOPICS or size > MOST_BYTES_OF_TOPICS:
                client.refuse(
                    f"it subscribes to more than {MOST_TOPICS} topics, {MOST_BYTES_OF_TOPICS} bytes of them,"
                    f" or {LONGEST_TOPIC} in one"
                )
        elif kind == b"\x00" and topic in client.topics:
            client.topics.remove(topic)
            self._count(topic, -1)

    def _left(self, client: ClientRelay) -> None:
        """What ZeroMQ says when a client leaves is not counted: it names each topic once, however often the
        client has asked for it."""
        topics, client.topics = client.topics, set()
        for topic in topics:
            self._count(topic, -1)

    def _count(self, topic: bytes, by: int) -> None:
        self._prefixes[topic] += by
        if not self._prefixes[topic]:
            del self._prefixes[topic]
        self._all = tuple(self._prefixes) if len(self._prefixes) <= _FEW else ()
        self._changed(topic, by > 0)
