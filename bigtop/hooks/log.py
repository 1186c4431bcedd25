# Logger classes with the names and the seams of gunicorn's.
#
# Hooks find one as `log`, and files derive theirs from it where gunicorn is not installed (stand_ins.py).
#
# Rule: what workers say goes where the file says (logger_class, logconfig, logconfig_dict, logconfig_json),
# under gunicorn's names of loggers; where it says nothing, into Bigtop's own log.

from __future__ import annotations

import base64
import binascii
import inspect
import json
import logging
import os
import pkgutil
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, Any, ClassVar, Final

from bigtop import log as own
from bigtop.errors import ConfigError, one_line
from bigtop.hooks.cfg import Cfg
from bigtop.hooks.requests import Environ, Request, Response

ERROR, ACCESS = "gunicorn.error", "gunicorn.access"
_DEFAULT: Final = (None, "gunicorn.glogging.Logger", "simple")
_LINES: Final = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_TIME: Final = "[%Y-%m-%d %H:%M:%S %z]"


def defaults() -> dict[str, Any]:
    """Return what a configuration of logging is added to, as `gunicorn.glogging.CONFIG_DEFAULTS`."""

    def logger(name: str, handler: str) -> dict[str, Any]:
        return {"level": "INFO", "handlers": [handler], "propagate": True, "qualname": name}

    def stream(name: str) -> dict[str, str]:
        return {"class": "logging.StreamHandler", "formatter": "generic", "stream": f"ext://sys.{name}"}

    return {
        "version": 1,
        "disable_existing_loggers": False,
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {ERROR: logger(ERROR, "error_console"), ACCESS: logger(ACCESS, "console")},
        "handlers": {"console": stream("stdout"), "error_console": stream("stderr")},
        "formatters": {"generic": {"format": _LINES, "datefmt": _TIME, "class": "logging.Formatter"}},
    }


class SafeAtoms(dict[str, Any]):
    """Atoms of an access, in which no client can forge a line or end a quoted part; what is not there is a
    dash."""

    def __init__(self, atoms: dict[str, Any]) -> None:
        super().__init__(
            (key, one_line(value).replace('"', '\\"') if isinstance(value, str) else value)
            for key, value in atoms.items()
        )

    def __getitem__(self, key: str) -> Any:
        return self.get(key.lower() if key.startswith("{") else key, "-")


class Logger:
    """`error_log` and `access_log` are the loggers that files name by hand, too."""

    LOG_LEVELS: ClassVar = {name: logging.getLevelName(name.upper()) for name in own.LEVELS}
    error_fmt = _LINES
    access_fmt = "%(message)s"
    datefmt = _TIME
    atoms_wrapper_class: type = SafeAtoms

    def __init__(self, cfg: Any) -> None:
        self.error_log, self.access_log = logging.getLogger(ERROR), logging.getLogger(ACCESS)
        self.error_log.propagate = self.access_log.propagate = False
        self.loglevel = logging.INFO
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: Any) -> None:
        """Give both loggers their handlers. ConfigError says what cannot be had."""
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        self._set_handler(self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt))
        self._set_handler(
            self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt), stream=sys.stdout
        )
        _configure(cfg)

    def _set_handler(
        self,
        log: logging.Logger,
        output: str | None,
        fmt: logging.Formatter,
        stream: IO[str] | None = None,
    ) -> None:
        if output is None:
            return
        handler = logging.StreamHandler(stream) if output == own.STANDARD else logging.FileHandler(output)
        handler.setFormatter(fmt)
        log.addHandler(handler)

    # ---- what is said

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        level = self.LOG_LEVELS.get(lvl.lower(), logging.INFO) if isinstance(lvl, str) else lvl
        self.error_log.log(level, msg, *args, **kwargs)

    # ---- requests

    @property
    def access_log_enabled(self) -> bool:
        cfg = self.cfg
        return bool(cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json)

    def access(self, resp: Response, req: Request, environ: Environ, request_time: timedelta) -> None:
        """Log an answered request."""
        if self.access_log_enabled:
            atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
            self.access_log.info(self.cfg.access_log_format, atoms)

    def atoms(
        self, resp: Response, req: Request, environ: Environ, request_time: timedelta
    ) -> dict[str, Any]:
        """Return what an access log format may name."""
        whole = request_time // timedelta(microseconds=1)
        sent = getattr(resp, "sent", None)
        line = (environ["REQUEST_METHOD"], environ["RAW_URI"], environ["SERVER_PROTOCOL"])
        atoms = {
            "h": environ.get("REMOTE_ADDR", "-"),
            "l": "-",
            "u": _user(environ) or "-",
            "t": self.now(),
            "r": " ".join(line),
            "s": str(resp.status).split(None, 1)[0],
            "m": environ["REQUEST_METHOD"],
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": environ["SERVER_PROTOCOL"],
            "b": "-" if sent is None else str(sent),
            "B": sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": request_time.seconds,
            "D": whole,
            "M": whole // 1000,
            "L": f"{whole // 1_000_000}.{whole % 1_000_000:06d}",
            "p": f"<{os.getpid()}>",
        }
        for letter, pairs in (("i", req.headers), ("o", resp.headers), ("e", environ.items())):
            atoms.update({f"{{{name.lower()}}}{letter}": value for name, value in pairs})
        return atoms

    def now(self) -> str:
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    # ---- files

    def reopen_files(self) -> None:
        """Go on in new files, after a rotation."""
        for name in (None, *logging.root.manager.loggerDict):
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.FileHandler):
                    handler.acquire()
                    try:
                        if handler.stream:
                            handler.stream.close()
                        handler.stream = handler._open()
                    finally:
                        handler.release()

    def close_on_exec(self) -> None:
        """Nothing to be done: Python's files are closed there."""


