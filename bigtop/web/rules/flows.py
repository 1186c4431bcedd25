# Flows of one tab: what it looks at, for how long, and how much more it can take.
#
# Rules: pure; time is an argument. A tab takes a lease, which it renews; one that is gone or asleep costs
# nothing soon. It is sent what it has credits for: of states only the newest, of lines as many as fit into a
# queue. What does not fit is dropped, the oldest first, and counted; the tab is told the count.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bigtop.record import Record, field

LEASE: Final = 15.0  # seconds
MOST_FLOWS: Final = 16  # of one tab
MOST_CREDITS: Final = 5000
QUEUE_LINES: Final = 5000
QUEUE_BYTES: Final = 2 << 20


class Lease:
    """How long somebody is taken to look."""

    def __init__(self, now: float) -> None:
        self._until = now + LEASE

    def renew(self, now: float) -> None:
        self._until = now + LEASE

    def is_over(self, now: float) -> bool:
        return now >= self._until


class Credits:
    def __init__(self, count: int) -> None:
        self.count = count

    def grant(self, count: int) -> None:
        self.count = min(MOST_CREDITS, self.count + max(0, count))

    def take(self, most: int) -> int:
        """Return how many of `most` may be sent, and take them."""
        taken = min(self.count, most)
        self.count -= taken
        return taken


class Changes:
    """Rows of a table, by key, that a tab has, and what to tell it to have the newest ones."""

    def __init__(self) -> None:
        self._sent: dict[str, Any] = {}
        self._has_begun = False

    def step(self, rows: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what changed since the last step; None: nothing. The order of keys is that of the rows."""
        changed = {key: row for key, row in rows.items() if self._sent.get(key) != row}
        gone = [key for key in self._sent if key not in rows]
        is_first, self._has_begun = not self._has_begun, True
        order = None if not is_first and list(self._sent) == list(rows) else list(rows)
        self._sent = dict(rows)
        if not changed and order is None:
            return None
        return {"rows": changed, "gone": gone, "order": order}


class Ring:
    """The last things that happened, each with a number that only grows."""

    def __init__(self, most: int) -> None:
        self._items: deque[Any] = deque(maxlen=most)
        self.count = 0  # so far

    @property
    def last(self) -> Any:
        """Return the newest one; None where there is none."""
        return self._items[-1] if self._items else None

    def add(self, item: Any) -> None:
        self._items.append(item)
        self.count += 1

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def since(self, count: int) -> list[Any]:
        """Return what came after the first `count`, as far as it is kept."""
        new = min(self.count - count, len(self._items))
        return list(self._items)[len(self._items) - new :] if new > 0 else []


class View(Record):
    """What a page shows at one moment: tables of rows by key, values, and rings."""

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    rings: Mapping[str, Ring] = field(default_factory=dict)


class Told:
    """What a page was told of its views."""

    def __init__(self) -> None:
        self._tables: dict[str, Changes] = {}
        self._values: dict[str, Any] = {}
        self._rings: dict[str, int] = {}

    def step(self, view: View) -> dict[str, Any] | None:
        """Return what to tell to have the page show `view`; None: nothing."""
        tables = {}
        for name, rows in view.tables.items():
            change = self._tables.setdefault(name, Changes()).step(rows)
            if change is not None:
                tables[name] = change
        values = {key: one for key, one in view.values.items() if self._values.get(key, self) != one}
        self._values |= values
        news = {}
        for name, ring in view.rings.items():
            is_first = name not in self._rings
            if is_first or self._rings[name] < ring.count:
                news[name] = ring.since(self._rings.get(name, 0))
                self._rings[name] = ring.count
        return {"tables": tables, "values": values, "news": news} if tables or values or news else None


class Lines:
    """Lines that wait for a tab, as texts in JSON; or that so many were `lost` before they came here."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, int]] = deque()
        self._bytes = 0
        self.dropped = 0  # since the last batch

    def add(self, line: str, lost: int = 0) -> None:
        self._waiting.append((line, lost))
        self._bytes += len(line)
        while len(self._waiting) > QUEUE_LINES or self._bytes > QUEUE_BYTES:
            oldest, lost = self._waiting.popleft()
            self._bytes -= len(oldest)
            self.dropped += lost or 1

    def __len__(self) -> int:
        return len(self._waiting)

    def batch(self, room: Credits) -> tuple[list[str], int]:
        """Return the lines that may be sent now, and how many were dropped before them."""
        count = room.take(len(self._waiting))
        taken = [self._waiting.popleft()[0] for _ in range(count)]
        self._bytes -= sum(map(len, taken))
        dropped, self.dropped = (self.dropped, 0) if taken else (0, self.dropped)
        return taken, dropped
