# Sinks of outputs: the classes that a stream can name, Circus' own and more, made from their options.
#
# Rules: make() says what is wrong with the options before anything is opened; a sink is opened by its first
# line. write() runs in the writer thread, where only a disk makes it wait.

from __future__ import annotations

import functools
import os
import queue
import re
from collections.abc import Callable
from datetime import UTC
from typing import Protocol

from bigtop import sizes
from bigtop.errors import ConfigError
from bigtop.log import zone
from bigtop.supervisor.policy.spec import Command, StreamSpec, WatcherSpec
from bigtop.supervisor.streams import formats
from bigtop.supervisor.streams.files import Keeping, LogFile, TimedLogFile, check_when
from bigtop.supervisor.streams.flows import Bytes, Datagrams, Flow
from bigtop.supervisor.streams.formats import Chunk, Format, Joint
from bigtop.system import accounts, terminal
from bigtop.system.files import safeopen

_JOURNAL = "/run/systemd/journal/socket"
_SYSLOG = "/dev/log"
_PRIORITY = {"stdout": 6, "stderr": 3}  # informational and error, of syslog(3)
_FLAGS = dict.fromkeys(("yes", "true", "on", "1"), True) | dict.fromkeys(("no", "false", "off", "0"), False)
_FANCY_TIME = "%Y-%m-%d %H:%M:%S"


class Sink(Protocol):
    @property
    def target(self) -> object:
        """What it writes to. Sinks with the same one take turns, and wait for each other."""

    @property
    def flow(self) -> Flow | None:
        """What has a rest when not everything could be written; None: nothing is open, or never has."""

    def write(self, chunk: Chunk) -> None:
        """Raises OSError when that is impossible."""

    def close(self) -> None:
        """Let go of what is open; the next write opens it anew."""


class FileSink:
    def __init__(self, file: LogFile, form: Format) -> None:
        self.target = file
        self._format = form
        self._joint = Joint()

    @property
    def flow(self) -> Flow | None:
        return self.target.flow

    def write(self, chunk: Chunk) -> None:
        self.target.write(self._joint.chunk(chunk, self._format), chunk.at)

    def close(self) -> None:
        self.target.close()


class _Standard:
    """A standard output of the supervisor's own, which many watchers may share. Opened by the first line."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.joint = Joint()

    @functools.cached_property
    def flow(self) -> Bytes:
        return Bytes(safeopen.own(self._fd).fd)


_stdout, _stderr = _Standard(1), _Standard(2)


class OwnOutput:
    """The supervisor's own standard output, or its standard error, which often are one and the same."""

    def __init__(self, form: Format, which: str = "stdout") -> None:
        self.target = _stdout if which == "stdout" or os.path.sameopenfile(1, 2) else _stderr
        self._format = form

    @property
    def flow(self) -> Flow | None:
        return self.target.flow

    def write(self, chunk: Chunk) -> None:
        self.target.flow.write(self.target.joint.chunk(chunk, self._format))

    def close(self) -> None:
        """It is not ours to close."""


class QueueSink:
    """For programs that use Bigtop as a library: what was written waits in `queue`, oldest first."""

    def __init__(self, room: int = 10_000) -> None:
        self.queue: queue.Queue[Chunk] = queue.Queue(room)
        self.target = self.queue
        self.flow = None

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
        self.target = self
        self.flow: Datagrams | None = None

    def write(self, chunk: Chunk) -> None:
        if self.flow is None:
            self.flow = Datagrams(self._address)
        try:
            self.flow.send([self._encode(chunk, line) for line in chunk.split()])
        except OSError:
            self.close()  # who listens there may have been started anew
            raise

    def close(self) -> None:
        if self.flow is not None:
            self.flow.close()
            self.flow = None


def make_all(spec: WatcherSpec, *, prefix: bool = False) -> dict[str, Sink]:
    """Return the sinks of a watcher by "stdout" and "stderr"; ConfigError says what is wrong.

    What has no stream goes to our own outputs, with `prefix` after the watcher's name.
    """
    made: dict[str, Sink] = {}
    shared: dict[StreamSpec, Sink] = {}  # both outputs may go to one file, through one descriptor
    if isinstance(spec.target, Command):
        stdio = spec.target.stdio
        for which, stream in (("stdout", stdio.stdout), ("stderr", stdio.stderr)):
            if stream is None:
                made[which] = OwnOutput(
                    _named(spec.name, which) if prefix and stdio.prefix else formats.plain, which
                )
                continue
            if stream not in shared:
                shared[stream] = make(stream, spec.name)
            made[which] = shared[stream]
    return made


def _named(watcher: str, which: str) -> Format:
    fd = 1 if which == "stdout" else 2
    return formats.named(formats.color_of(watcher) if terminal.shows_colours(fd) else "")


