# [path:APP:PATH] sections: options of an application that are others for requests of one path. In TOML they
# are the tables [app.APP.paths."PATH"].
#
# Rule: what such a section does not say is as in the section of its application. It holds options of handlers
# only (Option.by_path): all else is decided before it is known what a request is for, or for a whole worker.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bigtop.backends.serve_options import PathOptions
from bigtop.config.file.apps import AppSpec, blame, texts_of
from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.text.document import Problems, Section
from bigtop.config.file.text.expand import expanded
from bigtop.config.file.text.key import Values, suggestion
from bigtop.config.file.watchers import FileContext
from bigtop.config.serve import options as o
from bigtop.config.serve import serve, site_preflight
from bigtop.config.serve.settings import DEFAULT, Layer, ServeConfig, Setting, resolve
from bigtop.config.serve.values import values
from bigtop.errors import ConfigError
from bigtop.record import replace

Found = tuple[Values, ServeConfig, AppSpec]

_KNOWN: Final = {name for option in d.PATH_OPTIONS for name in (option.name, option.also) if name}
_OF_APPS: Final = {name for option in o.OPTIONS for name in (option.name, option.also) if name}


def with_paths(
    found: Sequence[Found], sections: Sequence[Section], around: FileContext
) -> tuple[list[Found], list[Values]]:
    """Give each application what its sections say by path; return what these say, too."""
    by_app: dict[str, list[Section]] = {spec.name: [] for _, _, spec in found}
    for section in sections:
        owner = max((name for name in by_app if section.name.startswith(f"{name}:")), key=len, default=None)
        if owner is None:
            around.problems.error(
                section.place,
                f"[{section.title}]: there is no [app] of that name: write [path:APP:PATH], "
                "such as [path:site:/api/]",
            )
        else:
            by_app[owner].append(section)
    apps: list[Found] = []
    shown: list[Values] = []
    for own, config, spec in found:
        paths = []
        for pattern, section in _patterns(spec.name, by_app[spec.name], around.problems):
            if (options := _path(section, pattern, config, around, shown)) is not None:
                paths.append(options)
        if paths:
            spec = _with(spec, paths, config, by_app[spec.name], around.problems)
        apps.append((own, config, spec))
    return apps, shown


def _patterns(app: str, sections: Sequence[Section], problems: Problems) -> list[tuple[str, Section]]:
    """Return each section with its path, which none has twice."""
    taken: dict[str, Section] = {}
    patterns = []
    for section in sections:
        pattern = section.name.removeprefix(f"{app}:")
        first = taken.setdefault(pattern.rstrip("/"), section)
        if first is not section:
            problems.error(
                section.place, f"[{section.title}] is the same path as [{first.title}] at {first.place}"
            )
        patterns.append((pattern, section))
    return patterns


def _with(
    spec: AppSpec,
    paths: Sequence[PathOptions],
    config: ServeConfig,
    sections: Sequence[Section],
    problems: Problems,
) -> AppSpec:
    options = replace(spec.site.options, paths=tuple(paths))
    if any(path.options.limits.body != options.limits.body for path in paths):
        # An engine asks for it before there are handlers.
        body_for = tuple((path.pattern, path.options.limits.body) for path in paths)
        options = replace(options, limits=replace(options.limits, body_for=body_for))
    site = replace(spec.site, options=options)
    try:
        site_preflight.check_backend(config, site)
    except ConfigError as error:
        problems.error(sections[0].place, f"[{sections[0].title}] {error}")
    return replace(spec, site=site)


def _path(
    section: Section, pattern: str, config: ServeConfig, around: FileContext, shown: list[Values]
) -> PathOptions | None:
    """Read one section; None once there are errors."""
    try:
        values.path_pattern(pattern)
    except ValueError as error:
        around.problems.error(section.place, f"[{section.title}]: {error}")
        return None
    _refuse_others(section, around.problems)
    env = around.environments.environ | dict(config[o.ENV])
    entries = expanded(section.entries, env)
    own = texts_of(entries, d.PATH_OPTIONS, around.problems)
    layers: list[Layer] = [_whole(config), own]
    try:
        resolved = resolve(config.app, o.OPTIONS, layers)
        options = serve.spec(resolved).options
    except ConfigError as error:
        blame(error, replace(section, entries=entries), around)
        return None
    settings: dict[str, Setting] = {
        name: replace(
            resolved.settings[name], given=replace(given, origin=given.origin.removesuffix(f": {name}"))
        )
        for name, given in own.items()
    }
    shown.append(Values(section.title, section.place, settings, {}, {}))
    if o.LIMIT_ADDRESS_RATE.name in own:  # counted apart from what other paths are limited to
        options = replace(options, gates=replace(options.gates, rate_zone=pattern))
    return PathOptions(pattern, options)


def _whole(config: ServeConfig) -> Layer:
    """Return what the application says."""
    return {
        name: setting.given for name, setting in config.settings.items() if setting.given.origin != DEFAULT
    }


def _refuse_others(section: Section, problems: Problems) -> None:
    for name, entry in section.entries.items():
        if name in _OF_APPS - _KNOWN:
            problems.error(entry.place, f"{name}: is for a whole application, and cannot be said by path")
        elif name not in _KNOWN:
            problems.error(
                entry.place, f"[{section.title}] has no key {name}{suggestion(name, sorted(_KNOWN))}"
            )
