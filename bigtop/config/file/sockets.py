# A [socket:NAME] section as a SocketSpec.

from __future__ import annotations

from typing import Final

from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.text.document import Section
from bigtop.config.file.text.expand import expanded
from bigtop.config.file.text.key import Values, read, refuse_unknown, suspect_unknown
from bigtop.config.file.watchers import FileContext
from bigtop.errors import ConfigError
from bigtop.sockets import SocketSpec
from bigtop.system.files import unixpaths

_OF_FILES: Final = (d.SOCKET_MODE, d.SOCKET_UMASK, d.OWNER, d.GROUP)


def socket(section: Section, around: FileContext) -> tuple[Values, SocketSpec | None]:
    """Read a [socket:NAME] section; None once there are errors."""
    check = refuse_unknown if around.strict else suspect_unknown
    check(section, [key.name for key in d.SOCKET], around.problems)
    entries = expanded(section.entries, around.environments.everywhere)
    section = Section(section.kind, section.name, section.place, entries)
    values = read(section, d.SOCKET, around.problems)
    if values[d.FAMILY] == "unix" and not values[d.PATH]:
        around.problems.error(section.place, f"[{section.title}] needs path, where the unix socket is bound")
        return values, None
    path = values[d.PATH]
    if values.is_given(d.SOCKET_MODE) and values.is_given(d.SOCKET_UMASK):
        around.problems.error(values.place_of(d.SOCKET_MODE), "mode says what umask says; give one of them")
    for key in _OF_FILES:
        if values.is_given(key) and not path:
            around.problems.warn(values.place_of(key), f"{key.name} does nothing without path")
    if path and (problem := unixpaths.problem(path)):
        around.problems.error(values.place_of(d.PATH), f"path: {problem}")
    for key in (d.HOST, d.PORT):
        if values[d.PATH] and values.is_given(key):
            around.problems.warn(values.place_of(key), f"{key.name} does nothing beside path")
    try:
        return values, _spec(section.name, values)
    except ConfigError as error:
        around.problems.error(section.place, f"[{section.title}] {error}")
        return values, None


def _spec(name: str, values: Values) -> SocketSpec:
    path, mode, umask = values[d.PATH], values[d.SOCKET_MODE], values[d.SOCKET_UMASK]
    return SocketSpec(
        name,
        host="" if path else values[d.HOST],
        port=0 if path else values[d.PORT],
        path=path,
        backlog=values[d.BACKLOG],
        reuse_port=values[d.SO_REUSEPORT],
        mode=mode if umask is None else 0o777 & ~umask,
        owner=values[d.OWNER],
        group=values[d.GROUP],
        kind=values[d.TYPE],
        family="" if path else values[d.FAMILY],
        protocol=values[d.PROTO] or 0,
        interface=values[d.INTERFACE],
        replace=values[d.REPLACE],
        blocking=values[d.BLOCKING],
        close_when_unused=values[d.CLOSE_WHEN_UNUSED],
        tls=values[d.SOCKET_TLS],
    )
