# The admin listener: HTTP/1.1 for probes, scrapers and people with curl, over http/engine.py.
#
# Rules: GET and HEAD only, one request for each connection, which has little time and room for it. Who is
# not answered as he wishes is told why in one line. A connection that is closed has been read before, as far
# as the client was quick: else its end would be a reset, and the answer lost.

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Final

from bigtop.errors import ConfigError, ProtocolError
from bigtop.http.engine import Engine
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger
from bigtop.stats.admin.admin_pages import PATHS, Page, Pages
from bigtop.stats.admin.admission import Admission
from bigtop.stats.known import Known
from bigtop.stats.orders import Admin

logger = get_logger("bigtop")

_LIMITS: Final = Limits(request_line=2048, fields=64, field_size=8190, head=16384, body=16384)
_MOST: Final = 64  # connections at a time
_HEAD_SECONDS: Final = 10.0  # until a request is whole
_ANSWER_SECONDS: Final = 30.0  # until the answer is out
_LINGER_SECONDS: Final = 2.0  # until the client has closed its side
_REHEARSALS: Final = (1.0, 4.0, 15.0)  # seconds between them, after the start


async def serve(admin: Admin, known: Known) -> None:
    """Serve for ever."""
    pages = Pages(known)
    service = _Service(pages, admin.admission)
    loop = asyncio.get_running_loop()
    for descriptor in admin.sockets:
        listener = socket.socket(fileno=descriptor)
        # For a unix socket, too: that is the supervisor's, and its file is not to be removed here.
        await loop.create_server(lambda: _Connection(service), sock=listener)
    # What the first who asks for windows of time is told begins here.
    await known.learn()
    known.counts()
    for delay in _REHEARSALS:  # so that the first scrape takes no longer than others
        await asyncio.sleep(delay)
        await pages.of("/metrics", "")
    await loop.create_future()


class _Service:
    """What all connections share."""

    def __init__(self, pages: Pages, admission: Admission) -> None:
        self._pages = pages
        self._admission = admission
        self.open: set[_Connection] = set()

    async def answer(self, request: Request, peer: str) -> Page:
        """Return what a request is answered with."""
        path = request.target.partition(b"?")[0].decode("latin-1")
        if not self._admission.knows(peer):
            return Page(403, "this address is not on the list of those that are answered\n")
        fields = {name.lower(): value.decode("latin-1") for name, value in request.headers}
        if not self._admission.is_meant(host := fields.get(b"host", "")):
            return Page(421, f"{host} is no name of this machine that it knows (--admin-hosts)\n")
        if path not in PATHS:
            return Page(404, f"there are {', '.join(PATHS)}\n")
        if request.method not in ("GET", "HEAD"):
            return Page(405, "only GET and HEAD\n", fields=(("Allow", "GET, HEAD"),))
        try:
            lets_in = self._admission.lets_in(path, fields.get(b"authorization", ""))
        except ConfigError as error:
            logger.error("admin listener: %s", error)
            return Page(503, "the file of the token cannot be read\n")
        if not lets_in:
            wants = (("WWW-Authenticate", 'Bearer realm="bigtop"'),)
            return Page(401, "this needs the token: Authorization: Bearer TOKEN\n", fields=wants)
        return await self._pages.of(path, fields.get(b"accept", ""))


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._engine = Engine(_LIMITS)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._peer = ""
        self._is_over = False  # what is to be answered is known
        self._has_ended = False  # nothing more comes from the client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        others = len(self._service.open)
        self._service.open.add(self)
        if others >= 2 * _MOST:  # there are many already who are told that there are too many
            transport.abort()
        elif others >= _MOST:
            self._end(Page(503, "too many connections\n"))
        else:
            self._timer = self._loop.call_later(_HEAD_SECONDS, self._late)

    def connection_lost(self, _error: Exception | None) -> None:
        self._service.open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def eof_received(self) -> bool:
        """Say whether an answer is still to be sent."""
        self._has_ended = True
        return self._task is not None and not self._task.done()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        request = next((one for one in self._engine.feed(data) if isinstance(one, Request)), None)
        if request is not None:
            self._is_over = True
            self._wait(_ANSWER_SECONDS)
            self._task = asyncio.create_task(self._answer(request))
        elif self._engine.error is not None:
            self._refuse(self._engine.error)

    async def _answer(self, request: Request) -> None:
        try:
            page = await self._service.answer(request, self._peer)
        except Exception:  # whatever it is: the client is told, and the log has it
            logger.exception("admin listener: %s cannot be answered", request.target.decode("latin-1"))
            page = Page(500, "an error of Bigtop; its log has more\n")
        self._end(page, has_body=request.method != "HEAD")

    def _refuse(self, error: ProtocolError) -> None:
        self._end(Page(error.status, f"{error}\n", fields=tuple(error.fields)))

    def _late(self) -> None:
        self._end(Page(408, f"no request within {_HEAD_SECONDS:g} seconds\n"))

    def _end(self, page: Page, *, has_body: bool = True) -> None:
        self._is_over = True
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.write(_head(page) + (page.data if has_body else b""))
        if self._has_ended:
            self._transport.close()
        else:
            self._transport.write_eof()  # when that is out; then the client closes, or its time is over
        self._wait(_ANSWER_SECONDS if self._transport.get_write_buffer_size() else _LINGER_SECONDS)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._transport is not None
        self._timer = self._loop.call_later(seconds, self._transport.abort)


def _head(page: Page) -> bytes:
    fields = {
        "Content-Type": page.kind,
        "Content-Length": str(len(page.data)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **dict(page.fields),
    }
    lines = [f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")
