# Options of a backend: what it may be asked for, by which flags, and what both native servers heed.
#
# The Features of a backend say which of them it heeds (base.py).

from __future__ import annotations

from typing import Final

from bigtop.errors import ConfigError
from bigtop.http.declarations import (
    COMPRESSED_LEAST,
    COMPRESSED_TYPES,
    FORWARDER,
    SECURE_SCHEMES,
    Mount,
    ProxyRoute,
    Rate,
)
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.record import Record, field, replace

# What both native servers heed: everything about reading HTTP, whom to believe, and where the application is
# mounted. See Features.heeds.
NATIVE_OPTIONS: Final = frozenset(
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
        "limits.handshake_timeout",
        "tls.minimum",
        "tls.ciphers",
        "tls.unknown_name",
        "tls.client_auth",
        "tls.redirect",
        "tls.hsts",
        "answers.compress",
        "answers.compress_types",
        "answers.compress_min",
        "answers.security_headers",
        "answers.add_headers",
        "answers.accel_headers",
        "proxy.routes",
        "proxy.connect_timeout",
        "proxy.timeout",
        "proxy.connections",
        "answers.cache",
        "answers.cache_cookies",
        "max_queue_time",
        "limits.timeout_for",
        "worker_connections",
        "gates.connections",
        "gates.rate",
        "tls.http1_only",
        "limits.http2.streams",
        "limits.http2.resets",
        "limits.http2.stream_window",
        "gates.rate_fields",
        "gates.allow",
        "gates.deny",
        "gates.users",
        "gates.realm",
        "gates.canonical",
        "gates.maintenance",
        "gates.error_pages",
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


class TlsPolicy(Record):
    """What is agreed on with clients of encrypted sockets; the certificates come another way (keyring.py)."""

    minimum: str = "1.2"  # or "1.3": the oldest version of TLS
    ciphers: str = ""  # of TLS 1.2, as OpenSSL names them; "": tls_contexts.py says which
    unknown_name: str = "default"  # the first certificate, or "refuse"
    client_auth: str = "required"  # or "optional", "off"; where there is who issues certificates of clients
    redirect: tuple[str, ...] = ()  # hosts whose http requests are redirected, perhaps with a port
    http1_only: bool = False  # HTTP/2 is not offered, nor understood on sockets that are not encrypted
    hsts: str = ""  # the value of Strict-Transport-Security; "": none is sent


class Gates(Record):
    """Which clients get how far, before the application is asked."""

    connections: int = 0  # open connections of one client address; 0: no limit
    rate: Rate = Rate(0, 1)  # requests of one client address; 0: no limit
    rate_zone: str = ""  # the path for which these are counted apart; "": they are with all others
    rate_fields: bool = False  # clients are told how many they have left
    allow: tuple[str, ...] = ()  # addresses, networks, "*", "file:PATH" of such; none: all are let in
    deny: tuple[str, ...] = ()  # the same, who is not let in
    users: str = ""  # the file of those whom Basic auth lets in; "": everybody
    canonical: tuple[str, ...] = ()  # HOST, ALIAS=HOST: to which requests for other names are redirected
    maintenance: str = ""  # while this file is there, all requests get a 503; "": never
    error_pages: tuple[tuple[int, str], ...] = ()  # status, file: instead of errors of the server's own
    realm: str = "restricted"  # for which a browser asks for a password


class AnswerPolicy(Record):
    """What is made of answers on their way out."""

    compress: tuple[str, ...] = ()  # content codings, the best first; none: bodies go as they are
    compress_types: tuple[str, ...] = COMPRESSED_TYPES  # patterns of media types of what is encoded
    compress_min: int = COMPRESSED_LEAST  # bytes; smaller bodies stay as they are
    security_headers: bool = False  # those of http/answers/added_headers.py, where the application says none
    add_headers: tuple[tuple[str, str], ...] = ()  # fields of answers that have none of that name
    cache: int = 0  # bytes that all workers keep of them together, for other requests; 0: nothing is kept
    cache_cookies: tuple[str, ...] = ()  # names of those that matter to that; none: all of them do
    accel_headers: bool = False  # what applications say to nginx is heeded here, and clients see none of it


class BalancerPolicy(Record):
    """Which peers begin with a PROXY header."""

    protocol: str = "off"  # or "v1", "v2", "auto": the header
    allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")


class ProxyOptions(Record):
    """Requests that other servers answer. Times are seconds, 0: for ever."""

    routes: tuple[ProxyRoute, ...] = ()
    connect_timeout: float = 5.0  # for a connection, or until one is free; nginx: 60
    timeout: float = 60.0  # between two pieces of an answer. nginx, proxy_read_timeout: 60
    connections: int = 64  # of a worker to one server, at once


class ServeOptions(Record):
    """What a backend may be asked for; the same object for all of them."""

    threads: int = 1
    main_thread: bool = False  # the application runs in the main thread only; needs threads = 1
    switch_interval: float = 0.0005  # seconds after which a thread hands the interpreter lock on
    worker_connections: int = 16384
    max_queue_time: float = 0.0  # seconds that a request may wait for the application, then 503; 0: for ever
    limits: Limits = field(default_factory=Limits)
    tls: TlsPolicy = field(default_factory=TlsPolicy)
    gates: Gates = field(default_factory=Gates)
    paths: tuple[PathOptions, ...] = ()  # where options differ from these
    server_header: str = "bigtop"  # "" sends none
    forwarded_allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")
    static: tuple[Mount, ...] = ()  # folders whose files the server answers by itself
    sendfile_roots: tuple[Mount, ...] = ()  # folders whose files the application may name instead of a body
    answers: AnswerPolicy = field(default_factory=AnswerPolicy)
    forwarded_headers: tuple[str, ...] = (
        "for",
        "proto",
    )  # what those proxies set: words of http/clients/forwarded.py
    secure_scheme_headers: tuple[tuple[str, str], ...] = SECURE_SCHEMES  # fields of "proto", and for https
    header_map: str = "drop"  # or "refuse", "dangerous": what becomes of field names with "_"
    forwarder_headers: tuple[str, ...] = FORWARDER  # such names that proxies may send; "*": all
    methods: tuple[str, ...] = ()  # of requests; none: all
    root_path: str = ""  # where the application is mounted
    balancers: BalancerPolicy = field(default_factory=BalancerPolicy)
    proxy: ProxyOptions = field(default_factory=ProxyOptions)
    stream_bodies: tuple[str, ...] = ()  # patterns of paths whose bodies the application wants as they come
    temp_dir: str | None = None  # where what is too large for memory waits; None: the system's choice
    access_format: str = ""  # of http/access_log/access_format.py, or one of its names; "" logs no requests
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
    def counts_clients(self) -> bool:
        """Whether something is limited by address."""
        counts = any(one.gates.rate.requests or one.gates.users for one in self.by_path())
        return bool(self.gates.connections or counts)

    @property
    def cache_size(self) -> int:
        """Bytes of the one arena for all paths."""
        return max([one.answers.cache for one in self.by_path()])

    def by_path(self) -> tuple[ServeOptions, ...]:
        """Return these and those of all paths."""
        return (self, *(path.options for path in self.paths))

    @property
    def wants_balancers(self) -> bool:
        return self.balancers.protocol != "off"

    def behind_mounts(self, interface: str) -> ServeOptions:
        """Return the options of the server of several applications, which together speak `interface`: where
        that is ASGI, the threads are for those of them that speak WSGI."""
        return replace(self, threads=1) if interface == "asgi" else self


class PathOptions(Record):
    """The options of requests whose path is like `pattern` (http/paths/path_table.py): all of them, of which
    those of handlers count."""

    pattern: str
    options: ServeOptions


# A field of ServeOptions that a backend may heed or not -> how people ask for it.
FLAGS: Final = {
    "main_thread": "--main-thread",
    "switch_interval": "--switch-interval",
    "monkey": "--monkey",
    "worker_connections": "--worker-connections",
    "gates.connections": "--limit-address-connections",
    "gates.rate": "--limit-address-rate",
    "gates.rate_fields": "--rate-limit-fields",
    "gates.allow": "--allow",
    "gates.deny": "--deny",
    "gates.users": "--basic-auth",
    "gates.realm": "--basic-auth-realm",
    "gates.canonical": "--canonical-host",
    "gates.maintenance": "--maintenance-file",
    "gates.error_pages": "--error-page",
    "answers.compress": "--compress",
    "answers.compress_types": "--compress-types",
    "answers.compress_min": "--compress-min",
    "answers.security_headers": "--security-headers",
    "answers.add_headers": "--add-header",
    "answers.accel_headers": "--accel-headers",
    "max_queue_time": "--max-queue-time",
    "limits.timeout_for": "--timeout-for",
    "tls.http1_only": "--http1-only",
    "limits.http2.streams": "--http2-max-concurrent-streams",
    "limits.http2.resets": "--http2-max-resets",
    "limits.http2.stream_window": "--http2-initial-window-size",
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
    "limits.handshake_timeout": "--handshake-timeout",
    "tls.minimum": "--tls-min",
    "tls.ciphers": "--tls-ciphers",
    "tls.unknown_name": "--tls-unknown-name",
    "tls.client_auth": "--client-auth",
    "tls.redirect": "--https-redirect",
    "tls.hsts": "--hsts",
    "proxy.routes": "--proxy",
    "proxy.connect_timeout": "--proxy-connect-timeout",
    "proxy.timeout": "--proxy-timeout",
    "proxy.connections": "--proxy-connections",
    "answers.cache": "--cache",
    "answers.cache_cookies": "--cache-cookies",
    "limits.send_file": "--max-buffered",
    "websocket.message": "--ws-max-size",
    "websocket.queue": "--ws-max-queue",
    "websocket.ping_interval": "--ws-ping-interval",
    "websocket.ping_timeout": "--ws-ping-timeout",
    "websocket.deflate": "--ws-per-message-deflate",
    "websocket.origins": "--ws-origins",
}
