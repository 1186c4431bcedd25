# Tools that plugins of Circus import from circus.util: its conversions, and the rest of what a plugin has a
# use for.
#
# Rule: names, arguments and errors are Circus'. What makes sense in Circus' own daemon only is not here, and
# whoever imports that is told so.

from __future__ import annotations

import functools
import grp
import importlib
import logging
import os
import pkgutil
import pwd
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from bigtop import log
from bigtop.plugins.circus.conversions import (
    DEFAULT_ENDPOINT_DEALER,
    DEFAULT_ENDPOINT_STATS,
    DEFAULT_ENDPOINT_SUB,
    AsyncPeriodicCallback,
    bytes2human,
    human2bytes,
    to_bool,
    to_bytes,
    to_signum,
    to_str,
)
from bigtop.stats.processes import details, procfs, samples
from bigtop.stats.processes.procfs import ProcessStat
from bigtop.stats.processes.samples import Use

__all__ = [
    "DEFAULT_ENDPOINT_DEALER",
    "DEFAULT_ENDPOINT_MULTICAST",
    "DEFAULT_ENDPOINT_STATS",
    "DEFAULT_ENDPOINT_SUB",
    "FALSY_STRINGS",
    "IS_WINDOWS",
    "LOG_DATE_FMT",
    "LOG_FMT",
    "LOG_LEVELS",
    "MAXFD",
    "TRUTHY_STRINGS",
    "AsyncPeriodicCallback",
    "DictDiffer",
    "ImportStringError",
    "ObjectDict",
    "bytes2human",
    "configure_logger",
    "convert_opt",
    "debuglog",
    "dict_differ",
    "env_to_str",
    "get_default_gid",
    "get_info",
    "get_python_version",
    "get_username_from_uid",
    "get_working_dir",
    "human2bytes",
    "parse_env_dict",
    "parse_env_str",
    "replace_env",
    "resolve_name",
    "to_bool",
    "to_bytes",
    "to_gid",
    "to_signum",
    "to_str",
    "to_uid",
]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_ENDPOINT_MULTICAST: Final = "udp://237.219.251.97:12027"
MAXFD: Final = 1024
IS_WINDOWS: Final = False
TRUTHY_STRINGS: Final = ("yes", "true", "on", "1")
FALSY_STRINGS: Final = ("no", "false", "off", "0")
LOG_LEVELS: Final = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
LOG_FMT: Final = "%(asctime)s %(name)s[%(process)d] [%(levelname)s] %(message)s"
LOG_DATE_FMT: Final = "%Y-%m-%d %H:%M:%S"

_OF_THE_DAEMON: Final = (
    *("StrictConfigParser", "TransformableFuture", "check_future_exception_and_log", "close_on_exec"),
    *("create_udp_socket", "get_connection", "load_virtualenv", "replace_gnu_args", "synchronized"),
    "tornado_sleep",
)


def __getattr__(name: str) -> Any:
    if name in _OF_THE_DAEMON:
        raise ImportError(f"circus.util.{name} is there with Circus alone: pip install circus")
    raise AttributeError(f"module 'circus.util' has no attribute {name!r}")


# ---- names


class ImportStringError(ImportError):
    """What `import_name` names cannot be imported, because of `exception`."""

    def __init__(self, import_name: str, exception: Exception) -> None:
        super().__init__(f"{import_name} cannot be imported: {type(exception).__name__}: {exception}")
        self.import_name = import_name
        self.exception = exception


def resolve_name(import_name: str, silent: bool = False, reload: bool = False) -> Any:
    """Return what package.module, package.module.name or package.module:name is. `silent`: None where there
    is no such module, else ImportStringError."""
    module = import_name.partition(":")[0]
    if reload:
        name = module if module in sys.modules else module.rpartition(".")[0]
        if name in sys.modules:
            importlib.reload(sys.modules[name])
    try:
        return pkgutil.resolve_name(import_name)
    except (ImportError, ValueError) as error:
        if silent:
            return None
        raise ImportStringError(import_name, error) from error


# ---- environments and options


def parse_env_str(env_str: str) -> dict[str, str]:
    """Return the variables of A=1,B=2."""
    pairs = (pair.split("=") for pair in env_str.split(","))
    return parse_env_dict({name.strip(): value.strip() for name, value in pairs})


def parse_env_dict(env: Mapping[str, str]) -> dict[str, str]:
    """Return variables, with the values of those that $NAME names in theirs."""
    return {
        name.strip(): re.sub(r"\$([A-Z]+[A-Z0-9_]*)", replace_env, value).strip()
        for name, value in env.items()
    }


def replace_env(var: re.Match[str]) -> str:
    return os.environ.get(var.group(1), "")


def env_to_str(env: Mapping[str, object] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted((env or {}).items()))


