# One request in the application, from the environ to the last byte handed over.
#
# Rule: run() happens in whatever thread leads when the request's turn comes, and may lose the lead meanwhile.
# So it touches nothing of the loop: it sends through the connection's socket while nothing waits there, and
# leaves the rest in its outbox for the leader.
# Rule: whatever the application does ends here, except for SystemExit and its kind, which end the worker.

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from enum import Enum
from typing import IO, TYPE_CHECKING, Any, Final

from bigtop.backends.files import Reply
from bigtop.backends.outbox import LARGE, ClientGone, FilePart, Outbox
from bigtop.errors import ProtocolError
from bigtop.http.messages import Request
from bigtop.http.response import error_response
from bigtop.http.wsgi import Environ, Exchange, FileWrapper, environ
from bigtop.scoreboard import SHARED

if TYPE_CHECKING:
    from bigtop.backends.wsgi.connection import Connection

log = logging.getLogger("bigtop.app")

SOCKET: Final = (
    "gunicorn.socket"  # in the environ of a request that asks for a WebSocket, where there are any
)


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
        "_body", "connection", "request", "exchange", "environ", "readable",
        "called", "record", "bytes_out", "fate", "unclosed", "settled",
    )  # fmt: skip

    def __init__(self, connection: Connection, request: Request, body: IO[bytes], now: int) -> None:
        self._body = body
        self.connection = connection
        self.request = request
        self.exchange = Exchange(request, connection.site.stamps, self)
        self.environ: Environ | None = None  # until run(): what is added to it
        self.readable = now
        self.called = 0
        self.record = SHARED  # its place on the scoreboard
        self.bytes_out = 0
        self.fate = CLOSE
        self.unclosed: Any = None  # the response to close, by another run(), when its file is sent
        self.settled = False  # the leader knows that run() is over

    # ---- the thread that runs it

    def run(self) -> None:
        """Call the application and hand over its answer. Never fails because of the application."""
        if self.unclosed is not None:
            unclosed, self.unclosed = self.unclosed, None
            _close(unclosed, self.request)
            return
        response: Any = None
        try:
            connection, request = self.connection, self.request
            # The length is known by now also of a body that came in chunks.
            site = connection.site
            env = environ(request, connection.peer, self._body, request.content_length, site.ids)
            env["wsgi.early_hints"] = self.exchange.early_hints
            if self.environ is not None:
                env |= self.environ
            self.environ = env
            self.record = _shown(self, env["HTTP_X_REQUEST_ID"])
            response = site.app(env, self.exchange.start_response)
            if self.exchange.status or not self._is_taken_over():
                self._answer(response)
        except ClientGone as error:
            self.fate = BREAK
            self.unclosed = None
            if isinstance(error.__cause__, ProtocolError):
                self.fail(error.__cause__)
        except Exception as error:
            # Anything may be wrong inside an application; it must cost this one request only.
            if not (isinstance(error, StopIteration) and self._is_taken_over()):
                self.fail()
        finally:
            if self.unclosed is None and type(response) is not list:
                _close(response, self.request)
            if not self.request.ended:
                self._body.close()

    def send(self, data: bytes) -> None:
        """Send a piece of the answer, or early hints: do not return while too much is waiting."""
        self._put(data)
        outbox = self.connection.outbox
        if outbox is not None and outbox.is_full():
            # The client's slowness is not the application's: the supervisor's time limit stops here.
            self.connection.site.slot.writing(self.record)
            outbox.wait_for_room()

    @property
    def is_close_delimited(self) -> bool:
        """Whether the client takes the end of the connection for the end of the answer."""
        framing = self.exchange.framing
        return framing is not None and framing.left is None and not framing.chunked

    def reply(self, reply: Reply) -> None:
        """Answer without the application; the leader, which does not lose the lead."""
        self.record = _shown(self, "")
        try:
            self._give(reply)
        except ClientGone:
            self.fate = BREAK
        finally:
            self._body.close()

    def _give(self, reply: Reply) -> None:
        exchange = self.exchange
        exchange.begin(reply.head, reply.headers)
        pieces = [part for part in reply.parts if isinstance(part, bytes)]
        if len(pieces) == len(reply.parts):
            self._put(exchange.whole(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
        else:
            head, count = exchange.file(reply.size)
            self.bytes_out += len(head) + count
            if self._outbox().put(head, *(reply.parts if count else ())):
                self.connection.site.crew.block(self)
            exchange.finish()
        self._finished()

    def _answer(self, response: Any) -> None:
        exchange = self.exchange
        redirects = self.connection.site.redirects
        if redirects is not None and exchange.framing is None:
            reply = redirects.reply(self.request, exchange.headers)
            if reply is not None:
                exchange.wire = None  # what the application began is not sent
                self.exchange = Exchange(self.request, self.connection.site.stamps, self)
                self._give(reply)
                return
        if isinstance(response, FileWrapper) and self._send_file(response):
            return
        if isinstance(response, (list, tuple)):
            head, body = exchange.parts(response[0] if len(response) == 1 else b"".join(response))
            if len(body) < LARGE:
                self._put_last(head + body)
            else:
                self._put_large(head, body)
        else:
            for piece in response:
                if data := exchange.data(piece):
                    framing = exchange.framing
                    if framing is not None and framing.left == 0:
                        self._put_last(data)
                    else:
                        self.send(data)
            if data := exchange.finish():
                self._put(data)
        self._finished()

    def _is_taken_over(self) -> bool:
        """Whether the application spoke to the client by itself. It took SOCKET then, and either returned
        without start_response() or raised StopIteration, as gunicorn has it."""
        if self.exchange.status or self.environ is None or SOCKET not in self.environ:
            return False
        self.exchange.status = 101
        return True

    def _finished(self) -> None:
        framing = self.exchange.framing
        assert framing is not None, "finish() sends the head at the latest"
        self.fate = KEEP if framing.keep_alive else CLOSE
        if framing.fault:
            log.warning("%s %s: %s", self.request.method, _path(self.request), framing.fault)

    def _send_file(self, response: FileWrapper) -> bool:
        """Hand the file over to the kernel; False when it is not one that sendfile(2) reads."""
        part = _file_part(response.filelike)
        if part is None or self.exchange.framing is not None:
            return False
        head, part.count = self.exchange.file(part.count)
        self.unclosed = response
        outbox = self._outbox()
        if outbox.put(head, part) if part.count else outbox.put(head):
            self.connection.site.crew.block(self)
        self.bytes_out += len(head) + part.count
        self.exchange.finish()
        self._finished()
        return True

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
        else:
            self.fate = CLOSE
            self.exchange.status = status
            head_only = request.method == "HEAD"
            with suppress(ClientGone):
                self._put(
                    error_response(status, text, self.connection.site.stamps.now(), head_only=head_only)
                )

    # ---- output

    def deliver(self, data: bytes) -> None:
        """Send what was held (crew.py); leader only, and perhaps while run() closes the response."""
        try:
            self._put(data)
        except ClientGone:
            self._outbox().abandon()

    def _put_last(self, data: bytes) -> None:
        """Send what ends the answer; perhaps not at once."""
        connection = self.connection
        if connection.outbox is not None or not connection.site.crew.hold(self, data):
            self._put(data)

    def _put_large(self, head: bytes, body: bytes) -> None:
        """Send an answer that is not copied, and not held, which would keep a lot of memory."""
        connection = self.connection
        self.bytes_out += len(head) + len(body)
        sent = 0
        if connection.outbox is None:
            try:
                sent = connection.socket.sendmsg((head, body))
            except BlockingIOError:
                pass
            except OSError as error:
                raise ClientGone from error
            if sent == len(head) + len(body):
                return
        rest = max(0, sent - len(head))
        if self._outbox().put(memoryview(head)[sent:], memoryview(body)[rest:]):
            connection.site.crew.block(self)

    def _put(self, data: bytes) -> None:
        """Send what the socket takes now, and let the leader send the rest. Raises ClientGone."""
        self.bytes_out += len(data)
        connection = self.connection
        if connection.outbox is None:
            try:
                sent = connection.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise ClientGone from error
            if sent == len(data):
                return
            rest = memoryview(data)[sent:]
        else:
            rest = memoryview(data)
        if self._outbox().put(rest):
            self.connection.site.crew.block(self)

    def _outbox(self) -> Outbox:
        connection = self.connection
        if connection.outbox is None:
            connection.outbox = Outbox(connection.socket, connection.site.bounds)
        return connection.outbox


def _close(response: Any, request: Request) -> None:
    """Close what an application returned, if that can be closed."""
    close = getattr(response, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception:
        # As in run(): the answer is out, its clean-up is the application's own affair.
        log.exception("%s %s: close() failed", request.method, _path(request))


def _shown(call: Call, request_id: str) -> int:
    """Put a call on the scoreboard; return its place there."""
    request, connection = call.request, call.connection
    method, client, named = request.method.encode(), connection.peer.label, request_id.encode("latin-1")
    return connection.site.slot.begin(call.called, method, client, request.target, named)


def _file_part(file: Any) -> FilePart | None:
    """Return what is left to read of `file`, if that is a regular file of the operating system."""
    try:
        fd = file.fileno()
        status = os.fstat(fd)
        offset = file.tell()
    except (AttributeError, OSError, ValueError):  # io.UnsupportedOperation is an OSError
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FilePart(fd, offset, max(0, status.st_size - offset))


def _path(request: Request) -> str:
    return request.target.decode("latin-1")
