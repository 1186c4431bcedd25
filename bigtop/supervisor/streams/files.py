# Log files: appended to, rotated by size or by time, compressed, with an owner and a mode.
#
# Rules: writer thread only, so everything here may block. A rotation renames and never copies, so no line is
# lost or cut, and works in the folder where the file was found. Only regular files are rotated. The names of
# older files are those that logging.handlers gives them: .1, .2 by size, a date by time.

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as clock_time

from bigtop.record import Record
from bigtop.supervisor.streams.flows import Bytes
from bigtop.system.files import safeopen
from bigtop.system.files.safeopen import FolderEntry, Opened

_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86400, "MIDNIGHT": 86400}
_SUFFIX = {"S": "%Y-%m-%d_%H-%M-%S", "M": "%Y-%m-%d_%H-%M", "H": "%Y-%m-%d_%H"}
_MIDNIGHT = clock_time()
_DAY = "%Y-%m-%d"
_PACKING = 6  # of 9: three times as fast, and hardly larger


class Keeping(Record):
    """What becomes of a file; `backups` 0 keeps all older ones (by time) or none (by size)."""

    max_bytes: int = 0
    backups: int = 0
    compress: bool = False
    mode: int | None = None
    owner: int = -1
    group: int = -1


class LogFile:
    """A file that is reopened when somebody else moved it, and rotated by size if `max_bytes` is set.

    What is no regular file is written and never rotated.
    """

    def __init__(self, path: str, keeping: Keeping, *, watched: bool = False) -> None:
        self.path = path
        self._keeping = keeping
        self._watched = watched
        self._opened: Opened | None = None
        self.flow: Bytes | None = None  # while it is open
        self._size = 0

    def write(self, data: bytes, _now: float) -> None:
        if self._watched and self._opened is not None and self._opened.rotates and not self._is_there():
            self.close()
        if self._keeping.max_bytes and self.open().rotates:
            for part in _parts(data, self._keeping.max_bytes):
                if self._size and self._size + len(part) > self._keeping.max_bytes:
                    self._shift()
                self._append(part)
        else:
            self._append(data)

    def _append(self, data: bytes) -> None:
        self.open()
        assert self.flow is not None
        self._size += len(data)
        self.flow.write(data)

    def close(self) -> None:
        if self.flow is not None:
            self.flow.close()
            self._opened = self.flow = None

    def open(self) -> Opened:
        """Open it if it is not open."""
        if self._opened is None:
            keeping = self._keeping
            opened = safeopen.append(self.path, 0o666 if keeping.mode is None else keeping.mode)
            try:
                opened.give(keeping.owner, keeping.group, keeping.mode)
            except OSError:
                os.close(opened.fd)
                raise
            self._opened, self.flow = opened, Bytes(opened.fd)
            self._size = os.fstat(opened.fd).st_size
        return self._opened

    def _is_there(self) -> bool:
        """Whether the file that is open still has its name."""
        try:
            with safeopen.place(self.path) as place:
                return self._is_ours(place.status())
        except FileNotFoundError:
            return False

    def _is_ours(self, status: os.stat_result | None) -> bool:
        assert self._opened is not None
        return status is not None and os.path.samestat(status, os.fstat(self._opened.fd))

    def _shift(self) -> None:
        """x.2 becomes x.3, x.1 becomes x.2, x becomes x.1."""
        if not self._keeping.backups:
            os.ftruncate(self.open().fd, 0)
            self._size = 0
            return
        end = ".gz" if self._keeping.compress else ""
        with safeopen.place(self.path) as place:
            if self._is_ours(place.status()):  # else somebody moved it meanwhile
                for number in range(self._keeping.backups, 1, -1):
                    with contextlib.suppress(FileNotFoundError):
                        _rename(place, f"{place.name}.{number - 1}{end}", f"{place.name}.{number}{end}")
                self._retire_to(place, f"{place.name}.1{end}")
        self.close()

    def _retire_to(self, place: FolderEntry, target: str) -> None:
        """Give the file that is open another name in its folder, packed if that is wanted."""
        if not self._keeping.compress:
            _rename(place, place.name, target)
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target, dir_fd=place.folder)
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        with (
            open(
                os.open(place.name, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=place.folder), "rb"
            ) as source,
            open(
                os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=place.folder),
                "wb",
            ) as file,
        ):
            status = os.fstat(source.fileno())
            if not self._is_ours(status):
                raise FileNotFoundError(errno.ENOENT, "somebody moves it while it is rotated", self.path)
            from gzip import GzipFile  # here, with shutil: with all that hangs on them
            from shutil import copyfileobj

            with GzipFile("", "wb", _PACKING, file) as packing:
                copyfileobj(source, packing)
            file.flush()
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        os.unlink(place.name, dir_fd=place.folder)


def _rename(place: FolderEntry, before: str, after: str) -> None:
    os.replace(before, after, src_dir_fd=place.folder, dst_dir_fd=place.folder)


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

    The older file is named after the time at which it began, in the time zone that all log lines have.
    """

    def __init__(self, path: str, keeping: Keeping, when: str, interval: int = 1, zone: tzinfo = UTC) -> None:
        super().__init__(path, keeping)
        self._when = when
        self._interval = interval
        self._zone = zone
        self._began = 0.0
        self._until = 0.0

    def write(self, data: bytes, now: float) -> None:
        opened = self.open()
        if opened.rotates:
            if not self._until:
                self._begin(now if opened.made else os.fstat(opened.fd).st_mtime)
            if now >= self._until:
                self._retire()
                self._begin(now)
        self._append(data)

    def _begin(self, moment: float) -> None:
        self._began = moment
        self._until = next_rotation(moment, self._when, self._interval, self._zone)

    def _retire(self) -> None:
        end = ".gz" if self._keeping.compress else ""
        suffix = datetime.fromtimestamp(self._began, self._zone).strftime(_SUFFIX.get(self._when, _DAY))
        with safeopen.place(self.path) as place:
            if self._is_ours(place.status()):
                self._retire_to(place, f"{place.name}.{suffix}{end}")
                if self._keeping.backups:
                    _remove_oldest(place, self._keeping.backups)
        self.close()


def _remove_oldest(place: FolderEntry, keep: int) -> None:
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.folder)
    try:
        is_older = re.compile(re.escape(place.name) + r"\.[0-9]").match
        for name in sorted(filter(is_older, os.listdir(folder)))[:-keep]:
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def next_rotation(moment: float, when: str, interval: int, zone: tzinfo) -> float:
    """Return when a file that began at `moment` is full."""
    if when in ("S", "M", "H", "D"):
        return moment + _SECONDS[when] * interval
    day = datetime.fromtimestamp(moment, zone).date()
    days = interval
    if when.startswith("W"):
        days = (int(when[1]) - day.weekday()) % 7 + 1  # that day is the last one
    # A day may have 23 hours or 25, so midnight is looked up there.
    return datetime.combine(day + timedelta(days), _MIDNIGHT, zone).timestamp()


def check_when(when: str) -> bool:
    return when in _SECONDS or (len(when) == 2 and when[0] == "W" and when[1] in "0123456")
