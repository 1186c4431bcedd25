# Metrics of a worker with somebody else's server: wsgi_meter.py and asgi_meter.py see its requests.
#
# Rule: a request may come from any thread. A lock sees to it that the words of the slot have one writer at a
# time; it is held for a few stores and never while anybody waits, so greenlets may share it too.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from bigtop.backends.base import Life
from bigtop.backends.native.access_log import access_log
from bigtop.backends.native.framework_routes import Reader, Told
from bigtop.backends.native.metrics import BUSY, Metrics
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.access_log.access_format import AccessRecord
from bigtop.http.messages import Request
from bigtop.system.clock import monotonic_ns


class MeteredRequest:
    """One request. Whoever makes it gives it to AdapterMetrics.end() exactly once."""

    __slots__ = ("began", "headers", "record", "sent", "status")

    def __init__(self) -> None:
        self.began = 0
        self.record = 0
        self.status = 500  # what servers answer when the application says nothing
        self.headers: Sequence[tuple[str, str]] = ()
        self.sent = 0


class AdapterMetrics(Metrics):
    """Metrics of requests in any thread."""

    __slots__ = ("_lock",)

    def __init__(self, life: Life, options: ServeOptions, route_of: Reader | None) -> None:
        super().__init__(life, access_log(options, life), route_of)
        self._lock = Lock()

    def begin(self, metered: MeteredRequest, method: str, client: str, path: bytes) -> None:
        metered.began = now = monotonic_ns()
        with self._lock:
            self.busy += 1
            self._words[BUSY] = self._posted_busy = self.busy
        metered.record = self._slot.begin(now, method.encode(), client.encode(), path)

    def end(self, metered: MeteredRequest, told: Told) -> int:
        """The answer is out, or given up; returns when that was. `told` is what the application was called
        with."""
        now = monotonic_ns()
        with self._lock:
            if self.route_of is not None:
                self.count_route(metered.record, told, now - metered.began, metered.status)
            self.busy -= 1
            self.bytes_out += metered.sent
            self.count(metered.record, metered.began, now, metered.status, metered.sent)
            self.post()
        finished = self.finished
        if finished is not None:
            finished()
        return now


def access(
    metered: MeteredRequest, request: Request, client: str, ended: int, environ: Mapping[str, Any]
) -> AccessRecord:
    """Return what is known of a request. When its first byte came, only the server knows."""
    return AccessRecord(
        request=request,
        status=metered.status,
        headers=list(metered.headers),
        sent=metered.sent,
        address=client,
        received=metered.began,
        called=metered.began,
        ended=ended,
        environ=environ,
    )
