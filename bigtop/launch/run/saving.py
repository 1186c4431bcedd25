# `ctl save`: what was changed while everything ran, written back into the file that described it.
#
# Rule: all or nothing. The new texts are read as a start would read them, and must come to what runs now;
# only then they take the place of the files, each by one rename(2).

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping

from bigtop.config.file import daemon as config
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.text import amend
from bigtop.config.file.text.amend import Change
from bigtop.config.file.text.document import Document, Problems
from bigtop.config.file.text.tomltext import Literal
from bigtop.control.commands import watcher_options
from bigtop.errors import BigtopError, CommandError
from bigtop.record import replace
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.supervisor.policy.spec import Command, Respawn, WatcherSpec
from bigtop.system import signals

Watchers = Mapping[str, WatcherSpec]

# Shown for Circus' clients, and said in other keys here.
_OTHERWISE = ("copy_env", "env", "executable", "retry_in", "stdout_stream_conf", "stderr_stream_conf")


def save(spec: DaemonSpec, running: Watchers, *, dry_run: bool) -> tuple[DaemonSpec, str]:
    """Make the file of `spec` say what is `running`; return what it says then, and the difference in text.

    `running` has the wanted number of processes in each. Raises CommandError with every file as it was.
    """
    if not spec.path:
        raise CommandError("what runs here was described by a program, which has no file to write to")
    problems = Problems()
    try:
        document = config.read_document(spec.path, os.environ, problems)
        if _compared(config.load(spec.path)) != _compared(spec):
            raise CommandError(f"{spec.path} was changed since it was read: reloadconfig first")
        changes = list(_changes(document, spec, running))
        texts = amend.amended(document, changes, _read)
        after = config.resolve(spec.path, os.environ, texts).daemon
    except CommandError:
        raise
    except BigtopError as error:
        raise CommandError(str(error)) from error
    _check(after, running, {one.name for one in (*spec.watchers, *spec.plugin_watchers)})
    before = {path: _read(path) for path in texts}
    if not dry_run:
        _write(texts)
    return after, "".join(_diff(path, before[path], text) for path, text in texts.items())


def _compared(spec: DaemonSpec) -> object:
    """Return that part of a file which `save` changes."""
    return spec.watchers, spec.plugins, spec.apps


# ---- what is to be written


def _changes(document: Document, spec: DaemonSpec, running: Watchers) -> Iterator[Change]:
    described = {one.name: one for one in (*spec.watchers, *spec.plugin_watchers)}
    apps = {app.name: _literal_of(app.site.workers) for app in spec.apps}
    for name in [*described, *apps]:
        if name not in running:
            yield Change(*_section("app" if name in apps else "watcher", name))
            if any(one.name == name for one in document.of_kind("env")):
                yield Change("env", name)
    for name, workers in apps.items():
        if name in running and (count := _count(running[name])) != workers:
            yield Change("app", name, "workers", count)
    for name, now in running.items():
        if name not in apps:
            bare = WatcherSpec(name, Command(""))
            yield from _of_watcher(document, described.get(name, bare), now)


def _literal_of(bounds: Bounds) -> int | str:
    """Return a number of processes as a file has it."""
    return str(bounds) if bounds.if_any else bounds.least


def _count(spec: WatcherSpec) -> int | str:
    return spec.numprocesses if spec.scaling is None else _literal_of(spec.scaling)


def _section(kind: str, name: str) -> tuple[str, str]:
    before, colon, after = name.partition(":")
    return (before, after) if colon and before == "plugin" else (kind, name)


def _of_watcher(document: Document, before: WatcherSpec, now: WatcherSpec) -> Iterator[Change]:
    section = _section("watcher", now.name)
    has = {key for one in document.of_kind(section[0]) if one.name == section[1] for key in one.entries}
    free = dict(before.options) | dict(now.options)
    old, new = _facts(before), _facts(now)
    for key in (*(key for key in new if key in old), *(key for key in new if key not in old)):
        if old.get(key) != new[key]:
            # max_retry is understood in both places, and the more special one wins.
            place = "flapping.max_retry" if key == "max_retry" and "flapping.max_retry" in has else key
            yield Change(*section, place, new[key], is_free=key in free)
    for key in old:
        if key not in new:
            yield Change(*section, key, is_free=key in free)
    yield from _of_environment(before, now)


def _of_environment(before: WatcherSpec, now: WatcherSpec) -> Iterator[Change]:
    old, new = _env(before), _env(now)
    if not old and new.items() >= os.environ.items():
        yield Change(*_section("watcher", now.name), "copy_env", True)
        old = dict(os.environ)
    for name in (*new, *(name for name in old if name not in new)):
        if old.get(name) != new.get(name):
            yield Change("env", now.name, name, new.get(name))


def _env(spec: WatcherSpec) -> dict[str, str]:
    return dict(spec.target.context.env) if isinstance(spec.target, Command) else {}


