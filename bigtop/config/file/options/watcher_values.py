# Text to value, for the keys of configuration files; the rules are those of values.py.

from __future__ import annotations

import re
import resource
import socket
from collections.abc import Sequence
from datetime import datetime

from cronsim import CronSim, CronSimError

from bigtop.config.serve.values import values
from bigtop.config.serve.values.values import Convert, Parse, T
from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import Readiness, Respawn
from bigtop.system import signals

RLIMITS = tuple(sorted(name[7:].lower() for name in dir(resource) if name.startswith("RLIMIT_")))
_READINESS = (
    "must be spawn, notify, delay:SECONDS, tcp:HOST:PORT, http://HOST:PORT/PATH, file:PATH or log:REGEX"
)
_READY_VALUES = {
    "spawn": "",
    "notify": "",
    "delay": r"[0-9]{1,9}(\.[0-9]+)?",
    "tcp": r"(.+:)?[0-9]{1,5}",
    "http": r"(?i:https?)://[^/].*",
    "file": ".+",
    "log": "(?s:.+)",
}
_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"
_ENDLESS = ("", "infinity", "unlimited", "-1")


def text(given: str) -> str:
    return given


def number(given: str) -> float:
    """Any number of seconds, also a negative one."""
    if not re.fullmatch(r"-?([0-9]{1,9}(\.[0-9]*)?|\.[0-9]+)", given):
        raise ValueError(f"must be a number, got {given!r}")
    return float(given)


def factor(given: str) -> float:
    if number(given) < 1:
        raise ValueError(f"must be a number of at least 1, got {given!r}")
    return number(given)


def respawn(given: str) -> Respawn:
    if given.lower() in [member.value for member in Respawn]:
        return Respawn(given.lower())
    try:
        return Respawn.ALWAYS if values.switch(given) else Respawn.NEVER
    except ValueError:
        raise ValueError(f"must be yes, no, always, never or unexpected, got {given!r}") from None


def overlap(given: str) -> bool | None:
    try:
        return None if given.lower() == "auto" else values.switch(given)
    except ValueError:
        raise ValueError(f"must be yes, no or auto, got {given!r}") from None


def cgroup(given: str) -> str:
    if given.lower() in ("try", "require", "off"):
        return given.lower()
    try:
        return "require" if values.switch(given) else "off"
    except ValueError:
        raise ValueError(f"must be off, try or require, got {given!r}") from None


def rlimit(given: str) -> int:
    """A number, a size such as 512M, or infinity (-1); Circus writes infinity as nothing."""
    if given.strip().lower() in _ENDLESS:
        return -1
    try:
        return values.size(0)(given.strip())
    except ValueError:
        raise ValueError(f"must be a number, a size such as 512M, or infinity, got {given!r}") from None


def cpus(given: str) -> tuple[int, ...]:
    """0-3,6"""
    found: set[int] = set()
    for part in given.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,4})(?:-([0-9]{1,4}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"must be CPU numbers such as 0,2 or 0-3, got {given!r}")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(found))


def cpu_list(texts: Sequence[str]) -> tuple[int, ...]:
    return cpus(",".join(texts)) if any(texts) else ()


def readiness(given: str) -> Readiness:
    kind, colon, value = given.partition(":")
    kind = kind.lower()
    if kind in ("http", "https"):
        kind, value = "http", given
    value = value.removeprefix("//")
    try:
        right = re.fullmatch(_READY_VALUES.get(kind, "(?!)"), value) is not None
        if kind == "log":
            re.compile(value)
    except re.error as error:
        raise ValueError(f"log: {value!r} is not a regular expression: {error}") from None
    if not right or bool(colon) != bool(value):
        raise ValueError(f"{_READINESS}, got {given!r}")
    return Readiness(kind, value)


def schedule(given: str) -> str:
    """A cron expression of five fields, or six with seconds."""
    try:
        CronSim(given, datetime(2000, 1, 1))
    except CronSimError as error:
        raise ValueError(f'must be a cron expression such as "*/5 * * * *", got {given!r}: {error}') from None
    return given


def name_of(prefix: str, *allowed: str) -> Convert[str]:
    """A constant such as SOCK_STREAM, with or without its prefix; returned in lower case without."""

    def convert(given: str) -> str:
        word = given.strip().lower().removeprefix(prefix.lower())
        if word not in allowed:
            known = ", ".join(prefix + known.upper() for known in allowed)
            raise ValueError(f"must be one of {known}, got {given!r}")
        return word

    return convert


def protocol(given: str) -> int:
    try:
        return socket.getprotobyname(given)
    except OSError:
        raise ValueError(f"must be a protocol of /etc/protocols such as icmp, got {given!r}") from None


def endpoint(*schemes: str) -> Convert[str]:
    """A ZeroMQ address."""

    def convert(given: str) -> str:
        scheme, separator, rest = given.partition("://")
        port = rest.rpartition(":")[2]
        ported = (port.isdecimal() and int(port) <= 65535) or port == "*"
        if not separator or scheme not in schemes or not rest or (scheme != "ipc" and not ported):
            forms = " or ".join(f"{known}://{'PATH' if known == 'ipc' else 'HOST:PORT'}" for known in schemes)
            raise ValueError(f"must be {forms}, got {given!r}")
        return given

    return convert


def signal_list(texts: Sequence[str]) -> tuple[int, ...]:
    return tuple(signals.number(part) for text in texts for part in re.split(r"[\s,]+", text) if part)


def filled(convert: Convert[T]) -> Parse[T | None]:
    """One text, or None for none and for an empty one, as Circus has it."""
    return lambda texts: convert(texts[-1]) if texts and texts[-1] else None


def exit_statuses(texts: Sequence[str]) -> frozenset[int]:
    return frozenset(values.commas(values.whole(0, 255))(texts))


def dotted(given: str) -> str:
    if not re.fullmatch(_DOTTED, given):
        raise ValueError(f"must be a dotted name such as package.module.Class, got {given!r}")
    return given


def plugin(given: str) -> str:
    if not re.fullmatch(r"[\w-]+|(\w+\.)+\w+|(\w+\.)*\w+:\w+", given):
        raise ValueError(f"must be a class, package.module.Class, or the name of a plugin, got {given!r}")
    return given


def positive(given: str) -> float:
    if not (found := number(given)) > 0:
        raise ValueError(f"must be more than 0, got {given!r}")
    return found


def required(given: str) -> str:
    if not given.strip():
        raise ValueError("must not be empty")
    return given


def loglevel(given: str) -> str:
    return values.choice("critical", "error", "warning", "info", "debug")(given)


def interval(given: str) -> tuple[str, float]:
    """The name of a watcher, and seconds."""
    name, equals, seconds = given.rpartition("=")
    if not (equals and name.strip()):
        raise ValueError(f"must be NAME=SECONDS, got {given!r}")
    return name.strip().lower(), values.duration(seconds.strip())


def signal_number(given: str) -> int:
    try:
        return signals.number(given)
    except ConfigError as error:
        raise ValueError(str(error)) from None
