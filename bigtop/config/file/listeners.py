# Listeners of a file: no two of its sections may want one address.
#
# Rule: whatever a supervisor binds for a file is among them: sockets, addresses of applications, the admin
# listener, endpoints of the control channel. What one site says twice is its own mistake
# (config/serve/site_preflight.py).

from __future__ import annotations

from collections.abc import Iterator

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.text.document import Document, Place, Problems, Section
from bigtop.config.serve import overlap
from bigtop.errors import ConfigError
from bigtop.sockets import SocketSpec, parse_bind
from bigtop.web.spec import WebSpec

_Listener = tuple[str, Place, SocketSpec]


def check_taken(daemon: DaemonSpec, document: Document, problems: Problems) -> None:
    """Report an address that two sections want to have."""
    listeners = list(_listeners(daemon, document))
    for earlier, later in overlap.pairs([spec for _, _, spec in listeners]):
        (first, before, _), (title, place, _) = listeners[earlier], listeners[later]
        if first != title or first == "circus":
            problems.error(place, f"[{title}] has the address of [{first}] at {before}")


def _listeners(daemon: DaemonSpec, document: Document) -> Iterator[_Listener]:
    sections = {section.title: section for section in document.sections}
    for spec in daemon.sockets:
        yield f"socket:{spec.name}", sections[f"socket:{spec.name}"].place, spec
    shared: set[tuple[str, ...]] = set()
    for app in daemon.apps:
        section = sections[f"app:{app.name}"]
        if app.sockets and app.sockets in shared:  # the binds of those who share a socket are one list
            continue
        shared.add(app.sockets)
        for spec in app.site.binds:
            is_beside = app.site.tls.is_wanted and not spec.tls
            yield section.title, _place(section, "http_bind" if is_beside else "bind"), spec
    if daemon.admin is not None:
        yield "admin", _place(sections["admin"], "bind"), daemon.admin.bind
    if daemon.web is not None and (bound := _bound(daemon.web)) is not None:
        section = sections["web"] if "web" in sections else sections["circus"]
        yield section.title, _place(section, "bind" if "web" in sections else "httpd_port"), bound
    endpoints = {"endpoint": daemon.endpoint, "pubsub_endpoint": daemon.pubsub_endpoint}
    if daemon.stats is not None:
        endpoints["stats_endpoint"] = daemon.stats_endpoint
    for key, endpoint in endpoints.items():
        bound = None if endpoint is None else _endpoint(endpoint)
        if bound is not None:
            places = [_place(section, key) for section in document.of_kind("circus")]
            yield "circus", next(iter(places), Place(document.path, 1)), bound


def _bound(web: WebSpec) -> SocketSpec | None:
    """Return where a console listens; None for what is checked elsewhere."""
    try:
        return web.where
    except ConfigError:
        return None


def _place(section: Section, key: str) -> Place:
    entry = section.entries.get(key)
    return section.place if entry is None else entry.place


def _endpoint(text: str) -> SocketSpec | None:
    """Return what ZeroMQ binds; None for what is checked elsewhere."""
    scheme, _, rest = text.partition("://")
    if scheme == "ipc":
        return SocketSpec(text, path=rest) if rest else None
    try:  # "*" is every address of IPv4 there
        return parse_bind(rest.replace("*", "0.0.0.0", 1)) if scheme == "tcp" else None  # noqa: S104
    except ConfigError:
        return None
