# Scaling of a watcher: how many processes it should have, between two numbers, by what they have done.
#
# Rule 1: pure. Once a second somebody tells what was seen (Sample); decide() answers with a number and its
# reason, or with nothing. Time is in the samples.
# Rule 2: more processes come quickly, since requests wait; fewer come slowly, and only where one process less
# would still be bored. Both bounds leave room between them: what was just added is never taken away for that.
# Where a command says how many are wanted, it knows better: obey() does so at once, within the bounds.
# Rule 3: what cannot help is not done. Where there is no memory for one more, or where more processes did not
# answer more, the number stays, and the reason is told.

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import ceil
from typing import Final, NamedTuple

from bigtop.record import Record, replace

_BUSY: Final = 0.8  # of its time: a process that is more is taken for saturated
_BORED: Final = 0.5  # what the others may be busy for, after one has gone
_WAIT: Final = 0.05  # seconds that requests wait for the application, on average
_GROW_AFTER: Final = 3.0  # seconds of saturation
_SETTLE: Final = 5.0  # seconds after a change in which its effect is not known yet
_SHRINK_AFTER: Final = 60.0  # seconds of boredom
_SHRINK_PACE: Final = 10.0  # seconds between two that go
_STEP: Final = 0.5  # of what there is, at least one
_HELPS: Final = 0.3  # of the share by which they work more, they have to answer more; or it did not help
_GIVE_UP: Final = 300.0  # seconds until that is tried again
_TOLD: Final = 20  # decisions that are remembered


