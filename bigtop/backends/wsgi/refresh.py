# Refresh: an answer of a WSGI application is made anew for the cache, when its client has the old one.
#
# Rule: it is a call as any other, in the slot and under the time limit of the request that asked; but nobody
# waits for it, and what is wrong with it is in the log alone.

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from bigtop.backends.failures import leave_fork
from bigtop.backends.native.cache.fill import Fill
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.errors import error_of
from bigtop.http.interfaces.wsgi import Peer, environ
from bigtop.http.messages import Request
from bigtop.http.response import Head, Headers
from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")


class Collected:
    """An answer that goes nowhere."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.headers: Headers = []
        self.pieces: list[bytes] = []

    def start_response(
        self, status: object, headers: Iterable[Any], exc_info: object = None
    ) -> Callable[[bytes], None]:
        if exc_info and self.pieces and (error := error_of(exc_info)) is not None:
            raise error
        self.headers = [(name, value) for name, value in headers]
        self.head = Head(status, self.headers)
        return self.pieces.append


def refresh(request: Request, peer: Peer, context: WorkerContext) -> None:
    """Have the application make the answer to `request` anew."""
    fill, request.fill = request.fill, None
    assert isinstance(fill, Fill), "there is no other with an answer"
    response: Any = None
    answer = Collected()
    try:
        env = environ(request, peer, BytesIO(), 0, context.ids)
        env["wsgi.early_hints"] = _no_hints
        response = context.app(env, answer.start_response)
        size, largest = 0, fill.largest
        for piece in response:
            answer.pieces.append(piece)
            size += len(piece)
            if size > largest:
                break
        head = answer.head
        body = b"".join(answer.pieces)
        if head is not None and size <= largest and head.length in (None, len(body)):
            fill.take(head.status, answer.headers, body)
    except BaseException as error:
        # As in a call: anything may be wrong inside an application.
        leave_fork(error)
        log.exception("%s: the answer in the cache cannot be made anew", _name(request))
    finally:
        _close(response, request)
        fill()


def _no_hints(headers: object) -> None:
    """Nobody is there to be hinted."""


def _close(response: Any, request: Request) -> None:
    try:
        close = getattr(response, "close", None)
        if close is not None:
            close()
    except BaseException as error:
        # As above.
        leave_fork(error)
        log.exception("%s: close() failed", _name(request))


def _name(request: Request) -> str:
    return f"{request.method} {request.target.decode('latin-1')}"
