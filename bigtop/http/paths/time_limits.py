# Time limits of requests: how long the application may take over each, and what is done about one that takes
# longer.
#
# Rule 1: a request that is past its limit is first told of, with the stacks of its worker, within a second.
# It is interrupted SEEN seconds past the limit, so that the stacks show where it hung.
# Rule 2: which step is due follows from how long ago the limit was passed, and from nothing else. The worker
# interrupts by itself, the supervisor does the rest, and neither has to tell the other what it did.

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import inf
from typing import Final

from bigtop.http.paths.path_patterns import is_like
from bigtop.record import Record

SECOND: Final = 1_000_000_000
NEVER: Final = 1 << 63  # nanoseconds: the limit of a request that has none
SEEN: Final = 1.5  # seconds past a limit: the supervisor looks every second
SEEN_NS: Final = int(SEEN * SECOND)
# Where a request begins that the application is called for: a Deadline (backends/native/deadline.py).
NAME: Final = "bigtop.deadline"


class TimeoutAction(Enum):
    """A step against a request that is past its limit. They get harder in this order."""

    INTERRUPT = "interrupt"  # this one request; its worker goes on
    RETIRE = "retire"  # its worker gets a successor, then finishes the other requests and ends
    KILL = "kill"  # its worker, at once


STEPS: Final = "interrupt,retire,kill"  # the usual ones
_ORDER: Final = tuple(TimeoutAction)
_PAUSE: Final = 5.0  # seconds between two steps, where nobody says


class TimeoutPolicy(Record):
    """The steps that are taken, each so many seconds after the one before. None: that one has an end by
    itself, as retiring has by --graceful-timeout."""

    steps: tuple[tuple[TimeoutAction, float | None], ...] = (
        (TimeoutAction.INTERRUPT, 0.0),
        (TimeoutAction.RETIRE, _PAUSE),
        (TimeoutAction.KILL, None),
    )

    def interrupts(self) -> bool:
        return self.steps[0][0] is TimeoutAction.INTERRUPT

    def due(self, over: float, *, interruptible: bool) -> TimeoutAction | None:
        """Return the last step that is due `over` seconds past the limit; None: none is.

        Where a worker cannot interrupt requests, the step after that is the first one.
        """
        steps = self.steps if interruptible or not self.interrupts() else self.steps[1:]
        at, due = 0.0, None
        for action, pause in steps:
            if due is None:  # retiring leaves the stacks as they are
                at = 0.0 if action is TimeoutAction.RETIRE else SEEN
            elif pause is None:
                break
            else:
                at += pause
            if over < at:
                break
            due = action
        return due


def policy_of(text: str) -> TimeoutPolicy:
    """Return the policy that is written as interrupt,retire=5,kill=30. ValueError: it is none."""
    steps: list[tuple[TimeoutAction, float | None]] = []
    for word in text.split(","):
        name, equals, after = word.strip().partition("=")
        action = _action(name)
        if steps and _ORDER.index(action) <= _ORDER.index(steps[-1][0]):
            raise ValueError(f"{action.value} must come before {steps[-1][0].value}, and once")
        if equals and not steps:
            raise ValueError(f"{name} is the first step, which comes at the limit: write it without a time")
        steps.append((action, _seconds(word, after) if equals else _usual(action, steps)))
    return TimeoutPolicy(tuple(steps))


def _action(name: str) -> TimeoutAction:
    try:
        return TimeoutAction(name)
    except ValueError:
        raise ValueError(
            f"must be some of interrupt, retire and kill, as interrupt,retire=5,kill=30, got {name!r}"
        ) from None


def _usual(action: TimeoutAction, before: Sequence[tuple[TimeoutAction, float | None]]) -> float | None:
    if not before:
        return 0.0
    return None if action is TimeoutAction.KILL and before[-1][0] is TimeoutAction.RETIRE else _PAUSE


def _seconds(word: str, given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number < inf:
        raise ValueError(f"{word.strip()}: must be a number of seconds, 0 or more, behind the =")
    return number


class TimeLimits:
    """How many nanoseconds requests may take: `default`, or that of the first of `patterns` (of paths, with
    seconds) that is like its path. 0: for ever."""

    __slots__ = ("default", "patterns")

    def __init__(self, default: float, patterns: Sequence[tuple[str, float]] = ()) -> None:
        self.default = int(default * SECOND)
        self.patterns = [(pattern, int(seconds * SECOND)) for pattern, seconds in patterns]

    def of(self, target: bytes) -> int:
        for pattern, limit in self.patterns:
            if is_like(target, (pattern,)):
                return limit
        return self.default

    def __bool__(self) -> bool:
        """Whether any request has a limit."""
        return bool(self.default or any(limit for _, limit in self.patterns))
