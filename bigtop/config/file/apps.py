# An [app:NAME] section: what `bigtop serve` is told by flags, as keys of a file.
#
# Rule: only the file counts. $BIGTOP_WORKERS and $PORT are for one site, and here may be several.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options.watcher_options import DEPENDS, PRIORITY, SOCKETS
from bigtop.config.file.text.document import Entry, Problems, Section
from bigtop.config.file.text.expand import expanded
from bigtop.config.file.text.key import Values, read, refuse_unknown
from bigtop.config.file.watchers import FileContext, check_socket, env_file
from bigtop.config.serve import paste_server, serve, site_preflight
from bigtop.config.serve.option import Option
from bigtop.config.serve.options import CERTFILE, OPTIONS, TLS
from bigtop.config.serve.settings import Given, Layer, ServeConfig, resolve
from bigtop.config.serve.specs import acme
from bigtop.config.serve.tls_sources import AcmeSpec
from bigtop.errors import AppError, ConfigError, one_line
from bigtop.http.declarations import Route
from bigtop.record import Record, replace

# By each name of such an option, what to use instead.
_COMMON: Final = {
    name: d.NOT_OF_APPS[option.name]
    for option in OPTIONS
    if option.name in d.NOT_OF_APPS
    for name in (option.name, option.also)
    if name
}


_NONE: Final = Given((), "")
_SOURCES: Final = (TLS.name, CERTFILE.name)  # who has one of these speaks TLS


class AppSpec(Record):
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


def kept_of(apps: Iterable[AppSpec]) -> tuple[AcmeSpec, list[tuple[str, ...]]] | None:
    """Return how certificates are got for these, and which: by the names of each; None: none are. All of a
    file get theirs alike (encrypted.py)."""
    kept = [app.site for app in apps if app.site.tls.acme is not None]
    if not kept or kept[0].tls.acme is None:
        return None
    return kept[0].tls.acme, list(dict.fromkeys(names for site in kept for names in site.tls.auto))


def shared_tls(section: Section, around: FileContext) -> Layer:
    """Read [tls]: what applications that speak TLS say unless they say otherwise."""
    names = {option.name: option for option in d.TLS_OPTIONS}
    refuse_unknown(section, list(names), around.problems)
    entries = expanded(section.entries, around.environments.everywhere)
    layer = texts_of(entries, d.TLS_OPTIONS, around.problems)
    try:
        resolve("", d.TLS_OPTIONS, [layer])
    except ConfigError as error:
        blame(error, section, around)
        return {}
    return layer


def app(section: Section, around: FileContext) -> tuple[Values, ServeConfig, AppSpec] | None:
    """Read an [app:NAME] section; None once there are errors."""
    options = {name: option for option in d.APP_OPTIONS for name in (option.name, option.also) if name}
    section = _without_common(section, around.problems)
    refuse_unknown(section, [*options, *(key.name for key in d.APP)], around.problems)
    environ, from_sections = around.environments.environ, around.environments.of_sections(section.name)
    env = env_file(section, environ | from_sections, around.problems) | from_sections
    entries = expanded(section.entries, environ | env)
    own = read(replace(section, entries=entries), d.APP, around.problems)
    sockets = tuple(name.lower() for name in own[SOCKETS])
    for name in sockets:
        check_socket(name, SOCKETS, own, around)
    if own[d.APP_TARGET] is None:
        around.problems.error(section.place, f'[{section.title}] needs app, such as "myproj.wsgi:app"')
        return None
    layer = _layer(entries, env, around)
    layer = {**_shared(around.tls, layer), **layer}
    layer.setdefault("name", Given((section.name,), str(section.place)))
    try:
        config = acme.completed(resolve(own[d.APP_TARGET] or "", OPTIONS, [layer]))
        site = serve.spec(config)
        site_preflight.check(config, site)
    except AppError as error:
        around.problems.error(own.place_of(d.APP_TARGET), f"app: {error}")
        return None
    except ConfigError as error:
        blame(error, section, around)
        return None
    if note := paste_server.advice(site.app, site.folder, paste_server.as_key):
        around.problems.warn(own.place_of(d.APP_TARGET), note)
    if sockets and "bind" not in layer:
        site = replace(site, binds=())
    return replace(own, options={}), config, AppSpec(section.name, site, sockets, own[DEPENDS], own[PRIORITY])


def _shared(shared: Layer, own: Layer) -> Layer:
    """Return what of [tls] is for an application: what would do nothing there is not."""
    sources = [name for name in _SOURCES if own.get(name, shared.get(name, _NONE)).texts]
    if not sources:
        return {}
    texts = own.get(TLS.name, shared.get(TLS.name, _NONE)).texts
    if any(text.startswith("auto:") for text in texts):
        return shared
    left_out = {option.name for option in acme.ABOUT}
    return {name: given for name, given in shared.items() if name not in left_out}


def _without_common(section: Section, problems: Problems) -> Section:
    """Report what is of Bigtop as a whole, and leave it out."""
    for name, entry in section.entries.items():
        if name in _COMMON:
            problems.error(entry.place, f"[{section.title}] has no key {name}: {_COMMON[name]}")
    return replace(section, entries={k: v for k, v in section.entries.items() if k not in _COMMON})


def _layer(entries: Mapping[str, Entry], env: Mapping[str, str], around: FileContext) -> dict[str, Given]:
    layer = texts_of(entries, d.APP_OPTIONS, around.problems)
    if env:
        given = layer.get("env", Given((), "[env]"))
        layer["env"] = replace(
            given, texts=(*(f"{name}={value}" for name, value in env.items()), *given.texts)
        )
    return layer


def texts_of(
    entries: Mapping[str, Entry], options: Sequence[Option[object]], problems: Problems
) -> dict[str, Given]:
    """Return what `entries` say of `options`."""
    layer: dict[str, Given] = {}
    for option in options:
        entry = entries.get(option.name) or entries.get(option.also)
        if entry and option.name in entries and option.also in entries:
            problems.error(entry.place, f"{option.name} and {option.also} are the same; give one of them")
        if entry:
            texts = entry.texts
            if option.many and not entry.is_list:
                parts = entry.text.splitlines() if option.blanks else entry.text.split()
                texts = tuple(part.strip() for part in parts if part.strip())
            if len(texts) != 1 and not option.many:
                problems.error(entry.place, f"{option.name}: takes one value, got {list(texts)}")
            if entry.is_number and option.metavar == "OCTAL":
                problems.error(entry.place, f'{option.name}: must be a text, such as "022"')
            layer[option.name] = Given(texts, f"{entry.place}: {option.name}")
    return layer


def blame(error: ConfigError, section: Section, around: FileContext) -> None:
    """Give each line of the error to its place: those of options begin with it."""
    for line in str(error).split("\n"):
        for entry in section.entries.values():
            if line.startswith(f"{one_line(str(entry.place))}: "):
                around.problems.error(entry.place, line.removeprefix(f"{one_line(str(entry.place))}: "))
                break
        else:
            around.problems.error(section.place, f"[{section.title}] {line}")
