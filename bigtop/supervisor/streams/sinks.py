# Where outputs go: the classes that a stream can name, Circus' own and a few more, made from their options.
#
# Rules: make() says what is wrong with the options before anything is opened; a sink is opened by its first
# line. write() runs in the writer thread and may block there.

from __future__ import annotations

import functools
import grp
import logging.handlers
import os
import pwd
import queue
import socket
import tempfile
from collections.abc import Callable
from typing import Protocol

from bigtop.errors import ConfigError
from bigtop.supervisor.spec import Command, Stream, WatcherSpec
from bigtop.supervisor.streams import formats
from bigtop.supervisor.streams.files import Keeping, LogFile, TimedLogFile, check_when
from bigtop.supervisor.streams.formats import Chunk, Format

_JOURNAL = "/run/systemd/journal/socket"
_SYSLOG = "/dev/log"
_PRIORITY = {"stdout": 6, "stderr": 3}  # informational and error, of syslog(3)
_FLAGS = dict.fromkeys(("yes", "true", "on", "1"), True) | dict.fromkeys(("no", "false", "off", "0"), False)
_FANCY_TIME = "%Y-%m-%d %H:%M:%S"


class Sink(Protocol):
    def write(self, chunk: Chunk) -> None:
        """Raises OSError when that is impossible."""

    def close(self) -> None:
        """Let go of what is open; the next write opens it anew."""


class FileSink:
    def __init__(self, file: LogFile, form: Format) -> None:
        self._file = file
        self._format = form

    def write(self, chunk: Chunk) -> None:
        self._file.write(self._format(chunk), chunk.at)

    def close(self) -> None:
        self._file.close()


class OwnOutput:
    """The supervisor's own standard output."""

    def __init__(self, form: Format) -> None:
        self._format = form

    def write(self, chunk: Chunk) -> None:
        view = memoryview(self._format(chunk))
        while view:
            view = view[os.write(1, view) :]

    def close(self) -> None:
        """It is not ours to close."""


class QueueSink:
    """For programs that use Bigtop as a library: what was written waits in `queue`, oldest first."""

    def __init__(self, room: int = 10_000) -> None:
        self.queue: queue.Queue[Chunk] = queue.Queue(room)

    def write(self, chunk: Chunk) -> None:
        try:
            self.queue.put_nowait(chunk)
        except queue.Full:
            raise BlockingIOError(11, "nobody takes from the queue") from None

    def close(self) -> None:
        """What is in the queue stays there."""


class DatagramSink:
    """One datagram per line, to the local syslog or to the journal."""

    def __init__(self, address: str | tuple[str, int], encode: Callable[[Chunk, bytes], bytes]) -> None:
        self._address = address
        self._encode = encode
        self._socket: socket.socket | None = None

    def write(self, chunk: Chunk) -> None:
        if self._socket is None:
            family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        for line in chunk.split():
            self._socket.sendto(self._encode(chunk, line), self._address)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def make_all(spec: WatcherSpec) -> dict[str, Sink]:
    """Return the sinks of a watcher by "stdout" and "stderr"; ConfigError says what is wrong."""
    made: dict[str, Sink] = {}
    shared: dict[Stream, Sink] = {}  # both outputs may go to one file, through one descriptor
    if isinstance(spec.target, Command):
        stdio = spec.target.stdio
        for which, stream in (("stdout", stdio.stdout), ("stderr", stdio.stderr)):
            if stream is not None:
                if stream not in shared:
                    shared[stream] = make(stream, spec.name)
                made[which] = shared[stream]
    return made


def make(stream: Stream, watcher: str) -> Sink:
    """Return the sink that `stream` describes; ConfigError says what is wrong with its options."""
    kind = stream.kind.rpartition(".")[2]
    options = _Options(kind, dict(stream.options))
    build = _KINDS.get(kind)
    if build is None:
        raise ConfigError(f"stream class {stream.kind}: there is no such; there are {', '.join(_KINDS)}")
    sink = build(options, watcher)
    options.check_all_used()
    return sink


