# A [watcher:NAME] section as a WatcherSpec.
#
# Rule: a section becomes a spec or at least one error; nothing is dropped in silence, as Circus does it.

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from bigtop.config.file.options import watcher_options as o
from bigtop.config.file.options.watcher_values import RLIMITS
from bigtop.config.file.text.document import Entry, Problems, Section
from bigtop.config.file.text.expand import (
    Environments,
    enter_virtualenv,
    expanded,
    import_path,
    read_env_file,
    variables,
)
from bigtop.config.file.text.key import Key, Values, read, refuse_unknown, suggestion, suspect_unknown
from bigtop.config.serve.settings import Layer
from bigtop.errors import ConfigError
from bigtop.record import Record, field, replace
from bigtop.supervisor.policy import spec as s
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy
from bigtop.supervisor.policy.scaling import ScaleCommand
from bigtop.supervisor.policy.variables import misquoted
from bigtop.supervisor.streams import sinks
from bigtop.system import accounts

T = TypeVar("T")
_STREAM_PREFIXES = tuple(f"{stream}." for stream in o.STREAMS)


class FileContext(Record):
    """What a section has to know of the rest of the file."""

    environments: Environments
    problems: Problems
    strict: bool
    sockets: frozenset[str] = frozenset()
    defaults: Mapping[str, Entry] = field(default_factory=dict)  # of all watchers
    tls: Layer = field(default_factory=dict)  # of all applications that speak it


def watcher(section: Section, around: FileContext) -> tuple[Values, s.WatcherSpec | None]:
    """Read a [watcher:NAME] section; None once there are errors."""
    check = refuse_unknown if around.strict else suspect_unknown
    streams = [name for name in section.entries if name.startswith(_STREAM_PREFIXES)]
    check(section, [*(key.name for key in o.WATCHER), *streams], around.problems)
    values, env = read_watcher(section, around)
    target = command(values, env, around.problems)
    for key in (o.CMD, o.ARGS, o.SHELL_ARGS):
        if reason := misquoted(target).get(key.name):
            around.problems.error(values.place_of(key), f"{key.name}: {reason}")
    if o.CMD.name not in section.entries or not section.entries[o.CMD.name].text.strip():
        around.problems.error(section.place, f"[{section.title}] needs cmd, the command to run")
    return values, watcher_spec(section.name, values, target, around)


def read_watcher(section: Section, around: FileContext) -> tuple[Values, dict[str, str]]:
    """Return the section's values and the complete environment of its processes."""
    environments = around.environments
    from_sections = environments.of_sections(section.name)
    from_file = env_file(section, environments.environ | from_sections, around.problems)
    names = environments.environ | from_file | from_sections
    entries = expanded({**around.defaults, **section.entries}, names)
    options = expanded(section.options, names)
    values = read(replace(section, entries=entries, options=options), o.WATCHER, around.problems)
    env = dict(environments.environ) if values[o.COPY_ENV] else {}
    if values[o.COPY_PATH]:
        env["PYTHONPATH"] = import_path()
    env |= from_file | from_sections
    try:
        for key in (o.COPY_PATH, o.VIRTUALENV):
            if values[key] and not values[o.COPY_ENV]:
                raise ValueError(f"{key.name} needs copy_env = yes")
        if root := values[o.VIRTUALENV]:
            enter_virtualenv(env, root, values[o.VIRTUALENV_PY_VER])
    except ValueError as error:
        around.problems.error(section.place, f"[{section.title}] {error}")
    return values, env


def env_file(section: Section, names: Mapping[str, str], problems: Problems) -> dict[str, str]:
    """Return the variables of the file that a section names; `names` are what its path may hold."""
    entry = section.entries.get(o.ENV_FILE.name)
    if entry is None or not entry.text:
        return {}
    path = os.path.expanduser(expanded({"": entry}, names)[""].text)
    try:
        return read_env_file(os.path.join(os.path.dirname(entry.place.file), path))
    except ValueError as error:
        problems.error(entry.place, f"env_file: {error}")
        return {}


