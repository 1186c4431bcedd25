# One request in the application: scope, receive, send, and what is left to do when the call returns.
#
# Rule 1: the answer and the call end apart. Once the answer is out the connection goes on with the next
# request, although the call may have background work to do.
# Rule 2: whatever the application does ends here, also SystemExit and its kind: they cost this one request.
# Rule 3: a client that has left costs an application nothing but the news: receive() tells it, sends are
# ignored, and only a send in the middle of a stream raises (spec 2.4), for a stream has to end somehow. The
# same where nothing more can be sent: the answer has no body, or all of its Content-Length is out.

from __future__ import annotations

import asyncio

from bigtop.backends.asgi.calls.body_queue import BodyQueue
from bigtop.backends.asgi.calls.decision import decision, refreshed
from bigtop.backends.asgi.calls.disconnect import ClientDisconnected, release
from bigtop.backends.asgi.calls.file_messages import send_open_file, send_path
from bigtop.backends.asgi.calls.stream import Stream, StreamOwner
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.loop.overdue import tell_interrupted
from bigtop.backends.asgi.metrics import INSIDE, OUTSIDE, OVERDUE, MeteredCall
from bigtop.backends.cutoff import CutOff
from bigtop.backends.failures import leave_fork
from bigtop.backends.native.handlers.hopbyhop import tell
from bigtop.backends.native.transport.hangup import Hangup
from bigtop.backends.native.transport.write_buffer import LARGE
from bigtop.errors import causes
from bigtop.http.handlers import FilePart, ProxyPass, Reply
from bigtop.http.interfaces.asgi import Message, no_message
from bigtop.http.interfaces.scope import Peer, http_scope
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.app")

# What frameworks raise when receive() told them that the client has left.
DISCONNECTS = ("ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect", "RequestAborted")

FAILED = "The application failed to answer this request."
LATE = "The application did not answer this request in time."


