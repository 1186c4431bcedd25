# Decoders of bodies: what a client does with what it is sent, in each content coding.

from __future__ import annotations

import zlib
from typing import Any

import brotli
import zstandard


class Decoder:
    """Gives out all that a client can know of a body that has come so far."""

    def __init__(self, coding: str | None) -> None:
        self._made: Any = {
            "gzip": lambda: zlib.decompressobj(31),
            "br": brotli.Decompressor,
            "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
            None: lambda: None,
        }[coding]()

    def feed(self, data: bytes) -> bytes:
        if self._made is None:
            return data
        if isinstance(self._made, brotli.Decompressor):
            return bytes(self._made.process(data))
        return bytes(self._made.decompress(data))

    @property
    def is_whole(self) -> bool:
        """Whether the encoded body has come to its end."""
        if isinstance(self._made, brotli.Decompressor):
            return bool(self._made.is_finished())
        return self._made is None or bool(self._made.eof and not self._made.unused_data)


def decoded(coding: str | None, body: bytes) -> bytes:
    """Return a body as it was; ValueError: it is not one that ends where it should."""
    decoder = Decoder(coding)
    found = decoder.feed(body)
    if not decoder.is_whole:
        raise ValueError(f"a body of {len(body)} bytes in {coding} has no end")
    return found
