# Record of a request: what the scoreboard tells of it to those who read there.

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class RequestPhase(IntEnum):
    """What a request is doing."""

    NONE = 0
    APP = 1  # inside the application
    WRITING = 2  # the application is done or held back, the client reads slowly
    DONE = 3
    READING = 4  # its head or its body arrives
    QUEUED = 5  # it is complete, and waits for the application


class RequestRecord(NamedTuple):
    """A request as the scoreboard shows it; times in monotonic nanoseconds, `ended` is 0 while it runs.

    `bytes` were sent, or received of its body while that arrives. Not all servers count before the end.
    `route` is known at its end, where the framework tells. `number` is no other request's of the slot;
    `deadline` is when it is past a time limit of its own, 0: it has none.
    """

    phase: RequestPhase
    began: int
    ended: int
    status: int
    method: str
    client: str
    path: str
    id: str  # the beginning of its X-Request-ID; "" where the backend makes none
    bytes: int = 0
    route: str = ""
    number: int = 0
    deadline: int = 0

    def __str__(self) -> str:
        """Method, path, X-Request-ID and client, for a line of the log: what the client wrote is escaped."""
        text = (
            f"{self.method} {self.path}{f' ({self.id})' if self.id else ''} from {self.client or 'unknown'}"
        )
        return text.encode("unicode_escape").decode("ascii")

    def cut_off(self, now: int) -> str:
        """Say that it is not finished, at the monotonic time `now`."""
        return f"{self} is cut off after {(now - self.began) / 1e9:.1f} s"
