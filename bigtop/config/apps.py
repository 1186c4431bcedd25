# An [app:NAME] section: what `bigtop serve` is told by flags, as keys of a file.
#
# Rule: only the file counts. $BIGTOP_WORKERS and $PORT are for one site, and here may be several.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bigtop.config import daemon_options as d
from bigtop.config import serve
from bigtop.config.document import Entry, Section
from bigtop.config.expand import expanded
from bigtop.config.key import Values, read, refuse_unknown
from bigtop.config.options import OPTIONS
from bigtop.config.settings import Given, ServeConfig, resolve
from bigtop.config.watcher_options import DEPENDS, PRIORITY, SOCKETS
from bigtop.config.watchers import Surroundings, check_socket
from bigtop.errors import ConfigError
from bigtop.http.routes import Route


@dataclass(frozen=True, slots=True)
class AppSpec:
    """A site that is served next to the watchers. Without `sockets` it binds its own addresses.

    `table` says which requests go to whom, by name, where its sockets are not its own (routing.py);
    `mounted`, that it is told the path by which it was found."""

    name: str
    site: serve.ServeSpec
    sockets: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    priority: int = 0
    table: tuple[tuple[str, Route], ...] = ()
    mounted: bool = False


def app(section: Section, around: Surroundings) -> tuple[Values, ServeConfig, AppSpec] | None:
    """Read an [app:NAME] section; None once there are errors."""
    options = {name: option for option in d.APP_OPTIONS for name in (option.name, option.also) if name}
    refuse_unknown(section, [*options, *(key.name for key in d.APP)], around.problems)
    env = around.environments.of_sections(section.name)
    entries = expanded(section.entries, around.environments.environ | env)
    own = read(replace(section, entries=entries), d.APP, around.problems)
    sockets = tuple(name.lower() for name in own[SOCKETS])
    for name in sockets:
        check_socket(name, SOCKETS, own, around)
    if own[d.APP_TARGET] is None:
        around.problems.error(section.place, f'[{section.title}] needs app, such as "myproj.wsgi:app"')
        return None
    layer = _layer(entries, env, around)
    layer.setdefault("name", Given((section.name,), str(section.place)))
    try:
        config = resolve(own[d.APP_TARGET] or "", OPTIONS, [layer])
        site = serve.spec(config)
    except ConfigError as error:
        _blame(error, section, around)
        return None
    if sockets and "bind" not in layer:
        site = replace(site, binds=())
    return replace(own, options={}), config, AppSpec(section.name, site, sockets, own[DEPENDS], own[PRIORITY])


def _layer(entries: Mapping[str, Entry], env: Mapping[str, str], around: Surroundings) -> dict[str, Given]:
    layer: dict[str, Given] = {}
    for option in d.APP_OPTIONS:
        entry = entries.get(option.name) or entries.get(option.also)
        if entry and option.name in entries and option.also in entries:
            around.problems.error(
                entry.place, f"{option.name} and {option.also} are the same; give one of them"
            )
        if entry:
            texts = entry.texts
            if option.many and not entry.is_list:
                texts = tuple(entry.text.split())
            if len(texts) != 1 and not option.many:
                around.problems.error(entry.place, f"{option.name}: takes one value, got {list(texts)}")
            if entry.is_number and option.metavar == "OCTAL":
                around.problems.error(entry.place, f'{option.name}: must be a text, such as "022"')
            layer[option.name] = Given(texts, f"{entry.place}: {option.name}")
    if env:
        given = layer.get("env", Given((), "[env]"))
        layer["env"] = replace(
            given, texts=(*(f"{name}={value}" for name, value in env.items()), *given.texts)
        )
    return layer


def _blame(error: ConfigError, section: Section, around: Surroundings) -> None:
    """Give each line of the error to its place: those of options begin with it."""
    for line in str(error).splitlines():
        for entry in section.entries.values():
            if line.startswith(f"{entry.place}: "):
                around.problems.error(entry.place, line.removeprefix(f"{entry.place}: "))
                break
        else:
            around.problems.error(section.place, f"[{section.title}] {line}")
