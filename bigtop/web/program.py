# The web console: `python -m bigtop.web.program ORDERS [ENDPOINT]`, a process that serves pages.
#
# It is a client of supervisors as any other one. Where it is a helper watcher, the one that runs it comes
# first among those that it shows.

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bigtop import log, sockets
from bigtop.backends.cutoff import CutOff
from bigtop.backends.serve_options import Gates, ServeOptions
from bigtop.errors import BigtopError
from bigtop.http.limits import Limits
from bigtop.loader import LoadedApp
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.top import places
from bigtop.web import preflight
from bigtop.web.app import Console
from bigtop.web.daemons import Daemon
from bigtop.web.doorman import Doorman
from bigtop.web.hub import Hub
from bigtop.web.rules import headers
from bigtop.web.spec import Target, WebSpec
from bigtop.web.store import Store
from bigtop.workers import standalone
from bigtop.workers.life import Life
from bigtop.workers.standalone import StandaloneOptions

if TYPE_CHECKING:
    from bigtop.web.cluster import ShownCluster

logger = get_logger("bigtop.web")

_LARGEST = 16_384  # bytes of a message of a tab


def main(words: Sequence[str]) -> None:
    """Serve until a signal ends it; `words` are the orders and perhaps the endpoint of who started us."""
    spec = WebSpec.decode(words[0])
    if len(words) > 1:
        own = Target(words[1], keys=spec.keys and str(preflight.folder_of(spec, Target(words[1])) or ""))
        spec = replace(spec, targets=(own, *spec.targets))
    log.configure("info")
    run(spec)


def run(spec: WebSpec) -> None:
    """Serve. Raises BigtopError: something of it cannot be had."""
    preflight.check(spec)
    store = Store(preflight.state_of(spec))
    (listener,) = sockets.bind_all([spec.where])
    port = listener.spec.port or None
    audience = audience_of(spec, port)
    url = url_of(spec, port)
    hub = Hub(daemons(spec), store, _cluster(spec))
    doorman = Doorman(store, audience)
    console = Console(hub, doorman, spec.names(), headers.cookie_name(port))
    own = StandaloneOptions("asgi", 2.0, None, _options(spec))
    life = standalone.born(own)
    if spec.certfile:
        from bigtop.web import encryption  # with OpenSSL, for those who encrypt

        life.encryption = encryption.encryption(spec.certfile, spec.keyfile)
    lock = store.announce(audience, url)
    logger.info("web console on %s; bigtop web login-url makes a link to log in", url)
    _serve(life, own, console, listener)
    os.close(lock)
    listener.close()
    life.end(0)


def _serve(life: Life, own: StandaloneOptions, console: Console, listener: sockets.ListeningSocket) -> None:
    app = LoadedApp(console, "asgi", "bigtop.web")
    try:
        backend = standalone.prepared(own)
        assert backend is not None
        standalone.serve(life, own, backend, app, [sockets.adopt(os.dup(listener.fileno()))])
    except CutOff:
        logger.info("stopped before it served")


def _options(spec: WebSpec) -> ServeOptions:
    options = ServeOptions(
        server_header="",
        forwarded_allow_ips=spec.proxies or (("*",) if spec.where.path is not None else ()),
        worker_connections=1000,
        gates=Gates(connections=200),
        lifespan="on",
        loop="asyncio",
        limits=replace(Limits(), body=_LARGEST),
    )
    return replace(options, websocket=replace(options.websocket, message=_LARGEST))


def _cluster(spec: WebSpec) -> ShownCluster | None:
    if not spec.cluster:
        return None
    from bigtop.web.cluster import ShownCluster  # few lead a cluster

    return ShownCluster(preflight.authority_of(spec))


def daemons(spec: WebSpec) -> list[Daemon]:
    """Return what is to be shown. Raises UnreachableError where nobody says what, and nobody runs here."""
    if spec.cluster and not spec.targets:
        return []
    targets = spec.targets or tuple(Target(place.endpoint) for place in places.find([], None, None))
    found: dict[str, Daemon] = {}
    for target in targets:
        name = target.name or places.short(target.endpoint) or target.endpoint
        while name in found:
            name += "'"
        found[name] = Daemon(name, target.endpoint, preflight.folder_of(spec, replace(target, name=name)))
    return list(found.values())


def audience_of(spec: WebSpec, port: int | None) -> str:
    """Return what tells this console from others of the same user."""
    where = spec.where
    text = where.path if where.path is not None else f"{where.host}:{port}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def url_of(spec: WebSpec, port: int | None) -> str:
    """Return where a person goes: by the first name that it is known under."""
    where, scheme = spec.where, "https" if spec.certfile or spec.proxies else "http"
    if where.path is not None or spec.proxies:
        return f"https://{spec.hosts[0]}" if spec.hosts else f"http://{where.host}:{port}"
    host = spec.hosts[0] if spec.hosts else where.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BigtopError as error:
        logger.critical("%s", error)
        sys.exit(error.exit_status)
