# Stopping after signals that ask for it: how hard, and whether everything goes on for a while before.
#
# Rules: with a delay, the first TERM changes nothing but what is told of readiness, and balancers can turn
# elsewhere. The next signal ends the delay, and whatever stops the program in another way does.

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from bigtop.launch.program import STOPS
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy.messages import Urgency

logger = get_logger("bigtop.supervisor")

_HOW = {
    Urgency.GRACEFUL: ", each process has the time that it is given",
    Urgency.QUICK: " at once",
    Urgency.NOW: ", killing what is left",
}
_WHEN_ANSWERED = " when open requests are answered"
_TOGETHER = 0.3  # seconds between two signals that are taken for one


class Stopping:
    """Event loop only. `stop` performs it; `delay` returns seconds, 0 for none."""

    def __init__(self, stop: Callable[[Urgency], None], delay: Callable[[], float]) -> None:
        self.urgency: Urgency | None = None  # of the stop that was asked for
        self._stop = stop
        self._delay = delay
        self._asked_at = 0.0
        self._delayed: asyncio.TimerHandle | None = None

    @property
    def is_asked_for(self) -> bool:
        return self.urgency is not None

    def signalled(self, number: int, *, serves: bool, has_begun: bool = True) -> None:
        """Stop, unless that signal is not one more. `serves`: there may be requests; `has_begun`: and there
        is somebody to answer them.

        A second signal forces, but for a first INT or QUIT after a TERM, which is quick. Two that come
        together are one: timeout(1) and some shells signal the process, then its group.
        """
        now, name = time.monotonic(), signal.Signals(number).name
        urgency = STOPS[signal.Signals(number)]
        is_first = self.urgency is None
        if not is_first and now - self._asked_at < _TOGETHER:
            return
        if self.urgency is not None and self._delayed is None and self.urgency.value >= urgency.value:
            urgency = Urgency.NOW
        self.urgency, self._asked_at = urgency, now
        seconds = self._delay() if serves and has_begun and is_first else 0
        if seconds and urgency is Urgency.GRACEFUL:
            logger.info("%s: not ready any more; serving goes on for %g s, then this stops", name, seconds)
            self._delayed = asyncio.get_running_loop().call_later(seconds, self._delay_is_over, serves)
        else:
            self._perform(name, urgency, serves)

    def begins(self, urgency: Urgency) -> None:
        """It is performed, whoever asked for it."""
        self.urgency = self.urgency or urgency
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None

    def _delay_is_over(self, serves: bool) -> None:
        self._perform("the delay is over", Urgency.GRACEFUL, serves)

    def _perform(self, why: str, urgency: Urgency, serves: bool) -> None:
        how = _WHEN_ANSWERED if serves and urgency is Urgency.GRACEFUL else _HOW[urgency]
        logger.info("%s: stopping%s", why, how)
        self._stop(urgency)
