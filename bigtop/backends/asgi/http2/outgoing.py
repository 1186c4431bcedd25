# Outgoing answer of a stream of HTTP/2: from what an application gives to what http/h2 sends.
#
# Rule: what is given to http/h2 waits there for the windows. Of files only so much is: FILLED bytes.

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Final

from bigtop.backends.asgi.http2.link import Link
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.http.h2.response_heads import frame, trailers
from bigtop.http.handlers import FilePart
from bigtop.http.interfaces.asgi import Answer
from bigtop.http.messages import Request
from bigtop.http.response import StreamFraming
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

FILLED: Final = 65536  # bytes of a file, or of what stands behind it, that are handed over before they go out


class Outgoing:
    """The answer to `request` on a stream, by its number. `on_broken` is told that it cannot be completed."""

    __slots__ = (
        "_ended",
        "_has_head",
        "_is_complete",
        "_link",
        "_number",
        "_on_broken",
        "_parts",
        "_request",
        "_size",
        "answer",
    )

    def __init__(
        self, link: Link, number: int, request: Request, answer: Answer, on_broken: Callable[[], None]
    ) -> None:
        self._link = link
        self._number = number
        self._request = request
        self.answer = answer
        self._on_broken = on_broken
        self._has_head = False  # that is out
        self._ended = False  # the end is
        self._is_complete = False  # the application has said all
        self._parts: deque[FilePart | bytes] = deque()  # what is not handed over yet
        self._size = 0  # of that

    @property
    def waiting(self) -> int:
        return self._link.http2.waiting(self._number) + self._size

    @property
    def has_parts(self) -> bool:
        return bool(self._parts)

    def begin(self) -> None:
        """Send the head."""
        if not self._has_head:
            self._hand_over(b"")
            self._link.need()

    def write(self, part: FilePart | bytes, before: bytes = b"") -> None:
        """Send a part of the body, behind the head, and behind what goes before a part of a file."""
        if isinstance(part, FilePart):
            if before:
                self._add(before)
            self._add(part)  # first: with the head alone the answer does not end
            self.begin()
            self.fill()
        elif self._parts:
            self._add(part)
        else:
            self._hand_over(part)
        self._link.need()

    def complete(self) -> None:
        """That is all."""
        self._is_complete = True
        if not self._parts:
            self._end()
        self._link.need()

    def break_off(self) -> None:
        """End in the middle, behind what there is."""
        self._ended = True
        self._link.push()
        self._link.http2.reset(self._number, INTERNAL_ERROR)

    def drop(self) -> None:
        """Nothing more is to be sent."""
        self._ended = True
        self._parts.clear()
        self._size = 0

    def fill(self) -> None:
        """Hand over more of what waits, as the client takes it."""
        parts, http2 = self._parts, self._link.http2
        while parts and http2.waiting(self._number) < FILLED:
            part = parts[0]
            if isinstance(part, FilePart):
                data = _read(part)
                if not data:  # it became shorter than the head promised: what is missing cannot be invented
                    self.drop()
                    self._link.filling.pop(self._number, None)  # first: the end has all others filled
                    self._on_broken()
                    return
                if not part.count:
                    parts.popleft()
            else:
                data = part
                parts.popleft()
            self._size -= len(data)
            self._hand_over(data, is_filled=True)
        if not parts:
            self._link.filling.pop(self._number, None)
            if self._is_complete:
                self._end()

    def _add(self, part: FilePart | bytes) -> None:
        self._parts.append(part)
        self._size += part.count if isinstance(part, FilePart) else len(part)
        self._link.filling[self._number] = self

    def _hand_over(self, data: bytes, *, is_filled: bool = False) -> None:
        """Let http/h2 have a piece, behind the head if that is not out, and with the end if that is it."""
        if self._ended:
            return
        framing, http2 = self._framing(), self._link.http2
        ends = framing.left == 0 and framing.keep_alive and not self._parts and not self.answer.trailing
        if is_filled and not self._is_complete:
            ends = False  # another part may follow, of a length that was counted with the first one's
        if not self._has_head:
            self._has_head = True
            block, _ = frame(framing.head, self._request, framing.stamp, framing.announced)
            http2.head(self._number, block, ends=ends and not data)
            self._ended = ends and not data
        if data:
            http2.write(self._number, data, ends=ends)
            self._ended = ends

    def _end(self) -> None:
        """All is handed over."""
        if self._ended:
            return
        framing, http2, fields = self._framing(), self._link.http2, self.answer.trailing
        if framing.left or not framing.keep_alive:
            self.break_off()  # it is too short
            return
        if not self._has_head:
            self._hand_over(b"")
        if fields:
            http2.trailers(self._number, trailers(fields))
        elif not self._ended:
            http2.write(self._number, b"", ends=True)
        self._ended = True

    def _framing(self) -> StreamFraming:
        framing = self.answer.framing
        assert isinstance(framing, StreamFraming), "the head is made, and of HTTP/2"
        return framing


def _read(part: FilePart) -> bytes:
    """Return the next piece of a part of a file; b"" where there is none, or it cannot be read."""
    try:
        data = os.pread(part.fd, min(part.count, FILLED), part.offset)
    except OSError as error:
        log.error("cannot read a file that is sent: %s", error)
        return b""
    part.offset += len(data)
    part.count -= len(data)
    return data
