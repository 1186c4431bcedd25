# Formats of lines that processes wrote, where they are written to.
#
# Rule: pure. What a process wrote comes in as it wrote it, whole lines or a part of one that took too long,
# and goes out as bytes with nothing inserted; what is no UTF-8 stays as it is, but for JSON, which has no
# bytes and gets replacement characters. Only where another process writes in the middle of a line does that
# line end.

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from bigtop.record import Record

_COLORS = ("red", "green", "yellow", "blue", "magenta", "cyan", "white")  # 31 to 37, ECMA-48 SGR


class Chunk(Record):
    """One or more lines of one process, the last of which may be unfinished; `at` is a wall clock's."""

    watcher: str
    pid: int
    wid: int
    which: str  # "stdout" or "stderr"
    lines: bytes
    at: float

    def split(self) -> list[bytes]:
        return self.lines.removesuffix(b"\n").split(b"\n")

    def facts(self, lines: bytes) -> dict[str, object]:
        """Return `lines` of it in the words of the control channel."""
        text = lines.decode("utf-8", "replace").rstrip("\n")
        return {"time": self.at, "pid": self.pid, "stream": self.which, "line": text}

    @property
    def is_finished(self) -> bool:
        return self.lines.endswith(b"\n")


# What is written for a chunk. The second argument: it goes on in a line that was begun before.
Format = Callable[[Chunk, bool], bytes]


class Joint:
    """Several processes that write to one place: which line is unfinished there, and whose it is."""

    def __init__(self) -> None:
        self._open: object = None

    def join(self, writer: object, write: Callable[[bool], bytes]) -> bytes:
        """Return what `write` returns for `writer`, told whether it goes on in its own line."""
        goes_on = self._open is not None and self._open == writer
        text = write(goes_on)
        before = b"\n" if self._open is not None and not goes_on else b""
        self._open = None if text.endswith(b"\n") else writer
        return before + text

    def chunk(self, chunk: Chunk, form: Format) -> bytes:
        return self.join((chunk.pid, chunk.which), lambda goes_on: form(chunk, goes_on))


def plain(chunk: Chunk, _goes_on: bool) -> bytes:
    return chunk.lines


def _each(chunk: Chunk, goes_on: bool, before: bytes, after: bytes = b"") -> bytes:
    """Put `before` at the beginning of each line, and `after` at the end of each piece."""
    text = b"\n".join(before + piece + after for piece in chunk.split())
    return (text.removeprefix(before) if goes_on else text) + (b"\n" if chunk.is_finished else b"")


def stamped(time_format: str, zone: tzinfo) -> Format:
    """Circus' prefix: time, pid, a bar."""

    def write(chunk: Chunk, goes_on: bool) -> bytes:
        time = datetime.fromtimestamp(chunk.at, zone).strftime(time_format)
        return _each(chunk, goes_on, f"{time} [{chunk.pid}] | ".encode())

    return write


def fancy(color: str, time_format: str, zone: tzinfo) -> Format:
    code = _COLORS.index(color) + 31

    def write(chunk: Chunk, goes_on: bool) -> bytes:
        time = datetime.fromtimestamp(chunk.at, zone).strftime(time_format)
        return _each(chunk, goes_on, f"\033[0;{code}m{time} [{chunk.pid}] | ".encode(), b"\033[0m")

    return write


def named(color: str) -> Format:
    """The watcher's name in front, in a colour if there is one."""
    before, after = (f"\033[0;{_COLORS.index(color) + 31}m", "\033[0m") if color else ("", "")

    def write(chunk: Chunk, goes_on: bool) -> bytes:
        return _each(chunk, goes_on, f"{before}{chunk.watcher} | {after}".encode())

    return write


def as_json(chunk: Chunk, _goes_on: bool) -> bytes:
    """One object per line; of a line that comes in parts, one per part, marked but for the last."""
    time = datetime.fromtimestamp(chunk.at, UTC).isoformat(timespec="milliseconds")
    facts = {
        "time": time,
        "watcher": chunk.watcher,
        "wid": chunk.wid,
        "pid": chunk.pid,
        "stream": chunk.which,
    }
    objects = [{**facts, "message": line.decode("utf-8", "replace")} for line in chunk.split()]
    if not chunk.is_finished:
        objects[-1]["partial"] = True
    return "".join(json.dumps(one) + "\n" for one in objects).encode()


def color_of(name: str) -> str:
    """Return a colour for those who named none: always the same for the same watcher."""
    return _COLORS[sum(name.encode()) % len(_COLORS)]


def is_color(name: str) -> bool:
    return name in _COLORS
