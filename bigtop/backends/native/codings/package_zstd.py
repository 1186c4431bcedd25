# Frames of zstd by the package zstandard, for a Python without a library of its own (encoders.py).

from __future__ import annotations

from typing import Any, Final

import zstandard

from bigtop.backends.native.codings.coding_libraries import STREAM

_PARAMETERS: Final = zstandard.ZstdCompressionParameters.from_level(1, source_size=1 << STREAM)


class PackageFrame:
    """A frame for `size` bytes, None: nobody knows how many."""

    def __init__(self, size: int | None) -> None:
        if size is None:
            compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS)
            self._made: Any = compressor.compressobj()
        else:
            self._made = zstandard.ZstdCompressor(level=3).compressobj(size=size)

    def block(self, piece: bytes) -> bytes:
        return bytes(self._made.compress(piece) + self._made.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    def end(self, piece: bytes) -> bytes:
        return bytes(self._made.compress(piece) + self._made.flush())
