# The application's call that lasts as long as a WebSocket does: scope, receive, send.
#
# Rule 1: the handshake is a request like others (scoreboard, access log); what follows is not one.
# Rule 2: whatever the application does ends here, except for SystemExit and its kind, which end the worker.

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from bigtop.backends.asgi.call import FAILED, is_news
from bigtop.backends.asgi.gone import ClientDisconnected
from bigtop.backends.asgi.ledger import Exchange
from bigtop.backends.asgi.mailbox import Mailbox
from bigtop.backends.asgi.site import Site
from bigtop.errors import ProtocolError
from bigtop.http.asgi import Message, text_fields
from bigtop.http.messages import Request
from bigtop.http.response import error_response
from bigtop.http.scope import Peer, websocket_scope
from bigtop.http.websocket import Handshake, negotiate, read_handshake, switching

if TYPE_CHECKING:
    from bigtop.backends.asgi.websocket import WebSocket

log = logging.getLogger("bigtop.app")

LEFT = 499  # nginx's status of a request whose client left before it was answered
INTERNAL_ERROR = 1011
DENIED = "The application does not take this WebSocket."


class Conversation(Exchange):
    """A request for a WebSocket, and all that follows from it."""

    __slots__ = ("_handshake", "_site", "_socket", "_wire", "mailbox")

    def __init__(self, site: Site, socket: WebSocket, peer: Peer, request: Request) -> None:
        super().__init__(request, peer, site.stamps)
        request.keep_alive = False  # if it is answered at all
        self._site = site
        self._socket = socket
        self._wire = socket.wire
        self._handshake = Handshake("", [], [])
        self.mailbox = Mailbox(site.loop, site.options.websocket.queue)

    def start(self) -> None:
        """Call the application, unless the client's request was not a proper one."""
        site = self._site
        site.ledger.called(self)
        try:
            self._handshake = read_handshake(self.request, site.options.websocket.origins)
        except ProtocolError as error:
            site.ledger.left()
            self._answer_for(error.status, str(error))
        else:
            site.run(self._run())

    async def _run(self) -> None:
        site = self._site
        scope = websocket_scope(self.request, self.peer, site.state, self._handshake.subprotocols)
        try:
            await site.app(scope, self.receive, self.send)
        except (Exception, asyncio.CancelledError) as error:
            # Anything may be wrong inside an application; it must cost this one client only.
            self._failed(error)
        else:
            if self._socket.is_asked and not self.mailbox.is_closed:
                self._failed(None)
            self._socket.close(1000, "")
        finally:
            site.ledger.left()

    # ---- what the application calls

    async def receive(self) -> Message:
        if not self.mailbox.has_words:
            self._socket.caught_up()
        message = await self.mailbox.take()
        self._socket.regulate()
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self.mailbox.is_closed:
            if kind == "websocket.send" or kind == "websocket.accept":
                raise ClientDisconnected("the WebSocket is closed")
        elif self._socket.is_asked:
            await self._decide(kind, message)
        elif kind == "websocket.send":
            text, data = message.get("text"), message.get("bytes")
            if text is None and data is None:
                raise RuntimeError("websocket.send has neither text nor bytes")
            self._socket.send(text if text is not None else bytes(data))  # type: ignore[arg-type]
            await self._wire.room()
        elif kind == "websocket.close":
            self._socket.close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"{kind!r} was sent on an open WebSocket")

    async def _decide(self, kind: str, message: Message) -> None:
        match kind:
            case "websocket.accept":
                self._accept(message)
            case "websocket.close":
                self._answer_for(403, DENIED)
            case "websocket.http.response.start":
                self.answer.start(message)
            case "websocket.http.response.body":
                self._put(self.answer.body(message))
                if self.answer.complete:
                    self._answered()
                    self._socket.end()
                else:
                    await self._wire.room()
            case _:
                raise RuntimeError(f"{kind!r} was sent before the WebSocket was accepted or denied")

    def _accept(self, message: Message) -> None:
        site, limits = self._site, self._site.options.websocket
        if self.answer.status:
            raise RuntimeError("websocket.accept was sent after an answer was begun")
        fields, _closes = text_fields(message.get("headers") or ())
        offers = self._handshake.extensions if limits.deflate else []
        deflate, extensions = negotiate(offers, limits.message)
        data = switching(self._handshake, message.get("subprotocol"), extensions, fields, site.stamps.now())
        self.answer.status = 101
        self.answer.headers = fields
        self._put(data)
        self._answered()
        self._socket.accepted(deflate)

    # ---- the handshake's answer

    def _put(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._wire.write(data)

    def _answered(self) -> None:
        self._site.ledger.answered(self)

    def _answer_for(self, status: int, text: str) -> None:
        self.answer.status = status
        self._put(error_response(status, text, self._site.stamps.now()))
        self._answered()
        self._socket.end()

    def lost(self) -> None:
        """The client has left before it was answered."""
        self.answer.status = LEFT
        self._answered()

    # ---- the end

    def _failed(self, error: BaseException | None) -> None:
        """End for an application that raised `error`, or returned (None) without a decision."""
        name = f"WebSocket {self.request.target.decode('latin-1')}"
        if error is None:
            log.error("%s: the application returned without accepting or denying it", name)
        elif self.mailbox.is_closed and is_news(error):
            log.debug("%s: the client has left", name)
        elif isinstance(error, asyncio.CancelledError):
            log.warning("%s was cancelled", name)
        else:
            log.error("%s failed", name, exc_info=error)
        if self.mailbox.is_closed:
            return
        if not self._socket.is_asked:
            self._socket.close(INTERNAL_ERROR, "")
        elif self.answer.framing is None:
            self._answer_for(500, FAILED)
        else:
            self._socket.cut()