class Call(MeteredCall):
    """A request that is answered by ASGI's HTTP messages."""

    __slots__ = ("_hangup", "_invites", "body", "context", "gone", "owner", "reply", "stream")

    def __init__(
        self, context: WorkerContext, owner: StreamOwner, stream: Stream, peer: Peer, request: Request
    ) -> None:
        MeteredCall.__init__(self, request, peer, context.stamps)  # super() costs as much again
        self.context = context
        self.owner = owner
        self.stream = stream
        self._invites = request.expects_continue
        self.body = None if request.ended else BodyQueue(context.loop, ended=False)
        self.gone = False  # nobody can be answered any more
        self.reply: Reply | None = None  # instead of the application's answer
        self._hangup: Hangup | None = None  # made when the answer brings nothing

    def start(self) -> None:
        """Call the application, unless there is a reply; either may be done when this returns."""
        context, reply = self.context, self.reply
        context.metrics.called(self)
        if reply is None:
            context.tasks.run(self._run(), self)
        elif isinstance(reply, ProxyPass) and context.passing_on is not None:
            context.metrics.busy -= 1  # which is about the application
            context.passing_on.begin(self, reply.route)
        else:
            self.give(reply)
            context.metrics.busy -= 1

    def give(self, reply: Reply) -> None:
        """Answer with `reply`."""
        if self.body is not None and not self.body.ended:
            self.request.keep_alive = False  # the rest would be read for nothing
        head, count = self.answer.whole(reply.head, reply.headers, reply.size)
        stream = self.stream
        self.bytes_out += len(head) + count
        for part in reply.parts if count else ():
            if isinstance(part, FilePart):
                stream.write_between(head, part, b"")
                head = b""
            else:
                head += part
        stream.write(head)
        self._complete()

    async def _run(self) -> None:
        context = self.context
        try:
            if self.request.decide is not None and await _is_decided(context, self):
                return
            scope = http_scope(self.request, self.shown, self.peer, context.state, self.request_id)
            if context.metrics.route_of is not None:
                self.told = scope
            if context.overdue is not None:
                context.overdue.enter(self, scope)
            self.stage = INSIDE
            await context.app(scope, self.receive, self.send)
            self.stage = OUTSIDE
        except BaseException as error:
            # Anything may be wrong inside an application; it must cost this one request only.
            if self.stage == INSIDE:
                self.stage = OUTSIDE
            leave_fork(error)
            self.failed(error)
        else:
            if not self.answer.complete and not self.gone:
                self.failed(None)
        finally:
            if context.overdue is not None or self.request.fill is not None:
                _left(context, self)
            if context.tasks.starting is not self:
                context.metrics.returned()
            else:  # the end of this turn tells the scoreboard
                context.metrics.busy -= 1

    # ---- what the application calls

    async def receive(self) -> Message:
        body = self.body
        if body is None:
            body = self.body = BodyQueue(self.context.loop, ended=True)
            body.gone = self.gone or self.answer.complete or self.stream.at_end
        while (message := body.take()) is None:
            if self._invites and not body.ended and self.answer.framing is None:
                self.stream.invite()
                body.pause()
            self._invites = False
            await body.wait()
        if not body.ended or self.stream.shares:
            self.stream.resume()
        return message

    async def send(self, message: Message) -> None:
        try:
            kind = message["type"]
        except (TypeError, KeyError, IndexError):
            raise no_message(message) from None
        if self.gone:
            _check_last(kind, message)
        elif kind == "http.response.body":
            answer, stream, body = self.answer, self.stream, self.body
            if body is not None and not body.ended and not message.get("more_body"):
                # The answer is here before the body is: the rest of that would be read for nothing.
                self.request.keep_alive = False  # unless the head is out
            piece = message.get("body")
            if type(piece) is bytes and len(piece) >= LARGE:
                before, piece, after = answer.large_body(message, piece)
                self.bytes_out += len(before) + len(piece) + len(after)
                stream.write_between(before, piece, after)
            elif data := answer.body(message):
                self.bytes_out += len(data)
                stream.write(data)
            elif not answer.complete:
                self._bring_nothing()
            if answer.complete:
                self._complete()
            else:
                self.context.metrics.moved(self.record, self.bytes_out)
                if stream.waiting:
                    self.owner.sending()
                    await stream.room()
        elif kind == "http.response.start":
            head = self.answer.start(message)
            if head.dropped:
                tell(head.dropped)
        else:
            await self._send_extension(kind, message)

    def _bring_nothing(self) -> None:
        self.stream.write(b"")  # with the head, if that is all of it
        if self.is_deserted(monotonic_ns()):  # which no send will tell
            self.owner.cut()
            raise ClientDisconnected("the client has left")

    async def _send_extension(self, kind: object, message: Message) -> None:
        match kind:
            case "http.response.early_hint":
                if (hints := self.answer.early_hint(message)) is not None:
                    self.stream.inform(hints)
                if self.stream.waiting:
                    self.owner.sending()
                    await self.stream.room()
            case "http.response.trailers":
                self._put(self.answer.trailers(message))
            case "http.response.pathsend":
                await send_path(message, self.send, self._send_file)
            case "http.response.zerocopysend":
                await send_open_file(message, self.send, self._send_file)
            case "http.response.debug":
                pass
            case _:
                raise RuntimeError(f"there is no message {kind!r} in an HTTP answer")

    async def _send_file(self, message: Message, part: FilePart, more: bool) -> None:
        """Have the kernel send `part`; return when it has, since the file is closed after that."""
        before, part.count = self.answer.file(message, part.count, more)
        after = self.answer.after_file(message, part.count, more)
        stream = self.stream
        if part.count:
            self.bytes_out += len(before) + part.count + len(after)
            stream.write_between(before, part, after)
            if self.answer.complete:
                self._complete()
        else:
            self._put(before + after)
        if stream.waiting:
            self.owner.sending()
            try:
                await stream.flushed()
            except BaseException:  # cancelled: the file is closed now, and its number may be another one's
                if not self.gone and stream.waiting:
                    self.gone = True
                    self.owner.give_up(self)
                raise

    def _put(self, data: bytes) -> None:
        if data:
            self.bytes_out += len(data)
            self.stream.write(data)
        if self.answer.complete:
            self._complete()

    def _complete(self) -> None:
        framing = self.answer.framing
        assert framing is not None, "an answer that is complete has begun"
        if framing.fault:
            log.warning("%s: %s", self.name(), framing.fault)
        if self.body is not None:
            self.body.drop()
            self.body.leave()
        if not self.answer.over:
            self.gone = True
        self.owner.answered(self)

    # ---- what the connection tells

    def is_deserted(self, now: int) -> bool:
        """Whether the client has left, as far as that shows without reading or sending; receive() tells."""
        self._hangup = self._hangup or Hangup(self.stream.raw)
        if not self._hangup.is_certain(now):
            return False
        if self.body is None:
            self.body = BodyQueue(self.context.loop, ended=True)
        self.body.leave()
        return True

    def is_held_back(self) -> bool:
        return self.stream.waiting > 0

    def leave(self) -> None:
        """The client has left."""
        self.gone = True
        if self.body is not None:
            self.body.leave()

    def answer_for(self, status: int, text: str) -> None:
        """Answer in the application's place; the connection ends with that."""
        self.gone = True
        self._put(self.answer.error(status, text))

    # ---- the end

    def failed(self, error: BaseException | None) -> None:
        """Answer for an application that raised `error`, or returned (None) too early."""
        told = self.gone or (self.body is not None and self.body.gone and not self.answer.complete)
        if told and (error is None or is_news(error)):
            log.debug("%s: the client has left", self.name())
            release(error)
            if not self.gone:  # it may be there still to read, but it was taken at its word
                self.owner.cut()
        elif error is not None and self.stage == OVERDUE:
            self.context.metrics.interrupted()
            tell_interrupted(self.name(), self.called, error)
        elif error is None:
            log.error("%s: the application returned before its answer was complete", self.name())
        elif isinstance(error, (asyncio.CancelledError, CutOff)):
            log.warning("%s was cancelled", self.name())
        else:
            log.error("%s failed", self.name(), exc_info=error)
        if self.gone or self.answer.complete:
            return
        if self.answer.framing is not None:
            self.gone = True
            self.owner.give_up(self)
        elif self.stage == OVERDUE:
            self.answer_for(504, LATE)
        else:
            self.answer_for(500, FAILED)


