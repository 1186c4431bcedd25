# The handlers of a worker: what its options put in front of the application (http/handlers.py).
#
# Rule 1: this order is the order in which a request is looked at, with both native servers.
# Rule 2: what is not asked for is None, so that it costs a request one comparison.
# Rule 3: a handler is made of options of one path. chain_of() makes it once for all paths that say the same,
# and chooses by path (path_handlers.py).

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from bigtop.backends.native.handlers.apart import IN_THREADS, Apart
from bigtop.backends.native.handlers.client_limits import AddressConnections, AddressRate, Concurrency
from bigtop.backends.native.handlers.file_answers import NamedFiles, StaticFiles
from bigtop.backends.native.handlers.path_handlers import PathHandlers
from bigtop.backends.native.handlers.queue_limit import QueueLimit
from bigtop.backends.native.transport.encryption import Encryption
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.answers.added_headers import AddedHeaders
from bigtop.http.answers.own_pages import Pages
from bigtop.http.answers.secure import Hsts, HttpsRedirect
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.gates.canonical import CanonicalHost
from bigtop.http.handlers import ConnectionHandler, Filter, Handler, Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.http.paths.path_table import PathTable
from bigtop.ipc import client_table
from bigtop.ipc.client_table import ClientTable
from bigtop.log import logger as get_logger

if TYPE_CHECKING:
    from bigtop.backends.native.cache.response_cache import ResponseCache
    from bigtop.backends.native.gates.basic_auth import Users
    from bigtop.backends.native.gates.password_tries import PasswordTries
    from bigtop.ipc.cache_arena import Arena

log = get_logger("bigtop.backend")
T = TypeVar("T")


class Handlers:
    """Handlers, one after the other: the first that answers wins."""

    __slots__ = ("_handlers",)

    def __init__(self, handlers: Sequence[Handler]) -> None:
        self._handlers = tuple(handlers)

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        """Return the answer to a request that is not the application's; None for all others."""
        for handler in self._handlers:
            try:
                reply = handler.handle(request, peer, now)
            except Exception:
                # Whatever is wrong with a handler must not cost more than this one request.
                target = request.target.decode("latin-1")
                log.exception("%s %s: %s failed", request.method, target, type(handler).__name__)
                return refusal_of(500, "The server failed to answer this request.")
            if reply is not None:
                return reply
        return None


class Chain:
    """What stands in front of the application of a worker."""

    __slots__ = ("connections", "filters", "handlers", "queue_limit")

    def __init__(
        self,
        handlers: Sequence[Handler] = (),
        filters: Sequence[Filter] = (),
        connections: ConnectionHandler | None = None,
        queue_limit: QueueLimit | None = None,
    ) -> None:
        self.handlers = Handlers(handlers) if handlers else None
        self.filters = tuple(filters) if filters else None
        self.connections = connections
        self.queue_limit = queue_limit


def with_challenges(chain: Chain, encryption: Encryption | None) -> Chain:
    """Return the chain with what CAs ask for in front of all else, where somebody gets certificates."""
    if encryption is None or encryption.answers is None:
        return chain
    # with OpenSSL, for those who encrypt
    from bigtop.backends.native.challenges import ChallengeAnswers

    answers = ChallengeAnswers(encryption.answers.answer)
    handlers = Handlers((answers, *(() if chain.handlers is None else (chain.handlers,))))
    found = Chain((), chain.filters or (), chain.connections, chain.queue_limit)
    found.handlers = handlers
    return found


class Parts:
    """Makes handlers and filters. Of the same arguments it makes the same object."""

    def __init__(
        self, busy: Callable[[], int], clients: ClientTable | None, apart: Apart, arena: Arena | None
    ) -> None:
        self.busy = busy
        self.clients = clients
        self.apart = apart
        self.arena = arena
        self._made: dict[tuple[object, ...], object] = {}

    def of(self, kind: Callable[..., T], *arguments: object) -> T:
        key = kind, *arguments
        if key not in self._made:
            self._made[key] = kind(*arguments)
        return cast(T, self._made[key])


def chain_of(
    options: ServeOptions,
    busy: Callable[[], int],
    clients: ClientTable | None = None,
    apart: Apart = IN_THREADS,
    arena: Arena | None = None,
) -> Chain:
    """Return what `options` ask for; `busy` tells how many application calls are under way, `clients` and
    `arena` are what is shared with other workers, `apart` does what takes long. ConfigError: a file of them
    says nothing."""
    if options.counts_clients and clients is None:
        clients = client_table.alone()
    if options.cache_size and arena is None:
        arena = _own_arena(options.cache_size)
    parts = Parts(busy, clients, apart, arena)
    chain = _chain(options, parts)
    most = options.gates.connections
    chain.connections = AddressConnections(most, clients) if most and clients is not None else None
    chain.queue_limit = QueueLimit(options.max_queue_time) if options.max_queue_time else None
    if not options.paths:
        return chain
    chains = [*(_chain(path.options, parts) for path in options.paths), chain]
    table = PathTable([path.pattern for path in options.paths])
    by_path = PathHandlers(table, [one.handlers for one in chains], [one.filters for one in chains])
    handlers = [by_path] if any(one.handlers is not None for one in chains) else []
    filters = [by_path] if any(one.filters is not None for one in chains) else []
    return Chain(handlers, filters, chain.connections, chain.queue_limit)


