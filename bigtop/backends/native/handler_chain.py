# The handlers of a worker: what its options put in front of the application (http/handlers.py).
#
# Rule 1: this order is the order in which a request is looked at, with both native servers.
# Rule 2: what is not asked for is None, so that it costs a request one comparison.

from __future__ import annotations

from collections.abc import Callable, Sequence

from bigtop.backends.native.client_limits import AddressConnections, AddressRate, Concurrency
from bigtop.backends.native.encryption import Encryption
from bigtop.backends.native.file_answers import NamedFiles, StaticFiles
from bigtop.backends.native.queue_limit import QueueLimit
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.handlers import ConnectionHandler, Filter, Handler, Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.http.peer import BasePeer
from bigtop.http.secure import Hsts, HttpsRedirect
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")


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
    from bigtop.backends.native.challenges import ChallengeAnswers  # with OpenSSL, for those who encrypt

    answers = ChallengeAnswers(encryption.answers.answer)
    handlers = Handlers((answers, *(() if chain.handlers is None else (chain.handlers,))))
    found = Chain((), chain.filters or (), chain.connections)
    found.handlers = handlers
    return found


def chain_of(options: ServeOptions, busy: Callable[[], int]) -> Chain:
    """Return what `options` ask for; `busy` tells how many application calls are under way."""
    handlers: list[Handler] = []
    filters: list[Filter] = []
    if options.address_rate:
        handlers.append(AddressRate(options.address_rate))
    if options.tls.redirect:
        handlers.append(HttpsRedirect(options.tls.redirect))
    if options.tls.hsts:
        hsts = Hsts(options.tls.hsts)
        handlers.append(hsts)
        filters.append(hsts)
    if options.static:
        handlers.append(StaticFiles(options.static))
    if options.limit_concurrency:
        handlers.append(Concurrency(options.limit_concurrency, busy))
    if options.sendfile_roots:
        filters.append(NamedFiles(options.sendfile_roots))
    most = options.address_connections
    longest = options.max_queue_time
    return Chain(
        handlers,
        filters,
        AddressConnections(most) if most else None,
        QueueLimit(longest) if longest else None,
    )
