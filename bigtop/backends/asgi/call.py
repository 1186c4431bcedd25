# One request in the application: scope, receive, send, and what is left to do when the call returns.
#
# Rule 1: the answer and the call end apart. Once the answer is out the connection goes on with the next
# request, although the call may have background work to do.
# Rule 2: whatever the application does ends here, except for SystemExit and its kind, which end the worker.
# Rule 3: a client that has left costs an application nothing but the news: receive() tells it, sends are
# ignored, and only a send in the middle of a stream raises (spec 2.4), for a stream has to end somehow.

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from bigtop.backends.asgi.gone import ClientDisconnected
from bigtop.backends.asgi.inbox import Inbox
from bigtop.backends.asgi.ledger import Exchange
from bigtop.backends.asgi.site import Site
from bigtop.backends.outbox import LARGE, FilePart
from bigtop.http.asgi import Message
from bigtop.http.messages import Request
from bigtop.http.response import CONTINUE, error_response
from bigtop.http.scope import Peer, http_scope

if TYPE_CHECKING:
    from bigtop.backends.asgi.connection import Connection

log = logging.getLogger("bigtop.app")

FAILED = "The application failed to answer this request."


class Call(Exchange):
    """A request that is answered by ASGI's HTTP messages."""

    __slots__ = ("_connection", "_invites", "_lasts", "_site", "gone", "inbox")

    def __init__(self, site: Site, connection: Connection, peer: Peer, request: Request) -> None:
        super().__init__(request, peer, site.stamps)
        self._site = site
        self._connection = connection
        self._invites = request.expects_continue
        self._lasts = False  # longer than the turn in which it was called
        self.inbox = None if request.ended else Inbox(site.loop, ended=False)
        self.gone = False  # nobody can be answered any more

    def start(self) -> None:
        """Call the application; it may be done when this returns."""
        self._site.ledger.called(self)
        self._connection.wire.turn.need()
        self._site.run(self._run())
        self._lasts = True

    async def _run(self) -> None:
        site = self._site
        try:
            scope = http_scope(self.request, self.peer, site.state)
            await site.app(scope, self.receive, self.send)
        except (Exception, asyncio.CancelledError) as error:
            # Anything may be wrong inside an application; it must cost this one request only.
            self._failed(error)
        else:
            if not self.answer.complete and not self.gone:
                self._failed(None)
        finally:
            site.ledger.left(at_once=not self._lasts)

    # ---- what the application calls

    async def receive(self) -> Message:
        inbox = self.inbox
        if inbox is None:
            inbox = self.inbox = Inbox(self._site.loop, ended=True)
            inbox.gone = self.gone or self.answer.complete or self._connection.wire.at_end
        while (message := inbox.take()) is None:
            if self._invites and not inbox.ended and self.answer.framing is None:
                self._connection.wire.write(CONTINUE)
            self._invites = False
            await inbox.wait()
        if not inbox.ended:
            self._connection.wire.resume()
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self.gone:
            if message.get("more_body"):
                raise ClientDisconnected("the client has left")
        elif kind == "http.response.body":
            answer, wire, inbox = self.answer, self._connection.wire, self.inbox
            if inbox is not None and not inbox.ended and not message.get("more_body"):
                # The answer is here before the body is: the rest of that would be read for nothing.
                self.request.keep_alive = False  # unless the head is out
            piece = message.get("body")
            if type(piece) is bytes and len(piece) >= LARGE:
                self._put_large(message, piece)
            else:
                data = answer.body(message)
                self.bytes_out += len(data)
                wire.write(data)
            if answer.complete:
                self._complete()
            elif wire.waiting:
                self._connection.sending()
                await wire.room()
        elif kind == "http.response.start":
            self.answer.start(message)
        else:
            await self._send_extension(kind, message)

    async def _send_extension(self, kind: str, message: Message) -> None:
        match kind:
            case "http.response.early_hint":
                self._connection.wire.write(self.answer.early_hint(message))
            case "http.response.trailers":
                if data := self.answer.trailers(message):
                    self._put(data)
            case "http.response.pathsend":
                await self._send_path(message)
            case "http.response.zerocopysend":
                await self._send_open_file(message)
            case "http.response.debug":
                pass
            case _:
                raise RuntimeError(f"there is no message {kind!r} in an HTTP answer")

    async def _send_path(self, message: Message) -> None:
        fd = os.open(message["path"], os.O_RDONLY | os.O_CLOEXEC)
        try:
            await self._send_file(message, FilePart(fd, 0, os.fstat(fd).st_size), more=False)
        finally:
            os.close(fd)

    async def _send_open_file(self, message: Message) -> None:
        file: Any = message["file"]
        fd: int = file if isinstance(file, int) else file.fileno()
        offset, count = message.get("offset"), message.get("count")
        start = os.lseek(fd, 0, os.SEEK_CUR) if offset is None else offset
        left = max(0, os.fstat(fd).st_size - start)
        part = FilePart(fd, start, left if count is None else min(count, left))
        end = start + part.count
        await self._send_file(message, part, more=message.get("more_body", False))
        if offset is None:
            os.lseek(fd, end, os.SEEK_SET)

    async def _send_file(self, message: Message, part: FilePart, *, more: bool) -> None:
        """Have the kernel send `part`; return when it has, since the file is closed after that."""
        before, part.count = self.answer.file(message, part.count, more)
        after = self.answer.after_file(message, part.count, more)
        wire = self._connection.wire
        if part.count:
            self.bytes_out += len(before) + part.count + len(after)
            wire.write_between(before, part, after)
            if self.answer.complete:
                self._complete()
        else:
            self._put(before + after)
        if wire.waiting:
            self._connection.sending()
            await wire.flushed()

    def _put_large(self, message: Message, piece: bytes) -> None:
        before, piece, after = self.answer.large_body(message, piece)
        self.bytes_out += len(before) + len(piece) + len(after)
        self._connection.wire.write_between(before, piece, after)

    def _put(self, data: bytes) -> None:
        if data:
            self.bytes_out += len(data)
            self._connection.wire.write(data)
        if self.answer.complete:
            self._complete()

    def _complete(self) -> None:
        framing = self.answer.framing
        assert framing is not None, "an answer that is complete has begun"
        if framing.fault:
            log.warning("%s: %s", self._name(), framing.fault)
        if self.inbox is not None:
            self.inbox.drop()
            self.inbox.leave()
        self._connection.answered(self)

    # ---- what the connection tells

    def leave(self) -> None:
        """The client has left."""
        self.gone = True
        if self.inbox is not None:
            self.inbox.leave()

    def answer_for(self, status: int, text: str) -> None:
        """Answer in the application's place; the connection ends with that."""
        data = error_response(status, text, self._site.stamps.now(), head_only=self.request.method == "HEAD")
        self.answer.status = status
        self.bytes_out += len(data)
        self._connection.wire.write(data)
        self._connection.give_up(self)

    # ---- the end

    def _failed(self, error: BaseException | None) -> None:
        """Answer for an application that raised `error`, or returned (None) too early."""
        if self.gone and (error is None or is_news(error)):
            log.debug("%s: the client has left", self._name())
        elif error is None:
            log.error("%s: the application returned before its answer was complete", self._name())
        elif isinstance(error, asyncio.CancelledError):
            log.warning("%s was cancelled", self._name())
        else:
            log.error("%s failed", self._name(), exc_info=error)
        if self.gone or self.answer.complete:
            return
        if self.answer.framing is not None:
            self._connection.give_up(self)
        else:
            self.answer_for(500, FAILED)

    def _name(self) -> str:
        return f"{self.request.method} {self.request.target.decode('latin-1')}"


def is_news(error: BaseException) -> bool:
    """Whether an application ended because it was told that the client has left; frameworks wrap that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ClientDisconnected, asyncio.CancelledError)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