def _chain(options: ServeOptions, parts: Parts) -> Chain:
    """Return the handlers and filters of one path, or of all that is not like any."""
    gates = options.gates
    filters: list[Filter] = []
    handlers = _in_front(options, parts, filters)
    behind: list[Handler] = []
    if gates.rate.requests:
        rate = parts.of(AddressRate, gates.rate, gates.rate_zone, parts.clients)
        behind.append(rate)
        if gates.rate_fields:
            filters.append(rate)
    if options.static:
        behind.append(parts.of(StaticFiles, options.static))
    if options.proxy.routes:
        behind.append(parts.of(_proxy_paths, options.proxy.routes))
    behind += _last(options, parts, filters)
    if options.sendfile_roots:
        filters.append(parts.of(NamedFiles, options.sendfile_roots))
    if gates.error_pages:
        filters.append(parts.of(_error_pages, gates.error_pages))
    answers = options.answers
    if answers.accel_headers:
        filters.append(parts.of(_accel_headers))
    if answers.security_headers or answers.add_headers:
        filters.append(parts.of(AddedHeaders, answers.add_headers, answers.security_headers))
    if answers.compress:
        filters.append(parts.of(_compression, answers.compress, answers.compress_types, answers.compress_min))
    if gates.users:
        users = parts.of(_users, gates.users, parts.apart)
        tries = parts.of(_tries, parts.clients)
        behind = [_auth(users, tries, gates.realm, Handlers(behind) if behind else None)]
    return Chain([*handlers, *behind], filters)


def _last(options: ServeOptions, parts: Parts, filters: list[Filter]) -> list[Handler]:
    """Return what stands directly in front of the application; add to `filters` what filters as well."""
    last: Handler | None = None
    if options.limit_concurrency:
        last = parts.of(Concurrency, options.limit_concurrency, parts.busy)
    if options.answers.cache and parts.arena is not None:
        # What is kept is no call, and passes the other filters each time.
        answers = options.answers
        cache = parts.of(_cache, parts.arena, answers.cache_cookies, answers.accel_headers, last, parts.apart)
        filters.insert(0, cache)
        last = cache
    return [] if last is None else [last]


def _in_front(options: ServeOptions, parts: Parts, filters: list[Filter]) -> list[Handler]:
    """Return what stands before the question for a password; add to `filters` what filters as well."""
    gates = options.gates
    handlers: list[Handler] = []
    if gates.allow or gates.deny:
        handlers.append(parts.of(_lists, gates.allow, gates.deny))
    if options.tls.redirect:
        handlers.append(parts.of(HttpsRedirect, options.tls.redirect))
    if options.tls.hsts:
        hsts = parts.of(Hsts, options.tls.hsts)
        handlers.append(hsts)
        filters.append(hsts)
    if gates.canonical:
        handlers.append(parts.of(CanonicalHost, gates.canonical))
    if gates.maintenance:
        handlers.append(parts.of(_maintenance, gates.maintenance))
    return handlers


# Few have these: they are imported for those who do.


def own_pages(options: ServeOptions) -> Pages | None:
    """Return what is shown instead of errors of the server's own that pass no filters; None for nothing."""
    if not options.gates.error_pages:
        return None
    from bigtop.backends.native.gates.error_pages import pages_of

    return pages_of(options.gates.error_pages)


def _error_pages(files: tuple[tuple[int, str], ...]) -> Filter:
    from bigtop.backends.native.gates.error_pages import ErrorPages

    return ErrorPages(files)


def _maintenance(path: str) -> Handler:
    from bigtop.backends.native.gates.maintenance import Maintenance

    return Maintenance(path)


def _lists(allow: tuple[str, ...], deny: tuple[str, ...]) -> Handler:
    from bigtop.backends.native.gates.address_lists import AddressLists

    return AddressLists(allow, deny)


def _users(path: str, apart: Apart) -> Users:
    from bigtop.backends.native.gates.basic_auth import Users

    return Users(path, apart)


def _tries(clients: ClientTable) -> PasswordTries:
    from bigtop.backends.native.gates.password_tries import PasswordTries

    return PasswordTries(clients)


def _auth(users: Users, tries: PasswordTries, realm: str, behind: Handler | None) -> Handler:
    from bigtop.backends.native.gates.basic_auth import BasicAuth

    return BasicAuth(users, tries, realm, behind)


def _own_arena(size: int) -> Arena:
    """Return the arena of a worker that shares nothing."""
    from bigtop.ipc import cache_arena

    return cache_arena.Arena(cache_arena.create(size))


def _cache(
    arena: Arena, cookies: tuple[str, ...], heeds_accel: bool, behind: Handler | None, apart: Apart
) -> ResponseCache:
    from bigtop.backends.native.cache.response_cache import ResponseCache
    from bigtop.backends.native.cache.shelf import Shelf

    return ResponseCache(Shelf(arena, cookies, heeds_accel=heeds_accel), behind, apart.pause)


def _proxy_paths(routes: tuple[ProxyRoute, ...]) -> Handler:
    from bigtop.backends.native.upstream.proxy_paths import ProxyPaths

    return ProxyPaths(routes)


def _accel_headers() -> Filter:
    from bigtop.backends.native.handlers.accel_headers import AccelHeaders  # for those who have had nginx

    return AccelHeaders()


def _compression(codings: tuple[str, ...], types: tuple[str, ...], least: int) -> Filter:
    from bigtop.backends.native.codings.compression import Compression  # with its libraries

    return Compression(codings, types, least)
