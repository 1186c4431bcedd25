# Log of Bigtop, and its access log: where both are written to.
#
# Rule 1: one line (or one batch of lines) is one write(2) on a descriptor opened with O_APPEND. The kernel
# makes "go to the end and write" one step, so supervisor and workers share a file without locks and without
# torn lines. Rule 2: a log that cannot be written never stops a request: a full disk costs the line.
# Rule 3: only the loggers below "bigtop" are set up; the application's own logging is none of our business.
# Rule 4: nor is ours the application's, unless it names the logger "bigtop": what it says of all loggers at
# once (dictConfig, fileConfig, disable(), shutdown(), names of levels, a time zone) changes nothing here.
#
# After a rotation (mv, then SIGUSR1) reopen() puts the new file behind the *same* descriptor number with
# dup2(2). Threads that are writing meanwhile hit the old file or the new one, never a closed descriptor.

from __future__ import annotations

import logging
import os
import re
import select
import time
from datetime import datetime, tzinfo
from json import dumps, loads
from typing import Any, Final

from bigtop import zones
from bigtop.errors import ConfigError, one_line
from bigtop.system.files import safeopen

STANDARD: Final = "-"  # stderr for the log, stdout for the access log
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_LEVELS: Final = {number: name.upper() for name, number in zip(LEVELS, range(10, 60, 10), strict=True)}
_MODE: Final = 0o640  # who may read a log is decided by its directory and group, never by everybody


class _Logger(logging.Logger):
    """A logger that only those can silence who mean it."""

    @property
    def disabled(self) -> bool:
        """Never: dictConfig() and fileConfig() set it for every logger that they do not name."""
        return False

    @disabled.setter
    def disabled(self, _value: bool) -> None:
        pass

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Without logging.disable(), and without a cache that it would have filled."""
        return level >= self.getEffectiveLevel()

    def makeRecord(self, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: N802 - as above
        """Return what the application's record factory makes, or a plain one if that fails."""
        try:
            return super().makeRecord(*args, **more)
        except Exception:  # whatever other people's factory raises
            name, level, path, line, message, values, exception = args[:7]
            return logging.LogRecord(name, level, path, line, message, values, exception)

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as above
        """Write it, by our own handler where all others were taken away."""
        if self.hasHandlers():
            super().callHandlers(record)
        elif _own is not None:
            _own.handle(record)


def logger(name: str) -> logging.Logger:
    """Return the logger `name`, "bigtop" or one below it; all of Bigtop's come from here.

    Whoever was quicker may have made it already, of another class: that is its class from now on.
    """
    found = logging.getLogger(name)
    found.__class__ = _Logger
    return found


def keep(*names: str) -> None:
    """Have loggers of others, by which a server says what is wrong with it, be as hard to silence as ours."""
    for name in names:
        logger(name)


_LOGGER: Final = logger("bigtop")
_own: logging.Handler | None = None  # what configure() set up last
_zone: tzinfo | None = None
_zone_name = zones.LOCAL


def descriptor() -> int:
    """Return where the log goes now, for what others wrote; stderr where that is no file."""
    return _own.file.fd if isinstance(_own, _Handler) else 2


def zone_name() -> str:
    """Return what the time zone of all log lines is called: "local" or "utc"."""
    return _zone_name


def zone() -> tzinfo:
    """Return the time zone of all log lines."""
    global _zone
    _zone = _zone or zones.named(zones.LOCAL)
    return _zone


class _Appender:
    """A file that many threads and processes append to; `standard` is the descriptor that "-" stands for."""

    __slots__ = ("_is_pipe", "fd", "path")

    def __init__(self, path: str, standard: int) -> None:
        self.path = path
        self._is_pipe = False
        try:
            self.fd = standard if path == STANDARD else self._open()
        except OSError as error:
            raise _cannot_write(path, error) from error

    def write(self, line: str) -> None:
        """Append a line, given without its last newline. From any thread."""
        data = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:  # our stdout or stderr is a pipe whose reader is slow
                if self._is_pipe:  # one with a name, which perhaps nobody reads: rule 2
                    return
                select.select([], [self.fd], [])
            except OSError:  # disk full, reader gone: rule 2
                return

    def reopen(self) -> None:
        """Go on in the file that has the name now, making it if need be; if that fails, in the old one."""
        if self.path == STANDARD:
            return
        try:
            fd = self._open()
        except OSError as error:
            _LOGGER.error("cannot reopen %s: %s; going on in the old file", self.path, error.strerror)
            return
        os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)

    def close(self) -> None:
        if self.path != STANDARD:
            os.close(self.fd)

    def _open(self) -> int:
        opened = safeopen.append(self.path, _MODE)
        self._is_pipe = opened.is_pipe
        return opened.fd


