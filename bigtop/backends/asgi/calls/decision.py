# Decision of a handler that takes long, in an event loop: in a thread, or by asking again and again.

from __future__ import annotations

import asyncio

from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.metrics import MeteredCall
from bigtop.backends.native.handlers.postponed import SHORTEST_PAUSE, Turns, decided, longer
from bigtop.http.handlers import Reply
from bigtop.http.messages import Request


async def decision(request: Request, loop: asyncio.AbstractEventLoop) -> Reply | None:
    """Return the answer to a request that was postponed, as it was found by waiting; None for the
    application's."""
    decide, request.decide = request.decide, None
    assert decide is not None, "it was postponed"
    if not isinstance(decide, Turns):
        return await loop.run_in_executor(None, decided, decide)
    seconds = SHORTEST_PAUSE
    reply = decided(decide.ask)
    while decide.is_waiting:
        await asyncio.sleep(seconds)
        seconds = longer(seconds)
        reply = decided(decide.ask)
    return reply


async def refreshed(context: WorkerContext, request: Request, call: MeteredCall) -> None:
    """Make the answer anew that was given from a cache."""
    from bigtop.backends.asgi.calls.refresh import refresh  # for those who have one

    await refresh(context, request, call)
