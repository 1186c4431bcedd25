# Encrypted sockets of a file: who has certificates for which, and how applications on one are told apart.
#
# Rule: an application shakes hands before it sees a request. So on an encrypted socket the host decides whose
# a connection is, and a path cannot.

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bigtop.config.file.options.watcher_options import SOCKETS
from bigtop.config.file.routing import Found
from bigtop.config.file.text.document import Problems
from bigtop.config.serve.specs import acme
from bigtop.http.declarations import Route
from bigtop.sockets import SocketSpec


def check(found: Sequence[Found], sockets: Iterable[SocketSpec], problems: Problems) -> None:
    """Report what makes no sense of TLS."""
    _check_kept(found, problems)
    encrypted = {spec.name for spec in sockets if spec.tls}
    for own, _, spec in found:
        place = own.place_of(SOCKETS)
        theirs = [name for name in spec.sockets if name in encrypted]
        if theirs and not spec.site.tls.is_wanted:
            problems.error(
                place, f"[{own.title}] needs tls = files:CERT,KEY: [socket:{theirs[0]}] speaks TLS"
            )
        elif spec.site.tls.is_wanted and spec.sockets and not (theirs or spec.site.binds):
            problems.error(place, f"tls: none of the sockets of [{own.title}] has tls = yes")
        if theirs and (host := _divided(spec.table)) is not None:
            problems.error(
                place,
                f"routes: [socket:{theirs[0]}] speaks TLS, so {host} has to be of one application: paths are "
                "not known before the handshake",
            )


def _check_kept(found: Sequence[Found], problems: Problems) -> None:
    """One keeper is for all."""
    kept = [one for one in found if one[2].site.tls.acme is not None]
    for own, config, spec in kept[1:]:
        first, first_config, first_spec = kept[0]
        differing = [option.name for option in acme.ABOUT if config[option] != first_config[option]]
        if not differing and spec.site.tls.acme != first_spec.site.tls.acme:
            differing = ["http_bind"]  # which is off for one of them
        for name in differing:
            problems.error(
                own.place,
                f"[{own.title}] {name}: must be as in [{first.title}], for one process gets all of them; "
                "[tls] says it for both",
            )
    sites = list(dict.fromkeys(names for _, _, spec in kept for names in spec.site.tls.auto))
    for number, names in enumerate(sites):
        if any(names[0] == other[0] for other in sites[:number]):
            problems.error(
                kept[-1][0].place,
                f"tls: two certificates begin with {names[0]}: begin one with another of its names",
            )


def _divided(table: Sequence[tuple[str, Route]]) -> str | None:
    """Return a host whose requests are for several applications, None if there is none."""
    for host in sorted({route.host for _, route in table}):
        owners: set[str] = set()
        for wanted in dict.fromkeys((host, "")):
            rows = [(name, route) for name, route in table if route.host == wanted]
            owners.update(name for name, _ in rows)
            if any(not route.path for _, route in rows):
                break  # what is not below another path is for this one
        if len(owners) > 1:
            return host or "every other host"
    return None
