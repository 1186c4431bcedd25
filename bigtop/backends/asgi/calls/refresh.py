# Refresh: an answer of an ASGI application is made anew for the cache, when its client has the old one.
#
# Rule: it runs in the task of the request that asked; but nobody waits for it, and what is wrong with it is
# in the log alone.

from __future__ import annotations

import asyncio

from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.metrics import MeteredCall
from bigtop.backends.failures import leave_fork
from bigtop.backends.native.cache.fill import FILLING, Fill
from bigtop.http.cache.kept import SECOND
from bigtop.http.interfaces.asgi import Message, as_bytes, status_line, text_fields
from bigtop.http.interfaces.scope import http_scope
from bigtop.http.messages import Request
from bigtop.http.response import Headers
from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")


class Collected:
    """An answer that goes nowhere; `largest` is how many bytes of a body are wanted at most."""

    def __init__(self, largest: int) -> None:
        self.status = ""
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.is_complete = False
        self._largest = largest
        self._size = 0
        self._has_asked = False
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        if self._has_asked:
            await self._over.wait()
            return {"type": "http.disconnect"}
        self._has_asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.status, self.headers = (
                status_line(message["status"]),
                text_fields(message.get("headers", ())),
            )
        elif kind == "http.response.body":
            piece = as_bytes(message.get("body", b""))
            self._size += len(piece)
            if self._size > self._largest:
                raise OSError("the answer is too long for the cache")
            self.pieces.append(piece)
            if not message.get("more_body"):
                self.is_complete = True
                self._over.set()
        elif kind in ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"):
            raise OSError("this answer is not for the cache")


async def refresh(context: WorkerContext, request: Request, call: MeteredCall) -> None:
    """Have the application make the answer to `request` anew, whose `call` has been answered."""
    fill, request.fill = request.fill, None
    scope = http_scope(request, call.shown, call.peer, context.state, call.request_id)
    assert isinstance(fill, Fill), "there is no other with an answer"
    answer = Collected(fill.largest)
    try:
        async with asyncio.timeout(FILLING / SECOND):
            await context.app(scope, answer.receive, answer.send)
    except BaseException as error:
        # As in a call: anything may be wrong inside an application.
        leave_fork(error)
        name = f"{request.method} {request.target.decode('latin-1')}"
        if isinstance(error, OSError):
            log.warning("%s: the answer in the cache is not made anew: %s", name, error)
        elif not answer.is_complete:
            log.error("%s: the answer in the cache cannot be made anew", name, exc_info=error)
    finally:
        if answer.is_complete:
            _take(fill, answer)
        fill()


def _take(fill: Fill, answer: Collected) -> None:
    body = b"".join(answer.pieces)
    lengths = [value for name, value in answer.headers if name.lower() == "content-length"]
    if lengths in ([], [str(len(body))]):
        fill.take(answer.status, answer.headers, body)
