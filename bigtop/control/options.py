# The options of a watcher by the names that Circus gave them: what `get` and `options` show and what `set`
# and `add` change.
#
# Rule 1: pure: a spec and values in, a new spec out; what has to be done about it is for the supervisor to
# see. Rule 2: everything that can be set has an effect. Rule 3: a value comes as JSON, or as text from a
# command line. Text files are read by config/, which knows where each value stood.

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from bigtop.control import parameters
from bigtop.control.wire import RefusedError
from bigtop.errors import ConfigError
from bigtop.supervisor import expansion
from bigtop.supervisor.spec import Command, Hook, Respawn, Stream, WatcherSpec

HOOKS = (
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


@dataclass(frozen=True, slots=True)
class Option:
    """`path` leads from the spec to the field."""

    path: str
    convert: parameters.Convert
    show: Callable[[Any], object] = lambda value: value
    store: Callable[[Any], object] = lambda value: value


def _environment(value: object) -> object:
    """Take an object, or the text A=1,B=2."""
    if isinstance(value, str):
        pairs = (pair.partition("=") for pair in value.split(",") if pair)
        value = {key.strip(): text for key, _, text in pairs}
    found = parameters.mapping(value)
    for key, item in found.items():
        if not isinstance(item, str):
            raise ValueError(f"{key!r} isn't a string")
    return found


def _user(value: object) -> object:
    return str(parameters.natural(value)) if isinstance(value, int) else parameters.text(value)


def _args(value: object) -> object:
    return tuple(parameters.strings(value)) if isinstance(value, list | tuple) else parameters.text(value)


def _octal(value: object) -> int:
    try:
        return value if type(value) is int else int(parameters.text(value), 8)
    except ValueError:
        raise ValueError(f"{value!r} isn't an octal number") from None


def _respawned(value: Respawn) -> bool:
    return value is not Respawn.NEVER


_WHOLE, _SECONDS, _FLAG, _TEXT = parameters.whole, parameters.seconds, parameters.boolean, parameters.text

OPTIONS: Mapping[str, Option] = {
    "numprocesses": Option("numprocesses", parameters.natural),
    "priority": Option("priority", _WHOLE),
    "singleton": Option("singleton", _FLAG),
    "send_hup": Option("send_hup", _FLAG),
    "warmup_delay": Option("lifetime.warmup_delay", _SECONDS),
    "autostart": Option("lifetime.autostart", _FLAG),
    "on_demand": Option("lifetime.on_demand", _FLAG),
    "max_age": Option("lifetime.max_age", _SECONDS),
    "max_age_variance": Option("lifetime.max_age_variance", _SECONDS),
    "max_rss": Option("lifetime.max_rss", parameters.natural),
    "stop_signal": Option("stop.signal", parameters.signal_number, show=int),
    "stop_children": Option("stop.children", _FLAG),
    "graceful_timeout": Option("stop.graceful_timeout", _SECONDS),
    "max_retry": Option("restart.max_retry", _WHOLE),
    "retry_in": Option("restart.retry_in", _SECONDS),
    "respawn": Option(
        "restart.respawn", _FLAG, _respawned, lambda on: Respawn.ALWAYS if on else Respawn.NEVER
    ),
    "cmd": Option("target.cmd", _TEXT),
    "args": Option("target.args", _args, lambda args: list(args) if isinstance(args, tuple) else args),
    "shell": Option("target.shell", _FLAG),
    "shell_args": Option("target.shell_args", _TEXT),
    "use_sockets": Option("target.all_sockets", _FLAG),
    "working_dir": Option("target.context.cwd", _TEXT),
    "uid": Option("target.context.user", _user),
    "gid": Option("target.context.group", _user),
    "umask": Option("target.context.umask", _octal),
    "nice": Option("target.context.nice", _WHOLE),
    "env": Option("target.context.env", _environment, dict, lambda env: tuple(env.items())),
    "close_child_stdin": Option("target.stdio.close_stdin", _FLAG),
    "close_child_stdout": Option("target.stdio.close_stdout", _FLAG),
    "close_child_stderr": Option("target.stdio.close_stderr", _FLAG),
}

# Besides OPTIONS there are families of keys that share a beginning.
_FAMILY = re.compile(r"(stdout_stream(?=\.)|stderr_stream(?=\.)|hooks(?=\.)|rlimit(?=_))[._](\w+)")
_STREAMS = {"stdout_stream": "target.stdio.stdout", "stderr_stream": "target.stdio.stderr"}
_RLIMITS = {name.removeprefix("RLIMIT_") for name in dir(resource) if name.startswith("RLIMIT_")}


def shown(spec: WatcherSpec) -> dict[str, object]:
    """Return every option of `spec`, sorted, the free-form ones included."""
    found = {key: option.show(_read(spec, option)) for key, option in OPTIONS.items() if _has(spec, option)}
    if isinstance(spec.target, Command):
        # Circus has these two among its options: the one never had an effect, the other is over at the start.
        found |= {"executable": None, "copy_env": False}
        found["stdout_stream_conf"] = _stream_shown(spec.target.stdio.stdout)
        found["stderr_stream_conf"] = _stream_shown(spec.target.stdio.stderr)
        found |= {f"rlimit_{name}": limit for name, limit in spec.target.context.rlimits}
    found |= {f"hooks.{hook.name}": hook.target for hook in spec.hooks}
    return dict(sorted((found | dict(spec.options)).items()))


def changed(spec: WatcherSpec, values: Mapping[str, object]) -> WatcherSpec:
    """Return `spec` with `values`. RefusedError: a key is unknown here or a value is wrong."""
    for key, value in values.items():
        try:
            spec = _changed(spec, key, value)
        except (ValueError, ConfigError) as error:
            raise RefusedError(f"{key!r}: {error}") from None
    for key, reason in expansion.misquoted(spec.target).items() if isinstance(spec.target, Command) else ():
        raise RefusedError(f"{key!r}: {reason}")
    return spec


def _changed(spec: WatcherSpec, key: str, value: object) -> WatcherSpec:
    option = OPTIONS.get(key)
    if option is not None and _has(spec, option):
        return _write(spec, option.path, option.store(option.convert(value)))
    if key in dict(spec.options):
        return replace(spec, options=tuple({**dict(spec.options), key: str(value)}.items()))
    if key == "hooks":
        for name, target in parameters.mapping(value).items():
            spec = _with_hook(spec, name, parameters.text(target))
        return spec
    if isinstance(spec.target, Command) and key in _STREAMS:
        return _with_stream(spec, _STREAMS[key], parameters.mapping(value))
    family = _FAMILY.fullmatch(key)
    if family and family[1] == "hooks":
        return _with_hook(spec, family[2], parameters.text(value))
    if family and isinstance(spec.target, Command):
        return _with_member(spec, family[1], family[2], value)
    raise RefusedError(f"unknown key {key!r}")


# ---- records inside records


def _has(spec: WatcherSpec, option: Option) -> bool:
    return isinstance(spec.target, Command) or not option.path.startswith("target.")


def _read(spec: WatcherSpec, option: Option) -> object:
    return attrgetter(option.path)(spec)


def _write(spec: WatcherSpec, path: str, value: object) -> WatcherSpec:
    outer, _, name = path.rpartition(".")
    if not outer:
        return replace(spec, **{name: value})  # type: ignore[arg-type]
    return _write(spec, outer, replace(attrgetter(outer)(spec), **{name: value}))


# ---- families: hooks.NAME, stdout_stream.KEY, rlimit_NAME


def _with_hook(spec: WatcherSpec, name: str, target: str) -> WatcherSpec:
    """A target may end in ",true": its failure is ignored."""
    if name not in HOOKS:
        raise RefusedError(f"unknown hook {name!r}: there are {', '.join(HOOKS)}")
    dotted, _, ignore = target.partition(",")
    hook = Hook(name, dotted, ignore_failure=bool(ignore) and parameters.boolean(ignore))
    return replace(spec, hooks=(*(old for old in spec.hooks if old.name != name), hook))


def _with_member(spec: WatcherSpec, family: str, name: str, value: object) -> WatcherSpec:
    if family == "rlimit":
        if name.upper() not in _RLIMITS:
            raise RefusedError(f"'rlimit_{name}' isn't a valid rlimit setting")
        limits = dict(attrgetter("target.context.rlimits")(spec))
        limits[name.lower()] = -1 if value is None or value == "" else parameters.whole(value)
        return _write(spec, "target.context.rlimits", tuple(limits.items()))
    path = _STREAMS[family]
    return _with_stream(spec, path, {**_stream_shown(attrgetter(path)(spec)), name: value})


def _with_stream(spec: WatcherSpec, path: str, values: Mapping[str, object]) -> WatcherSpec:
    """`values` are a stream's options and its class; with a file name alone it is a file."""
    options = {key: str(value) for key, value in values.items()}
    kind = options.pop("class", "FileStream" if "filename" in options else "")
    if not kind:
        raise RefusedError("a stream must have a 'class' key")
    return _write(spec, path, Stream(kind, tuple(options.items())))


def _stream_shown(stream: Stream | None) -> dict[str, str]:
    return {"class": stream.kind, **dict(stream.options)} if stream else {}