def of(cfg: Cfg) -> Any:
    """Return the log that a configuration asks for. ConfigError says what is wrong with its class, or with
    what that is told."""
    given = cfg.logger_class
    try:
        if given in _DEFAULT:
            logging.getLogger(ERROR).propagate = False
            _share()
            return Logger(cfg.for_logs(errorlog=None))
        made = _class(given)(cfg.for_logs(errorlog=own.STANDARD))
    except ConfigError:
        raise
    except Exception as error:  # whatever other people's class raises
        who = "accesslog" if given in _DEFAULT else f"logger_class {given}"
        raise ConfigError(one_line(f"{who}: {type(error).__name__}: {error}")) from error
    _share()
    return made


def _share() -> None:
    """Where nobody says where it goes, have what is no access go into Bigtop's own log."""
    theirs = logging.getLogger(ERROR)
    if not theirs.hasHandlers():
        theirs.handlers[:] = own.logger("bigtop").handlers


def _class(given: Any) -> Any:
    if inspect.isclass(given):
        return given
    try:
        return pkgutil.resolve_name(given)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(one_line(f"logger_class {given}: {error}")) from error


def is_asked_for(cfg: Cfg) -> bool:
    """Whether a configuration says anything of how workers log."""
    return bool(cfg.logger_class not in _DEFAULT or cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json)


def has_filters() -> bool:
    """Whether somebody looks at accesses as they pass."""
    known = logging.root.manager.loggerDict.get(ACCESS)
    return isinstance(known, logging.Logger) and bool(known.filters)


class _Forward(logging.Handler):
    """What Bigtop says in this process, said by gunicorn's logger."""

    def emit(self, record: logging.LogRecord) -> None:
        theirs = logging.getLogger(ERROR)
        if theirs.isEnabledFor(record.levelno):
            theirs.handle(record)


def forward() -> None:
    """Have what Bigtop says in this process go where gunicorn's own words go."""
    own.logger("bigtop").handlers[:] = [_Forward()]


def _configure(cfg: Any) -> None:
    """Do what a configuration of Python's logging says, if there is one."""
    name, do = "", None
    if cfg.logconfig_dict:
        name, do = "logconfig_dict", lambda: _by_dict(cfg.logconfig_dict)
    elif cfg.logconfig_json:
        name, do = "logconfig_json", lambda: _by_dict(_read(cfg.logconfig_json))
    elif cfg.logconfig:
        name, do = "logconfig", lambda: _by_file(cfg.logconfig)
    if do is None:
        return
    try:
        do()
    except Exception as error:  # whatever the classes raise that it names
        why = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        raise ConfigError(one_line(f"{name}: {why}")) from error


def _by_dict(given: Mapping[str, Any]) -> None:
    from logging import config  # few sites have one, and it imports much

    whole = {**defaults(), **given}
    if "handlers" in given and "root" not in given:  # whose default names one that is not there any more
        del whole["root"]
    config.dictConfig(whole)


def _by_file(path: str) -> None:
    from logging import config  # likewise

    here = {"__file__": path, "here": os.path.dirname(path)}
    config.fileConfig(path, here, disable_existing_loggers=False)


def _read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _user(environ: Environ) -> str | None:
    """Return the name of basic authentication (RFC 7617); nobody has checked it here."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(token.strip()).partition(b":")[0].decode("utf-8", "replace")
    except binascii.Error:
        return None
