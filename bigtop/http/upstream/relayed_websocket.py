# WebSocket that is passed on between a client and another server: where its frames end, so that a goodbye can
# stand between two of them (RFC 6455, 5.2).
#
# Rule: what the frames hold is looked at by nobody, and what is no WebSocket goes on as it is.

from __future__ import annotations

from typing import Final

from bigtop.http.close_codes import SERVICE_RESTART

GOODBYE: Final = b"\x88\x02" + SERVICE_RESTART.to_bytes(2, "big")  # a whole frame, to a client
_GOING_AWAY: Final = 1001  # as a client says it
_CLOSE: Final = 8
_MASKED: Final = 0x80


class Frames:
    """The frames of one direction. `is_closed`: one of them was a goodbye."""

    __slots__ = ("_head", "_left", "is_closed")

    def __init__(self) -> None:
        self._head = b""  # what came of a frame's head
        self._left = 0  # bytes that are to come of what a frame holds
        self.is_closed = False

    @property
    def is_between(self) -> bool:
        """Whether no frame is under way."""
        return not (self._left or self._head)

    def feed(self, data: bytes, *, stops: bool = False) -> int:
        """Take bytes; return how many. It `stops` where no frame is under way any more."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                at = self._begin(data, at)
            if stops and self.is_between:
                break
        return at

    def _begin(self, data: bytes, at: int) -> int:
        """Take the head of a frame, or what there is of it."""
        before = len(self._head)
        head = self._head + data[at : at + 14 - before]
        size = 2
        if len(head) >= 2:
            length = head[1] & ~_MASKED
            longer = 2 if length == 126 else 8 if length == 127 else 0
            size += longer + (4 if head[1] & _MASKED else 0)
            if len(head) >= size:
                self._left = int.from_bytes(head[2 : 2 + longer], "big") if longer else length
                self.is_closed = self.is_closed or head[0] & 0x0F == _CLOSE
                self._head = b""
                return at + size - before
        self._head = head
        return len(data)


class RelayedWebSocket:
    """Both directions of one."""

    __slots__ = ("_is_parting", "_to_client", "_to_server")

    def __init__(self) -> None:
        self._to_client = Frames()
        self._to_server = Frames()
        self._is_parting = False

    def to_server(self, data: bytes) -> bytes:
        """Return what the server is sent of what the client sent."""
        self._to_server.feed(data)
        return data

    def to_client(self, data: bytes) -> tuple[bytes, bool]:
        """Return what the client is sent of what the server sent, and whether it ends with that."""
        frames = self._to_client
        if not self._is_parting:
            frames.feed(data)
            return data, False
        end = 0 if frames.is_between else frames.feed(data, stops=True)
        if not frames.is_between:
            return data, False
        return data[:end] + (b"" if frames.is_closed else GOODBYE), True

    def part(self) -> bool:
        """Let it end behind the frame that is under way; whether that is now: see to_client()."""
        self._is_parting = True
        return self._to_client.is_between

    def farewell(self, mask: bytes) -> bytes:
        """Return what the server is told at such an end, b"" in the middle of what the client sends.

        `mask` is 4 bytes that nobody can foresee.
        """
        if self._to_server.is_closed or not self._to_server.is_between:
            return b""
        code = _GOING_AWAY.to_bytes(2, "big")
        return b"\x88\x82" + mask + bytes([code[0] ^ mask[0], code[1] ^ mask[1]])