def _cannot_write(path: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write the log {path}: {error.strerror}")


def give(path: str, uid: int, gid: int) -> None:
    """Have the log `path` belong to somebody else, who will open it; -1 leaves user or group as they are."""
    try:
        opened = safeopen.append(path, _MODE)
        try:
            opened.give(uid, gid)
        finally:
            os.close(opened.fd)
    except OSError as error:
        raise _cannot_write(path, error) from error


class AccessFile(_Appender):
    """The access log; "-" is stdout. Raises ConfigError when the file cannot be opened."""

    __slots__ = ()

    def __init__(self, path: str) -> None:
        super().__init__(path, standard=1)


class _Handler(logging.Handler):
    """The way of the logging module into a file."""

    def __init__(self, file: _Appender) -> None:
        super().__init__()
        self.file = file

    def emit(self, record: logging.LogRecord) -> None:
        self.file.write(self.format(record))

    def end(self) -> None:
        """Close the file. Not by close(): logging calls that for all handlers when it is configured anew."""
        self.file.close()
        self.close()


def _syslog(url: str) -> logging.Handler:
    """syslog://HOST[:PORT][?FACILITY] or syslog:///PATH[?FACILITY], as in Circus."""
    from logging.handlers import SysLogHandler  # few write there, and it imports much

    class Handler(SysLogHandler):
        append_nul = False

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
            """Rule 2: what cannot be written is lost."""

    from urllib.parse import urlsplit  # few logs go there

    try:
        parts = urlsplit(url)
        address = (parts.hostname, parts.port or 514) if parts.hostname else parts.path
        return Handler(address, Handler.facility_names[parts.query or "user"])
    except KeyError:
        raise ConfigError(f"{url}: there is no facility {parts.query}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write the log {url}: {error}") from error


# What moves a terminal's cursor or ends a line somewhere, but for the newline itself and the tabulator.
_CONTROLS: Final = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029]")


def _visible(text: str) -> str:
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def _level(record: logging.LogRecord) -> str:
    """Return the name of its level, whatever applications call the levels."""
    return _LEVELS.get(record.levelno, record.levelname)


class _Lines(logging.Formatter):
    """[2026-11-21 02:32:00 +0000] [4711] [INFO] text; what follows on lines of its own, as a traceback does,
    is indented: so nobody whose words we pass on can make it look like a line of ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        when = datetime.fromtimestamp(record.created, zone())
        return f"[{when:%Y-%m-%d %H:%M:%S %z}] [{os.getpid()}] [{_level(record)}] {record.getMessage()}"

    def format(self, record: logging.LogRecord) -> str:
        return _visible(super().format(record)).replace("\n", "\n    ")


class _SyslogLines(_Lines):
    """The same without a time: syslog has one for each message itself."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as above
        return f"bigtop[{os.getpid()}]: [{_level(record)}] {record.getMessage()}"


class _JsonLines(logging.Formatter):
    """One JSON object per line, pure ASCII, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{whole}.{int(record.msecs):03d}Z",
            "level": _level(record).lower(),
            "pid": os.getpid(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return dumps(entry)


def configure(
    level: str = "info", *, json: bool = False, path: str = STANDARD, time_zone: str = zones.LOCAL
) -> None:
    """Send everything below the logger "bigtop" to `path` from now on; a second call replaces the first.

    `time_zone` is that of all log lines: "local", as it is now, or "utc".
    Raises ConfigError when the file cannot be opened; the log then stays as it was.
    """
    global _own
    is_syslog = path.startswith("syslog:")
    handler: logging.Handler = _syslog(path) if is_syslog else _Handler(_Appender(path, standard=2))
    if is_syslog:
        handler.setFormatter(_SyslogLines())
    else:
        handler.setFormatter(_JsonLines() if json else _Lines())
    for old in _LOGGER.handlers[:]:
        _LOGGER.removeHandler(old)
        old.end() if isinstance(old, _Handler) else old.close()
    _LOGGER.addHandler(handler)
    _own = handler
    _set_zone(time_zone)
    _LOGGER.setLevel(level.upper())
    _LOGGER.propagate = False


def _set_zone(name: str) -> None:
    global _zone, _zone_name
    _zone, _zone_name = zones.named(name), name


def check_config(path: str) -> None:
    """Find out whether configure_from() can read `path`, and set nothing up. Raises ConfigError."""
    from configparser import ConfigParser, Error

    try:
        if path.lower().endswith(".ini"):
            parser = ConfigParser(interpolation=None)
            with open(path, encoding="utf-8") as file:
                parser.read_file(file)
            if lacking := {"loggers", "handlers", "formatters"}.difference(parser.sections()):
                raise ConfigError(f"{path} has no section [{min(lacking)}]")
        elif _read(path).get("version") != 1:
            raise ConfigError(f"{path} needs version = 1, as logging.config has it")
    except (OSError, ValueError, Error) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error


def configure_from(path: str, time_zone: str = zones.LOCAL) -> None:
    """Send the log where a configuration of Python's logging says; ConfigError if that cannot be.

    What it says of Circus' logger is meant for ours. `time_zone` is that of all lines whose form is ours.
    """
    from logging import config  # as above

    try:
        if path.lower().endswith(".ini"):
            config.fileConfig(path, disable_existing_loggers=False)
        else:
            config.dictConfig({"disable_existing_loggers": False, **_read(path)})
    except Exception as error:  # whatever the classes raise that it names
        raise ConfigError(one_line(f"loggerconfig {path}: {error}")) from error
    _set_zone(time_zone)
    theirs = logging.getLogger("circus")
    if theirs.handlers and not _LOGGER.handlers:
        _LOGGER.handlers[:] = theirs.handlers
        _LOGGER.setLevel(theirs.level)
        _LOGGER.propagate = theirs.propagate


def _read(path: str) -> dict[str, object]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if path.lower().endswith(".json"):
        found = loads(text)
    elif path.lower().endswith((".yaml", ".yml")):
        try:
            import yaml
        except ImportError:
            raise ConfigError("YAML takes PyYAML: pip install 'bigtop[yaml]'") from None
        found = yaml.safe_load(text)
    else:
        raise ConfigError("the name of the file has to end with .ini, .json or .yaml")
    if not isinstance(found, dict):
        raise ConfigError("this is no table of formatters, handlers and loggers")
    return found


def reopen() -> None:
    """Open the log anew after a rotation."""
    for handler in _LOGGER.handlers:
        if isinstance(handler, _Handler):
            handler.file.reopen()