def watcher_spec(name: str, values: Values, target: s.Command, around: FileContext) -> s.WatcherSpec | None:
    """Put a spec together; what contradicts itself is reported."""
    try:
        return s.WatcherSpec(
            name=name,
            target=target,
            numprocesses=values[o.NUMPROCESSES].least,
            scaling=values[o.NUMPROCESSES].if_any,
            scale_command=_scale_command(values),
            restart=_restart(values),
            stop=_stop(values),
            boot_timeout=values[o.BOOT_TIMEOUT],
            sockets=_sockets(values, target, around),
            priority=values[o.PRIORITY],
            singleton=values[o.SINGLETON],
            send_hup=values[o.SEND_HUP],
            overlap=values[o.OVERLAP],
            depends=values[o.DEPENDS],
            ready=values[o.READY],
            deploy=DeployPolicy(
                health=values[o.HEALTH_CHECK],
                command=values[o.CHECK_COMMAND] or "",
                command_timeout=values[o.CHECK_TIMEOUT],
                canary_time=values[o.CANARY_TIME],
            ),
            lifetime=_lifetime(values),
            hooks=_hooks(values),
            options=_free_options(values),
        )
    except ConfigError as error:
        around.problems.error(values.place, f"[{values.title}] {error}")
        return None


# ---- the parts of a spec


def _scale_command(values: Values) -> ScaleCommand | None:
    command, interval = values[o.SCALE_COMMAND], values[o.SCALE_INTERVAL]
    if not command:
        if values.is_given(o.SCALE_INTERVAL):
            raise ConfigError("scale_interval needs scale_command, which it is the pace of")
        return None
    if values[o.NUMPROCESSES].if_any is None:
        raise ConfigError("scale_command needs bounds for its number, such as numprocesses = 2..8")
    if interval <= 0:
        raise ConfigError("scale_interval is 0: scale_command would run without end")
    return ScaleCommand(command, interval)


def command(values: Values, env: Mapping[str, str], problems: Problems) -> s.Command:
    is_split = o.ARGS.name in values.given and values.given[o.ARGS.name].is_list
    return s.Command(
        cmd=values[o.CMD],
        args=values[o.ARGS] if is_split else " ".join(values[o.ARGS]),
        shell=values[o.SHELL],
        shell_args=values[o.SHELL_ARGS],
        context=_context(values, env, problems),
        stdio=_stdio(values, problems),
        all_sockets=values[o.USE_SOCKETS],
    )


def _context(values: Values, env: Mapping[str, str], problems: Problems) -> s.ExecContext:
    try:
        accounts.account(values[o.UID], values[o.GID], o.GID.name)
    except LookupError as error:
        problems.error(values.place_of(o.UID), f"uid: {error}")
    rlimits = ((name, values[key]) for name, key in zip(RLIMITS, o.RLIMITS, strict=True))
    return s.ExecContext(
        env=tuple(sorted(env.items())),
        cwd=values[o.WORKING_DIR],
        user=values[o.UID],
        group=values[o.GID],
        umask=values[o.UMASK],
        nice=values[o.NICE],
        cpu_affinity=values[o.CPU_AFFINITY],
        oom_score_adj=values[o.OOM_SCORE_ADJ],
        no_new_privs=values[o.NO_NEW_PRIVS],
        rlimits=tuple((name, limit) for name, limit in rlimits if limit is not None),
        cgroup=_cgroup(values),
    )


def _cgroup(values: Values) -> s.Cgroup | None:
    cpus, memory, pids = values[o.CGROUP_CPUS], values[o.CGROUP_MEMORY], values[o.CGROUP_PIDS]
    limited = (cpus, memory, pids) != (None, None, None)
    wanted = values[o.CGROUP] or ("require" if limited else "off")
    return None if wanted == "off" else s.Cgroup(cpus, memory, pids, required=wanted == "require")


def _stdio(values: Values, problems: Problems) -> s.Stdio:
    return s.Stdio(
        stdin_socket=values[o.STDIN_SOCKET],
        close_stdin=values[o.CLOSE_CHILD_STDIN],
        close_stdout=values[o.CLOSE_CHILD_STDOUT],
        close_stderr=values[o.CLOSE_CHILD_STDERR],
        stdout=_stream("stdout_stream", values, problems),
        stderr=_stream("stderr_stream", values, problems),
        prefix=values[o.OUTPUT_PREFIX],
    )


def _stream(name: str, values: Values, problems: Problems) -> s.StreamSpec | None:
    """Return a stream; Circus' own classes go by their last name, and a bare filename is a FileStream."""
    entries = {
        key.removeprefix(f"{name}."): entry
        for key, entry in values.options.items()
        if key.startswith(f"{name}.")
    }
    if not entries:
        return None
    place = next(iter(entries.values())).place
    if "class" not in entries and "filename" not in entries:
        problems.error(place, f"{name} needs {name}.class, such as FileStream, or {name}.filename")
    kind = entries.pop("class").text if "class" in entries else "FileStream"
    module, _, last = kind.rpartition(".")
    kind = last if module in ("circus.stream", "circus.stream.file_stream") else kind
    stream = s.StreamSpec(kind, tuple(sorted((key, entry.text) for key, entry in entries.items())))
    try:
        sinks.check(stream)
    except sinks.StreamError as error:
        place = (
            values.options[f"{name}.{error.option}"].place
            if f"{name}.{error.option}" in values.options
            else place
        )
        problems.error(place, f"{name}.{error}")
    return stream


