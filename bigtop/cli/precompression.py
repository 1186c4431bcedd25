# Precompression: files of a folder get encoded neighbours, which --static sends to clients that take them.
#
# Rule 1: a neighbour bears the time of the file that it was made of. That is how one is known to be of now;
# no other is believed, and none is left that would be sent in place of a file that has changed.
# Rule 2: a neighbour appears whole or not at all, and is readable by whom the file is.
# Rule 3: the same file makes the same bytes, here and on every machine with the same libraries.

from __future__ import annotations

import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final

from bigtop.http.answers.compression import Rules
from bigtop.http.answers.static import ENCODINGS, media_type
from bigtop.http.declarations import COMPRESSED_TYPES
from bigtop.record import Record

# What is compressed while a client waits, and what is worth it when nobody does.
TYPES: Final = (
    *COMPRESSED_TYPES, "font/ttf", "font/otf", "application/vnd.ms-fontobject", "image/x-icon", "image/bmp",
)  # fmt: skip
WORTH: Final = 0.95  # of the size of a file: a neighbour that is larger is not

_SUFFIXES: Final = tuple(os.fsdecode(suffix) for suffix in ENCODINGS.values())


class State(StrEnum):
    """What became of a neighbour."""

    WRITTEN = "written"
    CURRENT = "current"  # it is there, and of now
    LARGE = "large"  # it would save nothing
    WANTED = "wanted"  # it would be made
    FAILED = "failed"


class Neighbour(Record):
    """A file in one encoding. Sizes are bytes, `made` is None where nothing was made."""

    path: str
    encoding: str
    state: State
    size: int
    made: int | None = None
    reason: str = ""  # why it failed

    @property
    def file(self) -> str:
        return self.path + os.fsdecode(ENCODINGS[self.encoding])


def files(folder: str, types: Sequence[str], least: int) -> Iterator[str]:
    """Yield the files below `folder` that are worth it, in the order of their names.

    Hidden ones and links that lead out of the folder are not served, and left out here.
    """
    rules = Rules((), types, least)
    top = os.path.realpath(folder)
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") or name == ".well-known")
        for name in sorted(names):
            path = os.path.join(here, name)
            if (
                name.startswith(".")
                or name.endswith(_SUFFIXES)
                or not rules.takes(media_type(os.fsencode(name)))
            ):
                continue
            if os.path.islink(path) and not os.path.realpath(path).startswith(top + os.sep):
                continue
            with suppress(OSError):  # gone meanwhile, or a link to nothing
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode) and status.st_size >= least:
                    yield path


def compress(path: str, encodings: Sequence[str], *, dry: bool = False) -> list[Neighbour]:
    """Make the neighbours of a file that are not of now; where it is `dry`, only say which."""
    found: list[Neighbour] = []
    content: bytes | None = None
    try:
        before = os.stat(path)
        for encoding in encodings:
            made = Neighbour(path, encoding, State.CURRENT, before.st_size)
            if (size := _current_size(made.file, before)) is not None:
                found.append(Neighbour(path, encoding, State.CURRENT, before.st_size, size))
            elif dry:
                found.append(Neighbour(path, encoding, State.WANTED, before.st_size))
            else:
                if content is None:
                    with open(path, "rb") as file:
                        before, content = os.fstat(file.fileno()), file.read()
                found.append(_make(path, encoding, content, before))
    except OSError as error:
        reason = error.strerror or str(error)
        done = {one.encoding for one in found}
        found += [Neighbour(path, one, State.FAILED, 0, None, reason) for one in encodings if one not in done]
    return found


def _current_size(file: str, original: os.stat_result) -> int | None:
    """Return how large a neighbour is, None where there is none of now."""
    try:
        status = os.lstat(file)
    except OSError:
        return None
    is_of_now = status.st_mtime_ns == original.st_mtime_ns and stat.S_ISREG(status.st_mode)
    return status.st_size if is_of_now else None


def _make(path: str, encoding: str, content: bytes, original: os.stat_result) -> Neighbour:
    encoded = _ENCODERS[encoding](content)
    made = Neighbour(path, encoding, State.WRITTEN, len(content), len(encoded))
    if len(encoded) > len(content) * WORTH:
        with suppress(FileNotFoundError):
            os.unlink(made.file)  # of what the file was before
        return Neighbour(path, encoding, State.LARGE, len(content), len(encoded))
    folder, name = os.path.split(made.file)
    fd, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(encoded)
            file.flush()
            with suppress(PermissionError):  # it is ours then, and others may read it if they may read that
                os.fchown(fd, original.st_uid, original.st_gid)
            os.fchmod(fd, stat.S_IMODE(original.st_mode) & 0o666)
            os.utime(fd, ns=(original.st_mtime_ns, original.st_mtime_ns))
        os.replace(temporary, made.file)
    except BaseException:  # nothing is left of it, whatever it was
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return made


# ---- as small as it gets: nobody waits


def _gzip(content: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)  # its head has no name and no time
    return deflater.compress(content) + deflater.flush()


def _brotli(content: bytes) -> bytes:
    import brotli

    return bytes(brotli.compress(content, quality=11))


def _zstd(content: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd

        made: Any = zstd.compress(content, 19)
        return bytes(made)
    import zstandard

    return bytes(zstandard.ZstdCompressor(level=19).compress(content))  # whose window is the 8 MB of RFC 9659


_ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": _gzip, "br": _brotli, "zstd": _zstd}
