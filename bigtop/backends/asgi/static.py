# Files that the server sends by itself (--static), as an application in front of the application.
#
# So they go the way of all answers: scoreboard, access log, clocks, drain. A small file is answered within
# the first step of the call, which makes no task; a large one is sent by the kernel.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic_ns

from bigtop.backends.base import App
from bigtop.backends.files import Reply, StaticFiles
from bigtop.http.asgi import Message
from bigtop.http.messages import Request
from bigtop.http.scope import Scope
from bigtop.http.static import Mount

Send = Callable[[Message], Awaitable[None]]


class Static:
    """`app`, with the files below `mounts` before it."""

    def __init__(self, app: App, mounts: Sequence[Mount]) -> None:
        self._app = app
        self._files = StaticFiles(mounts)

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] != "http" or not self._files.covers(scope["raw_path"]):
            await self._app(scope, receive, send)
            return
        reply = self._files.reply(_request(scope), monotonic_ns())
        assert reply is not None, "covers() said so"
        await _send(reply, send)


def _request(scope: Scope) -> Request:
    request = Request(scope["method"], scope["raw_path"])
    request.headers = scope["headers"]
    return request


async def _send(reply: Reply, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.head.code, "headers": headers})
    parts = reply.parts or [b""]
    for number, part in enumerate(parts, 1):
        more = number < len(parts)
        if isinstance(part, bytes):
            await send({"type": "http.response.body", "body": part, "more_body": more})
        else:
            # The file stays open as long as `reply` is held.
            where = {"file": part.fd, "offset": part.offset, "count": part.count}
            await send({"type": "http.response.zerocopysend", **where, "more_body": more})
