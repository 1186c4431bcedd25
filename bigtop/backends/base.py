# The seam between a worker and the server that answers requests in it.
#
# A backend is a name, a set of declared features and serve(). It knows nothing of supervisors: all it is told
# is the listeners, the application and its Life; all it owes is to answer every request that it accepted.
# docs/howto/custom-backend.md shows one in full.

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from bigtop.backends.transfer import Transfer
from bigtop.errors import ConfigError
from bigtop.handoff import Handoff
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.http.static import Mount
from bigtop.scoreboard import Slot

App = Callable[..., Any]


# What both native servers heed: everything about reading HTTP, and whom to believe. See Features.heeds.
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
        "limits.keep_alive",
        "worker_connections",
        "server_header",
        "forwarded_allow_ips",
        "forwarded_headers",
    }
)


@dataclass(frozen=True, slots=True)
class Features:
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
    routes: bool = False  # shares its sockets with other applications (`routes` of an [app] section)
    # What it heeds of ServeOptions ("limits.head", "websocket.queue": the names in registry.FLAGS) besides
    # what the features above are about and what Books sees to. People who ask for more are told.
    heeds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServeOptions:
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
    proxy_protocol: str = "off"  # or "v1", "v2", "auto": what peers in proxy_allow_ips begin with
    proxy_allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")
    stream_bodies: tuple[str, ...] = ()  # patterns of paths whose bodies the application wants as they come
    temp_dir: str | None = None  # where what is too large for memory waits; None: the system's choice
    access_format: str = ""  # "" logs no requests
    access_json: bool = False
    timeout: float = 30.0  # of one application call, watched by the supervisor; here only for information
    monkey: bool = True  # gevent: make the standard library cooperative before the application is imported
    # For ASGI applications:
    loop: str = "auto"  # "asyncio", "uvloop", or "auto": uvloop where it is installed
    lifespan: str = "auto"  # "on", "off", or "auto": on if the application understands it
    root_path: str = ""  # where the application is mounted
    limit_concurrency: int = 0  # requests at once, 503 beyond it; 0: any number
    slow_callback: float = 0.0  # seconds for which the event loop may stand still unlogged; 0: for ever
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)

    def __post_init__(self) -> None:
        if self.main_thread and self.threads > 1:
            raise ConfigError("--main-thread means one thread: it cannot be had with --threads")

    @property
    def wants_balancers(self) -> bool:
        return self.proxy_protocol != "off"


class Life(Protocol):
    """A worker's contract with its supervisor, as a backend sees it. All methods: serving thread only,
    except where said."""

    slot: Slot
    draining: bool
    grace: float  # seconds that remain for open requests, once draining
    handoff: Handoff | None  # the way to other workers; None: this one is alone. May be left unused
    transfer: Transfer | None  # the way to other applications on the same socket; None: there are none

    def fileno(self) -> int:
        """The lifeline's descriptor: readable when on_lifeline() has something to do."""

    def on_lifeline(self) -> None:
        """Read what the supervisor said; sets `draining` (also when the supervisor is gone)."""

    def ready(self) -> None:
        """Say that requests are accepted from now on. Call once, with the listeners in the event loop."""

    def finished(self) -> None:
        """One request was answered; may ask the supervisor for a successor. From any thread."""

    def access(self, line: str) -> None:
        """Write one line, given without a newline, to the access log. From any thread."""


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
