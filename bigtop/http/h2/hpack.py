# Header blocks of HPACK (RFC 7541), decoded.
#
# Rule 1: a table is never changed; what a block adds makes a new one. So what a block means hangs on the
# table and the bytes alone, and can be remembered for all connections (request_heads.py).
# Rule 2: what a block is allowed to become is counted field by field. Behind a limit nothing is kept but what
# the table needs, for the next block is read by it.
# Rule 3: what cannot be decoded ends the connection: the two tables are no longer the same.

from __future__ import annotations

from itertools import count
from typing import Final

from bigtop.http.h2.error_codes import COMPRESSION_ERROR, Http2Error
from bigtop.http.h2.huffman import decode

Pair = tuple[bytes, bytes]

# Appendix A; there is no 0.
STATIC: Final[list[Pair]] = [
    (b"", b""),
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
]
_STATIC: Final = 61  # entries
TABLE_SIZE: Final = 4096  # never more. Traffic Server 9 was slow with more (trafficserver#5843)
OVERHEAD: Final = 32  # bytes that a field counts for beside its own
_LONGEST: Final = 1 << 21  # a number; longer than any block
_COOKIE: Final = b"cookie"

_serials = count(1)


class Table:
    """A dynamic table: its entries, the oldest first, the `size` of all, the `limit` that the client set."""

    __slots__ = ("entries", "limit", "serial", "size")

    def __init__(self, entries: list[Pair], size: int, limit: int, serial: int) -> None:
        self.entries = entries
        self.size = size
        self.limit = limit
        self.serial = serial  # tells tables apart


EMPTY: Final = Table([], 0, TABLE_SIZE, 0)


class Decoder:
    """The decoding of one block. Afterwards `pairs` are its fields; `limit` says which limit it broke, "" for
    none; `size` is what they count for; `table` is the one for the next block."""

    __slots__ = (
        "_at",
        "_crumbs",
        "_data",
        "_entries",
        "_most",
        "_most_fields",
        "_own",
        "_table_limit",
        "_table_size",
        "broken",
        "fields",
        "pairs",
        "size",
    )

    def __init__(self, table: Table, data: bytes, most_fields: int, most: int) -> None:
        self._data = data
        self._at = 0
        self._entries = table.entries
        self._own = False  # the entries were copied
        self._table_size = table.size
        self._table_limit = table.limit
        self._most_fields = most_fields
        self._most = most
        self._crumbs = False
        self.pairs: list[Pair] = []
        self.fields = 0
        self.size = 0
        self.broken = ""

    def run(self, table: Table) -> Table:
        """Decode the block by `table`; return the table behind it."""
        data = self._data
        end = len(data)
        while self._at < end:
            byte = data[self._at]
            self._at += 1
            if byte >= 0x80:
                self._take(self._entry(byte & 0x7F if byte < 0xFF else self._integer(0x7F)))
            elif byte >= 0x40:
                pair = self._literal(byte & 0x3F, 0x3F)
                self._insert(pair)
                self._take(pair)
            elif byte >= 0x20:
                self._resize(byte & 0x1F if byte < 0x3F else self._integer(0x1F))
            else:
                self._take(self._literal(byte & 0x0F, 0x0F))
        if not self._own and self._table_limit == table.limit:
            return table
        return Table(self._entries, self._table_size, self._table_limit, next(_serials))

    def _take(self, pair: Pair) -> None:
        """Keep a field, unless there is too much."""
        if self.broken:
            return
        name, value = pair
        self.size += len(name) + len(value) + OVERHEAD
        if name == _COOKIE:  # comes in as many crumbs as there are cookies, and is one field
            if not self._crumbs:
                self._crumbs = True
                self.fields += 1
        else:
            self.fields += 1
        if self.size > self._most:
            self.broken = f"the header fields are longer than {self._most} bytes, with {OVERHEAD} for each"
        elif self.fields > self._most_fields:
            self.broken = "too many header fields"
        else:
            self.pairs.append(pair)
            return
        self.pairs = []

    def _entry(self, index: int) -> Pair:
        if 0 < index <= _STATIC:
            return STATIC[index]
        at = len(self._entries) - (index - _STATIC)
        if at < 0 or index == 0:
            raise Http2Error(COMPRESSION_ERROR, f"a header block names entry {index}, which there is not")
        return self._entries[at]

    def _literal(self, index: int, most: int) -> Pair:
        if index == most:
            index = self._integer(most)
        name = self._entry(index)[0] if index else self._string()
        return name, self._string()

    def _string(self) -> bytes:
        data, at = self._data, self._at
        if at >= len(data):
            raise Http2Error(COMPRESSION_ERROR, "a header block ends in the middle of a field")
        byte = data[at]
        self._at = at + 1
        length = byte & 0x7F
        if length == 0x7F:
            length = self._integer(0x7F)
        at = self._at
        end = at + length
        if end > len(data):
            raise Http2Error(COMPRESSION_ERROR, "a header block ends in the middle of a field")
        self._at = end
        text = data[at:end]
        return decode(text) if byte >= 0x80 else text

    def _integer(self, prefix: int) -> int:
        """Return a number whose first bits are all set; the rest follows (RFC 7541, 5.1)."""
        data = self._data
        number, shift = prefix, 0
        while self._at < len(data):
            byte = data[self._at]
            self._at += 1
            number += (byte & 0x7F) << shift
            shift += 7
            if number > _LONGEST or shift > 28:
                break
            if byte < 0x80:
                return number
        raise Http2Error(COMPRESSION_ERROR, "a number in a header block has no end, or is too large")

    # ---- the table

    def _own_entries(self) -> None:
        if not self._own:
            self._entries = self._entries.copy()
            self._own = True

    def _insert(self, pair: Pair) -> None:
        self._own_entries()
        size = len(pair[0]) + len(pair[1]) + OVERHEAD
        self._evict(self._table_limit - size)
        if size <= self._table_limit:
            self._entries.append(pair)
            self._table_size += size

    def _evict(self, room: int) -> None:
        """Forget the oldest entries until the others take no more than `room`."""
        entries, gone = self._entries, 0
        while self._table_size > room and gone < len(entries):
            name, value = entries[gone]
            self._table_size -= len(name) + len(value) + OVERHEAD
            gone += 1
        if gone:
            del entries[:gone]

    def _resize(self, limit: int) -> None:
        if self.fields or self.broken:
            raise Http2Error(COMPRESSION_ERROR, "the table changes its size in the middle of a head")
        if limit > TABLE_SIZE:
            raise Http2Error(COMPRESSION_ERROR, f"a table of more than {TABLE_SIZE} bytes was not offered")
        self._own_entries()
        self._table_limit = limit
        self._evict(limit)
