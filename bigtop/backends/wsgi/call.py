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
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic_ns
from typing import IO, TYPE_CHECKING, Any

from bigtop.backends.base import App
from bigtop.backends.outbox import ClientGone, FilePart, Outbox
from bigtop.http.messages import Request
from bigtop.http.response import Stamp, error_response, stamp
from bigtop.http.wsgi import Environ, Exchange, FileWrapper, environ
from bigtop.scoreboard import Slot

if TYPE_CHECKING:
    from bigtop.backends.wsgi.connection import Connection

log = logging.getLogger("bigtop.app")


class Site:
    """What all calls of a worker share."""

    __slots__ = ("_second", "_server", "_stamp", "app", "block", "send_memory", "slot")

    def __init__(
        self, app: App, slot: Slot, server: str, send_memory: int, block: Callable[[Call], None]
    ) -> None:
        self.app = app
        self.slot = slot
        self.send_memory = send_memory
        self.block = block
        self._server = server
        self._second = 0
        self._stamp = stamp(server, 0)

    def stamp(self) -> Stamp:
        """Return the server's lines of a head; made once per second."""
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = stamp(self._server, now)
        return self._stamp


class Call:
    """A complete request and its answer."""

    __slots__ = (  # noqa: RUF023 - by lifetime
        "_body", "_length", "_site", "_unclosed",
        "broken", "bytes_out", "connection", "environ", "exchange", "keep_alive", "request",
        "called", "readable", "record", "returned", "settled",
    )  # fmt: skip

    def __init__(
        self, site: Site, connection: Connection, request: Request, body: IO[bytes], length: int, now: int
    ) -> None:
        self._site = site
        self._body = body
        self._length = length
        self._unclosed: Any = None  # the response whose file is being sent
        self.connection = connection
        self.request = request
        self.exchange = Exchange(request, self)
        self.environ: Environ | None = None
        self.keep_alive = False  # whether the answer left the connection fit for another request
        self.broken = False  # the answer ends before its end
        self.bytes_out = 0
        # Times are monotonic nanoseconds, 0: not yet.
        self.readable = now  # complete
        self.called = 0
        self.returned = 0
        self.record = 0  # its number on the scoreboard
        self.settled = False  # the leader knows that run() is over

    # ---- the thread that runs it

    def run(self) -> None:
        """Call the application and hand over its answer. Never fails because of the application."""
        if self._unclosed is not None:
            unclosed, self._unclosed = self._unclosed, None
            self._close(unclosed)
            return
        response: Any = None
        try:
            self.environ = environ(self.request, self.connection.peer, self._body, self._length)
            response = self._site.app(self.environ, self.exchange.start_response)
            self._answer(response)
        except ClientGone:
            self.broken = True
            self._unclosed = None
        except Exception:
            # Anything may be wrong inside an application; it must cost this one request only.
            self._failed()
        finally:
            if self._unclosed is None:
                self._close(response)
            self._body.close()
            self.returned = monotonic_ns()

    def stamp(self) -> Stamp:
        """Return the server's lines of the head (asked for by the exchange)."""
        return self._site.stamp()

    def send(self, data: bytes) -> None:
        """Send for PEP 3333's write(): do not return while too much is waiting."""
        self._put(data)
        self._wait_for_room()

    @property
    def is_closing_due(self) -> bool:
        """Whether the response has to be closed, by another run(), now that its file is sent."""
        return self._unclosed is not None

    @property
    def is_close_delimited(self) -> bool:
        """Whether the client takes the end of the connection for the end of the answer."""
        framing = self.exchange.framing
        return framing is not None and framing.left is None and not framing.chunked

    def _answer(self, response: Iterable[bytes]) -> None:
        exchange = self.exchange
        if isinstance(response, FileWrapper) and self._send_file(response):
            return
        if isinstance(response, (list, tuple)):
            piece = response[0] if len(response) == 1 else b"".join(response)
            self._put(exchange.whole(piece) + exchange.finish())
        else:
            for piece in response:
                if data := exchange.data(piece):
                    self._put(data)
                    # Not at the announced end: there, the application has nothing more to wait for.
                    if exchange.framing is not None and exchange.framing.left != 0:
                        self._wait_for_room()
            if data := exchange.finish():
                self._put(data)
        self._finished()

    def _finished(self) -> None:
        framing = self.exchange.framing
        assert framing is not None, "finish() sends the head at the latest"
        self.keep_alive = framing.keep_alive
        if framing.fault:
            log.warning("%s %s: %s", self.request.method, _path(self.request), framing.fault)

    def _send_file(self, response: FileWrapper) -> bool:
        """Hand the file over to the kernel; False when it is not one that sendfile(2) reads."""
        part = _file_part(response.filelike)
        if part is None or self.exchange.framing is not None:
            return False
        head, part.count = self.exchange.file(part.count)
        self._unclosed = response
        outbox = self._outbox()
        if outbox.put(head, part) if part.count else outbox.put(head):
            self._site.block(self)
        self.bytes_out += len(head) + part.count
        self.exchange.finish()
        self._finished()
        return True

    def _failed(self) -> None:
        request = self.request
        log.exception("%s %s failed", request.method, _path(request))
        self._unclosed = None
        self.keep_alive = False
        if self.exchange.framing is not None:
            self.broken = True
        else:
            self.exchange.status = 500
            head_only = request.method == "HEAD"
            text = "The application failed to answer this request."
            with suppress(ClientGone):
                self._put(error_response(500, text, self.stamp(), head_only=head_only))

    def _close(self, response: Any) -> None:
        close = getattr(response, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception:
            # As in run(): the answer is out, its clean-up is the application's own affair.
            log.exception("%s %s: close() failed", self.request.method, _path(self.request))

    # ---- output

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
            self._site.block(self)

    def _outbox(self) -> Outbox:
        connection = self.connection
        if connection.outbox is None:
            connection.outbox = Outbox(connection.socket, self._site.send_memory)
        return connection.outbox

    def _wait_for_room(self) -> None:
        outbox = self.connection.outbox
        if outbox is not None and outbox.is_full():
            # The client's slowness is not the application's: the supervisor's time limit stops here.
            self._site.slot.writing(self.record)
            outbox.wait_for_room()


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
