# Outbox of a program that hears events: each is sent until it is acknowledged, and there is room for some.
#
# Rules: pure; time is an argument. An event that is not acknowledged is sent again, so a program may see it
# twice, under the same number. Who does not acknowledge after several tries is taken for hung. What there is
# no room for is dropped, the newest first, and told as one event that says how many they were.

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from bigtop.errors import BigtopError
from bigtop.plugins.plugin import Event
from bigtop.plugins.topics import DROPPED
from bigtop.record import Record


class HungError(BigtopError):
    """An event was sent as often as that is done, and was not acknowledged."""


class _Sent(Record, frozen=False):
    event: Event
    tries: int = 0
    due: float = 0.0  # when it is sent again


class Outbox:
    """`room` events at most, each sent `tries` times, `patience` seconds apart."""

    def __init__(self, room: int, tries: int, patience: float) -> None:
        self._room = room
        self._tries = tries
        self._patience = patience
        self._waiting: OrderedDict[int, _Sent] = OrderedDict()
        self._dropped = 0
        self._last = 0

    def put(self, event: Event) -> None:
        if len(self._waiting) >= self._room:
            self._dropped += 1
            return
        if self._dropped:
            self._enter(Event("", DROPPED, {"count": self._dropped, "time": event.time}))
            self._dropped = 0
        self._enter(event)

    def _enter(self, event: Event) -> None:
        self._last += 1
        self._waiting[self._last] = _Sent(event)

    def acknowledge(self, number: int) -> bool:
        """Take it that an event was taken in; False where there is none of that number."""
        return self._waiting.pop(number, None) is not None

    def due(self, now: float) -> Iterable[tuple[int, Event]]:
        """Yield what is to be sent now, with its number. Raises HungError."""
        for number, sent in self._waiting.items():
            if sent.due > now:
                continue
            if sent.tries == self._tries:
                raise HungError(
                    f"event {number} was sent {sent.tries} times and is not acknowledged: "
                    f'{{"ok": {number}}} would do that'
                )
            sent.tries += 1
            sent.due = now + self._patience
            yield number, sent.event

    def next_due(self) -> float | None:
        """Return when there is something to be sent again, None for never."""
        return min((sent.due for sent in self._waiting.values()), default=None)

    def unacknowledged(self) -> list[Event]:
        """Return what is to be sent to the next program."""
        return [sent.event for sent in self._waiting.values()]
