# Specs of watchers: what each is meant to be, frozen and checked when they are made.
#
# Rule: a spec says nothing of what is running; two equal specs describe the same watcher (plan.py relies on
# it). Every text form (INI, TOML, flags) is turned into these in config/, nowhere else.

from __future__ import annotations

import re
import signal
from enum import Enum

from bigtop.errors import ConfigError
from bigtop.http.paths.time_limits import TimeoutPolicy
from bigtop.record import Record, field
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy
from bigtop.supervisor.policy.scaling import Bounds, ScaleCommand


class Respawn(Enum):
    """When a process that ended is started again."""

    ALWAYS = "always"
    UNEXPECTED = "unexpected"  # unless its exit status is one of `expected_exits`
    NEVER = "never"


class RestartPolicy(Record):
    """How deaths are answered; see backoff.py for the arithmetic.

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
        # A NaN is neither below a limit nor above it: only what is asked this way round refuses it.
        if not all(seconds >= 0 for seconds in (self.window, self.retry_in, self.max_delay)):
            raise ConfigError("window, retry_in and max_delay must be 0 or more")
        if not self.factor >= 1:
            raise ConfigError(f"factor must be 1 or more, got {self.factor:g}")


class StopPolicy(Record):
    """How a process is ended: asked (a worker over its lifeline, a command by `signals`), then killed.

    Each signal of the sequence has an equal share of `graceful_timeout`; `command`, if given, is run instead
    of the first signal, with the process id in $BIGTOP_PID.
    """

    signal: int = signal.SIGTERM
    graceful_timeout: float = 30.0
    margin: float = 0.0  # seconds beyond that, for what comes after the last request of a worker
    then: tuple[int, ...] = ()  # further signals, before SIGKILL
    command: str | None = None
    children: bool = False  # signal the direct children as well

    def __post_init__(self) -> None:
        if not self.graceful_timeout >= 0:
            raise ConfigError(f"graceful_timeout must be 0 or more, got {self.graceful_timeout:g}")


class Cgroup(Record):
    """Limits of a control group (v2) of its own; None is no limit. `required`: fail where there is none."""

    cpus: float | None = None
    memory: int | None = None  # bytes
    pids: int | None = None
    required: bool = True


class ExecContext(Record):
    """What a command finds itself in (compare systemd.exec(5)); None: as the supervisor has it."""

    env: tuple[tuple[str, str], ...] = ()  # complete: nothing is added to it
    cwd: str | None = None
    user: str | None = None  # name or number
    group: str | None = None
    umask: int | None = None
    nice: int | None = None
    cpu_affinity: tuple[int, ...] = ()
    oom_score_adj: int | None = None
    no_new_privs: bool = False
    rlimits: tuple[tuple[str, int], ...] = ()  # ("nofile", 1024): soft and hard; -1 is infinity
    cgroup: Cgroup | None = None


class StreamSpec(Record):
    """Where an output goes: the class' name and its options, see streams/."""

    kind: str
    options: tuple[tuple[str, str], ...] = ()


class Stdio(Record):
    """The standard descriptors of a command. An output without a stream is the supervisor's own: by way of
    the supervisor, which puts the watcher's name in front of each line, or without `prefix` directly."""

    stdin_socket: str | None = None  # name of the socket that becomes descriptor 0
    close_stdin: bool = True  # closed means /dev/null
    close_stdout: bool = False
    close_stderr: bool = False
    stdout: StreamSpec | None = None
    stderr: StreamSpec | None = None
    prefix: bool = True


class Command(Record):
    """A process that is exec'd.

    `cmd` and `args` may hold $(circus.wid), $(circus.sockets.NAME), $(circus.env.NAME) and the watcher's own
    options; they are expanded at each spawn, then split as a shell would, or given to a shell.
    """

    cmd: str
    args: str | tuple[str, ...] = ""
    shell: bool = False
    shell_args: str = ""
    context: ExecContext = field(default_factory=ExecContext)
    stdio: Stdio = field(default_factory=Stdio)
    all_sockets: bool = False  # Circus' use_sockets: every socket is passed on, not only those named


class Worker(Record):
    """A process that a fork server forks. `bootstrap` is for workers/boot.py alone."""

    bootstrap: bytes
    timeout: float = 30.0  # seconds one application call may take before its worker is replaced; 0: for ever
    threads: int = 1  # application calls that it can have at once, where threads run them
    by_path: bool = False  # requests may have time limits of their own
    timeout_policy: TimeoutPolicy = TimeoutPolicy()  # what is done about one that is past its limit

    @property
    def is_timed(self) -> bool:
        """Whether any request has a time limit."""
        return self.timeout > 0 or self.by_path


