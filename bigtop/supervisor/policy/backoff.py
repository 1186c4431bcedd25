# Back-off: how long to wait after a death, the arithmetic of spec.RestartPolicy.
#
# Rule 1: one RestartWindow per process slot, so that one bad process never holds up its siblings.
# Rule 2: no clock. The window is measured in seconds lived, and it stands still while the slot waits.
#         Otherwise a wait longer than the window would let every earlier death fall out of it, and a crash
#         loop would be taken for a first death each time.

from __future__ import annotations

from collections import deque
from math import inf

from bigtop.record import Record
from bigtop.supervisor.policy.spec import RestartPolicy


class WindowState(Record):
    """What a window remembers."""

    deaths: int
    lived: float
    recent: tuple[float, ...]
    waits: int
    next_wait: float


class RestartWindow:
    """The deaths of one process slot, and what they cost."""

    def __init__(self, policy: RestartPolicy) -> None:
        self.deaths = 0  # since the last life that was longer than the window
        self._policy = policy
        self._lived = 0.0
        self._recent: deque[float] = deque(maxlen=policy.attempts + 1)  # only "more than attempts?" is asked
        self._waits = 0  # in a row
        self._next_wait = policy.retry_in

    def death(self, lived: float) -> float:
        """Count a death after a life of `lived` seconds; return how long its successor has to wait.

        Zero is at once, math.inf is never: the slot gives up.
        """
        policy = self._policy
        self._lived += lived
        if lived > policy.window:
            self.deaths = 0
            self._forgive()
        self.deaths += 1
        self._recent.append(self._lived)
        if sum(self._lived - death <= policy.window for death in self._recent) <= policy.attempts:
            self._forgive()
            return 0.0
        if 0 <= policy.max_retry <= self._waits:
            return inf
        self._waits += 1
        wait = min(self._next_wait, policy.max_delay)
        # Grown step by step: factor ** n raises OverflowError after a night of crashes.
        self._next_wait = wait * policy.factor
        return wait

    def held(self) -> WindowState:
        return WindowState(self.deaths, self._lived, tuple(self._recent), self._waits, self._next_wait)

    def resume(self, state: WindowState) -> None:
        """Remember what another one of the same policy did."""
        self.deaths, self._lived = state.deaths, state.lived
        self._recent.extend(state.recent)
        self._waits, self._next_wait = state.waits, state.next_wait

    def _forgive(self) -> None:
        self._waits = 0
        self._next_wait = self._policy.retry_in