def convert_opt(key: str, val: Any) -> str:
    """Return the text of an option's value."""
    if key == "env":
        return env_to_str(val)
    return "" if val is None else str(val)


# ---- users


def to_uid(name: str | int) -> int:
    """Return the number of a user, given by name or number; ValueError: there is none such."""
    text = str(name)
    try:
        return (pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)).pw_uid
    except (KeyError, OverflowError):
        raise ValueError(f"{name!r} isn't a valid user {'id' if text.isdecimal() else 'name'}") from None


def to_gid(name: str | int) -> int:
    """Return the number of a group, given by name or number; ValueError: there is none such."""
    text = str(name)
    try:
        return (grp.getgrgid(int(text)) if text.isdecimal() else grp.getgrnam(text)).gr_gid
    except (KeyError, OverflowError):
        raise ValueError(f"No such group: {name!r}") from None


def get_username_from_uid(uid: int | str) -> str:
    return pwd.getpwuid(uid).pw_name if isinstance(uid, int) else uid


def get_default_gid(uid: int | str) -> int:
    return (pwd.getpwuid(uid) if isinstance(uid, int) else pwd.getpwnam(uid)).pw_gid


# ---- processes


_seen: dict[int, tuple[float, ProcessStat]] = {}  # by pid: when it was looked at last, and what was there


def get_info(process: Any = None, interval: float = 0.0, with_childs: bool = False) -> dict[str, Any]:
    """Return the figures of a process, which is given as a pid or as an object with one; None is our own.
    The share of the CPU is that since the last look, or of the next `interval` seconds."""
    pid = os.getpid() if process is None else int(getattr(process, "pid", process))
    if interval and (begun := procfs.facts(pid)) is not None:
        _seen[pid] = time.monotonic(), begun
        time.sleep(interval)
    facts = procfs.facts(pid)
    if facts is None:
        raise ProcessLookupError(f"there is no process {pid}")
    now = time.monotonic()
    then, before = _seen.get(pid, (now, None))
    _seen[pid] = now, facts
    use = Use(facts, samples.share(before, facts, now - then), details.who(pid))
    figure: dict[str, Any] = samples.of_process(use, procfs.machine(), time.time())
    if with_childs:
        below = samples.children_of(procfs.table()).get(pid, ())
        figure["children"] = [get_info(child, interval) for child in below]
    return figure


def get_working_dir() -> str:
    """Return our folder, by the name that $PWD has for it if that is the same one."""
    named, real = os.environ.get("PWD", ""), os.getcwd()
    try:
        return named if os.path.samefile(named, real) else real
    except OSError:
        return real


def get_python_version() -> tuple[int, int, int]:
    return sys.version_info[:3]


# ---- the log


def configure_logger(
    logger: logging.Logger,
    level: str = "INFO",
    output: str = "-",
    loggerconfig: str | None = None,
    name: str | None = None,
) -> None:
    """Send the log to `output`, "-" for standard error, or where a configuration of Python's logging says."""
    if loggerconfig is not None and loggerconfig.lower().strip() != "default":
        log.configure_from(loggerconfig)
    else:
        log.configure(level.lower(), path=log.STANDARD if output in ("-", "stdout") else output)


def debuglog(func: F) -> F:
    """Have calls of a method logged while the variable DEBUG is set."""

    @functools.wraps(func)
    def logged(self: object, *args: Any, **kw: Any) -> Any:
        if "DEBUG" not in os.environ:
            return func(self, *args, **kw)
        where = f"'{type(self).__name__}.{func.__name__}'"
        told = log.logger("bigtop.circus")
        told.debug("%s starts", where)
        try:
            return func(self, *args, **kw)
        finally:
            told.debug("%s ends", where)

    return logged  # type: ignore[return-value]  # it takes what `func` takes


# ---- dictionaries


class ObjectDict(dict[str, Any]):
    """A dictionary whose items are attributes, too."""

    def __getattr__(self, item: str) -> Any:
        return self[item]


class DictDiffer:
    """What tells two dictionaries apart."""

    def __init__(self, current_dict: Mapping[Any, Any], past_dict: Mapping[Any, Any]) -> None:
        self.current_dict, self.past_dict = current_dict, past_dict
        self.set_current, self.set_past = set(current_dict), set(past_dict)
        self.intersect = self.set_current & self.set_past

    def added(self) -> set[Any]:
        return self.set_current - self.intersect

    def removed(self) -> set[Any]:
        return self.set_past - self.intersect

    def changed(self) -> set[Any]:
        return {key for key in self.intersect if self.past_dict[key] != self.current_dict[key]}

    def unchanged(self) -> set[Any]:
        return self.intersect - self.changed()


def dict_differ(dict1: Mapping[Any, Any], dict2: Mapping[Any, Any]) -> bool:
    """Say whether a key that both have has another value."""
    return bool(DictDiffer(dict1, dict2).changed())