def _facts(spec: WatcherSpec) -> dict[str, Literal]:
    """Return keys and values as a file has them, without those that are not set."""
    assert isinstance(spec.target, Command)
    found: dict[str, object] = {
        key: value for key, value in watcher_options.shown(spec).items() if key not in _OTHERWISE
    }
    context, stdio = spec.target.context, spec.target.stdio
    found["cmd"] = spec.target.cmd
    found["numprocesses"] = _count(spec)
    found["flapping.retry_in"] = spec.restart.retry_in
    found["stop_signal"] = signals.name(spec.stop.signal).removeprefix("SIG")
    found["umask"] = None if context.umask is None else f"{context.umask:03o}"
    if spec.restart.respawn is Respawn.UNEXPECTED:
        found["respawn"] = Respawn.UNEXPECTED.value
    found |= {f"rlimit_{name}": "infinity" if limit == -1 else limit for name, limit in context.rlimits}
    found |= {f"hooks.{one.name}": one.target + ",true" * one.ignore_failure for one in spec.hooks}
    for name, stream in (("stdout_stream", stdio.stdout), ("stderr_stream", stdio.stderr)):
        if stream is not None:
            found |= {f"{name}.class": stream.kind, **{f"{name}.{key}": v for key, v in stream.options}}
    return {key: _literal(value) for key, value in found.items() if value is not None}


def _literal(value: object) -> Literal:
    match value:
        case bool() | int() | str():
            return value
        case float():
            return int(value) if value.is_integer() else value
        case list():
            return [str(item) for item in value]
    raise AssertionError(value)  # options.shown() has no others


# ---- whether it came out right


def _check(after: DaemonSpec, running: Watchers, known: set[str]) -> None:
    """Raise CommandError if a start from the new texts would not give what is running.

    Watchers that are not `known` came while everything ran; [env], which is for all, then adds to them.
    """
    described = {one.name: one for one in (*after.watchers, *after.plugin_watchers)}
    apps = {app.name: _literal_of(app.site.workers) for app in after.apps}
    wrong = sorted((described.keys() | apps.keys()) ^ running.keys())
    for name, now in running.items():
        if name in apps:
            fits = apps[name] == _count(now)
        else:
            fits = name in described and _alike(described[name], now, more=name not in known)
        if not fits and name not in wrong:
            wrong.append(name)
    if wrong:
        raise CommandError(
            f"nothing is written: a file cannot say all that was changed of {', '.join(wrong)}"
        )


def _alike(described: WatcherSpec, running: WatcherSpec, *, more: bool) -> bool:
    """Say whether a description gives what runs; with `more` its environment may have more."""
    ours, theirs = _env(running), _env(described)
    fits = ours.items() <= theirs.items() if more else ours == theirs
    return fits and _plain(described) == _plain(running)


def _plain(spec: WatcherSpec) -> WatcherSpec:
    """Return a spec with what has several spellings in one of them."""
    target = spec.target
    assert isinstance(target, Command)
    args = target.args if isinstance(target.args, str) else shlex.join(target.args)
    target = replace(
        target,
        args=args,
        context=replace(target.context, env=(), rlimits=tuple(sorted(target.context.rlimits))),
        stdio=replace(
            target.stdio,
            stdout=target.stdio.stdout
            and replace(target.stdio.stdout, options=tuple(sorted(target.stdio.stdout.options))),
            stderr=target.stdio.stderr
            and replace(target.stdio.stderr, options=tuple(sorted(target.stdio.stderr.options))),
        ),
    )
    hooks = tuple(sorted(spec.hooks, key=lambda hook: hook.name))
    return replace(spec, target=target, hooks=hooks, options=tuple(sorted(spec.options)))


# ---- files


def _read(path: str) -> str:
    """Return a file with \\n at its line ends, as it is written again."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def _diff(path: str, before: str, after: str) -> str:
    name = os.path.relpath(path) if path.startswith(os.getcwd() + "/") else path
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _write(texts: Mapping[str, str]) -> None:
    """Write all files aside, then put each in its place, with the owner and the mode of the old one."""
    drafts: dict[str, str] = {}
    with contextlib.ExitStack() as cleanup:
        for path, text in texts.items():
            real = os.path.realpath(path)
            try:
                fd, draft = tempfile.mkstemp(dir=os.path.dirname(real), prefix=f".{os.path.basename(real)}.")
                cleanup.callback(_forget, draft)
                with open(fd, "w", encoding="utf-8") as file:
                    status = os.stat(real)
                    os.fchmod(file.fileno(), status.st_mode & 0o7777)
                    with contextlib.suppress(PermissionError):
                        os.fchown(file.fileno(), status.st_uid, status.st_gid)
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise CommandError(f"nothing is written: {path}: {error.strerror}") from error
            drafts[draft] = real
        for draft, real in drafts.items():
            os.replace(draft, real)


def _forget(draft: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
