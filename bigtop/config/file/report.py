# Report on a configuration file, for people: `bigtop check`.

from __future__ import annotations

from collections.abc import Iterator

from bigtop.config.file.daemon import Resolved
from bigtop.config.file.text.key import Values
from bigtop.config.serve.options import ENV
from bigtop.config.serve.settings import DEFAULT, ServeConfig, Setting
from bigtop.errors import one_line
from bigtop.record import replace
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.supervisor.policy.spec import Command, WatcherSpec


def show(resolved: Resolved, every: bool) -> str:
    """Return each section with its values and where they stand; with `every`, the defaults too."""
    daemon = resolved.daemon
    watchers = {
        f"{'' if ':' in spec.name else 'watcher:'}{spec.name}": spec
        for spec in (*daemon.watchers, *daemon.plugin_watchers)
    }
    blocks = [[f"[{values.title}]", *_rows(values, every)] for values in resolved.sections]
    for block, values in zip(blocks, resolved.sections, strict=True):
        if values.title in watchers:
            block.append(_environment(watchers[values.title]))
    blocks += [
        [f"[{own.title}]", *_rows(own, every), *_app_rows(config, every)] for own, config in resolved.apps
    ]
    return "\n\n".join("\n".join(block) for block in blocks if len(block) > 1)


def summary(resolved: Resolved) -> str:
    """Return how many there are of what: 2 watchers, 1 socket."""
    daemon = resolved.daemon
    counts = {
        "watcher": len(daemon.watchers),
        "app": len(daemon.apps),
        "socket": len(daemon.sockets),
        "plugin": len(daemon.plugins),
    }
    return (
        ", ".join(f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items() if count)
        or "nothing to run"
    )


def _rows(values: Values, every: bool) -> Iterator[str]:
    for name, setting in values.settings.items():
        if every or setting.given.origin != DEFAULT:
            yield _row(name, setting, setting.given.origin)
    for name, entry in values.options.items():
        yield f"{name:<26} = {entry.text:<30} # {entry.place}"


def _app_rows(config: ServeConfig, every: bool) -> Iterator[str]:
    for name, setting in config.settings.items():
        if every or setting.given.origin != DEFAULT:
            if name == ENV.name:  # values may be secrets
                names = tuple(text.partition("=")[0] for text in setting.given.texts)
                setting = replace(setting, given=replace(setting.given, texts=names))
            yield _row(name, setting, setting.given.origin.removesuffix(f": {name}"))


def _row(name: str, setting: Setting, origin: str) -> str:
    written = one_line(" ".join(setting.given.texts))
    is_counted = isinstance(setting.value, int | Bounds) and not isinstance(setting.value, bool)
    if is_counted and written == "auto":
        written = f"auto ({setting.value})"
    return f"{name:<26} = {written or '(not set)':<30} # {origin}"


def _environment(spec: WatcherSpec) -> str:
    """Return the names of a watcher's variables: their values may be secrets."""
    assert isinstance(spec.target, Command)
    names = [name for name, _ in spec.target.context.env]
    listed = " ".join(names) if len(names) <= 12 else f"{len(names)} variables"
    return f"{'(environment)':<27}= {listed or '(empty)'}"
