# The application's call that lasts as long as a WebSocket does: scope, receive, send.
#
# Rule 1: the handshake is a request like others (scoreboard, access log); what follows is not one.
# Rule 2: whatever the application does ends here, also SystemExit and its kind: they cost this one client.

from __future__ import annotations

import asyncio

from bigtop.backends.asgi.calls.call import FAILED, is_news
from bigtop.backends.asgi.calls.disconnect import ClientDisconnected, release
from bigtop.backends.asgi.connections.client_connection import ClientConnection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.metrics import INSIDE, OUTSIDE, MeteredCall
from bigtop.backends.asgi.websockets.websocket import WebSocket
from bigtop.backends.failures import leave_fork
from bigtop.backends.native.handlers.hopbyhop import tell
from bigtop.errors import ProtocolError
from bigtop.http.close_codes import INTERNAL_ERROR
from bigtop.http.interfaces.asgi import Message, no_message, text_fields
from bigtop.http.interfaces.scope import Peer, websocket_scope
from bigtop.http.messages import Request
from bigtop.http.websocket import Handshake, negotiate, read_handshake, switching
from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")

LEFT = 499  # nginx's status of a request whose client left before it was answered
DENIED = "The application does not take this WebSocket."


def begin(
    context: WorkerContext, client: ClientConnection, peer: Peer, request: Request, rest: bytes
) -> None:
    """Go over from HTTP, which `client` has spoken so far, to a WebSocket. `rest` came behind the request."""
    socket = WebSocket(context, client.transport)
    call = WebSocketCall(context, socket, peer, request)
    context.replace(client, socket)
    socket.open(rest, call.lost)
    call.start()


class WebSocketCall(MeteredCall):
    """A request for a WebSocket, and all that follows from it."""

    __slots__ = ("_context", "_handshake", "_socket", "_transport", "messages")

    def __init__(self, context: WorkerContext, socket: WebSocket, peer: Peer, request: Request) -> None:
        super().__init__(request, peer, context.stamps)
        request.keep_alive = False  # if it is answered at all
        self._context = context
        self._socket = socket
        self._transport = socket.transport
        self._handshake = Handshake("", [], [])
        self.messages = socket.messages

    def start(self) -> None:
        """Call the application, unless the client's request was not a proper one."""
        context = self._context
        context.metrics.called(self)
        try:
            self._handshake = read_handshake(self.request, context.options.websocket.origins)
        except ProtocolError as error:
            context.metrics.returned()
            self._refuse(error)
        else:
            context.tasks.run(self._run(), self)

    async def _run(self) -> None:
        context = self._context
        asked = self._handshake.subprotocols
        scope = websocket_scope(self.request, self.shown, self.peer, context.state, self.request_id, asked)
        try:
            self.stage = INSIDE
            await context.app(scope, self.receive, self.send)
            self.stage = OUTSIDE
        except BaseException as error:
            # Anything may be wrong inside an application; it must cost this one client only.
            if self.stage == INSIDE:
                self.stage = OUTSIDE
            leave_fork(error)
            self._failed(error)
        else:
            if self._socket.is_asked and not self.messages.is_closed:
                self._failed(None)
            self._socket.close(1000, "")
        finally:
            context.metrics.returned()

    # ---- what the application calls

    async def receive(self) -> Message:
        if not self.messages.has_words:
            self._socket.caught_up()
        message = await self.messages.take()
        self._socket.regulate()
        return message

    async def send(self, message: Message) -> None:
        try:
            kind = message["type"]
        except (TypeError, KeyError, IndexError):
            raise no_message(message) from None
        if self.messages.is_closed:
            if kind == "websocket.send" or kind == "websocket.accept":
                raise ClientDisconnected("the WebSocket is closed")
            if message.get("more_body"):  # of a denial
                raise ClientDisconnected("the client has left, or can be sent no more")
        elif self._socket.is_asked:
            await self._decide(kind, message)
        elif kind == "websocket.send":
            text, data = message.get("text"), message.get("bytes")
            if text is None and data is None:
                raise RuntimeError("websocket.send has neither text nor bytes")
            if not isinstance(text, str | None):
                raise TypeError(f"text of websocket.send is {type(text).__name__}, not str")
            if text is not None:
                self._socket.send(text)
            elif isinstance(data, bytes | bytearray | memoryview):
                self._socket.send(bytes(data))
            else:
                raise TypeError(f"bytes of websocket.send is {type(data).__name__}, not bytes")
            await self._transport.room()
        elif kind == "websocket.close":
            self._close(message)
        else:
            raise RuntimeError(f"{kind!r} was sent on an open WebSocket")

    def _close(self, message: Message) -> None:
        code, reason = message.get("code"), message.get("reason")
        if code is None:
            code = 1000
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError(f"code of websocket.close is {type(code).__name__}, not int")
        number = int(code)  # it may be a member of an enum, which the other build takes for its number
        if not 1000 <= number < 5000:
            raise ValueError(f"code of websocket.close is {number}, not between 1000 and 4999")
        if not isinstance(reason, str | None):
            raise TypeError(f"reason of websocket.close is {type(reason).__name__}, not str")
        self._socket.close(number, reason or "")

    async def _decide(self, kind: object, message: Message) -> None:
        match kind:
            case "websocket.accept":
                self._accept(message)
            case "websocket.close":
                self._refuse(ProtocolError(403, DENIED))
            case "websocket.http.response.start":
                tell(self.answer.start(message).dropped)
            case "websocket.http.response.body":
                self._put(self.answer.body(message))
                if self.answer.complete:
                    self._answered()
                    self._socket.end()
                else:
                    await self._transport.room()
            case _:
                raise RuntimeError(f"{kind!r} was sent before the WebSocket was accepted or denied")

    def _accept(self, message: Message) -> None:
        limits = self._context.options.websocket
        if self.answer.status:
            raise RuntimeError("websocket.accept was sent after an answer was begun")
        fields = text_fields(message.get("headers") or ())
        subprotocol = message.get("subprotocol")
        if not isinstance(subprotocol, str | None):
            raise TypeError(f"subprotocol of websocket.accept is {type(subprotocol).__name__}, not str")
        offers = self._handshake.extensions if limits.deflate else []
        deflate, extensions = negotiate(offers, limits.message)
        self.answer.headers = fields
        self._switch(subprotocol, extensions, fields)
        self._answered()
        self._socket.accepted(deflate)

    # ---- the handshake's answer

    def _switch(self, subprotocol: str | None, extensions: str, fields: list[tuple[str, str]]) -> None:
        """Send the answer that ends HTTP."""
        data = switching(self._handshake, subprotocol, extensions, fields, self._context.stamps.now())
        self.answer.status = 101
        self._put(data)

    def _put(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._transport.write(data)

    def _answered(self) -> None:
        self._context.metrics.answered(self)

    def _refuse(self, error: ProtocolError) -> None:
        self._put(self.answer.error(error.status, str(error), error.fields))
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
        elif self.messages.is_closed and is_news(error):
            log.debug("%s: the client has left", name)
            release(error)
        elif isinstance(error, asyncio.CancelledError):
            log.warning("%s was cancelled", name)
        else:
            log.error("%s failed", name, exc_info=error)
        if self.messages.is_closed:
            return
        if not self._socket.is_asked:
            self._socket.close(INTERNAL_ERROR, "")
        elif self.answer.framing is None:
            self._refuse(ProtocolError(500, FAILED))
        else:
            self._socket.cut()
