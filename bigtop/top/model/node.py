# State of one supervisor, as far as it is known: last replies and figures, events, and how the rate has been.
#
# Rules: pure; time is an argument, in seconds of a clock that never goes back. What another program says may
# lack anything: a figure that is not there is None, and is shown as such.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bigtop.control.events import topic_word
from bigtop.record import Record

Said = Mapping[str, Any]

OWN: Final = "circus"  # what Circus calls Bigtop's own processes in topics
_SOCKETS: Final = "sockets"
_KEPT: Final = 200  # events
_TREND: Final = 60  # looks
_UNITS: Final = {"B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4, "P": 1024**5, "E": 1024**6}
# Endings that nobody asked for.
_UNWANTED: Final = ("exit", "error", "signal", "hung")


class Happening(Record):
    """An event; `time` is in seconds since the epoch, as the supervisor has it."""

    time: float
    watcher: str
    name: str
    about: str


class Node:
    """Of the supervisor that is called `name` here."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trouble = ""  # why nothing is known, or what is known is old
        self.source = ""  # where the figures come from, in words
        self.is_poor = False  # figures are those of the control channel, which has few
        self.heard_at: float | None = None  # when it answered last
        self.measured_at: float | None = None  # when the last figure came
        self.overview: Said = {}
        self._requests: dict[tuple[str, int], list[Said]] = {}  # by watcher and pid
        self.processes: dict[int, Said] = {}  # by pid
        self.watchers: dict[str, Said] = {}  # by the word in topics
        self.counts: dict[str, Said] = {}  # of requests, by the word in topics
        self.sockets: dict[int, Said] = {}  # by descriptor
        self.events: deque[Happening] = deque(maxlen=_KEPT)
        self.trends: dict[str, deque[float]] = {}  # of requests per second, by the word; "" for all of them

    # ---- what is told

    def hear(self, overview: Said, requests: Sequence[Said], at: float) -> None:
        """Take in what the supervisor answered; forget figures of what is not there any more."""
        self.overview, self.heard_at, self.trouble = overview, at, ""
        self._requests = {}
        for request in requests:
            self._requests.setdefault((request["watcher"], request["pid"]), []).append(request)
        pids = {one["pid"] for one in overview.get("own", ())}
        words = {OWN}
        for watcher in overview.get("watchers", ()):
            words.add(topic_word(watcher["name"]))
            pids.update(process["pid"] for process in watcher["processes"])
        self.processes = {pid: figure for pid, figure in self.processes.items() if pid in pids}
        self.watchers = {word: figure for word, figure in self.watchers.items() if word in words}
        self.counts = {word: figure for word, figure in self.counts.items() if word in words}
        self.trends = {word: trend for word, trend in self.trends.items() if word in words or not word}
        sockets = {one["fd"] for one in overview.get("sockets", ())}
        self.sockets = {fd: figure for fd, figure in self.sockets.items() if fd in sockets}

    def lose(self, reason: str) -> None:
        """It does not answer, or not as it should."""
        self.trouble = reason

    def begin(self, source: str, *, is_poor: bool = False) -> None:
        """Figures come from another place from now on."""
        self.source, self.is_poor, self.measured_at = source, is_poor, None
        for figures in (self.processes, self.watchers, self.counts, self.sockets):
            figures.clear()

    def measure(self, topic: str, figure: Said, at: float) -> None:
        """Take in a message of a stats process."""
        self.measured_at = at
        kind, _, rest = topic.partition(".")
        word, _, part = rest.partition(".")
        if kind == "http":
            self.counts[word] = figure
            self._remember(word, figure.get("requests_per_second"))
        elif kind == "stat" and word == _SOCKETS:
            if part.isdecimal():
                self.sockets[int(part)] = figure
        elif kind == "stat" and part.isdecimal():
            self.processes[int(part)] = figure
        elif kind == "stat" and not part:
            self.watchers[word] = figure

    def measure_all(self, infos: Mapping[str, Mapping[str, Any]], at: float) -> None:
        """Take in the reply to the command `stats`, which says less."""
        self.measured_at = at
        for processes in infos.values():
            for pid, figure in processes.items():
                if isinstance(figure, Mapping):  # or a word that it is gone
                    self.processes[int(pid)] = {**figure, "rss": size_of(figure.get("mem_info1"))}

    def happen(self, watcher: str, name: str, payload: Said) -> None:
        about = " ".join(
            f"{key}={value}"
            for key, value in payload.items()
            if key != "time" and value not in (None, "", [], False)
        )
        self.events.append(Happening(float(payload.get("time", 0)), watcher, name, about))

    def _remember(self, word: str, rate: object) -> None:
        if not isinstance(rate, int | float):
            return
        self.trends.setdefault(word, deque(maxlen=_TREND)).append(float(rate))
        # With the last of the applications a look is whole.
        if word == self._last_app:
            rates = [trend[-1] for one, trend in self.trends.items() if one and trend]
            self.trends.setdefault("", deque(maxlen=_TREND)).append(sum(rates))

    @property
    def _last_app(self) -> str:
        words = [topic_word(one["name"]) for one in self.overview.get("watchers", ()) if one["kind"] == "app"]
        return words[-1] if words else ""

    # ---- what is known

    def is_complete(self) -> bool:
        """Say whether there is a figure for all that there should be one for."""
        if self.heard_at is None or not self.source:
            return False
        return all(self._has_figures(watcher) for watcher in self.overview["watchers"])

    def _has_figures(self, watcher: Said) -> bool:
        running = [one["pid"] for one in watcher["processes"] if one["state"] == "ready"]
        if not all(pid in self.processes for pid in running):
            return False
        if watcher["kind"] != "app" or self.is_poor:
            return True
        counts = self.counts.get(topic_word(watcher["name"]), {})
        return counts.get("requests_per_second") is not None

    def requests_of(self, watcher: str, pid: int) -> Sequence[Said]:
        """Return those that a process answers, the oldest first."""
        return self._requests.get((watcher, pid), ())

    def silence(self, now: float) -> float:
        """Return for how many seconds it has not answered; 0 before its first answer."""
        return 0.0 if self.heard_at is None else max(0.0, now - self.heard_at)

    def staleness(self, now: float) -> float:
        """Return for how many seconds no figure came; 0 before the first."""
        return 0.0 if self.measured_at is None else max(0.0, now - self.measured_at)


def restarts(watcher: Said) -> int:
    """Return how many processes of a watcher ended without being asked to."""
    return sum(count for reason, count in watcher["exits"].items() if reason in _UNWANTED)


def size_of(text: object) -> int | None:
    """Return the bytes that Circus writes as "17.35M"; None where it is no such text."""
    if not isinstance(text, str) or text[-1:] not in _UNITS:
        return None
    try:
        return int(float(text[:-1]) * _UNITS[text[-1]])
    except ValueError:
        return None


def p99(counts: Said) -> float | None:
    """Return seconds, of the last ten seconds; None where nothing was answered, or that is not published."""
    latency = (counts.get("windows") or {}).get("10", {}).get("latency") or {}
    found = latency.get("p99")
    return float(found) if isinstance(found, int | float) else None


def total(values: Iterator[float | None]) -> float | None:
    """Return the sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
