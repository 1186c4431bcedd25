# Where Bigtop writes what it has to say: its own log, and the access log.
#
# Rule 1: one line (or one batch of lines) is one write(2) on a descriptor opened with O_APPEND. The kernel
# makes "go to the end and write" one step, so supervisor and workers share a file without locks and without
# torn lines. Rule 2: a log that cannot be written never stops a request: a full disk costs the line.
# Rule 3: only the loggers below "bigtop" are set up; the application's own logging is none of our business.
#
# After a rotation (mv, then SIGUSR1) reopen() puts the new file behind the *same* descriptor number with
# dup2(2). Threads that are writing meanwhile hit the old file or the new one, never a closed descriptor.

from __future__ import annotations

import logging
import os
import select
import time
from json import dumps, loads
from typing import Final
from urllib.parse import urlsplit

from bigtop.errors import ConfigError

STANDARD: Final = "-"  # stderr for the log, stdout for the access log
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_LOGGER: Final = logging.getLogger("bigtop")
_MODE: Final = 0o640  # who may read a log is decided by its directory and group, never by everybody


class _Appender:
    """A file that many threads and processes append to; `standard` is the descriptor that "-" stands for."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, standard: int) -> None:
        self.path = path
        try:
            self.fd = standard if path == STANDARD else self._open()
        except OSError as error:
            raise ConfigError(f"cannot write the log {path}: {error.strerror}") from error

    def write(self, line: str) -> None:
        """Append a line, given without its last newline. From any thread."""
        data = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:  # somebody made our stdout non-blocking: a shell's neighbour, a parent
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
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)


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

    def close(self) -> None:
        self.file.close()
        super().close()


def _syslog(url: str) -> logging.Handler:
    """syslog://HOST[:PORT][?FACILITY] or syslog:///PATH[?FACILITY], as in Circus."""
    from logging.handlers import SysLogHandler  # few write there, and it imports much

    class Handler(SysLogHandler):
        append_nul = False

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
            """Rule 2: what cannot be written is lost."""

    try:
        parts = urlsplit(url)
        address = (parts.hostname, parts.port or 514) if parts.hostname else parts.path
        return Handler(address, Handler.facility_names[parts.query or "user"])
    except KeyError:
        raise ConfigError(f"{url}: there is no facility {parts.query}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write the log {url}: {error}") from error


class _Lines(logging.Formatter):
    """[2026-11-21 02:32:00 +0000] [4711] [INFO] text; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S %z")


class _JsonLines(logging.Formatter):
    """One JSON object per line, pure ASCII, whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{whole}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return dumps(entry)


def configure(level: str = "info", *, json: bool = False, path: str = STANDARD) -> None:
    """Send everything below the logger "bigtop" to `path` from now on; a second call replaces the first.

    Raises ConfigError when the file cannot be opened; the log then stays as it was.
    """
    is_syslog = path.startswith("syslog:")
    handler: logging.Handler = _syslog(path) if is_syslog else _Handler(_Appender(path, standard=2))
    if is_syslog:  # it has a time for each message itself
        handler.setFormatter(logging.Formatter("bigtop[%(process)d]: [%(levelname)s] %(message)s"))
    else:
        handler.setFormatter(_JsonLines() if json else _Lines())
    for old in _LOGGER.handlers[:]:
        _LOGGER.removeHandler(old)
        old.close()
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level.upper())
    _LOGGER.propagate = False


def configure_from(path: str) -> None:
    """Send the log where a configuration of Python's logging says; ConfigError if that cannot be.

    What it says of Circus' logger is meant for ours.
    """
    from logging import config  # as above

    try:
        if path.lower().endswith(".ini"):
            config.fileConfig(path, disable_existing_loggers=False)
        else:
            config.dictConfig({"disable_existing_loggers": False, **_read(path)})
    except Exception as error:  # whatever the classes raise that it names
        raise ConfigError(f"loggerconfig {path}: {error}") from error
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
