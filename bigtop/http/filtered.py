# Answers of applications that pass filters (handlers.py): what Exchange (WSGI) and Answer (ASGI) are where a
# worker has any.
#
# Rule 1: the filters are asked once, when the head is about to go out: with the size of the body, if that is
# known by then. Rule 2: where one of them replaced the body, nothing of the application's is taken any more
# (AnswerOver); the `replacement` is for the owner to send.
# Rule 3: a body that is encoded is as long as the application announced, or its end is not marked: nothing
# else would tell a client that something is missing.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bigtop.errors import AnswerOver
from bigtop.http.handlers import Encoder, Filter, Reply, drafted, encoded
from bigtop.http.interfaces.asgi import Answer, Message, as_bytes
from bigtop.http.interfaces.wsgi import Exchange, Wire, joined
from bigtop.http.messages import Request
from bigtop.http.response import Framing, Head, Headers, Stamps


class Filtering:
    """What the filters made of one answer."""

    __slots__ = ("_encoders", "_filters", "excess", "is_passed", "left", "replacement")

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = filters
        self._encoders: Sequence[Encoder] = ()
        self.left: int | None = None  # to come, of the announced length of a body that is encoded
        self.excess = 0  # bytes beyond it
        self.is_passed = False
        self.replacement: Reply | None = None

    def take(self, request: Request, head: Head, headers: Headers, size: int | None) -> tuple[Head, Headers]:
        """Ask the filters; return the head to be sent."""
        self.is_passed = True
        draft = drafted(self._filters, request, head, headers, size)
        self.replacement = draft.reply()
        made = Head(draft.status, draft.headers)
        if not made.has_no_body(request):
            self._encoders = draft.encoders
            if draft.encoders:
                self.left = head.length
        return made, draft.headers

    def encode(self, piece: bytes, *, ends: bool = False) -> bytes:
        if not self._encoders:
            return piece
        left = self.left
        if left is not None:
            self.excess += max(0, len(piece) - left)
            piece = piece[:left]
            self.left = left - len(piece)
        return encoded(self._encoders, piece, ends=ends)

    def ends(self, framing: Framing) -> bool:
        """Whether a body ends as it was announced; if not, `framing` says so from now on."""
        if self.excess:
            framing.overlong(self.excess)
        if self.left:
            framing.cut(self.left)
        return not self.left

    @property
    def takes_files(self) -> bool:
        """Whether the body may go out without passing through here."""
        return not self._encoders and self.replacement is None


class FilteredExchange(Exchange):
    """An Exchange whose answer passes filters."""

    __slots__ = ("_filtering",)

    def __init__(self, request: Request, stamps: Stamps, wire: Wire, filters: Sequence[Filter]) -> None:
        Exchange.__init__(self, request, stamps, wire)
        self._filtering = Filtering(filters)

    @property
    def replacement(self) -> Reply | None:
        return self._filtering.replacement

    def start_response(
        self, status: object, headers: object, exc_info: object = None
    ) -> Callable[[bytes], None]:
        write = Exchange.start_response(self, status, headers, exc_info)
        given: list[Any] = self.headers
        # Filters are given pairs that are tuples, and that the application cannot change any more.
        self.headers = [(name, value) for name, value in given]
        return write

    def takes_files(self, size: int) -> bool:
        """Whether a body of `size` bytes may be sent from a file. AnswerOver: there is another one."""
        self._pass(size)
        return self._filtering.takes_files

    def data(self, piece: object) -> bytes:
        data = joined((piece,))
        filtering = self._filtering
        if not data and not filtering.is_passed and not self._started().has_no_body(self._request):
            return b""
        self._pass(None)
        if filtering.left == 0:
            if data and self.framing is not None:
                self.framing.overlong(len(data))
            return b""
        sent = Exchange.data(self, filtering.encode(data))
        return sent + self._end() if filtering.left == 0 else sent

    def parts(self, piece: object) -> tuple[bytes, bytes]:
        if self.framing is not None:  # write() was called before
            return b"", self.data(piece) + self.finish()
        data = joined((piece,))
        self._pass(len(data))
        return Exchange.parts(self, self._filtering.encode(data, ends=True))

    def opened(self) -> bytes:
        self._pass(None)
        return Exchange.opened(self)

    def finish(self) -> bytes:
        self._pass(0)
        if self._filtering.left == 0:
            return b""
        if self.framing is None:
            head, body = Exchange.parts(self, self._filtering.encode(b"", ends=True))
            return head + body
        return self._end()

    def _end(self) -> bytes:
        """Return what ends a body of which something was sent."""
        framing = self.framing
        assert framing is not None, "with that, its head was sent"
        rest = framing.encode(self._filtering.encode(b"", ends=True))
        return rest + framing.end() if self._filtering.ends(framing) else rest

    @property
    def is_over(self) -> bool:
        return self._filtering.left == 0 or (self.framing is not None and self.framing.left == 0)

    def _pass(self, size: int | None) -> None:
        if not self._filtering.is_passed:
            head = self._started()
            self.head, self.headers = self._filtering.take(self._request, head, self.headers, size)
            self.head.dropped = head.dropped
            self.status = self.head.code
        if self.replacement is not None:
            raise AnswerOver("another body is sent than that of the application")


class FilteredAnswer(Answer):
    """An Answer that passes filters."""

    __slots__ = ("_filtering",)

    def __init__(self, request: Request, stamps: Stamps, filters: Sequence[Filter]) -> None:
        Answer.__init__(self, request, stamps)
        self._filtering = Filtering(filters)

    @property
    def replacement(self) -> Reply | None:
        return self._filtering.replacement

    def takes_files(self, size: int | None) -> bool:
        """Whether a body of `size` bytes, None: nobody knows how many, may be sent from a file; ask this
        first, of every body."""
        head = self._head
        if head is not None and not self._filtering.is_passed:
            self._head, self.headers = self._filtering.take(self._request, head, self.headers, size)
            self.status = self._head.code
        return self._filtering.takes_files

    def body(self, message: Message) -> bytes:
        data = Answer.body(self, self._encoded(message, as_bytes(message.get("body", b""))))
        return data + self._cut_off()

    def large_body(self, message: Message, piece: bytes) -> tuple[bytes, bytes, bytes]:
        changed = self._encoded(message, piece)
        before, data, after = Answer.large_body(self, changed, changed["body"])
        return before, data, after + self._cut_off()

    def _cut_off(self) -> bytes:
        """End an encoded body that is as long as it was announced, whatever the application has to say."""
        framing = self.framing
        if self._filtering.left != 0 or self.over or self.complete or framing is None:
            return b""
        self.complete = True
        rest = framing.encode(self._filtering.encode(b"", ends=True))
        self._filtering.ends(framing)
        return rest + framing.end()

    def _end(self, framing: Framing) -> bytes:
        if self._filtering.ends(framing):
            return Answer._end(self, framing)
        self.over = self.complete = True
        return b""

    def _encoded(self, message: Message, piece: bytes) -> Message:
        more = bool(message.get("more_body", False))
        return {**message, "body": self._filtering.encode(piece, ends=not more)}
