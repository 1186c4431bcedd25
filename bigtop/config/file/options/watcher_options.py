# Keys of a [watcher:NAME] section, each once.
#
# From this table come reading, the words about unknown keys, `bigtop check`, `bigtop convert` and
# docs/reference/config.md. Names, meaning and defaults are those of Circus; `ours=True` marks what it lacks.
# The other kinds of section are in daemon_options.py.

from __future__ import annotations

from typing import Final

from bigtop.config.file.options import watcher_values as wv
from bigtop.config.file.text.key import Key
from bigtop.config.serve.values import deploy_values, values
from bigtop.config.serve.values.values import commas, each, maybe, one, switch
from bigtop.supervisor import hook_target
from bigtop.supervisor.policy.spec import HOOK_NAMES, RestartPolicy

NO: Final = ("no",)
YES: Final = ("yes",)
_POLICY: Final = RestartPolicy()

# ---- the command

CMD = Key("cmd", one(wv.text), "COMMAND", "The program; split into words as a shell would.", ("",))
ARGS = Key(
    "args",
    each(wv.text),
    "ARGUMENTS",
    "Added to `cmd`; a list in TOML is taken as it is.",
    ("",),
    many=True,
)
SHELL = Key("shell", one(switch), "yes|no", "Give the command to `sh -c`.", NO)
SHELL_ARGS = Key("shell_args", one(wv.text), "ARGUMENTS", "Arguments of the shell, after the command.", ("",))
WORKING_DIR = Key("working_dir", wv.filled(values.directory), "DIR", "Where the processes start.")
UID = Key("uid", wv.filled(values.user), "USER", "Run as this user.")
GID = Key("gid", wv.filled(values.group), "GROUP", "Run as this group; the user's own unless given.")
COPY_ENV = Key(
    "copy_env", one(switch), "yes|no", "Start from Bigtop's own environment, not from nothing.", NO
)
COPY_PATH = Key("copy_path", one(switch), "yes|no", "Set PYTHONPATH to Bigtop's own; needs `copy_env`.", NO)
ENV_FILE = Key(
    "env_file",
    wv.filled(values.path),
    "FILE",
    "NAME=VALUE lines for the environment; counts from this file. The env sections win over it.",
    ours=True,
)
VIRTUALENV = Key(
    "virtualenv",
    wv.filled(values.directory),
    "DIR",
    "Put a virtual environment into PATH and PYTHONPATH; needs `copy_env`.",
)
VIRTUALENV_PY_VER = Key(
    "virtualenv_py_ver", one(wv.text), "X.Y", "Its version of Python; Bigtop's own unless given.", ("",)
)

# ---- what the kernel grants

UMASK = Key("umask", wv.filled(values.umask), "OCTAL", "File mode bits that new files do not get.", ours=True)
NICE = Key(
    "nice", wv.filled(values.whole(-20, 19)), "N", "Priority with the scheduler, from -20 to 19.", ours=True
)
CPU_AFFINITY = Key(
    "cpu_affinity",
    wv.cpu_list,
    "CPUS",
    "Run on these CPUs only, such as 0-3,6.",
    many=True,
    ours=True,
)
OOM_SCORE_ADJ = Key(
    "oom_score_adj",
    wv.filled(values.whole(-1000, 1000)),
    "N",
    "How gladly the kernel kills it when memory ends.",
    ours=True,
)
NO_NEW_PRIVS = Key("no_new_privs", one(switch), "yes|no", "setuid programs give it no rights.", NO, ours=True)
CGROUP = Key(
    "cgroup",
    maybe(wv.cgroup),
    "off|try|require",
    "A control group of its own; `try` goes on without where there is none. `require` once a limit is given.",
    ours=True,
)
CGROUP_CPUS = Key(
    "cgroup_cpus",
    wv.filled(values.seconds),
    "N",
    "CPUs that all its processes share, such as 1.5.",
    ours=True,
)
CGROUP_MEMORY = Key(
    "cgroup_memory", wv.filled(values.size(1)), "SIZE", "Memory of all its processes together.", ours=True
)
CGROUP_PIDS = Key(
    "cgroup_pids", wv.filled(values.whole(1)), "N", "Processes and threads together.", ours=True
)
RLIMITS = tuple(
    Key(f"rlimit_{name}", maybe(wv.rlimit), "N", f"RLIMIT_{name.upper()}, soft and hard; empty is infinity.")
    for name in wv.RLIMITS
)

