# Delegated stream: one request whose client this worker has, and whose call another one runs.
#
# Rule: leader only. What comes is read only while the client has taken most of what came before: then the
# other worker has to wait, as it would for a client of its own.

from __future__ import annotations

from typing import Protocol

from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.transport.bare_socket import AnySocket
from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.wsgi.http2.client_link import Http2Link
from bigtop.backends.wsgi.http2.link import SMALL
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.http.delegation.answer_frames import BEGUN, HEAD, INTERIM, RESET, AnswerFrame, AnswerReader


class Watching(Protocol):
    """Who waits for what comes."""

    def pause(self, delegated: DelegatedStream) -> None:
        """Wait no more, for the present."""

    def go_on(self, delegated: DelegatedStream) -> None:
        """Wait again."""

    def close(self, delegated: DelegatedStream) -> None:
        """It is over."""


class DelegatedStream:
    """The Delegate of `stream`; `sock` leads to whoever takes the request."""

    __slots__ = ("_link", "_reader", "_watching", "fd", "inode", "is_paused", "sock", "stream")

    def __init__(
        self, stream: Http2Stream, link: Http2Link, sock: AnySocket, inode: int, watching: Watching
    ) -> None:
        self.stream = stream
        self._link = link
        self.sock = sock
        self.fd = sock.fileno()
        self.inode = inode  # of the other end
        self.is_paused = False
        self._reader = AnswerReader()
        self._watching = watching

    @property
    def has_begun(self) -> bool:
        return self._reader.at != 0

    @property
    def has_answer(self) -> bool:
        """Whether a part of it is out."""
        return self._reader.at > INTERIM

    @property
    def is_over(self) -> bool:
        return self._reader.is_over

    def receive(self) -> bool:
        """Read once, and pass on what came; False when no more comes and the answer is not complete."""
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        try:
            for frame in self._reader.feed(data):
                self._pass_on(frame)
        except ClientGone:  # which is told otherwise
            return True
        return bool(data) and not self._reader.is_broken  # who says such things may be anybody

    def _pass_on(self, frame: AnswerFrame) -> None:
        stream, link, kind = self.stream, self._link, frame.kind
        if kind == BEGUN:
            stream.hide()
        elif kind == INTERIM:
            link.interim(stream.number, frame.payload)
        elif kind == RESET:
            link.flush()  # what came before may still go out
            link.reset(stream.number, int.from_bytes(frame.payload, "big"))
        elif kind == HEAD:
            link.relay(stream.number, frame.payload, b"", ends=frame.ends)
        else:
            link.relay(stream.number, b"", frame.payload, ends=frame.ends)
        stream.ended = stream.ended or self._reader.is_over

    def is_ahead(self) -> bool:
        """Whether so much waits for the client that no more is to be read."""
        return self._link.waiting(self.stream.number) > SMALL

    def pause(self) -> None:
        if not self.is_paused:
            self.is_paused = True
            self._watching.pause(self)

    def resume(self) -> bool:
        if self.is_paused and not self.is_ahead():
            self.is_paused = False
            self._watching.go_on(self)
        return not self.is_paused

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        if not self.has_begun:
            self.receive()  # it may have been begun just now
        self._watching.close(self)
