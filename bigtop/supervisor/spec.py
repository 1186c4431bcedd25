# What a watcher is meant to be: frozen descriptions, checked when they are made.
#
# Rule: a spec says nothing of what is running; two equal specs describe the same watcher (plan.py relies on
# it). Every text form (INI, TOML, flags) is turned into these in config/, nowhere else.

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import Enum

from bigtop.errors import ConfigError


class Respawn(Enum):
    """When a process that ended is started again."""

    ALWAYS = "always"
    UNEXPECTED = "unexpected"  # unless its exit status is one of `expected_exits`
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How deaths are answered; see flapping.py for the arithmetic.

    Up to `attempts` deaths of one process slot within `window` seconds are answered at once; each further
    one waits `retry_in * factor ** n` seconds, never more than `max_delay`. After `max_retry` such waits in
    a row that slot gives up (-1: never). A life longer than `window` starts the count anew.
    """

    respawn: Respawn = Respawn.ALWAYS
    expected_exits: frozenset[int] = frozenset({0})
    attempts: int = 1
    window: float = 60.0
    retry_in: float = 1.0
    factor: float = 2.0
    max_delay: float = 30.0
    max_retry: int = -1

    def __post_init__(self) -> None:
        if self.attempts < 0:
            raise ConfigError(f"attempts must not be negative, got {self.attempts}")
        if min(self.window, self.retry_in, self.max_delay) < 0:
            raise ConfigError("window, retry_in and max_delay must not be negative")
        if self.factor < 1:
            raise ConfigError(f"factor must be 1 or more, got {self.factor:g}")


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """How a process is ended: asked (a worker over its lifeline, a command by `signal`), then killed."""

    signal: int = signal.SIGTERM
    graceful_timeout: float = 30.0

    def __post_init__(self) -> None:
        if self.graceful_timeout < 0:
            raise ConfigError(f"graceful_timeout must not be negative, got {self.graceful_timeout:g}")


@dataclass(frozen=True, slots=True)
class Command:
    """A process that is exec'd."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that a fork server forks. `bootstrap` is for workers/boot.py alone."""

    bootstrap: bytes
    timeout: float = 30.0  # seconds one application call may take before its worker is replaced; 0: for ever


@dataclass(frozen=True, slots=True)
class WatcherSpec:
    """One named group of identical processes."""

    name: str
    target: Command | Worker
    numprocesses: int = 1
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop: StopPolicy = field(default_factory=StopPolicy)
    boot_timeout: float = 120.0  # from spawn to ready; 0: for ever
    sockets: tuple[str, ...] = ()  # names of the sockets its processes inherit
    priority: int = 0

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a watcher needs a name")
        if self.numprocesses < 0:
            raise ConfigError(f"numprocesses must not be negative, got {self.numprocesses}")
