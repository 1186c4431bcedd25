# Options of a backend: what it may be asked for, by which flags, and what both native servers heed.
#
# The Features of a backend say which of them it heeds (base.py).

from __future__ import annotations

from typing import Final

from bigtop.errors import ConfigError
from bigtop.http.declarations import FORWARDER, SECURE_SCHEMES, Mount
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
        "max_queue_time",
        "limits.timeout_for",
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


class TlsPolicy(Record):
    """What is agreed on with clients of encrypted sockets; the certificates come another way (keyring.py)."""

    minimum: str = "1.2"  # or "1.3": the oldest version of TLS
    ciphers: str = ""  # of TLS 1.2, as OpenSSL names them; "": tls_contexts.py says which
    unknown_name: str = "default"  # the first certificate, or "refuse"
    client_auth: str = "required"  # or "optional", "off"; where there is who issues certificates of clients
    redirect: tuple[str, ...] = ()  # hosts whose http requests are redirected, perhaps with a port
    hsts: str = ""  # the value of Strict-Transport-Security; "": none is sent


class ServeOptions(Record):
    """What a backend may be asked for; the same object for all of them."""

    threads: int = 1
    main_thread: bool = False  # the application runs in the main thread only; needs threads = 1
    switch_interval: float = 0.0005  # seconds after which a thread hands the interpreter lock on
    worker_connections: int = 16384
    address_connections: int = 0  # open connections of one client address in a worker; 0: no limit
    address_rate: int = 0  # requests per second of one client address in a worker; 0: no limit
    max_queue_time: float = 0.0  # seconds that a request may wait for the application, then 503; 0: for ever
    limits: Limits = field(default_factory=Limits)
    tls: TlsPolicy = field(default_factory=TlsPolicy)
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
    "max_queue_time": "--max-queue-time",
    "limits.timeout_for": "--timeout-for",
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
    "limits.send_file": "--max-buffered",
    "websocket.message": "--ws-max-size",
    "websocket.queue": "--ws-max-queue",
    "websocket.ping_interval": "--ws-ping-interval",
    "websocket.ping_timeout": "--ws-ping-timeout",
    "websocket.deflate": "--ws-per-message-deflate",
    "websocket.origins": "--ws-origins",
}
