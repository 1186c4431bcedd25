# Events to whoever subscribes.
#
# Rule: output of processes is published only while somebody asked for it (subscriptions.py); who asks for
# everything means events.

from __future__ import annotations

import json
import time
from collections import Counter
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
        self._numbers: Counter[str] = Counter()  # lines of output that were published, by watcher
        self._send = subscriptions.send

    def publish(self, name: str, notice: messages.Notice | events.Event) -> None:
        event = notice if isinstance(notice, events.Event) else events.of(notice)
        self._send([events.topic(name, event.name), events.payload(event, time.time())])

    def announce(self, status: str, facts: Mapping[str, object]) -> None:
        """Tell what becomes of the supervisor itself: starting, upgraded, stopping."""
        self.pass_on(events.announcement(status, facts, time.time()))

    def pass_on(self, message: events.Message) -> None:
        """Tell what happened before."""
        self._send([*message])

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
        """Publish a line of output: {"time", "pid", "stream", "line", "number"}. Numbers grow by one: who is
        too slow and loses lines finds out how many."""
        if self.wants_output(name):
            self._numbers[name] += 1
            told = {**line, "number": self._numbers[name]}
            self._send([_output_topic(name), json.dumps(told).encode()])

    def close(self) -> None:
        self._subscriptions.close()


def _output_topic(name: str) -> bytes:
    return _OUTPUT + f"{events.topic_word(name)}.".encode()