# ---- how many, and when

NUMPROCESSES = Key(
    "numprocesses",
    one(values.processes(0, 100_000)),
    "N|N..M|auto",
    "Processes to keep; auto is one per CPU. With 2..8 as many as their CPU time asks for.",
    ("1",),
)
SCALE_COMMAND = Key(
    "scale_command",
    wv.filled(deploy_values.command),
    "COMMAND",
    "What a shell runs, as the watcher's user: it prints how many of `numprocesses = 2..8` are wanted.",
    ours=True,
)
SCALE_INTERVAL = Key(
    "scale_interval",
    one(values.seconds),
    "SECONDS",
    "Time from one `scale_command` to the next, and the time that one has.",
    ("10",),
    ours=True,
)
SINGLETON = Key("singleton", one(switch), "yes|no", "Never more than one process.", NO)
AUTOSTART = Key("autostart", one(switch), "yes|no", "Start together with Bigtop.", YES)
PRIORITY = Key(
    "priority", one(values.whole(-(10**9))), "N", "Higher ones start earlier and stop later.", ("0",)
)
DEPENDS = Key(
    "depends",
    commas(wv.text),
    "NAMES",
    "Watchers and apps that must be ready first, and stop later.",
    many=True,
    ours=True,
)
READY = Key(
    "ready",
    one(wv.readiness),
    "WHEN",
    "When it counts as ready: spawn, delay:SECONDS, tcp:HOST:PORT, http://…, file:PATH, notify, log:REGEX.",
    ("spawn",),
    ours=True,
)
BOOT_TIMEOUT = Key(
    "boot_timeout",
    one(values.seconds),
    "SECONDS",
    "Time from its start until it is ready; 0 is for ever.",
    ("120",),
    ours=True,
)
HEALTH_CHECK = Key(
    "health_check",
    each(deploy_values.command_check),
    "CHECK",
    "At a reload, what the first new process has to answer before the others follow: "
    "`GET http://HOST:PORT/PATH 200 <500ms`, or `TCP HOST:PORT`.",
    many=True,
    ours=True,
)
CHECK_COMMAND = Key(
    "check_command",
    wv.filled(deploy_values.command),
    "COMMAND",
    "At a reload, what a shell runs, as the watcher's user, once the first new process is ready.",
    ours=True,
)
CHECK_TIMEOUT = Key(
    "check_timeout",
    one(values.seconds),
    "SECONDS",
    "Time for `check_command`; 0 is for ever.",
    ("60",),
    ours=True,
)
CANARY_TIME = Key(
    "canary_time",
    one(values.seconds),
    "SECONDS",
    "At a reload, how long the first new process has to live before the others follow.",
    ("0",),
    ours=True,
)
WARMUP_DELAY = Key(
    "warmup_delay", one(values.seconds), "SECONDS", "Pause between the starts of two processes.", ("0",)
)
ON_DEMAND = Key(
    "on_demand", one(switch), "yes|no", "Start at the first connection to one of its sockets.", NO
)
IDLE_STOP = Key(
    "idle_stop",
    one(values.seconds),
    "SECONDS",
    "Stop an `on_demand` watcher that had no connection for so long.",
    ("0",),
    ours=True,
)
SCHEDULE = Key(
    "schedule", wv.filled(wv.schedule), "CRON", "Start at these times, such as `*/5 * * * *`.", ours=True
)
MAX_AGE = Key("max_age", one(values.seconds), "SECONDS", "Replace a process of this age; 0 is never.", ("0",))
MAX_AGE_VARIANCE = Key(
    "max_age_variance", one(values.seconds), "SECONDS", "Add up to so much to `max_age`, at random.", ("30",)
)
MAX_RSS = Key(
    "max_rss",
    one(values.size(0)),
    "SIZE",
    "Replace a process that, with its children, has more memory.",
    ("0",),
    ours=True,
)

