# Frames of zstd by Python's own library, which 3.14 brought (encoders.py).

from __future__ import annotations

import importlib
from typing import Any, Final

from bigtop.backends.native.codings.coding_libraries import STREAM

_zstd: Final[Any] = importlib.import_module("compression.zstd")


class StandardFrame:
    """A frame for `size` bytes, None: nobody knows how many."""

    def __init__(self, size: int | None) -> None:
        if size is None:
            parameter = _zstd.CompressionParameter
            options = {parameter.compression_level: 1, parameter.window_log: STREAM}
            self._made: Any = _zstd.ZstdCompressor(options=options)
        else:
            self._made = _zstd.ZstdCompressor(level=3)
            self._made.set_pledged_input_size(size)

    def block(self, piece: bytes) -> bytes:
        return bytes(self._made.compress(piece, self._made.FLUSH_BLOCK))

    def end(self, piece: bytes) -> bytes:
        return bytes(self._made.compress(piece, self._made.FLUSH_FRAME))
