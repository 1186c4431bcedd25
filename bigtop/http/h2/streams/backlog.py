# Backlog of a stream: the bytes of a body that wait for their turn and for the client's window.

from __future__ import annotations


class Backlog:
    """Pieces, and `size`, the bytes of all."""

    __slots__ = ("_at", "_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0  # bytes of the first piece that are gone
        self.size = 0

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)

    def clear(self) -> None:
        self._pieces = []
        self._at = self.size = 0

    def cut(self, size: int) -> bytes:
        """Take the next `size` bytes; there are as many."""
        pieces, at = self._pieces, self._at
        self.size -= size
        first = pieces[0]
        left = len(first) - at
        if left > size:
            self._at = at + size
            return first[at : at + size]
        self._at = 0
        if left == size:
            del pieces[0]
            return first[at:] if at else first
        parts = [first[at:]]
        while left < size:
            piece = pieces[len(parts)]
            left += len(piece)
            parts.append(piece)
        over = left - size
        if over:  # the rest of the last one stays
            last = parts[-1]
            self._at = len(last) - over
            parts[-1] = last[: self._at]
        del pieces[: len(parts) - (1 if over else 0)]
        return b"".join(parts)