class StreamError(ConfigError):
    """`option` is the one that is wrong; "class" where that is."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


def check(stream: StreamSpec) -> None:
    """Find out whether make() could make it, and make nothing. Raises StreamError."""
    make(stream, "", unnamed=_temporary_folder)


def make(stream: StreamSpec, watcher: str, unnamed: Callable[[], str] | None = None) -> Sink:
    """Return the sink that `stream` describes; StreamError says what is wrong with its options.

    `unnamed` returns the file of streams that name none.
    """
    kind = stream.kind.rpartition(".")[2]
    options = _Options(kind, dict(stream.options), unnamed or _temporary)
    build = _KINDS.get(kind)
    if build is None:
        raise StreamError("class", f"there is no class {stream.kind}; there are {', '.join(_KINDS)}")
    sink = build(options, watcher)
    options.check_all_used()
    return sink


class _Options:
    """The options of a stream as texts, each of which is taken once."""

    def __init__(self, kind: str, texts: dict[str, str], unnamed: Callable[[], str]) -> None:
        self._kind = kind
        self._texts = texts
        self._unnamed = unnamed
        self._taken: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        self._taken.append(name)
        return self._texts.pop(name, default)

    def number(self, name: str, default: int = 0, minimum: int = 0) -> int:
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < minimum:
            raise self.wrong(name, f"must be a whole number of at least {minimum}, got {text!r}")
        return int(text)

    def size(self, name: str) -> int:
        try:
            return sizes.size(self.text(name, "0"))
        except ValueError as error:
            raise self.wrong(name, str(error)) from None

    def flag(self, name: str) -> bool:
        text = self.text(name, "no")
        if text.lower() not in _FLAGS:
            raise self.wrong(name, f"must be yes or no, got {text!r}")
        return _FLAGS[text.lower()]

    def account(self, name: str, look_up: Callable[[str], int]) -> int:
        text = self.text(name)
        try:
            return look_up(text) if text else -1
        except LookupError as error:
            raise self.wrong(name, str(error)) from None

    def wrong(self, name: str, problem: str) -> StreamError:
        return StreamError(name, problem)

    def check_all_used(self) -> None:
        for name in sorted(self._texts):
            from difflib import get_close_matches

            near = get_close_matches(name, self._taken, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(self._taken))}"
            raise StreamError(name, f"{self._kind} has no option {name}; {hint}")

    def path(self) -> str:
        return self.text("filename") or self._unnamed()

    def format(self) -> Format:
        time_format = self.text("time_format")
        if self.flag("json"):
            if time_format:
                raise self.wrong("time_format", "does nothing beside json, which has a time of its own")
            return formats.as_json
        return formats.stamped(time_format, zone()) if time_format else formats.plain

    def keeping(self) -> Keeping:
        mode = self.text("mode")
        if not re.fullmatch(r"(0o?)?[0-7]{0,4}", mode):
            raise self.wrong("mode", f"must be octal such as 640, got {mode!r}")
        return Keeping(
            max_bytes=self.size("max_bytes"),
            backups=self.number("backup_count"),
            compress=self.flag("compress"),
            mode=int(mode, 8) if mode else None,
            owner=self.account("owner", accounts.uid_of),
            group=self.account("group", accounts.gid_of),
        )


@functools.cache
def _temporary() -> str:
    """Return the file of all that name none: one that nobody could have put there before."""
    from tempfile import mkstemp

    try:
        fd, path = mkstemp(prefix="bigtop-", suffix=".log", dir=_temporary_folder())
    except OSError as error:  # it is full, or of another user now
        raise StreamError("filename", f"{error.filename}: {error.strerror}") from None
    os.close(fd)
    return path


def _temporary_folder() -> str:
    try:
        from tempfile import gettempdir

        return gettempdir()
    except OSError:
        raise StreamError("filename", "has to be given: there is no folder for temporary files") from None


def _file(options: _Options, _watcher: str) -> Sink:
    return FileSink(LogFile(options.path(), options.keeping()), options.format())


def _watched(options: _Options, _watcher: str) -> Sink:
    return FileSink(LogFile(options.path(), options.keeping(), watched=True), options.format())


def _timed(options: _Options, _watcher: str) -> Sink:
    when = options.text("rotate_when").upper()
    if not check_when(when):
        raise options.wrong("rotate_when", f"must be S, M, H, D, MIDNIGHT or W0 to W6, got {when!r}")
    interval = options.number("rotate_interval", 1, minimum=1)
    where = UTC if options.flag("utc") else zone()
    return FileSink(TimedLogFile(options.path(), options.keeping(), when, interval, where), options.format())


def _fancy(options: _Options, watcher: str) -> Sink:
    color = options.text("color") or formats.color_of(watcher)
    if not formats.is_color(color):
        raise options.wrong("color", f"must be a colour of a terminal, got {color!r}")
    return OwnOutput(formats.fancy(color, options.text("time_format", _FANCY_TIME), zone()))


def _queue(options: _Options, _watcher: str) -> Sink:
    return QueueSink(options.number("maxsize", 10_000, minimum=1))


def _syslog(options: _Options, _watcher: str) -> Sink:
    """To /dev/log, a path, or HOST:PORT."""
    address = options.text("address", _SYSLOG)
    facility = options.text("facility", "daemon")
    from logging.handlers import SysLogHandler

    codes = SysLogHandler.facility_names
    if facility not in codes:
        raise options.wrong("facility", f"must be one of {', '.join(codes)}, got {facility!r}")
    host, _, port = address.rpartition(":")
    if not address.startswith("/") and not port.isdigit():
        raise options.wrong("address", f"must be a path or HOST:PORT, got {address!r}")

    def encode(chunk: Chunk, line: bytes) -> bytes:
        priority = codes[facility] << 3 | _PRIORITY[chunk.which]
        return f"<{priority}>{chunk.watcher}[{chunk.pid}]: ".encode() + line

    return DatagramSink(address if address.startswith("/") else (host, int(port)), encode)


def _journal(options: _Options, _watcher: str) -> Sink:
    """systemd's native protocol: fields by name, the message with its length because it may hold anything."""
    path = options.text("address", _JOURNAL)
    if not os.path.exists(path):
        raise options.wrong("address", f"there is no journal here: {path}")

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
