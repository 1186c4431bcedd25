# Events to whoever subscribes.
#
# Rule: output of processes is published only while somebody asked for it (subscriptions.py); who asks for
# everything means events.

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from bigtop.control import events
from bigtop.control.server.subscriptions import Subscriptions
from bigtop.supervisor.policy import messages

# Messages that wait for one slow subscriber.
QUEUE = 1000
_OUTPUT = b"output."


class Publisher:
    """Of events."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._send = subscriptions.send

    def publish(self, name: str, notice: messages.Notice | events.Event) -> None:
        event = notice if isinstance(notice, events.Event) else events.of(notice)
        self._send([events.topic(name, event.name), events.payload(event, time.time())])

    def announce(self, status: str, facts: Mapping[str, object]) -> None:
        """Tell what becomes of the supervisor itself: starting, upgraded, stopping."""
        payload = events.payload(events.Event(status, facts), time.time())
        self._send([f"arbiter.{status}".encode(), payload])

    def wants_output(self, name: str) -> bool:
        return self._subscriptions.wants(_output_topic(name), by_name=True)

    @property
    def followers(self) -> int:
        """How many subscriptions to outputs there are."""
        return self._subscriptions.count_below(_OUTPUT)

    @property
    def subscribed(self) -> int:
        """How many subscriptions there are to anything."""
        return self._subscriptions.count_below(b"")

    def output(self, name: str, line: Mapping[str, object]) -> None:
        """Publish a line of output: {"time", "pid", "stream", "line"}."""
        if self.wants_output(name):
            self._send([_output_topic(name), json.dumps(line).encode()])

    def close(self) -> None:
        self._subscriptions.close()


def _output_topic(name: str) -> bytes:
    return _OUTPUT + f"{events.topic_word(name)}.".encode()
