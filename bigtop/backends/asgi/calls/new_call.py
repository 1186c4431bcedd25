# Start of a call: a head is here, and an application, a handler or a WebSocket is to answer.

from __future__ import annotations

from bigtop.backends.asgi.calls.call import Call
from bigtop.backends.asgi.calls.filtered_call import FilteredCall
from bigtop.backends.asgi.calls.stream import Stream, StreamOwner
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.native.handlers.postponed import postponed
from bigtop.http.handlers import Postponed, Reply
from bigtop.http.interfaces.scope import Peer
from bigtop.http.keep_alive import is_last
from bigtop.http.messages import Request
from bigtop.system.clock import monotonic_ns


def new_call(
    context: WorkerContext, owner: StreamOwner, stream: Stream, peer: Peer, request: Request
) -> Call | None:
    """Return the call that answers `request`; None where a WebSocket is to be opened."""
    chain = context.chain
    if context.metrics.arriving:
        context.metrics.arrived(owner)
    reply: Reply | None = None
    if chain.handlers is not None:
        reply = chain.handlers.handle(request, peer, monotonic_ns())
        if type(reply) is Postponed:
            reply = postponed(request, reply)
    if reply is None and chain.queue_limit is not None:
        reply = chain.queue_limit.refusal(stream.raw, 0)
    if request.upgrade is not None:
        if reply is None:
            return None
        request.keep_alive = False  # what comes now might be of the other protocol
    keeps = context.timers.keeps
    if (context.draining or not keeps) and is_last(keeps, context.draining, False):
        request.keep_alive = False
    if chain.filters is None:
        call = Call(context, owner, stream, peer, request)
    else:
        call = FilteredCall(context, owner, stream, peer, request, chain.filters)
    call.reply = reply
    return call
