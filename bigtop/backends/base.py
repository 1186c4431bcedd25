# The contract of a backend: the seam between a worker and the server that answers requests in it.
#
# A backend is a name, a set of declared features and serve(). It knows nothing of supervisors: all it is told
# is the listeners, the application and its Life; all it owes is to answer every request that it accepted.
# What it may be asked for is in serve_options.py. docs/howto/custom-backend.md shows one in full.

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from bigtop.backends.serve_options import ServeOptions
from bigtop.record import Record

if TYPE_CHECKING:  # what reads Features has no use for what a worker is given
    from bigtop.backends.native.app_queues import AppQueues
    from bigtop.backends.native.transport.encryption import Encryption
    from bigtop.http.access_log.access_format import AccessRecord
    from bigtop.ipc.handoff import Handoff
    from bigtop.ipc.scoreboard import RequestRecord, Slot

App = Callable[..., Any]


class Features(Record):
    """What a backend can do; asking for what it does not declare is an error before anything starts."""

    interface: str  # "wsgi" or "asgi"
    threads: bool = False  # several application calls at once in one worker (--threads)
    unix: bool = True  # listens on unix sockets
    drain: bool = True  # finishes open requests when told to drain
    static: bool = False  # answers for --static
    sendfile: bool = False  # answers for --sendfile-root
    balancers: bool = False  # understands --proxy-protocol
    reload: bool = True  # can share its listeners with another generation during a reload
    keep_alive: bool = True  # answers several requests on one connection
    patient: bool = True  # a client that is slow to send its request holds nobody else up
    fragments: bool = True  # takes a request head in any number of pieces
    pipelines: bool = True  # also when the next one comes before the answer
    says_goodbye: bool = True  # while draining, answers carry "Connection: close"
    large: bool = True  # sends responses of any size, also those that do not fit into the socket at once
    streams: bool = True  # sends a response while the application is still making it
    interruptible: bool = True  # leaves when the time to drain is over, whatever the application does
    chunked: bool = True  # takes request bodies without a Content-Length
    request_hooks: bool = False  # keeps what hooks around an application make of its answer
    paths: bool = False  # has other options for some paths ([path:APP:PATH])
    routes: bool = False  # shares its sockets with other applications (`routes` of an [app] section)
    tls: bool = False  # speaks TLS (--tls)
    http2: bool = False  # speaks HTTP/2 with clients that choose it, or begin with it
    held: bool = False  # can be ready and without clients: heeds `held` and `probes` of its Life
    reforks: bool = False  # leaves nothing behind when serve() returns, so that the process can be forked
    # What it heeds of ServeOptions ("limits.head", "websocket.queue": the names in its FLAGS) besides
    # what the features above are about and what a meter sees to (adapters/). People who ask for more are
    # told.
    heeds: frozenset[str] = frozenset()


class Probe(NamedTuple):
    """A connection of the supervisor's, on which it asks as a client does. It is not encrypted; `scheme` is
    what the application is told."""

    socket: socket.socket
    scheme: str


class Life(Protocol):
    """A worker's contract with its supervisor, as a backend sees it. All methods: serving thread only,
    except where said."""

    slot: Slot
    draining: bool
    handoff: Handoff | None  # the way to other workers; None: this one is alone. May be left unused
    app_queues: AppQueues | None  # the way to other applications on the same socket; None: there are none
    held: bool  # no clients are to be taken yet; on_lifeline() tells when that is over
    probes: deque[Probe]  # to be served at once, held or not; on_lifeline() adds to them
    shares: bool  # let idle connections go to workers with fewer, once; on_lifeline() sets it
    encryption: Encryption | None  # which listeners speak TLS, and how; None: none does

    @property
    def closing(self) -> list[Callable[[], None]]:
        """What is to be called behind serve() if the process goes on otherwise; serve() adds to it."""

    @property
    def grace(self) -> float:
        """Seconds that remain for open requests, once draining."""

    def cut_off(self, waiting: Sequence[RequestRecord] = ()) -> None:
        """No request is waited for any more: say which are cut off, those that run and those that were
        `waiting` to begin. From any thread."""

    def fileno(self) -> int:
        """The lifeline's descriptor: readable when on_lifeline() has something to do."""

    def on_lifeline(self) -> None:
        """Read what the supervisor said; sets `draining` (also when the supervisor is gone)."""

    def ready(self) -> None:
        """Say that requests are accepted from now on. Call once, with the listeners in the event loop."""

    @property
    def finished(self) -> Callable[[], None] | None:
        """To be called when a request was answered; may ask the supervisor for a successor. From any thread.
        None where nobody counts."""

    def access(self, line: str) -> None:
        """Write one line, given without a newline, to the access log. From any thread."""

    @property
    def accesses(self) -> Callable[[AccessRecord], None] | None:
        """What is to be told of answered requests in place of that. From any thread."""


class BackendDefaults:
    """A backend that keeps its options and has nothing to do before the application is imported."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options

    def prepare(self) -> None:
        """Nothing has to be done before the application is imported."""


class Backend(Protocol):
    """What `bigtop.backends` entry points name: a class with this shape."""

    name: ClassVar[str]
    features: ClassVar[Features]

    def __init__(self, options: ServeOptions) -> None: ...

    def prepare(self) -> None:
        """Run before the application is imported (monkey patching belongs here)."""

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        """Answer requests until `life.draining`, then finish what is open and return.

        Raises ConfigError, before life.ready(), when the listeners or options cannot be had.
        """
