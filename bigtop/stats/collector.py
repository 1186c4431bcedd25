# Collector of figures: whoever looks, and however many, it is looked once.

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from bigtop.ipc.counters import ACCEPTED_AT, Count
from bigtop.stats.figures import AppFigures
from bigtop.stats.processes import sockdiag
from bigtop.stats.processes.process_looks import ProcessLooks, Told
from bigtop.stats.processes.samples import Figure
from bigtop.stats.roster import Group, Listener, Roster

SOCKETS = "sockets"


class Collector:
    """Looks when it is asked to. Times are seconds: `at` by the monotonic clock, `now` since the epoch."""

    def __init__(self, details_every: float) -> None:
        self.processes = ProcessLooks(details_every)
        self._reads: dict[int, int] = {}  # by inode of a socket: accepted until the last look
        self._counts: dict[str, tuple[float, AppFigures]] = {}  # by watcher: at the last look

    def forget(self) -> None:
        """Nobody looks any more: what comes next is compared with nothing."""
        self.processes.forget()
        self._reads, self._counts = {}, {}

    def sockets(self, roster: Roster, counts: Mapping[str, AppFigures]) -> Iterator[Told]:
        """Look at all sockets; yield the figures of each, and after them those of all."""
        queues = _queues() if roster.listeners else {}
        reads: dict[int, int] = {}
        total = 0
        for listener in roster.listeners:
            accepted = sum(_accepted(counts.get(name), number) for name, number in listener.served)
            fresh = max(0, accepted - self._reads.get(listener.inode, accepted))
            reads[listener.inode] = accepted
            total += fresh
            queue = queues.get(listener.inode)
            yield Told(
                SOCKETS,
                listener.fd,
                {
                    "fd": listener.fd,
                    "subtopic": listener.fd,
                    "reads": fresh,
                    "address": listener.address,
                    "accepted": accepted if listener.served else None,
                    **dict(zip(("bytes_in", "bytes_out"), _bytes(listener, roster, counts), strict=True)),
                    "waiting": None if queue is None else queue.waiting,
                    "backlog": None if queue is None else queue.limit,
                },
            )
        self._reads = reads
        if roster.listeners:
            addresses = [listener.address for listener in roster.listeners]
            yield Told(SOCKETS, None, {"addresses": addresses, "reads": total})

    def requests(
        self, roster: Roster, counts: Mapping[str, AppFigures], at: float, turns: Container[str]
    ) -> Iterator[Told]:
        """Yield what the workers of each watcher whose turn it is count of their requests."""
        before, self._counts = self._counts, {}
        for group in roster.groups:
            name = group.name
            if (now := counts.get(name)) is not None:
                if name in turns:
                    yield Told(name, None, _requests(group, now, before.get(name), at))
                self._counts[name] = (at, now) if name in turns else before.get(name, (at, now))


_OF_REQUESTS = {
    "requests": Count.REQUESTS,
    "errors": Count.STATUS_5XX,
    "accepted": Count.ACCEPTED,
    "bytes_in": Count.BYTES_IN,
    "bytes_out": Count.BYTES_OUT,
}
_SECONDS = {"call_seconds": Count.CALL_NS, "queue_seconds": Count.QUEUE_NS}


def _requests(group: Group, counts: AppFigures, before: tuple[float, AppFigures] | None, at: float) -> Figure:
    totals = counts.counters
    figure: Figure = {"workers": len(group.processes), "busy": counts.busy, "waiting": counts.waiting}
    figure |= {name: totals[word] for name, word in _OF_REQUESTS.items()}
    figure |= {name: totals[word] / 1e9 for name, word in _SECONDS.items()}
    rate = None
    if before is not None and at > before[0]:
        rate = round((totals[Count.REQUESTS] - before[1].counters[Count.REQUESTS]) / (at - before[0]), 1)
    figure["requests_per_second"] = rate
    return figure


def _accepted(counts: AppFigures | None, number: int) -> int:
    return 0 if counts is None else counts.counters[ACCEPTED_AT][number]


def _bytes(
    listener: Listener, roster: Roster, counts: Mapping[str, AppFigures]
) -> tuple[int | None, int | None]:
    """Return what came in and went out over a socket: that of applications which have no other one, as far as
    their servers count it."""
    names = [name for name, _number in listener.served]
    others = {name for one in roster.listeners if one is not listener for name, _number in one.served}
    sums: list[int | None] = []
    for count in (Count.BYTES_IN, Count.BYTES_OUT):
        each = [counts[name].counters[count] if name in counts else 0 for name in names]
        # Whoever answers requests and has received nothing does not count it.
        counted = all(
            number or name not in counts or not counts[name].counters[Count.REQUESTS]
            for name, number in zip(names, each, strict=True)
        )
        sums.append(sum(each) if names and counted and not others & set(names) else None)
    return sums[0], sums[1]


def _queues() -> Mapping[int, sockdiag.Queue]:
    try:
        return sockdiag.queues()
    except OSError:  # a sandbox without netlink
        return {}
