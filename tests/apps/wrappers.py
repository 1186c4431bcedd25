# Files in the hands of wrappers: /KIND answers with environ["wsgi.file_wrapper"] over one; as ASGI, with the
# file of that path, by ?path or in pieces.

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.files import File

FOLDER = Path(tempfile.mkdtemp(prefix="bigtop-test-"))
CONTENT = b"".join(b"line %d of the file\n" % number for number in range(20_000))
PLAIN, PACKED = FOLDER / "plain", FOLDER / "packed.gz"
PLAIN.write_bytes(CONTENT)
PACKED.write_bytes(gzip.compress(CONTENT))


class Shouting:
    """A file with a read() of its own."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def fileno(self) -> int:
        return int(self._file.fileno())

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        return bytes(self._file.read(size).upper())

    def close(self) -> None:
        self._file.close()


class ShoutingReader(io.BufferedReader):
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size).upper()


class ShoutingRaw(io.FileIO):
    def readinto(self, buffer: Any, /) -> int | None:
        count = super().readinto(buffer)
        buffer[:count] = bytes(buffer[:count]).upper()
        return count


def begun(file: Any) -> Any:
    """Read the first line: more than that is buffered."""
    file.readline()
    return file


def grown() -> Any:
    """A file that was written to and not flushed."""
    file = open(FOLDER / "grown", "wb+")  # noqa: SIM115
    file.write(CONTENT)
    file.seek(0)
    file.write(b"LINE")
    file.seek(0)
    return file


def temporary(make: Callable[..., Any]) -> Any:
    file = make()
    file.write(CONTENT)
    file.seek(0)
    return file


def piped() -> Any:
    reader, writer = os.pipe()
    with open(writer, "wb") as end:
        end.write(b"through a pipe")
    return open(reader, "rb")


def opened(path: Path | str, buffering: int = -1) -> Any:
    return open(path, "rb", buffering)


KINDS: dict[str, Callable[[], Any]] = {
    "plain": lambda: opened(PLAIN),
    "raw": lambda: opened(PLAIN, buffering=0),
    "begun": lambda: begun(opened(PLAIN)),
    "django": lambda: File(opened(PLAIN)),
    "gzip": lambda: gzip.GzipFile(PACKED),
    "temporary": lambda: temporary(tempfile.NamedTemporaryFile),
    "spooled": lambda: temporary(tempfile.SpooledTemporaryFile),
    "shouting": lambda: Shouting(opened(PLAIN)),
    "shouting-reader": lambda: ShoutingReader(opened(PLAIN, buffering=0)),
    "shouting-raw": lambda: io.BufferedReader(ShoutingRaw(str(PLAIN))),
    "django-shouting": lambda: File(Shouting(opened(PLAIN))),
    "grown": grown,
    "proc": lambda: opened("/proc/self/status"),
    "sys": lambda: opened("/sys/kernel/mm/transparent_hugepage/enabled"),
    "pipe": piped,
}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    file = KINDS[environ["PATH_INFO"].strip("/")]()
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["query_string"] == b"path":
        await send({"type": "http.response.pathsend", "path": scope["path"]})
        return
    message = {"type": "http.response.zerocopysend", "more_body": True}
    with open(scope["path"], "rb", buffering=0) as file:
        await send({**message, "file": file, "count": 3})
        await send({**message, "file": file, "offset": 1, "count": 2})
        await send({**message, "file": file, "more_body": False})
