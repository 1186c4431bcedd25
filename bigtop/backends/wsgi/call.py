# One request in the application, from the environ to the last byte handed over.
#
# Rule: run() happens in whatever thread leads when the request's turn comes, and may lose the lead meanwhile.
# So it touches nothing of the loop: all that it knows of the connection is a stream.
# Rule: whatever the application does ends here, also SystemExit and its kind: they cost this one request. The
# worker ends when its supervisor or a signal says so, whose handlers raise nothing.

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import IO, Any, Final

from bigtop.backends.cutoff import CutOff, Interruption, is_overdue
from bigtop.backends.failures import leave_fork
from bigtop.backends.native.deadline import Deadline
from bigtop.backends.native.handlers.hopbyhop import tell
from bigtop.backends.native.handlers.postponed import decided
from bigtop.backends.native.transport.hangup import Departure
from bigtop.backends.native.transport.write_buffer import LARGE, ClientGone
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.file_part import file_part
from bigtop.backends.wsgi.slowdown import slower
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import AnswerOver, ProtocolError, causes
from bigtop.http.filtered import FilteredExchange
from bigtop.http.handlers import Reply, filtered
from bigtop.http.interfaces.file_wrapper import FileWrapper
from bigtop.http.interfaces.wsgi import Environ, Exchange, environ, joined
from bigtop.http.messages import Request
from bigtop.http.paths.time_limits import NAME, NEVER, SECOND, TimeLimits
from bigtop.ipc.scoreboard import SHARED
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.app")

# In the environ of a request that asks for a WebSocket, where there are any.
SOCKET: Final = "gunicorn.socket"
CLOSED: Final = ("simple_websocket.errors", "ConnectionClosed")


class Fate(Enum):
    """What becomes of the connection after an answer."""

    KEEP = 1
    CLOSE = 2
    BREAK = 3  # now, in the middle of the answer


# By themselves: an enum's member costs a look-up each time it is named.
KEEP: Final[Fate] = Fate.KEEP
CLOSE: Final[Fate] = Fate.CLOSE
BREAK: Final[Fate] = Fate.BREAK


