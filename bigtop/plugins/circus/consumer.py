# Consumer of events with Circus' words: an iterator over topics and messages.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

import zmq

from bigtop.plugins.circus.conversions import DEFAULT_ENDPOINT_SUB


class CircusConsumer:
    """Of the events whose topics begin with one of `topics`; `timeout` in seconds ends it."""

    def __init__(
        self,
        topics: Sequence[str],
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        endpoint: str = DEFAULT_ENDPOINT_SUB,
        ssh_server: str | None = None,
        timeout: float = 1.0,
    ) -> None:
        self._own = context is None
        self.context = context or zmq.Context()
        self.topics = topics
        self.endpoint = endpoint
        self.timeout = timeout
        self.pubsub_socket = self.context.socket(zmq.SUB)
        self.pubsub_socket.setsockopt(zmq.LINGER, 0)
        self.pubsub_socket.connect(endpoint)
        for topic in topics:
            self.pubsub_socket.setsockopt(zmq.SUBSCRIBE, topic.encode())

    def __enter__(self) -> CircusConsumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self.iter_messages()

    def iter_messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield topic and message of each, for ever."""
        while True:
            if self.pubsub_socket.poll(int(self.timeout * 1000)):
                topic, message = self.pubsub_socket.recv_multipart()
                yield topic, message

    def stop(self) -> None:
        self.pubsub_socket.close()
        if self._own:
            self.context.destroy(linger=0)
