# Several [app:NAME] sections on one socket, told apart by their routes.
#
# Rule: what is decided before it is known whose request it is must be said by all of them alike, for whoever
# accepts a connection decides it.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bigtop.backends import registry
from bigtop.backends.native.app_queues import HEAD
from bigtop.config.file.apps import AppSpec
from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options.watcher_options import SOCKETS
from bigtop.config.file.text.document import Place, Problems, Section
from bigtop.config.file.text.key import Values
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import ServeConfig
from bigtop.errors import ConfigError
from bigtop.http.declarations import Route
from bigtop.record import replace

ALIKE: Final[tuple[Option[object], ...]] = (
    *(o.LIMIT_REQUEST_LINE, o.LIMIT_REQUEST_FIELDS, o.LIMIT_REQUEST_FIELD_SIZE, o.LIMIT_REQUEST_HEAD),
    *(o.HEADER_TIMEOUT, o.MIN_HEADER_RATE, o.PROXY_PROTOCOL, o.PROXY_ALLOW_IPS),
)
REST: Final = Route("", "")

Found = tuple[Values, ServeConfig, AppSpec]


def routed(found: Sequence[Found], sections: Iterable[Section], problems: Problems) -> list[Found]:
    """Tell each application whose requests come in by its sockets."""
    by_name = {section.name: section for section in sections}
    tables: dict[str, tuple[tuple[str, Route], ...]] = {}
    for group in _groups(found):
        if len(group) > 1 or group[0][0][d.ROUTES]:
            _check(group, by_name, problems)
            table = tuple((spec.name, route) for own, _, spec in group for route in own[d.ROUTES] or (REST,))
            tables |= dict.fromkeys((spec.name for _, _, spec in group), table)
    for own, _, _ in found:
        if own[d.MOUNTED] and not any(route.path for route in own[d.ROUTES]):
            problems.error(own.place_of(d.MOUNTED), "mounted: needs routes with a path, such as /api")
    return [
        (own, config, replace(spec, table=tables.get(spec.name, ()), mounted=own[d.MOUNTED]))
        for own, config, spec in found
    ]


def _groups(found: Sequence[Found]) -> list[list[Found]]:
    """Return who shares a socket with whom, be it through a third."""
    groups: list[list[Found]] = []
    for one in found:
        sockets = set(one[2].sockets)
        mine = [group for group in groups if any(sockets.intersection(other[2].sockets) for other in group)]
        groups = [group for group in groups if group not in mine]
        groups.append([*(other for group in mine for other in group), one])
    return groups


def _check(group: Sequence[Found], sections: Mapping[str, Section], problems: Problems) -> None:
    first, first_config, first_spec = group[0]
    taken: dict[Route, Values] = {}
    for own, config, spec in group:
        place = own.place_of(d.ROUTES)
        for route in own[d.ROUTES] or (REST,):
            if route in taken:
                problems.error(place, _twice(route, own, taken[route]))
            taken.setdefault(route, own)
        if (set(spec.sockets), spec.site.binds) != (set(first_spec.sockets), first_spec.site.binds):
            problems.error(
                own.place_of(SOCKETS),
                f"sockets: [{own.title}] and [{first.title}] share one, so they have to have all in common, "
                "and no bind of their own",
            )
        section = sections[spec.name]
        for option in ALIKE:
            if config[option] != first_config[option]:
                problems.error(
                    _place(section, option),
                    f"{option.name}: must be as in [{first.title}], for it counts before it is known whose "
                    "request it is",
                )
        if config[o.LIMIT_REQUEST_HEAD] > HEAD:
            problems.error(
                _place(section, o.LIMIT_REQUEST_HEAD),
                f"limit_request_head: at most {HEAD} where requests are routed, so that a head can travel",
            )
        if not _can_take_part(spec.site.backend):
            problems.error(
                _place(section, o.BACKEND),
                f"backend: {spec.site.backend} cannot share a socket with other applications; "
                "wsgi, gevent and asgi can",
            )


def _twice(route: Route, own: Values, other: Values) -> str:
    if route != REST:
        return f"routes: {route} is of [{other.title}] at {other.place_of(d.ROUTES)} already"
    if own is other:
        return "routes: / is there twice"
    return (
        f"[{own.title}] needs routes, such as /api or api.example.org: it shares a socket with "
        f"[{other.title}] at {other.place}, which answers whatever is not routed elsewhere"
    )


def _can_take_part(backend: str | None) -> bool:
    """Whether a backend hands requests over; nobody's choice is one that does."""
    if backend is None:
        return True
    try:
        return registry.load(backend).features.routes
    except ConfigError:  # it does not exist, or is not installed: told by whoever starts it
        return True


def _place(section: Section, option: Option[object]) -> Place:
    entry = section.entries.get(option.name) or section.entries.get(option.also)
    return entry.place if entry else section.place
