# The options of a watcher by the names that Circus gave them: what `get` and `options` show and what `set`
# and `add` change.
#
# Rule 1: pure: a spec and values in, a new spec out; what has to be done about it is for the supervisor to
# see. Rule 2: everything that can be set has an effect. Rule 3: a value comes as JSON, or as text from a
# command line. Text files are read by config/, which knows where each value stood.

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from bigtop import sizes
from bigtop.control.commands import parameters
from bigtop.control.protocol import RefusedError
from bigtop.errors import ConfigError
from bigtop.record import Record, replace
from bigtop.supervisor import hook_target
from bigtop.supervisor.policy import variables
from bigtop.supervisor.policy.spec import HOOK_NAMES, Command, Hook, Respawn, StreamSpec, WatcherSpec
from bigtop.system import accounts


class Option(Record):
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


def _overlap(value: object) -> bool | None:
    return None if value == "auto" else parameters.boolean(value)


def _size(value: object) -> int:
    """Take a number, or a text such as 512M."""
    return sizes.size(value) if isinstance(value, str) else parameters.natural(value)


def _limit(value: object) -> int:
    """Take a number or a size; nothing, "infinity" and -1 are no limit."""
    if value in (None, "", -1, "-1", "infinity"):
        return -1
    return _size(value)


def _respawned(value: Respawn) -> bool:
    return value is not Respawn.NEVER


_WHOLE, _SECONDS, _FLAG, _TEXT = parameters.whole, parameters.seconds, parameters.boolean, parameters.text

OPTIONS: Mapping[str, Option] = {
    "numprocesses": Option("numprocesses", parameters.natural),
    "priority": Option("priority", _WHOLE),
    "singleton": Option("singleton", _FLAG),
    "send_hup": Option("send_hup", _FLAG),
    "overlap": Option("overlap", _overlap, lambda on: "auto" if on is None else on),
    "warmup_delay": Option("lifetime.warmup_delay", _SECONDS),
    "autostart": Option("lifetime.autostart", _FLAG),
    "on_demand": Option("lifetime.on_demand", _FLAG),
    "max_age": Option("lifetime.max_age", _SECONDS),
    "max_age_variance": Option("lifetime.max_age_variance", _SECONDS),
    "max_rss": Option("lifetime.max_rss", _size),
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
    "output_prefix": Option("target.stdio.prefix", _FLAG),
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
    for key, reason in _problems(spec):
        raise RefusedError(f"{key!r}: {reason}")
    return spec


def _problems(spec: WatcherSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the whole of it, by key; the rules are those of files."""
    if not isinstance(spec.target, Command):
        return
    yield from variables.misquoted(spec.target).items()
    try:
        accounts.account(spec.target.context.user, spec.target.context.group, "gid")
    except LookupError as error:
        yield "uid", str(error)
    from bigtop.supervisor.streams import (
        sinks,  # here: clients read the options as well, and write no streams
    )

    for key, path in _STREAMS.items():
        stream = attrgetter(path)(spec)
        try:
            if stream is not None:
                sinks.check(stream)
        except sinks.StreamError as error:
            yield f"{key}.{error.option}", error.problem


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
        return replace(spec, **{name: value})
    return _write(spec, outer, replace(attrgetter(outer)(spec), **{name: value}))


# ---- families: hooks.NAME, stdout_stream.KEY, rlimit_NAME


def _with_hook(spec: WatcherSpec, name: str, target: str) -> WatcherSpec:
    if name not in HOOK_NAMES:
        raise RefusedError(f"unknown hook {name!r}: there are {', '.join(HOOK_NAMES)}")
    dotted, ignore_failure = hook_target.parse(target)
    hook = Hook(name, dotted, ignore_failure)
    return replace(spec, hooks=(*(old for old in spec.hooks if old.name != name), hook))


def _with_member(spec: WatcherSpec, family: str, name: str, value: object) -> WatcherSpec:
    if family == "rlimit":
        if name.upper() not in _RLIMITS:
            raise RefusedError(f"'rlimit_{name}' isn't a valid rlimit setting")
        limits = dict(attrgetter("target.context.rlimits")(spec))
        limits[name.lower()] = _limit(value)
        return _write(spec, "target.context.rlimits", tuple(limits.items()))
    path = _STREAMS[family]
    return _with_stream(spec, path, {**_stream_shown(attrgetter(path)(spec)), name: value})


def _with_stream(spec: WatcherSpec, path: str, values: Mapping[str, object]) -> WatcherSpec:
    """`values` are a stream's options and its class; with a file name alone it is a file."""
    options = {key: str(value) for key, value in values.items()}
    kind = options.pop("class", "FileStream" if "filename" in options else "")
    if not kind:
        raise RefusedError("a stream must have a 'class' key")
    return _write(spec, path, StreamSpec(kind, tuple(options.items())))


def _stream_shown(stream: StreamSpec | None) -> dict[str, str]:
    return {"class": stream.kind, **dict(stream.options)} if stream else {}
