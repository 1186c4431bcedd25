# Log files: appended to, rotated by size or by time, compressed, with an owner and a mode.
#
# Rules: writer thread only, so everything here may block. A rotation renames and never copies, so no line is
# lost or cut. The names of older files are those that logging.handlers gives them: .1, .2 by size, a date by
# time.

from __future__ import annotations

import gzip
import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "MIDNIGHT": 86400}
_SUFFIX = {"S": "%Y-%m-%d_%H-%M-%S", "M": "%Y-%m-%d_%H-%M", "H": "%Y-%m-%d_%H"}
_DAY = "%Y-%m-%d"
_PACKING = 6  # of 9: three times as fast, and hardly larger


@dataclass(frozen=True, slots=True)
class Keeping:
    """What becomes of a file; `backups` 0 keeps all older ones (by time) or none (by size)."""

    max_bytes: int = 0
    backups: int = 0
    compress: bool = False
    mode: int | None = None
    owner: int = -1
    group: int = -1


class LogFile:
    """A file that is reopened when somebody else moved it, and rotated by size if `max_bytes` is set."""

    def __init__(self, path: str, keeping: Keeping, *, watched: bool = False) -> None:
        self._path = Path(path)
        self._keeping = keeping
        self._watched = watched
        self._fd = -1
        self._size = 0
        self._identity = (0, 0)

    def write(self, data: bytes, _now: float) -> None:
        if self._watched and self._fd >= 0 and self._identity != self._there():
            self.close()
        if self._keeping.max_bytes:
            for part in _parts(data, self._keeping.max_bytes):
                self._make_room(len(part))
                self._append(part)
        else:
            self._append(data)

    def _make_room(self, size: int) -> None:
        if self._fd < 0:
            self._open()
        if self._size and self._size + size > self._keeping.max_bytes:
            self.close()
            self._shift()

    def _append(self, data: bytes) -> None:
        if self._fd < 0:
            self._open()
        self._size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        keeping = self._keeping
        mode = 0o666 if keeping.mode is None else keeping.mode
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
        if keeping.mode is not None:
            os.fchmod(self._fd, keeping.mode)
        if (keeping.owner, keeping.group) != (-1, -1):
            os.fchown(self._fd, keeping.owner, keeping.group)
        status = os.fstat(self._fd)
        self._size = status.st_size
        self._identity = status.st_dev, status.st_ino

    def _there(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _shift(self) -> None:
        """x.2 becomes x.3, x.1 becomes x.2, x becomes x.1."""
        end = ".gz" if self._keeping.compress else ""
        for number in range(self._keeping.backups, 0, -1):
            older = f"{self._path}.{number}{end}"
            newer = f"{self._path}.{number - 1}{end}" if number > 1 else str(self._path)
            if os.path.exists(newer):
                self._move(newer, older, packed=number > 1)
        if not self._keeping.backups:
            os.truncate(self._path, 0)

    def _move(self, path: str, target: str, *, packed: bool = False) -> None:
        if packed or not self._keeping.compress:
            os.replace(path, target)
            return
        with open(path, "rb") as source, open(target, "wb", opener=_for_ourselves) as file:
            status = os.fstat(source.fileno())
            with gzip.GzipFile("", "wb", _PACKING, file) as packing:
                shutil.copyfileobj(source, packing)
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
        shutil.copystat(path, target)
        os.unlink(path)


def _for_ourselves(path: str, flags: int) -> int:
    """Open for writing; nobody else reads it before it has its owner and its mode."""
    return os.open(path, flags, 0o600)


def _parts(data: bytes, size: int) -> Iterator[bytes]:
    """Cut at the ends of lines so that each part has at most `size` bytes, or is one line."""
    while len(data) > size:
        end = data.rfind(b"\n", 0, size) + 1 or data.find(b"\n") + 1 or len(data)
        yield data[:end]
        data = data[end:]
    if data:
        yield data


class TimedLogFile(LogFile):
    """A file that is rotated when its time is over: every `interval` of S, M, H, D, at MIDNIGHT, on W0 to W6.

    The older file is named after the time at which it began.
    """

    def __init__(
        self, path: str, keeping: Keeping, when: str, interval: int = 1, *, utc: bool = False
    ) -> None:
        super().__init__(path, keeping)
        self._when = when
        self._interval = interval
        self._utc = utc
        self._began = 0.0
        self._until = 0.0

    def write(self, data: bytes, now: float) -> None:
        if not self._until:
            self._begin(self._path.stat().st_mtime if self._path.exists() else now)
        if now >= self._until:
            self.close()
            if self._path.exists():
                self._retire()
            self._begin(now)
        self._append(data)

    def _begin(self, moment: float) -> None:
        self._began = moment
        self._until = next_rotation(moment, self._when, self._interval, utc=self._utc)

    def _retire(self) -> None:
        end = ".gz" if self._keeping.compress else ""
        when = time.gmtime(self._began) if self._utc else time.localtime(self._began)
        suffix = time.strftime(_SUFFIX.get(self._when, _DAY), when)
        self._move(str(self._path), f"{self._path}.{suffix}{end}")
        if self._keeping.backups:
            older = sorted(self._path.parent.glob(f"{self._path.name}.[0-9]*"))
            for file in older[: -self._keeping.backups]:
                file.unlink()


def next_rotation(moment: float, when: str, interval: int, *, utc: bool) -> float:
    """Return when a file that began at `moment` is full."""
    if when in ("S", "M", "H", "D"):
        return moment + _SECONDS[when] * interval
    fields = time.gmtime(moment) if utc else time.localtime(moment)
    days = interval
    if when.startswith("W"):
        days = (int(when[1]) - fields.tm_wday) % 7 + 1  # that day is the last one
    if utc:
        return moment - moment % _SECONDS["D"] + days * _SECONDS["D"]
    # mktime() puts a day too many right, and knows how long a day is when the clocks change
    return time.mktime((fields.tm_year, fields.tm_mon, fields.tm_mday + days, 0, 0, 0, 0, 0, -1))


def check_when(when: str) -> bool:
    return when in _SECONDS or (len(when) == 2 and when[0] == "W" and when[1] in "0123456")