async def _is_decided(context: WorkerContext, call: Call) -> bool:
    """Find out, however long that takes, whether it is not the application that answers; answer then."""
    reply = await decision(call.request, context.loop)
    if reply is not None and not call.gone:
        if isinstance(reply, ProxyPass) and context.passing_on is not None:
            await context.passing_on.answer(call, reply.route)
        else:
            call.give(reply)
    if reply is not None and call.request.fill is not None:
        await refreshed(context, call.request, call)
    return reply is not None


def _left(context: WorkerContext, call: Call) -> None:
    """The application is done with a call."""
    if call.request.fill is not None:
        call.request.fill()
    if context.overdue is not None:
        context.overdue.leave(call)


def _check_last(kind: object, message: Message) -> None:
    """Raise ClientDisconnected for what nobody gets, unless it is the last: a stream has to end somehow."""
    if message.get("more_body") or message.get("more_trailers") or kind == "http.response.early_hint":
        raise ClientDisconnected("the client has left, or can be sent no more")


def is_news(error: BaseException) -> bool:
    """Whether an application ended because it was told that the client has left; frameworks wrap that."""
    for cause in causes(error):
        if isinstance(cause, (ClientDisconnected, asyncio.CancelledError)):
            return True
        if type(cause).__name__ in DISCONNECTS:
            return True
        if isinstance(cause, BaseExceptionGroup) and all(map(is_news, cause.exceptions)):
            return True  # of a task group
    return False
