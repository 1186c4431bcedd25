# Metrics of a worker with the native WSGI server.
#
# Rule: leader only, so that every word of the slot has one writer at a time.

from __future__ import annotations

from bigtop.backends.native.metrics import BUSY, INTERRUPTED, Metrics
from bigtop.backends.wsgi.call import Call
from bigtop.http.access_log.access_format import AccessRecord
from bigtop.ipc.histogram import QUICK
from bigtop.system.clock import monotonic_ns


class WsgiMetrics(Metrics):
    """Metrics of calls, which may be called several times: once more to close their response."""

    __slots__ = ()

    def called(self, call: Call) -> None:
        """The application is called next."""
        self.busy += 1
        if self._posted_busy < self.busy:  # otherwise the call before was of this turn, too
            self._words[BUSY] = self._posted_busy = self.busy
        if not call.called:
            call.called = now = monotonic_ns()
            waited = now - call.readable
            self.queue_ns += waited
            if waited > QUICK:
                self._slot.waited(waited)

    def returned(self, call: Call) -> int:
        """The application is done, its answer may still be on the way. Returns when that was."""
        self.busy -= 1
        now = monotonic_ns()
        if not call.settled:
            self.call_ns += now - call.called
            if call.interruption is not None and call.interruption.came:
                self._words[INTERRUPTED] += 1
        return now

    def held_up(self, call: Call, left: int) -> None:
        """Its client reads slowly, and `left` bytes are to be sent: see writing()."""
        self.writing(call.record)
        self.moved(call.record, call.stream.written - left)

    def answered(self, call: Call, now: int) -> None:
        """The answer is out, or the client is gone."""
        written = call.stream.written
        self.bytes_out += written
        if self.route_of is not None and call.environ is not None:
            self.count_route(call.record, call.environ, now - call.called, call.exchange.status)
        self.count(call.record, call.called, now, call.exchange.status, written)
        if self.access_log is not None:
            self.access_log.add(_access(call, now))
        finished = self.finished
        if finished is not None:
            finished()


def _access(call: Call, ended: int) -> AccessRecord:
    exchange = call.exchange
    return AccessRecord(
        request=call.request,
        status=exchange.status,
        headers=exchange.headers,
        sent=exchange.framing.sent if exchange.framing is not None else 0,
        address=_client(call),
        received=call.readable,
        called=call.called,
        ended=ended,
        environ=call.environ,
        session=call.stream.peer.session,
    )


def _client(call: Call) -> str:
    """Return the address of the client behind the proxies."""
    if call.environ is not None:
        return str(call.environ.get("REMOTE_ADDR", ""))
    return call.stream.peer.origin(call.request.headers).address
