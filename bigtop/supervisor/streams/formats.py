# How a line that a process wrote looks where it is written to.
#
# Rule: pure. Whole lines in, whole lines out, as bytes; what is no UTF-8 stays as it is, but for JSON, which
# has no bytes and gets replacement characters.

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

_COLORS = ("red", "green", "yellow", "blue", "magenta", "cyan", "white")  # 31 to 37, ECMA-48 SGR


@dataclass(frozen=True, slots=True)
class Chunk:
    """One or more whole lines of one process; `at` is a wall clock's."""

    watcher: str
    pid: int
    wid: int
    which: str  # "stdout" or "stderr"
    lines: bytes
    at: float

    def split(self) -> list[bytes]:
        return self.lines.removesuffix(b"\n").split(b"\n")


Format = Callable[[Chunk], bytes]


def plain(chunk: Chunk) -> bytes:
    return chunk.lines


def stamped(time_format: str) -> Format:
    """Circus' prefix: time, pid, a bar."""

    def write(chunk: Chunk) -> bytes:
        time = datetime.fromtimestamp(chunk.at).strftime(time_format)
        prefix = f"{time} [{chunk.pid}] | ".encode()
        return b"".join(prefix + line + b"\n" for line in chunk.split())

    return write


def fancy(color: str, time_format: str) -> Format:
    code = _COLORS.index(color) + 31

    def write(chunk: Chunk) -> bytes:
        time = datetime.fromtimestamp(chunk.at).strftime(time_format)
        before, after = f"\033[0;{code}m{time} [{chunk.pid}] | ".encode(), b"\033[0m\n"
        return b"".join(before + line + after for line in chunk.split())

    return write


def as_json(chunk: Chunk) -> bytes:
    """One object per line."""
    time = datetime.fromtimestamp(chunk.at, UTC).isoformat(timespec="milliseconds")
    facts = {
        "time": time,
        "watcher": chunk.watcher,
        "wid": chunk.wid,
        "pid": chunk.pid,
        "stream": chunk.which,
    }
    texts = (line.decode("utf-8", "replace") for line in chunk.split())
    return "".join(json.dumps({**facts, "message": text}) + "\n" for text in texts).encode()


def color_of(name: str) -> str:
    """Return a colour for those who named none: always the same for the same watcher."""
    return _COLORS[sum(name.encode()) % len(_COLORS)]


def is_color(name: str) -> bool:
    return name in _COLORS
