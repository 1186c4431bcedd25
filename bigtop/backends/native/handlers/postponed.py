# Postponed answers: what becomes of them in a server that can wait in the place of an application.
#
# Rule: whatever fails here refuses the request.

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from bigtop.http.handlers import Postponed, Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

WAITING: Final = object()
SHORTEST_PAUSE: Final = 0.001  # seconds
LONGEST_PAUSE: Final = 0.02


class Turns:
    """A decision that is made by asking again and again: `ask` returns what was decided, or WAITING; `pause`
    waits for so many seconds, in the application's place."""

    __slots__ = ("_ask", "_pause", "is_waiting")

    def __init__(self, ask: Callable[[], object], pause: Callable[[float], object]) -> None:
        self._ask = ask
        self._pause = pause
        self.is_waiting = False  # what ask() said last is not the decision

    def ask(self) -> object:
        self.is_waiting = False
        found = self._ask()
        self.is_waiting = found is WAITING
        return found

    def __call__(self) -> object:
        seconds = SHORTEST_PAUSE
        while (found := self.ask()) is WAITING:
            self._pause(seconds)
            seconds = longer(seconds)
        return found


def longer(seconds: float) -> float:
    """Return how long the next pause is."""
    return min(2 * seconds, LONGEST_PAUSE)


def postponed(request: Request, reply: Postponed) -> Reply | None:
    """Have the answer found in the application's place; return None then. A WebSocket is told to come again,
    and the answer is found until it does."""
    if request.upgrade is None:
        request.decide = reply.decide
        return None
    threading.Thread(target=decided, args=(reply.decide,), name="postponed", daemon=True).start()
    return reply


def decided(decide: Callable[[], object]) -> Reply | None:
    """Return the answer that was found by waiting, None for the application's."""
    try:
        reply = decide()
    except Exception:
        # Whatever is wrong with a handler must not cost more than this one request.
        log.exception("a handler failed")
        return refusal_of(500, "The server failed to answer this request.")
    if type(reply) is Postponed:  # by a handler behind the one that was waited for
        return decided(reply.decide)
    return reply if isinstance(reply, Reply) else None