def _free_options(values: Values) -> tuple[tuple[str, str], ...]:
    found = {key: entry.text for key, entry in values.options.items() if not key.startswith(_STREAM_PREFIXES)}
    return tuple(sorted(found.items()))


def _restart(values: Values) -> s.RestartPolicy:
    policy = s.RestartPolicy(
        respawn=_respawn(values), expected_exits=values[o.EXPECTED_EXITS], factor=values[o.FLAPPING_FACTOR]
    )
    retry_in = _either(values[o.FLAPPING_RETRY_IN], policy.retry_in)
    max_retry = _either(values[o.FLAPPING_MAX_RETRY], _either(values[o.MAX_RETRY], policy.max_retry))
    return replace(
        policy,
        attempts=_either(values[o.FLAPPING_ATTEMPTS], policy.attempts),
        window=_either(values[o.FLAPPING_WINDOW], policy.window),
        retry_in=retry_in,
        max_delay=_either(values[o.FLAPPING_MAX_DELAY], max(retry_in, policy.max_delay)),
        max_retry=max_retry if values[o.FLAPPING_ACTIVE] else -1,
    )


def _either(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _respawn(values: Values) -> s.Respawn:
    if not values[o.SCHEDULE]:
        return values[o.RESPAWN]
    if values.is_given(o.RESPAWN) and values[o.RESPAWN] is s.Respawn.ALWAYS:
        raise ConfigError("what has a schedule ends by itself: respawn must be no or unexpected")
    return values[o.RESPAWN] if values.is_given(o.RESPAWN) else s.Respawn.NEVER


def _stop(values: Values) -> s.StopPolicy:
    if values[o.STOP_SIGNALS] and values.is_given(o.STOP_SIGNAL):
        raise ConfigError("give stop_signal or stop_signals, not both")
    first, *then = values[o.STOP_SIGNALS] or (values[o.STOP_SIGNAL],)
    return s.StopPolicy(
        signal=first,
        graceful_timeout=values[o.GRACEFUL_TIMEOUT],
        then=tuple(then),
        command=values[o.STOP_COMMAND],
        children=values[o.STOP_CHILDREN],
    )


def _lifetime(values: Values) -> s.Lifetime:
    return s.Lifetime(
        autostart=values[o.AUTOSTART],
        on_demand=values[o.ON_DEMAND],
        idle_stop=values[o.IDLE_STOP],
        schedule=values[o.SCHEDULE] or "",
        max_age=values[o.MAX_AGE],
        max_age_variance=values[o.MAX_AGE_VARIANCE],
        max_rss=values[o.MAX_RSS],
        warmup_delay=values[o.WARMUP_DELAY],
        critical=values[o.CRITICAL],
    )


def _hooks(values: Values) -> tuple[s.Hook, ...]:
    found = []
    for name, key in zip(s.HOOK_NAMES, o.HOOKS, strict=True):
        if given := values[key]:
            target, ignore_failure = given
            found.append(s.Hook(name, target, ignore_failure, values[o.HOOK_TIMEOUT]))
    return tuple(found)


def _sockets(values: Values, target: s.Command, around: FileContext) -> tuple[str, ...]:
    """Return the sockets that a command names, in any way; a name that no socket has is an error."""
    args = (target.args,) if isinstance(target.args, str) else target.args
    texts = ((o.CMD, target.cmd), *((o.ARGS, arg) for arg in args), (o.SHELL_ARGS, target.shell_args))
    named: list[tuple[str, Key[object]]] = [
        (name.removeprefix("sockets."), key)
        for key, text in texts
        for name in variables(text)
        if name.startswith("sockets.")
    ]
    named += [(name.lower(), o.SOCKETS) for name in values[o.SOCKETS]]
    if target.stdio.stdin_socket:
        named.append((target.stdio.stdin_socket, o.STDIN_SOCKET))
    for name, key in named:
        check_socket(name, key, values, around)
    return tuple(sorted({name for name, _ in named}))


def check_socket(name: str, key: Key[object], values: Values, around: FileContext) -> None:
    """Report a name that no socket has."""
    if name not in around.sockets:
        hint = suggestion(name, around.sockets) or f"; there is {', '.join(sorted(around.sockets)) or 'none'}"
        around.problems.error(values.place_of(key), f"{key.name}: no [socket:{name}] in this file{hint}")
