# An application call whose answer passes filters (http/handlers.py): what Call is where a worker has any.

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.backends.asgi.calls.call import Call
from bigtop.backends.asgi.calls.slowdown import slower
from bigtop.backends.asgi.calls.stream import Stream, StreamOwner
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.native.handlers.file_answers import read_through
from bigtop.http.filtered import FilteredAnswer
from bigtop.http.handlers import FilePart, Filter, Reply, filtered
from bigtop.http.interfaces.asgi import Message, as_bytes
from bigtop.http.interfaces.scope import Peer
from bigtop.http.messages import Request

_BODY: Final = "http.response.body"
_SLICE: Final = 1 << 17  # bytes that are encoded in one go: a millisecond in which nobody else is served
_FILES: Final = ("http.response.pathsend", "http.response.zerocopysend")


class FilteredCall(Call):
    """A Call whose messages pass `filters` on their way to the client."""

    __slots__ = ("_filtered", "_filters")

    def __init__(
        self,
        context: WorkerContext,
        owner: StreamOwner,
        stream: Stream,
        peer: Peer,
        request: Request,
        filters: Sequence[Filter],
    ) -> None:
        Call.__init__(self, context, owner, stream, peer, request)
        self._filters = filters
        self._filtered = FilteredAnswer(request, context.stamps, filters)
        self.answer = self._filtered
        if stream.paces:
            request.pace = slower(stream)

    def give(self, reply: Reply) -> None:
        Call.give(self, filtered(self._filters, self.request, reply))

    async def send(self, message: Message) -> None:
        kind = message.get("type") if isinstance(message, Mapping) else None
        if not self.gone and (kind == _BODY or kind in _FILES):
            more = bool(message.get("more_body", False))
            size = len(as_bytes(message.get("body", b""))) if kind == _BODY and not more else None
            is_as_it_is = self._filtered.takes_files(size)
            replacement = self._filtered.replacement
            if replacement is not None and not self.answer.complete:
                Call.give(self, replacement)
                self.gone = self.gone or more  # nothing of the application's is taken any more
                return
            if kind == _BODY and not is_as_it_is:
                message = await self._but_the_last(message)
        await Call.send(self, message)

    async def _but_the_last(self, message: Message) -> Message:
        """Send a large body that is to be encoded, slice by slice, and return what is left of it."""
        piece = as_bytes(message.get("body", b""))
        if len(piece) <= _SLICE:
            return message
        at = 0
        while len(piece) - at > _SLICE:
            one = {"type": _BODY, "body": piece[at : at + _SLICE], "more_body": True}
            await Call.send(self, one)
            await asyncio.sleep(0)  # others have their turn
            at += _SLICE
        return {**message, "body": piece[at:]}

    async def _send_file(self, message: Message, part: FilePart, more: bool) -> None:
        if self._filtered.takes_files(None):
            await Call._send_file(self, message, part, more)
            return
        for piece in read_through(part.fd, part.offset, part.count):
            await self.send({"type": _BODY, "body": piece, "more_body": True})
        await self.send({"type": _BODY, "more_body": more})