# ---- stopping and reloading

STOP_SIGNAL = Key("stop_signal", one(wv.signal_number), "SIGNAL", "What asks a process to end.", ("TERM",))
STOP_SIGNALS = Key(
    "stop_signals",
    wv.signal_list,
    "SIGNALS",
    "Several, one after the other, within `graceful_timeout`.",
    many=True,
    ours=True,
)
STOP_COMMAND = Key(
    "stop_command",
    wv.filled(wv.required),
    "COMMAND",
    "Run instead of the first signal, with $BIGTOP_PID.",
    ours=True,
)
STOP_CHILDREN = Key("stop_children", one(switch), "yes|no", "Signal the direct children as well.", NO)
GRACEFUL_TIMEOUT = Key(
    "graceful_timeout", one(values.seconds), "SECONDS", "Time to end by itself, before SIGKILL.", ("30",)
)
SEND_HUP = Key("send_hup", one(switch), "yes|no", "A reload is SIGHUP to each process.", NO)
OVERLAP = Key(
    "overlap",
    one(wv.overlap),
    "yes|no|auto",
    "A new process is ready before an old one goes; `auto`: yes for a reload, no for a changed description.",
    ("auto",),
    ours=True,
)

# ---- deaths

RESPAWN = Key(
    "respawn",
    one(wv.respawn),
    "yes|no|unexpected",
    "Replace a process that ended; `unexpected`: unless its status was expected.",
    YES,
)
EXPECTED_EXITS = Key(
    "expected_exits",
    wv.exit_statuses,
    "STATUSES",
    "Exit statuses that are no failure.",
    ("0",),
    many=True,
    ours=True,
)
CRITICAL = Key(
    "critical", one(switch), "yes|no", "When it ends for good, Bigtop ends with its status.", NO, ours=True
)
MAX_RETRY = Key(
    "max_retry",
    maybe(values.whole(-1)),
    "N",
    "Give up after so many failed starts in a row; -1 is never. `flapping.max_retry` wins over it.",
    (),
)
FLAPPING_ACTIVE = Key("flapping.active", one(switch), "yes|no", "May a process slot be given up at all?", YES)
FLAPPING_ATTEMPTS = Key(
    "flapping.attempts",
    maybe(values.whole(0)),
    "N",
    f"Deaths in the window that cost no wait; {_POLICY.attempts} unless given.",
)
FLAPPING_WINDOW = Key(
    "flapping.window",
    maybe(values.seconds),
    "SECONDS",
    f"How long a death is remembered; {_POLICY.window:g} unless given.",
)
FLAPPING_RETRY_IN = Key(
    "flapping.retry_in",
    maybe(values.seconds),
    "SECONDS",
    f"The first wait; {_POLICY.retry_in:g} unless given.",
)
FLAPPING_MAX_RETRY = Key(
    "flapping.max_retry",
    maybe(values.whole(-1)),
    "N",
    "Waits in a row before it is given up; -1, never, unless given.",
)
FLAPPING_FACTOR = Key(
    "flapping.factor",
    one(wv.factor),
    "N",
    "Each wait is so many times the last one.",
    (f"{_POLICY.factor:g}",),
    ours=True,
)
FLAPPING_MAX_DELAY = Key(
    "flapping.max_delay",
    maybe(values.seconds),
    "SECONDS",
    f"The longest wait; {_POLICY.max_delay:g} or `retry_in` unless given.",
    ours=True,
)

# ---- sockets and outputs