class _Options:
    """The options of a stream as texts, each of which is taken once."""

    def __init__(self, kind: str, texts: dict[str, str]) -> None:
        self._kind = kind
        self._texts = texts

    def text(self, name: str, default: str = "") -> str:
        return self._texts.pop(name, default)

    def number(self, name: str, default: int = 0, base: int = 10) -> int:
        text = self._texts.pop(name, None)
        try:
            return default if text is None else int(text, base)
        except ValueError:
            raise self.wrong(name, text or "", "a number") from None

    def flag(self, name: str) -> bool:
        text = self._texts.pop(name, "no")
        if text.lower() not in _FLAGS:
            raise self.wrong(name, text, "yes or no")
        return _FLAGS[text.lower()]

    def wrong(self, name: str, value: str, expected: str) -> ConfigError:
        return ConfigError(f"{self._kind}.{name}: {value!r} is not {expected}")

    def check_all_used(self) -> None:
        if self._texts:
            raise ConfigError(f"{self._kind} has no option {', '.join(sorted(self._texts))}")

    def path(self) -> str:
        return self.text("filename") or _temporary()

    def format(self) -> Format:
        time_format = self.text("time_format")
        if self.flag("json"):
            return formats.as_json
        return formats.stamped(time_format) if time_format else formats.plain

    def keeping(self) -> Keeping:
        owner, group = self.text("owner"), self.text("group")
        try:
            uid = -1 if not owner else int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
            gid = -1 if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise self.wrong("owner or group", f"{owner}:{group}", "known here") from None
        mode = self.number("mode", -1, base=8)
        return Keeping(
            max_bytes=self.number("max_bytes"),
            backups=self.number("backup_count"),
            compress=self.flag("compress"),
            mode=None if mode < 0 else mode,
            owner=uid,
            group=gid,
        )


@functools.cache
def _temporary() -> str:
    """Return the file of all that name none: one that nobody could have put there before."""
    fd, path = tempfile.mkstemp(prefix="bigtop-", suffix=".log")
    os.close(fd)
    return path


def _file(options: _Options, _watcher: str) -> Sink:
    return FileSink(LogFile(options.path(), options.keeping()), options.format())


def _watched(options: _Options, _watcher: str) -> Sink:
    return FileSink(LogFile(options.path(), options.keeping(), watched=True), options.format())


def _timed(options: _Options, _watcher: str) -> Sink:
    when = options.text("rotate_when").upper()
    if not check_when(when):
        raise options.wrong("rotate_when", when, "S, M, H, D, MIDNIGHT or W0 to W6")
    interval, utc = options.number("rotate_interval", 1), options.flag("utc")
    return FileSink(
        TimedLogFile(options.path(), options.keeping(), when, interval, utc=utc), options.format()
    )


def _fancy(options: _Options, watcher: str) -> Sink:
    color = options.text("color") or formats.color_of(watcher)
    if not formats.is_color(color):
        raise options.wrong("color", color, "a colour of a terminal")
    return OwnOutput(formats.fancy(color, options.text("time_format", _FANCY_TIME)))


def _queue(options: _Options, _watcher: str) -> Sink:
    return QueueSink(options.number("maxsize", 10_000))


def _syslog(options: _Options, _watcher: str) -> Sink:
    """To /dev/log, a path, or HOST:PORT."""
    address = options.text("address", _SYSLOG)
    facility = options.text("facility", "daemon")
    codes = logging.handlers.SysLogHandler.facility_names
    if facility not in codes:
        raise options.wrong("facility", facility, f"one of {', '.join(codes)}")
    host, _, port = address.rpartition(":")
    if not address.startswith("/") and not port.isdigit():
        raise options.wrong("address", address, "a path or HOST:PORT")

    def encode(chunk: Chunk, line: bytes) -> bytes:
        priority = codes[facility] << 3 | _PRIORITY[chunk.which]
        return f"<{priority}>{chunk.watcher}[{chunk.pid}]: ".encode() + line

    return DatagramSink(address if address.startswith("/") else (host, int(port)), encode)


def _journal(options: _Options, _watcher: str) -> Sink:
    """systemd's native protocol: fields by name, the message with its length because it may hold anything."""
    path = options.text("address", _JOURNAL)
    if not os.path.exists(path):
        raise ConfigError(f"journald: there is no journal here: {path}")

    def encode(chunk: Chunk, line: bytes) -> bytes:
        fields = (
            f"SYSLOG_IDENTIFIER={chunk.watcher}\nSYSLOG_PID={chunk.pid}\nPRIORITY={_PRIORITY[chunk.which]}\n"
        )
        return fields.encode() + b"MESSAGE\n" + len(line).to_bytes(8, "little") + line + b"\n"

    return DatagramSink(path, encode)


_KINDS: dict[str, Callable[[_Options, str], Sink]] = {
    "FileStream": _file,
    "WatchedFileStream": _watched,
    "TimedRotatingFileStream": _timed,
    "StdoutStream": lambda options, _watcher: OwnOutput(options.format()),
    "FancyStdoutStream": _fancy,
    "QueueStream": _queue,
    "syslog": _syslog,
    "journald": _journal,
}
