# Backlog of a plugin: events that it has not taken in yet, as many as there is room for.
#
# Rule: pure. Who is too slow loses the oldest, and is told how many.

from __future__ import annotations

from collections import deque

from bigtop.plugins.plugin import Event
from bigtop.plugins.topics import DROPPED


class Backlog:
    """Of at most `room` events."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._events: deque[Event] = deque()
        self.dropped = 0  # not told yet

    def __len__(self) -> int:
        return len(self._events) + bool(self.dropped)

    def put(self, event: Event) -> None:
        if len(self._events) == self._room:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)

    def take(self) -> Event:
        """Return the next one: that some were dropped is told before those that came after them."""
        if self.dropped:
            count, self.dropped = self.dropped, 0
            return Event("", DROPPED, {"count": count})
        return self._events.popleft()