SOCKETS = Key(
    "sockets",
    commas(wv.text),
    "NAMES",
    "Sockets that it inherits, besides those named in its command.",
    many=True,
    ours=True,
)
USE_SOCKETS = Key("use_sockets", one(switch), "yes|no", "Inherit all sockets.", NO)
STDIN_SOCKET = Key(
    "stdin_socket", wv.filled(str.lower), "NAME", "The socket that becomes its standard input."
)
CLOSE_CHILD_STDIN = Key("close_child_stdin", one(switch), "yes|no", "Standard input is /dev/null.", YES)
CLOSE_CHILD_STDOUT = Key("close_child_stdout", one(switch), "yes|no", "Standard output is /dev/null.", NO)
CLOSE_CHILD_STDERR = Key("close_child_stderr", one(switch), "yes|no", "Standard error is /dev/null.", NO)
OUTPUT_PREFIX = Key(
    "output_prefix",
    one(switch),
    "yes|no",
    "With no, an output without a stream is Bigtop's own as it is: the terminal, for programs that need one.",
    YES,
    ours=True,
)
STREAMS = ("stdout_stream", "stderr_stream")  # each with .class and the options of that class

# ---- hooks

HOOKS = tuple(
    Key(
        f"hooks.{name}",
        maybe(hook_target.parse),
        "TARGET[,yes|no]",
        "A dotted name or `!COMMAND`; yes ignores its failure.",
    )
    for name in HOOK_NAMES
)
HOOK_TIMEOUT = Key(
    "hook_timeout",
    one(values.seconds),
    "SECONDS",
    "Time that one call of a hook may take.",
    ("30",),
    ours=True,
)

# ---- what Circus accepts and nobody needs


def _dead(name: str, reason: str) -> Key[str]:
    return Key(name, one(wv.text), "-", reason, ("",), is_dead=True)


DEAD = (
    _dead("executable", "Circus overwrites it with nothing"),
    _dead("check_flapping", "use flapping.active"),
    _dead("use_papa", "sockets and processes need no papa"),
    _dead("env", "variables stand in [env] and [env:NAME]"),
)

# ---- all of them

WATCHER: Final[tuple[Key[object], ...]] = (
    CMD, ARGS, SHELL, SHELL_ARGS, WORKING_DIR, UID, GID, COPY_ENV, COPY_PATH, ENV_FILE, VIRTUALENV,
    VIRTUALENV_PY_VER,
    UMASK, NICE, CPU_AFFINITY, OOM_SCORE_ADJ, NO_NEW_PRIVS, CGROUP, CGROUP_CPUS, CGROUP_MEMORY,
    CGROUP_PIDS, *RLIMITS,
    NUMPROCESSES, SCALE_COMMAND, SCALE_INTERVAL, SINGLETON, AUTOSTART, PRIORITY, DEPENDS, READY, BOOT_TIMEOUT,
    HEALTH_CHECK, CHECK_COMMAND, CHECK_TIMEOUT, CANARY_TIME, WARMUP_DELAY, ON_DEMAND,
    IDLE_STOP, SCHEDULE, MAX_AGE, MAX_AGE_VARIANCE, MAX_RSS,
    STOP_SIGNAL, STOP_SIGNALS, STOP_COMMAND, STOP_CHILDREN, GRACEFUL_TIMEOUT, SEND_HUP, OVERLAP,
    RESPAWN, EXPECTED_EXITS, CRITICAL, MAX_RETRY, FLAPPING_ACTIVE, FLAPPING_ATTEMPTS, FLAPPING_WINDOW,
    FLAPPING_RETRY_IN, FLAPPING_MAX_RETRY, FLAPPING_FACTOR, FLAPPING_MAX_DELAY,
    SOCKETS, USE_SOCKETS, STDIN_SOCKET, CLOSE_CHILD_STDIN, CLOSE_CHILD_STDOUT, CLOSE_CHILD_STDERR,
    OUTPUT_PREFIX,
    *HOOKS, HOOK_TIMEOUT,
    *DEAD,
)  # fmt: skip
