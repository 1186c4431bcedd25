# Encoders of bodies (http/handlers.py): gzip, br and zstd, by the libraries that are installed.
#
# Rule 1: each piece of a body leaves at once, so that a stream is as quick as without. A body that comes as
# one piece is not cut.
# Rule 2: every body gets up to PADDING bytes of its own that mean nothing: who guesses at what it holds by
# how long it is has to ask many times (BREACH). gzip has a file name for that, br a block of metadata, zstd
# empty blocks: the frame to be skipped, which zstd has as well, is more than some readers bear.
# Rule 3: windows of streams are small: there may be thousands of them at once.

from __future__ import annotations

import secrets
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from bigtop.backends.native.codings.coding_libraries import STREAM
from bigtop.http.handlers import Encoder

PADDING: Final = 100  # bytes


class Deflater(Protocol):
    """A compressobj of zlib or its like."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what can be sent of `data` so far."""

    def flush(self, mode: int = ..., /) -> bytes:
        """Return the rest."""


class Gzip:
    """RFC 1952. `deflate` makes what makes raw deflate; its header and its end are made here."""

    __slots__ = ("_deflater", "_head", "_size", "_sum")

    def __init__(self, deflate: Callable[[], Deflater], padding: int) -> None:
        self._deflater = deflate()
        self._head = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"-" * padding + b"\0"
        self._sum = zlib.crc32(b"")
        self._size = 0

    def encode(self, piece: bytes) -> bytes:
        return self._take(piece) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, piece: bytes) -> bytes:
        data = self._take(piece) + self._deflater.flush(zlib.Z_FINISH)
        return data + struct.pack("<LL", self._sum, self._size & 0xFFFFFFFF)

    def _take(self, piece: bytes) -> bytes:
        head, self._head = self._head, b""
        self._sum = zlib.crc32(piece, self._sum)
        self._size += len(piece)
        return head + self._deflater.compress(piece)


class Brotli:
    """RFC 7932. `new` makes a compressor for a stream or, told True, for a body that is known to its end."""

    __slots__ = ("_compressor", "_new", "_padding")

    def __init__(self, new: Callable[[bool], Any], padding: int) -> None:
        self._new = new
        self._padding = padding
        self._compressor: Any = None

    def encode(self, piece: bytes) -> bytes:
        head = self._begin(is_whole=False)
        return head + bytes(self._compressor.process(piece)) + bytes(self._compressor.flush())

    def finish(self, piece: bytes) -> bytes:
        head = self._begin(is_whole=True)
        return head + bytes(self._compressor.process(piece)) + bytes(self._compressor.finish())

    def _begin(self, *, is_whole: bool) -> bytes:
        if self._compressor is not None:
            return b""
        self._compressor = self._new(is_whole)
        if not self._padding:
            return b""
        # A flush ends at a byte. The bits behind it, the lowest first: not the last block; 11, metadata; 0;
        # one byte tells its length; that, less 1.
        head = 0b010110 | (self._padding - 1) << 6
        return bytes(self._compressor.flush()) + head.to_bytes(2, "little") + b"-" * self._padding


class ZstdFrame(Protocol):
    """One frame in the making."""

    def block(self, piece: bytes) -> bytes:
        """Return all of `piece`, and of what came before."""

    def end(self, piece: bytes) -> bytes:
        """Return all of `piece`, and the end of the frame."""


class Zstd:
    """RFC 8878. `begin` makes a frame for so many bytes, None: nobody knows how many."""

    __slots__ = ("_begin", "_frame", "_padding")

    def __init__(self, begin: Callable[[int | None], ZstdFrame], padding: int) -> None:
        self._begin = begin
        self._padding = b"\0\0\0" * (padding // 3)  # blocks without contents
        self._frame: ZstdFrame | None = None

    def encode(self, piece: bytes) -> bytes:
        if self._frame is None:
            self._frame = self._begin(None)
        padding, self._padding = self._padding, b""
        return self._frame.block(piece) + padding

    def finish(self, piece: bytes) -> bytes:
        if self._frame is None:
            self._frame = self._begin(len(piece))
        if piece and self._padding:  # behind a first block: in front of it stands the head of the frame
            return self._frame.block(piece) + self._padding + self._frame.end(b"")
        return self._frame.end(piece)


# ---- the libraries


def maker_of(coding: str) -> Callable[[], Encoder]:
    """Return what makes encoders into `coding`. ImportError: its library is not installed."""
    if coding == "gzip":
        deflate = _deflate()
        return lambda: Gzip(deflate, secrets.randbelow(PADDING + 1))
    if coding == "br":
        compressor = _brotli()
        return lambda: Brotli(compressor, secrets.randbelow(PADDING + 1))
    begin = _zstd()
    return lambda: Zstd(begin, secrets.randbelow(PADDING + 1))


def _deflate() -> Callable[[], Deflater]:
    """Return what deflates best for the time it takes, of what is installed: a fifth, or two thirds, of what
    zlib takes."""
    try:
        from isal import isal_zlib
    except ImportError:
        pass
    else:
        return lambda: isal_zlib.compressobj(2, zlib.DEFLATED, -15)
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return lambda: zlib.compressobj(4, zlib.DEFLATED, -15)
    return lambda: zlib_ng.compressobj(4, zlib.DEFLATED, -15)


def _brotli() -> Callable[[bool], Any]:
    import brotli

    def new(is_whole: bool) -> Any:
        return brotli.Compressor(quality=4) if is_whole else brotli.Compressor(quality=3, lgwin=STREAM)

    return new


def _zstd() -> Callable[[int | None], ZstdFrame]:
    if sys.version_info >= (3, 14):
        from bigtop.backends.native.codings.standard_zstd import StandardFrame

        return StandardFrame
    from bigtop.backends.native.codings.package_zstd import PackageFrame

    return PackageFrame
