# Answer frames: an answer on its way from the worker that ran a call to the one that has its client.
#
# Each is a kind, with a flag if it is the last one, the size of what follows, and that. The kinds come in
# their order: BEGUN, INTERIM as often as wanted, HEAD, DATA as often as wanted; RESET may come instead of any
# but the first.
#
# Rule: heads are blocks of HPACK that need no table (http/h2/response_heads.py), so they are passed on as
# they are.

from __future__ import annotations

from struct import Struct
from typing import Final

BEGUN: Final = 1  # the application is called next
INTERIM: Final = 2  # the head of a 103
HEAD: Final = 3
DATA: Final = 4
RESET: Final = 5  # the answer ends in the middle: an error code of HTTP/2
ENDS: Final = 0x80
SIZE: Final = 5  # of what stands before a payload
MOST_DATA: Final = 65536
MOST_HEAD: Final = 1 << 20
_HEAD_OF: Final = Struct(">BI")


def answer_frame(kind: int, payload: bytes, *, ends: bool = False) -> bytes:
    return _HEAD_OF.pack(kind | ENDS if ends else kind, len(payload)) + payload


class AnswerFrame:
    """One that came."""

    __slots__ = ("ends", "kind", "payload")

    def __init__(self, kind: int, payload: bytes, ends: bool) -> None:
        self.kind = kind
        self.payload = payload
        self.ends = ends


class AnswerReader:
    """Reads the frames of one answer. It `is_broken` when something came that nobody sends."""

    __slots__ = ("_rest", "at", "is_broken", "is_over")

    def __init__(self) -> None:
        self._rest = b""
        self.at = 0  # the kind that came last; 0: nothing has come
        self.is_over = False
        self.is_broken = False

    def feed(self, data: bytes) -> list[AnswerFrame]:
        """Return the frames that are whole by now."""
        data = self._rest + data if self._rest else data
        frames: list[AnswerFrame] = []
        begin = 0
        while len(data) - begin >= SIZE:
            kind, size = _HEAD_OF.unpack(data[begin : begin + SIZE])
            ends = kind >= ENDS
            kind &= ENDS - 1
            if not self._fits(kind, size, ends):
                self.is_broken = True
                break
            end = begin + SIZE + size
            if len(data) < end:
                break
            self._note(kind, ends)
            frames.append(AnswerFrame(kind, data[begin + SIZE : end], ends))
            begin = end
        self._rest = data[begin:]
        return frames

    def _fits(self, kind: int, size: int, ends: bool) -> bool:
        at = self.at
        if self.is_over or self.is_broken:
            return False
        if kind == BEGUN:
            return at == 0 and size == 0 and not ends
        if kind == INTERIM:
            return at in (BEGUN, INTERIM) and size <= MOST_HEAD and not ends
        if kind == HEAD:
            return at in (BEGUN, INTERIM) and size <= MOST_HEAD
        if kind == DATA:
            return at in (HEAD, DATA) and size <= MOST_DATA
        return kind == RESET and at != 0 and size == 4

    def _note(self, kind: int, ends: bool) -> None:
        self.at = kind
        self.is_over = ends or kind == RESET
