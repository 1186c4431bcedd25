# The body of a request in chunks (RFC 9112, 7.1): bytes become pieces of data.
#
# Rule: every byte of the framing has to be right. What lies between the chunks is where servers differ, and
# attackers know in what: bare line ends, signs, blanks, extensions, trailers that say how long the body was.

from __future__ import annotations

import re
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.head import TEXT, check_trailer
from bigtop.http.messages import END, Event, piece_of

_SIZE_LINE: Final = re.compile(
    rb"""
    ([0-9A-Fa-f]+)
    (?: ; [!#$%&'*+.^_`|~0-9A-Za-z-]+                     # the name of an extension,
        (?: = (?: [!#$%&'*+.^_`|~0-9A-Za-z-]+             # its value: a token
              | " (?: [\t !#-\[\]-~\x80-\xff]             # or a quoted string
                    | \\ [\t -~\x80-\xff] )* " ) )? )*
    """,
    re.VERBOSE,
)
_CRLF: Final = b"\r\n"
_DIGITS: Final = 16  # 64 bits

# What a chunk may cost on the wire beyond its data without being held against the client: its size line and
# line ends take up to 22 bytes. Go allows 16 + twice the data (CVE-2023-39326).
_ALLOWANCE: Final = 32


class Chunks:
    """One body. `limit` bounds its data (0: no limit), `framing` the bytes spent on everything else."""

    __slots__ = ("_framing", "_left", "_limit", "_most", "_received", "_trailers")

    def __init__(self, limit: int, framing: int) -> None:
        self._limit = limit
        self._most = framing
        self._received = 0
        self._framing = 0
        self._left = (
            -1
        )  # bytes of the present chunk that are to come; 0: its line end; -1: a size line is next
        self._trailers = False

    def feed(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take what `data` holds from `at` on; return how far that went.

        What is left belongs to a line that is not whole yet, and is to be given again with more behind it; or
        to the next message, if the last event is END.
        """
        size = len(data)
        while True:
            if self._left > 0:
                if at == size:
                    return at
                end = min(size, at + self._left)
                events.append(piece_of(data, at, end))
                self._left -= end - at
                at = end
            elif self._left == 0:
                if not _CRLF.startswith(data[at : at + 2]):
                    raise ProtocolError(400, "a chunk is longer than its size")
                if size - at < 2:
                    return at
                at += 2
                self._left = -1
            else:
                end = data.find(_CRLF, at)
                self._check(data[at : size if end < 0 else end], whole=end >= 0)
                if end < 0:
                    return at
                line, at = data[at:end], end + 2
                self._framing += len(line) + 2
                if not self._trailers:
                    self._begin(line)
                elif line:
                    check_trailer(line)
                else:
                    events.append(END)
                    return at

    def _check(self, line: bytes, *, whole: bool) -> None:
        text = line if whole else line.removesuffix(b"\r")
        if text.translate(None, TEXT):
            raise ProtocolError(400, "a line between chunks holds a control character, or a bare CR or LF")
        if self._framing + len(text) > self._most:
            raise ProtocolError(400, "more chunk framing and trailers than data")

    def _begin(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None or len(match[1].lstrip(b"0")) > _DIGITS:
            raise ProtocolError(400, "a chunk begins with its size in hexadecimal digits")
        self._left = int(match[1], 16)
        if self._left == 0:
            self._left = -1
            self._trailers = True
            return
        self._framing = max(0, self._framing - _ALLOWANCE)  # nothing is saved up for a line without end
        self._received += self._left
        if self._received > self._limit > 0:
            raise ProtocolError(413, f"the body is longer than {self._limit} bytes")
