# The seam between a worker and the server that answers requests in it.
#
# A backend is a name, a set of declared features and serve(). It knows nothing of supervisors: all it is told
# is the listeners, the application and its Life; all it owes is to answer every request that it accepted.
# docs/howto/custom-backend.md shows one in full.

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from bigtop.errors import ConfigError
from bigtop.http.declarations import FORWARDER, SECURE_SCHEMES, Mount
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.record import Record, field, replace

if TYPE_CHECKING:  # a supervisor reads ServeOptions, and has no use for what a worker is given
    from bigtop.backends.native.app_queues import AppQueues
    from bigtop.http.accesslog import Access
    from bigtop.ipc.handoff import Handoff
    from bigtop.ipc.scoreboard import RequestRecord, Slot

App = Callable[..., Any]


# What both native servers heed: everything about reading HTTP, whom to believe, and where the application is
# mounted. See Features.heeds.
OURS: Final = frozenset(
    {
        "limits.request_line",
        "limits.fields",
        "limits.field_size",
        "limits.head",
        "limits.body",
        "limits.header_timeout",
        "limits.body_timeout",
        "limits.send_timeout",
        "limits.header_rate",
        "limits.body_rate",
        "limits.send_rate",
        "limits.keep_alive",
        "worker_connections",
        "address_connections",
        "address_rate",
        "server_header",
        "forwarded_allow_ips",
        "forwarded_headers",
        "secure_scheme_headers",
        "header_map",
        "forwarder_headers",
        "methods",
        "root_path",
        "stream_bodies",
        "temp_dir",
    }
)


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
    routes: bool = False  # shares its sockets with other applications (`routes` of an [app] section)
    # What it heeds of ServeOptions ("limits.head", "websocket.queue": the names in FLAGS) besides
    # what the features above are about and what a meter sees to (adapters/). People who ask for more are
    # told.
    heeds: frozenset[str] = frozenset()


class ServeOptions(Record):
    """What a backend may be asked for; the same object for all of them."""

    threads: int = 1
    main_thread: bool = False  # the application runs in the main thread only; needs threads = 1
    switch_interval: float = 0.0005  # seconds after which a thread hands the interpreter lock on
    worker_connections: int = 16384
    address_connections: int = 0  # open connections of one client address in a worker; 0: no limit
    address_rate: int = 0  # requests per second of one client address in a worker; 0: no limit
    limits: Limits = field(default_factory=Limits)
    server_header: str = "bigtop"  # "" sends none
    forwarded_allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")
    static: tuple[Mount, ...] = ()  # folders whose files the server answers by itself
    sendfile_roots: tuple[Mount, ...] = ()  # folders whose files the application may name instead of a body
    forwarded_headers: tuple[str, ...] = (
        "for",
        "proto",
    )  # what those proxies set: words of http/forwarded.py
    secure_scheme_headers: tuple[tuple[str, str], ...] = SECURE_SCHEMES  # fields of "proto", and for https
    header_map: str = "drop"  # or "refuse", "dangerous": what becomes of field names with "_"
    forwarder_headers: tuple[str, ...] = FORWARDER  # such names that proxies may send; "*": all
    methods: tuple[str, ...] = ()  # of requests; none: all
    root_path: str = ""  # where the application is mounted
    proxy_protocol: str = "off"  # or "v1", "v2", "auto": what peers in proxy_allow_ips begin with
    proxy_allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")
    stream_bodies: tuple[str, ...] = ()  # patterns of paths whose bodies the application wants as they come
    temp_dir: str | None = None  # where what is too large for memory waits; None: the system's choice
    access_format: str = ""  # "" logs no requests
    access_json: bool = False
    timeout: float = 30.0  # of one application call; the supervisor watches it, backends need not
    monkey: bool = True  # gevent: make the standard library cooperative before the application is imported
    # For ASGI applications:
    loop: str = "auto"  # "asyncio", "uvloop", or "auto": uvloop where it is installed
    lifespan: str = "auto"  # "on", "off", or "auto": on if the application understands it
    limit_concurrency: int = 0  # requests at once, 503 beyond it; 0: any number
    slow_callback: float = 0.0  # seconds for which the event loop may stand still unlogged; 0: for ever
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)

    def __post_init__(self) -> None:
        if self.main_thread and self.threads > 1:
            raise ConfigError("--main-thread means one thread: it cannot be had with --threads")

    @property
    def wants_balancers(self) -> bool:
        return self.proxy_protocol != "off"

    def behind_mounts(self, interface: str) -> ServeOptions:
        """Return the options of the server of several applications, which together speak `interface`: where
        that is ASGI, the threads are for those of them that speak WSGI."""
        return replace(self, threads=1) if interface == "asgi" else self


# A field of ServeOptions that a backend may heed or not -> how people ask for it.
FLAGS: Final = {
    "main_thread": "--main-thread",
    "switch_interval": "--switch-interval",
    "monkey": "--monkey",
    "worker_connections": "--worker-connections",
    "address_connections": "--limit-address-connections",
    "address_rate": "--limit-address-rate",
    "server_header": "--server-header",
    "forwarded_allow_ips": "--forwarded-allow-ips",
    "forwarded_headers": "--forwarded-headers",
    "secure_scheme_headers": "--secure-scheme-headers",
    "header_map": "--header-map",
    "forwarder_headers": "--forwarder-headers",
    "methods": "--methods",
    "temp_dir": "--temp-dir",
    "stream_bodies": "--stream-bodies",
    "loop": "--loop",
    "lifespan": "--lifespan",
    "root_path": "--root-path",
    "limit_concurrency": "--limit-concurrency",
    "slow_callback": "--slow-callback",
    "limits.request_line": "--limit-request-line",
    "limits.fields": "--limit-request-fields",
    "limits.field_size": "--limit-request-field-size",
    "limits.head": "--limit-request-head",
    "limits.body": "--limit-request-body",
    "limits.header_timeout": "--header-timeout",
    "limits.body_timeout": "--body-timeout",
    "limits.send_timeout": "--send-timeout",
    "limits.header_rate": "--min-header-rate",
    "limits.body_rate": "--min-body-rate",
    "limits.send_rate": "--min-send-rate",
    "limits.keep_alive": "--keep-alive",
    "limits.send_file": "--max-buffered",
    "websocket.message": "--ws-max-size",
    "websocket.queue": "--ws-max-queue",
    "websocket.ping_interval": "--ws-ping-interval",
    "websocket.ping_timeout": "--ws-ping-timeout",
    "websocket.deflate": "--ws-per-message-deflate",
    "websocket.origins": "--ws-origins",
}


class Life(Protocol):
    """A worker's contract with its supervisor, as a backend sees it. All methods: serving thread only,
    except where said."""

    slot: Slot
    draining: bool
    handoff: Handoff | None  # the way to other workers; None: this one is alone. May be left unused
    app_queues: AppQueues | None  # the way to other applications on the same socket; None: there are none

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
    def accesses(self) -> Callable[[Access], None] | None:
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
