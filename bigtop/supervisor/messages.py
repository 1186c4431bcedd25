# The whole vocabulary between the machine, which decides, and the stage, which performs.
#
# Events are what happened, actions are what to do about it, notices are what the world is told.
# A process is named by `key`, a number that is never used twice; `wid` is its place in the watcher (1, 2,
# ...) and is used again by its successor.

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bigtop.supervisor.spec import WatcherSpec


class Urgency(Enum):
    """How hard to stop. Each is stronger than the one before it."""

    GRACEFUL = 1  # up to the graceful timeout
    QUICK = 2  # leave at once: open requests are cut off, exit handlers run
    NOW = 3  # SIGKILL


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: `code` as from exit(3), or `signal`; exactly one of them is set."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        return f"exit status {self.code}" if self.signal is None else f"signal {self.signal}"


# ---- events: what is wanted


@dataclass(frozen=True, slots=True)
class Start:
    """Be running."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Be stopped; a later Stop can only be more urgent. A Start after it wins over it."""

    urgency: Urgency = Urgency.GRACEFUL


@dataclass(frozen=True, slots=True)
class Scale:
    """Have `count` processes."""

    count: int


@dataclass(frozen=True, slots=True)
class Reload:
    """Replace every process by one of a new generation, one by one.

    Each is ready before an old one goes; `sequential`: each old one is gone before the new one comes. A
    watcher with send_hup signals its processes instead, unless they are to be made differently (`remake`).
    """

    sequential: bool = False
    remake: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop, then start."""


@dataclass(frozen=True, slots=True)
class Update:
    """Be described by `spec` from now on; processes that run stay until a Reload."""

    spec: WatcherSpec


@dataclass(frozen=True, slots=True)
class Leave:
    """The process is to end and to be followed by another; None: as the stop policy says."""

    key: int
    grace: float | None = None
    signum: int | None = None


# ---- events: what happened


@dataclass(frozen=True, slots=True)
class GenerationReady:
    """Processes of `generation` can be spawned from now on."""

    generation: int


@dataclass(frozen=True, slots=True)
class GenerationFailed:
    """The code of `generation` cannot run: it cannot be imported, or its fork server died."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Spawned:
    key: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """There is no process (the exec failed, the fork server vanished)."""

    key: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    key: int


@dataclass(frozen=True, slots=True)
class BootFailed:
    """The process says that it cannot start, for a reason that a retry will not cure; Exited follows."""

    key: int
    reason: str


@dataclass(frozen=True, slots=True)
class Retiring:
    """A healthy process asks for a successor; it serves until its successor is ready."""

    key: int
    reason: str


@dataclass(frozen=True, slots=True)
class Late:
    """A process is stuck in one call longer than it may; `alone` if it is doing nothing else."""

    key: int
    reason: str
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Exited:
    key: int
    status: ExitStatus


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; sent when Watcher.wake_at() has come."""


Event = (
    Start
    | Stop
    | Scale
    | Reload
    | Restart
    | Update
    | Leave
    | GenerationReady
    | GenerationFailed
    | Spawned
    | SpawnFailed
    | Ready
    | BootFailed
    | Retiring
    | Late
    | Exited
    | Tick
)


# ---- actions


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make `generation` possible (start a fork server); answered by GenerationReady or GenerationFailed."""

    generation: int


@dataclass(frozen=True, slots=True)
class Discard:
    """No process of `generation` will be spawned again."""

    generation: int


@dataclass(frozen=True, slots=True)
class Spawn:
    """Answered by Spawned or SpawnFailed, then by Ready when it is."""

    key: int
    wid: int
    generation: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask the process to end within `grace` seconds (0: at once), by `signum` if that is given."""

    key: int
    grace: float
    signum: int | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal that is no request to end."""

    key: int
    signum: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the process and all that descends from it, with SIGKILL."""

    key: int


# ---- actions that only tell: published as events and logged


@dataclass(frozen=True, slots=True)
class Report:
    """Say in the log what the late process is doing: its requests, the stack of every thread."""

    key: int
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """The wanted number of processes is ready for the first time since Start."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """No process is left since Stop (or since every slot ended for good)."""


@dataclass(frozen=True, slots=True)
class Died:
    """A process ended that should not have; `wait` seconds until its successor is started, None for never."""

    key: int
    wid: int
    status: ExitStatus
    was_ready: bool
    deaths: int
    wait: float | None
    reason: str = ""  # of a process that could not even be started


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Every process is of `generation`, and ready."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """`generation` was given up; the processes of generation `kept` go on."""

    generation: int
    kept: int
    reason: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The watcher cannot run: its first generation failed, or every slot used up its retries.

    Stopped follows when the last process is gone.
    """

    reason: str


# ---- notices that the machine does not know of


@dataclass(frozen=True, slots=True)
class Born:
    """There is a process, and it executes what it was made for."""

    key: int
    wid: int
    pid: int


@dataclass(frozen=True, slots=True)
class NotSpawned:
    """There is no process, and why."""

    wid: int
    reason: str


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal was sent so that a process ends."""

    key: int
    pid: int
    signum: int


@dataclass(frozen=True, slots=True)
class Reaped:
    """A process ended, for whatever reason, and so did all that it had started."""

    key: int
    wid: int
    pid: int
    status: ExitStatus


@dataclass(frozen=True, slots=True)
class Left:
    """These could not be ended after the process `key`: they hang inside the kernel, or are not ours."""

    key: int
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Degraded:
    """Something that was asked for as "if possible" is not possible."""

    reason: str


@dataclass(frozen=True, slots=True)
class Added:
    """The watcher is known from now on."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The watcher is not known any more."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The watcher is described anew; `fields` of its spec differ."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookRan:
    """`error` is empty if all went well."""

    hook: str
    error: str = ""


_OfTheMachine = Report | Started | Stopped | Died | Reloaded | ReloadFailed | GaveUp
_OfTheWorld = Born | NotSpawned | Signalled | Reaped | Left | Degraded | Added | Removed | Updated | HookRan
Notice = _OfTheMachine | _OfTheWorld
Action = Prepare | Discard | Spawn | Drain | Kill | Signal | _OfTheMachine