class Call:
    """A complete request with its body, and its answer. Times are monotonic nanoseconds, 0: not yet."""

    __slots__ = (  # noqa: RUF023 - by lifetime
        "_body", "_context", "stream", "request", "exchange", "environ", "readable",
        "called", "record", "deadline", "inside", "interruption", "is_held_back",
        "fate", "unclosed", "settled",
    )  # fmt: skip

    def __init__(
        self, context: WorkerContext, stream: Stream, request: Request, body: IO[bytes], now: int
    ) -> None:
        self._body = body
        self._context = context
        self.stream = stream
        stream.written = 0
        self.request = request
        filters = context.chain.filters
        if filters is None:
            self.exchange = Exchange(request, context.stamps, self)
        else:
            self.exchange = FilteredExchange(request, context.stamps, self, filters)
            request.pace = slower(stream, context.bounds) if stream.fd >= 0 else None
        self.environ: Environ | None = None  # until run(): what is added to it
        self.readable = now
        self.called = 0
        self.record = SHARED  # its place on the scoreboard
        self.deadline: Deadline | None = None  # None: it may take as long as it likes
        self.inside = False  # the application is running, which may be interrupted
        self.interruption: Interruption | None = None  # once it is
        self.is_held_back = False  # it waits for its client, or did
        self.fate = CLOSE
        self.unclosed: Any = None  # the response to close, by another run(), when its file is sent
        self.settled = False  # the leader knows that run() is over

    # ---- the thread that runs it

    def run(self) -> None:
        """Call the application and hand over its answer. Never fails because of the application."""
        unclosed = self.unclosed  # asked here only: compiled code would believe it to stay None below
        if (unclosed is not None or self.request.decide is not None) and _is_over(self, unclosed):
            return
        response: Any = None
        try:
            context, request = self._context, self.request
            # The length is known by now also of a body that came in chunks.
            env = environ(request, self.stream.peer, self._body, request.content_length, context.ids)
            env["wsgi.early_hints"] = self.exchange.early_hints
            env |= self.environ or {}
            self.environ = env
            request_id = env["HTTP_X_REQUEST_ID"].encode("latin-1")
            self.record = context.slot.begin(
                self.called, request.method.encode(), self.stream.peer.label, request.target, request_id
            )
            limit = context.time_limit if context.time_limits is None else self._limit(context.time_limits)
            if limit:  # here, and without a call, since most have one
                self.deadline = env[NAME] = deadline = Deadline()
                deadline.slot, deadline.place = context.slot, self.record
                deadline.began, deadline.at = self.called, self.called + limit
            try:
                self.inside = True
                response = context.app(env, self.exchange.start_response)
                if request.upgrade is None or not _is_taken_over(self.exchange, self.environ):
                    self._answer(response)
            finally:  # no interruption comes behind this; see cutoff.py for the order
                self.inside = False
                if self.interruption is not None:
                    self.interruption.settle()
        except AnswerOver:
            self.cut_short()
        except BaseException as error:
            # Anything may be wrong inside an application; it must cost this one request only.
            leave_fork(error)
            self._raised(error)
        finally:
            if self.unclosed is None and type(response) is not list:
                _close(response, self.request)
            if not self.request.ended:
                self._body.close()

    def send(self, data: bytes) -> None:
        """Send a piece of the answer, or early hints: do not return while too much is waiting."""
        self.stream.write(data)
        self._context.slot.moved(self.record, self.stream.written)
        if self.stream.is_full:
            self.is_waiting()
            self.stream.room()

    def inform(self, headers: list[tuple[str, str]]) -> None:
        """Send early hints on a stream of HTTP/2."""
        self.stream.inform(headers)

    def is_waiting(self) -> None:
        """Tell that it waits for its client, whose slowness is not the application's: the supervisor's time
        limit stops here."""
        self.is_held_back = True
        self._context.slot.writing(self.record)

    def reply(self, reply: Reply) -> None:
        """Answer without the application; from any thread."""
        request, filters = self.request, self._context.chain.filters
        self.record = self._context.slot.begin(
            self.called, request.method.encode(), self.stream.peer.label, request.target
        )
        self._give(reply if filters is None else filtered(filters, request, reply))
        self._body.close()

    def _give(self, reply: Reply) -> None:
        if self._context.chain.filters is not None:  # which it has passed
            self.exchange.wire = None
            self.exchange = Exchange(self.request, self._context.stamps, self)
        exchange = self.exchange
        exchange.begin(reply.head, reply.headers)
        pieces = [part for part in reply.parts if isinstance(part, bytes)]
        try:
            if len(pieces) == len(reply.parts):
                self.stream.write(exchange.whole(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
            else:
                head, count = exchange.file(reply.size)
                self.stream.write_file(head, reply.parts if count else ())
                exchange.finish()
            self.finished()
        except ClientGone:
            self.fate = BREAK

    def whole_body(self) -> bytes:
        """Return all of the body, which is still to be read."""
        body = self._body.read()
        self._body.seek(0)
        return body

    def discard(self) -> None:
        """It is not run: nobody waits for the answer."""
        self._body.close()

    def _limit(self, limits: TimeLimits) -> int:
        """Let the supervisor know how long the request may take by its path; return that, 0 for ever."""
        limit = limits.of(self.request.target)
        self._context.slot.limit(self.record, self.called, self.called + limit if limit else NEVER)
        return limit

    def _raised(self, error: BaseException) -> None:
        """The application failed with `error`, which is being handled."""
        if self.interruption is not None and is_overdue(error):
            self.interruption.came = True
            self._give_up()
        elif _is_news(error, self.environ):
            self.fate, self.unclosed = BREAK, None
            if _has_spoken(self.environ):
                self.exchange.status = 101
            log.debug("%s %s: nobody is there to be answered", self.request.method, _path(self.request))
        elif isinstance(error, ClientGone) and isinstance(error.__cause__, ProtocolError):
            self.fate = BREAK
            self.fail(error.__cause__)
        elif not (_is_farewell(error, self.environ) and _is_taken_over(self.exchange, self.environ)):
            self.fail()

    def cut_short(self) -> None:
        """The application goes on although its answer is complete, or has another body than its own."""
        exchange = self.exchange
        if isinstance(exchange, FilteredExchange) and exchange.replacement is not None:
            self._give(exchange.replacement)
        else:
            self.finished()

    def _answer(self, response: Any) -> None:
        exchange = self.exchange
        if type(response) is FileWrapper and self._send_file(response):
            return
        if isinstance(response, (list, tuple)):
            head, body = exchange.parts(response[0] if len(response) == 1 else joined(response))
            if len(body) < LARGE:
                self.stream.write_last(head + body)
            else:
                self.stream.write_large(head, body)
        else:
            self._answer_in_pieces(response)
            if data := exchange.finish():
                self.stream.write(data)
        self.finished()

    def _answer_in_pieces(self, response: Any) -> None:
        """Send what `response` yields, as long as that can be sent: it may have no end of its own."""
        exchange = self.exchange
        departure: Departure | None = None
        if response is None:
            raise TypeError("the application returned None; PEP 3333 wants an iterable of bytes")
        for piece in response:
            data = exchange.data(piece)
            if exchange.is_over:
                if data:
                    self.stream.write_last(data)
                return
            if data:
                departure = None
                self.send(data)
            else:  # no send will tell that the client has left
                departure = departure or self.stream.departure()
                if departure.is_certain(monotonic_ns()):
                    raise ClientGone

    def finished(self) -> None:
        framing, head = self.exchange.framing, self.exchange.head
        assert framing is not None, "finish() sends the head at the latest"
        if self.stream.fd < 0:
            self.stream.finish()
        self.fate = KEEP if framing.keep_alive else CLOSE
        if head is not None and head.dropped:
            tell(head.dropped)
        if framing.fault:
            log.warning("%s %s: %s", self.request.method, _path(self.request), framing.fault)

    def _send_file(self, response: FileWrapper) -> bool:
        """Hand the file over to the kernel; False when it is not one that sendfile(2) reads."""
        part = file_part(response.filelike)
        exchange = self.exchange
        if part is None or exchange.framing is not None:
            return False
        if isinstance(exchange, FilteredExchange) and not exchange.takes_files(part.count):
            return False
        head, part.count = exchange.file(part.count)
        self.unclosed = response
        self.stream.write_file(head, (part,) if part.count else ())
        exchange.finish()
        self.finished()
        return True

    def _give_up(self) -> None:
        """It was interrupted, with the exception that is being handled: answer in the application's place."""
        seconds = (monotonic_ns() - self.called) / SECOND
        log.exception("%s %s is interrupted after %.1f s", self.request.method, _path(self.request), seconds)
        self.fail(ProtocolError(504, "The application did not answer this request in time."))

    def fail(self, fault: ProtocolError | None = None) -> None:
        """Answer that the application failed, with the exception that is being handled; or, with a `fault` of
        the client's, what was wrong with the body that the application was reading."""
        request = self.request
        status, text = 500, "The application failed to answer this request."
        if fault is None:
            log.exception("%s %s failed", request.method, _path(request))
        else:
            status, text = fault.status, str(fault)
        self.unclosed = None
        if self.exchange.framing is not None:
            self.fate = BREAK
        elif self.request.upgrade is None or not _has_spoken(self.environ):
            with suppress(ClientGone):
                self.stream.write(self.exchange.error(status, text))
        else:
            self.exchange.status = 101


def _is_taken_over(exchange: Exchange, environ: Environ | None) -> bool:
    """Whether the application spoke to the client by itself, through the SOCKET that it was given: something
    was sent there, or it ended without start_response()."""
    if environ is None or SOCKET not in environ:
        return False
    if exchange.status and not _has_spoken(environ):
        return False
    exchange.status = 101
    return True


def _is_over(call: Call, unclosed: Any) -> bool:
    """Close the response whose file is sent, or find out who answers; whether there is no more to do."""
    decide = call.request.decide
    if unclosed is not None or decide is None:
        call.unclosed = None
        _close(unclosed, call.request)
        return True
    call.request.decide = None
    reply = decided(decide)
    if reply is not None:
        call.reply(reply)
        if call.request.fill is not None:
            from bigtop.backends.wsgi.refresh import refresh  # for those who have a response cache

            refresh(call.request, call.stream.peer, call._context)
    return reply is not None


def _has_spoken(environ: Environ | None) -> bool:
    """Whether an application has said something to the client by itself, through SOCKET."""
    return environ is not None and SOCKET in environ and bool(environ[SOCKET].spoken)


def _is_farewell(error: BaseException, environ: Environ | None) -> bool:
    """Whether `error` may say that the application is done with SOCKET, and no more: StopIteration, as
    gunicorn has it, or, after it has spoken, ConnectionError itself, as Werkzeug has it, or what
    simple-websocket raises at the end."""
    if isinstance(error, StopIteration):
        return True
    kind = type(error)
    is_end = kind is ConnectionError or (kind.__module__, kind.__name__) == CLOSED
    return is_end and _has_spoken(environ)


def _is_news(error: BaseException, environ: Environ | None) -> bool:
    """Whether an application failed because its client has left, or is left, however it wraps that."""
    client = environ[SOCKET] if environ is not None and SOCKET in environ else None
    for cause in causes(error):
        if isinstance(cause, CutOff) or (client is not None and client.explains(cause)):
            return True
        if isinstance(cause, ClientGone) and not isinstance(cause.__cause__, ProtocolError):
            return True
    return False


def _close(response: Any, request: Request) -> None:
    """Close what an application returned, if that can be closed."""
    try:
        close = getattr(response, "close", None)
        if close is not None:
            close()
    except BaseException as error:
        # As in run(): the answer is out, its clean-up is the application's own affair.
        leave_fork(error)
        log.exception("%s %s: close() failed", request.method, _path(request))


def _path(request: Request) -> str:
    return request.target.decode("latin-1")