# The moments at which there are hooks, by Circus' names.
HOOK_NAMES = (
    "before_start",
    "after_start",
    "before_spawn",
    "after_spawn",
    "before_stop",
    "after_stop",
    "before_signal",
    "after_signal",
    "before_reap",
    "after_reap",
    "extended_stats",
)


class Hook(Record):
    """Something to call at a moment in a watcher's life, off the event loop.

    `name` is Circus' (before_start, after_spawn ...); `target` a dotted name, or a command after "!".
    """

    name: str
    target: str
    ignore_failure: bool = False
    timeout: float = 30.0


# The kinds of readiness, each with an example of its value.
READINESS = {
    "spawn": "",
    "delay": "2.5",
    "tcp": "127.0.0.1:6379",
    "http": "//127.0.0.1:8000/health",
    "file": "/run/web.ready",
    "notify": "",
    "log": "listening on",
}


class Readiness(Record):
    """When a command counts as ready: "spawn", "delay", "tcp", "http", "file", "notify" or "log"."""

    kind: str = "spawn"
    value: str = ""

    def __post_init__(self) -> None:
        if self.kind not in READINESS:
            raise ConfigError(f"ready: there is no {self.kind!r}; there are {', '.join(READINESS)}")
        if self.kind in ("delay", "tcp", "http", "file", "log") and not self.value:
            raise ConfigError(f"ready: {self.kind} needs a value, as {self.kind}:{READINESS[self.kind]}")
        try:
            if self.kind == "delay":
                float(self.value)
            elif self.kind == "tcp":
                int(self.value.rpartition(":")[2])
            elif self.kind == "log":
                re.compile(self.value)
        except (ValueError, re.error) as error:
            raise ConfigError(f"ready: {self.kind}:{self.value}: {error}") from error


class Lifetime(Record):
    """When healthy processes are started and replaced. Seconds and bytes; 0 is never."""

    autostart: bool = True
    on_demand: bool = False  # started by the first connection to one of its sockets
    idle_stop: float = 0.0  # an on-demand watcher stops after so long without a connection
    schedule: str = ""  # a cron expression: started then, and expected to end by itself
    max_age: float = 0.0
    max_age_variance: float = 30.0
    max_rss: int = 0  # of a process with all its descendants
    max_pss: int = 0  # the same, of what it shares with n others one nth
    warmup_delay: float = 0.0  # between two spawns
    critical: bool = False  # when it gives up, so does the daemon


class WatcherSpec(Record):
    """One named group of identical processes."""

    name: str
    target: Command | Worker
    numprocesses: int = 1
    scaling: Bounds | None = None  # between which the number follows the load; None: it stays
    scale_command: ScaleCommand | None = None  # says the number, in place of the load
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop: StopPolicy = field(default_factory=StopPolicy)
    boot_timeout: float = 120.0  # to be imported, and from spawn to ready; 0: for ever
    sockets: tuple[str, ...] = ()  # names of the sockets its processes inherit
    priority: int = 0  # higher starts earlier and stops later
    singleton: bool = False
    hidden: bool = False  # from commands for all watchers, and from `save`: it is Bigtop's own
    send_hup: bool = False  # a reload is SIGHUP to each process
    deploy: DeployPolicy = field(default_factory=DeployPolicy)
    overlap: bool | None = None  # a new process is ready before an old one goes; None: see supervisor.py
    depends: tuple[str, ...] = ()  # watchers that must be ready before it starts, and stop after it
    ready: Readiness = field(default_factory=Readiness)
    lifetime: Lifetime = field(default_factory=Lifetime)
    hooks: tuple[Hook, ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # free-form ones, for plugins and hooks

    def nearest(self, count: int) -> int:
        """Return how many processes there are to be where there are `count`."""
        return self.numprocesses if self.scaling is None else self.scaling.nearest(count)

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a watcher needs a name")
        if self.numprocesses < 0:
            raise ConfigError(f"numprocesses must not be negative, got {self.numprocesses}")
        if self.singleton and self.numprocesses > 1:
            raise ConfigError(f"{self.name}: a singleton has at most one process, got {self.numprocesses}")