class Bounds(NamedTuple):
    """The least and the most processes that there may be."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}..{self.most}" if self.least < self.most else str(self.least)

    @property
    def if_any(self) -> Bounds | None:
        """These, None where they leave no choice."""
        return self if self.least < self.most else None

    def nearest(self, count: int) -> int:
        return min(max(count, self.least), self.most)


class ScaleCommand(NamedTuple):
    """A command for a shell that prints how many processes are wanted, each `interval` seconds."""

    command: str
    interval: float = 10.0

    def number(self, printed: str) -> int:
        """Return the number that it printed last. ValueError: it is none, and the text says so."""
        lines = printed.split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if not (last.isascii() and last.isdigit() and len(last) < 10):
            raise ValueError(f"{self.command}: {last[:60]!r} is no number of processes")
        return int(last)


class Work(NamedTuple):
    """What one process did since its start. `calls` are seconds inside the application, all calls together,
    of which it can have `slots` at once; 0: that says nothing of how busy it is. The rest is CPU seconds,
    seconds that requests waited, all together, and how many there were."""

    cpu: float
    calls: float = 0.0
    slots: int = 0
    waited: float = 0.0
    requests: int = 0


class Sample(Record):
    """What was seen of the ready processes of a watcher, of the time since the sample before."""

    at: float  # seconds, of any clock that never goes back
    processes: int
    busy: float  # share of that time, on average of all processes
    wait: float = 0.0  # seconds that requests waited, on average
    done: float = 0.0  # requests per second, of all together; 0 where nobody counts
    room: int | None = None  # bytes of memory that are left; None: nobody knows
    size: int = 0  # bytes that one more process takes

    @property
    def is_saturated(self) -> bool:
        return self.busy >= _BUSY or self.wait >= _WAIT

    def with_memory(self, room: int | None, size: int) -> Sample:
        return replace(self, room=room, size=size)

    @classmethod
    def between(
        cls, at: float, seconds: float, before: Mapping[int, Work], after: Mapping[int, Work]
    ) -> Sample | None:
        """Return what was seen in the last `seconds`, by process; None where nobody was there throughout."""
        stayed = before.keys() & after.keys()
        if not stayed or seconds <= 0:
            return None
        busy = waited = 0.0
        requests = 0
        for key in stayed:
            old, new = before[key], after[key]
            share = (new.cpu - old.cpu) / seconds
            if new.slots:
                share = max(share, (new.calls - old.calls) / seconds / new.slots)
            busy += min(max(share, 0.0), 1.0)
            waited += max(new.waited - old.waited, 0.0)
            requests += max(new.requests - old.requests, 0)
        wait = waited / requests if requests else 0.0
        return cls(at, len(after), busy / len(stayed), wait, requests / seconds)


class Decision(NamedTuple):
    """So many processes are `wanted` from now on; `at` is the time of the sample that led to it."""

    at: float
    wanted: int
    reason: str


class Scaled(Record):
    """There are to be `count` processes instead of `before`: the load asks for that, within bounds."""

    before: int
    count: int
    reason: str


class Explanation(Record):
    """What there is to say of a watcher's number: `held`, why it has not more although it should; the last
    decisions, oldest first, with their age in seconds."""

    bounds: Bounds
    held: str
    decisions: tuple[tuple[float, Decision], ...]


class _Attempt(NamedTuple):
    """More processes than `before`, which were busy `load` times and answered `done` requests per second."""

    before: int
    load: float
    done: float


class Scaler:
    """Decides for one watcher. Attributes are to be read only."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.told: deque[Decision] = deque(maxlen=_TOLD)
        self.held = ""  # why there are not more, although there should be
        self._samples: deque[Sample] = deque()  # of the last _SHRINK_AFTER seconds
        self._saturated_since: float | None = None
        self._changed_at: float | None = None
        self._attempt: _Attempt | None = None
        self._useless_until = 0.0

    def forget(self) -> None:
        """What comes is not to be compared with what was: processes are replaced, or somebody else has
        changed their number."""
        self._samples.clear()
        self._saturated_since = self._attempt = None

    def decide(self, sample: Sample, wanted: int) -> Decision | None:
        """Take a sample in; return what to do, where `wanted` is the present number."""
        at = sample.at
        if not self.bounds.least <= wanted <= self.bounds.most:
            return self._decided(at, self.bounds.nearest(wanted), f"not within {self.bounds}")
        if sample.processes != wanted:  # on their way, or on their way out
            self._saturated_since = None
            return None
        self._samples.append(sample)
        while self._samples[0].at < at - _SHRINK_AFTER:
            self._samples.popleft()
        if self._changed_at is None:
            self._changed_at = at
        if not sample.is_saturated:
            self._saturated_since = None
            self.held = ""
        elif self._saturated_since is None:
            self._saturated_since = at
        if at - self._changed_at < _SETTLE:
            return None
        return self._judge(sample) or self._grow(sample) or self._shrink(sample)

    def obey(self, at: float, count: int, wanted: int, room: int | None, size: int) -> Decision | None:
        """Have `count` processes, where `wanted` is the present number, as far as bounds and memory go.
        `room` and `size` are those of a sample."""
        nearest, self.held = self.bounds.nearest(count), ""
        if count > nearest:
            self.held = f"{count} are asked for, and {nearest} is the most that there may be"
        if nearest > wanted and room is not None and size:
            able = max(0, room) // size
            if nearest - wanted > able:
                nearest, self.held = wanted + able, _no_room(room, size)
        if nearest == wanted:
            return None
        return self._decided(at, nearest, f"the command asks for {count}")

    def _judge(self, sample: Sample) -> Decision | None:
        """Look whether it helped to have more."""
        attempt, self._attempt = self._attempt, None
        if attempt is None or not sample.is_saturated or not attempt.done or not attempt.load:
            return None
        done = self._rate(sample.at)
        more = self._load(sample.at) / attempt.load - 1
        if done >= attempt.done * (1 + _HELPS * max(more, 0.0)):
            return None
        self._useless_until = sample.at + _GIVE_UP
        self.held = f"more than {attempt.before} did not answer more: something else is at its limit"
        reason = (
            f"{sample.processes} answered {done:.0f} requests per second, {attempt.before} {attempt.done:.0f}"
        )
        return self._decided(sample.at, attempt.before, reason)

    def _grow(self, sample: Sample) -> Decision | None:
        since, count = self._saturated_since, sample.processes
        if since is None or sample.at - since < _GROW_AFTER or count >= self.bounds.most:
            if since is not None and count >= self.bounds.most:
                self.held = f"{count} is the most that there may be"
            return None
        if sample.at < self._useless_until:
            return None
        more = min(max(1, ceil(count * _STEP)), self.bounds.most - count)
        if sample.room is not None and sample.size:
            more = min(more, sample.room // sample.size)
        if more < 1:
            self.held = _no_room(sample.room or 0, sample.size)
            return None
        self._attempt = _Attempt(count, self._load(sample.at), self._rate(sample.at))
        return self._decided(sample.at, count + more, _seen(sample))

    def _shrink(self, sample: Sample) -> Decision | None:
        count, first = sample.processes, self._samples[0]
        since = self._changed_at or 0.0
        lasts = sample.at - first.at >= _SHRINK_AFTER - 1.5 and sample.at - since >= _SHRINK_PACE
        if count <= self.bounds.least or not lasts or any(one.wait >= _WAIT for one in self._samples):
            return None
        load = max(one.busy * one.processes for one in self._samples)
        if load > _BORED * (count - 1):
            return None
        reason = f"never busier than {load / count:.0%} for {sample.at - first.at:.0f} s"
        return self._decided(sample.at, count - 1, reason)

    def _rate(self, at: float) -> float:
        """Return the requests per second of the last seconds."""
        recent = [one.done for one in self._samples if one.at > at - _GROW_AFTER]
        return sum(recent) / len(recent) if recent else 0.0

    def _load(self, at: float) -> float:
        """Return how many processes' worth of time was busy in the last seconds."""
        recent = [one.busy * one.processes for one in self._samples if one.at > at - _GROW_AFTER]
        return sum(recent) / len(recent) if recent else 0.0

    def _decided(self, at: float, count: int, reason: str) -> Decision:
        decision = Decision(at, count, reason)
        self.told.append(decision)
        self._changed_at = at
        self._saturated_since = None
        return decision


def _no_room(room: int, size: int) -> str:
    return f"one more takes {size / 1e6:.0f} MB, and {max(0, room) / 1e6:.0f} MB are left"


def _seen(sample: Sample) -> str:
    waited = f", requests waited {sample.wait * 1000:.0f} ms" if sample.wait >= _WAIT else ""
    return f"busy for {sample.busy:.0%} of the time{waited}"
