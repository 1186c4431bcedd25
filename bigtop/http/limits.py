# Limits: how much of everything a client may send, and how long it may take.
#
# Each figure names its precedents, so that changing one is a decision and not an accident.

from __future__ import annotations

from bigtop.http.h2.limits import Http2Limits
from bigtop.http.paths.time_limits import STEPS
from bigtop.record import Record, field


class Limits(Record):
    """Sizes are bytes, times are seconds; 0 turns a limit off where the comment says so."""

    # nginx: 8k per header line; gunicorn: 4094; h11: no own limit. 414 beyond it.
    request_line: int = 8190
    # gunicorn and Apache: 100. 431 beyond it.
    fields: int = 100
    # gunicorn, Apache: 8190; nginx: 8k, four of them. 431 beyond it.
    field_size: int = 8190
    # The whole head; nginx: 4 x 8k. Bounds memory per connection before any other limit applies. 431.
    head: int = 65536
    # nginx: 1 MB; waitress: 1 GB; gunicorn, uvicorn, granian: none. 0 = no limit. 413 beyond it.
    body: int = 1 << 30
    # From the first byte of a head to its end. nginx: 60, granian: 30. 408. 0 = no limit.
    header_timeout: float = 30.0
    # Between two pieces of a body. nginx: 60. 408. 0 = no limit.
    body_timeout: float = 60.0
    # Between two pieces that the client takes of a response. nginx: 60. Then closed. 0 = no limit.
    send_timeout: float = 60.0
    # Bytes per second, from 5 seconds after the beginning on. Kestrel: 240 for bodies and responses; Apache
    # (mod_reqtimeout): 500 for heads and bodies. A head has its time limit as a whole. 408, 408, closed.
    header_rate: int = 0
    body_rate: int = 240
    send_rate: int = 240
    # Idle between requests. nginx and AWS balancers: 75 / 60; gunicorn's 2 causes 502s behind balancers.
    keep_alive: float = 75.0
    # A body larger than this goes to a temporary file. nginx: 16k; gunicorn: never.
    body_memory: int = 262_144
    # Bytes of a response that wait in memory for a slow client; more go to a temporary file. nginx: 64k.
    send_memory: int = 1 << 20
    # Bytes of a response in that file before the application is held back. nginx: 1 GB, which lets a few
    # dozen clients that do not read fill a disk. 0 = no file.
    send_file: int = 64 << 20
    # From the connection to the end of a TLS handshake. nginx: 60; haproxy: as long as a head may take.
    handshake_timeout: float = 10.0
    # Of requests whose path is like a pattern, the first that is; nginx: proxy_read_timeout, by location.
    # 504. 0 = no limit. Other requests have --timeout.
    timeout_for: tuple[tuple[str, float], ...] = ()
    # `body` of requests whose path is like a pattern: see body_limits.py.
    body_for: tuple[tuple[str, int], ...] = ()
    timeout_action: str = STEPS  # what is done about a request that takes longer: see policy_of()
    http2: Http2Limits = field(default_factory=Http2Limits)  # what only HTTP/2 has


class WebSocketLimits(Record):
    """The same for WebSockets."""

    # One message, decompressed. uvicorn: 16 MB; websockets: 1 MB. 1009 beyond it.
    message: int = 16 << 20
    # Messages that wait for the application before nothing more is read. uvicorn: 32.
    queue: int = 32
    # An idle client is asked for a sign of life so often. uvicorn, websockets: 20. 0 = never.
    ping_interval: float = 20.0
    # How long that may take. uvicorn, websockets: 20. Then closed with 1011. 0 = for ever.
    ping_timeout: float = 20.0
    # permessage-deflate (RFC 7692), for clients that ask for it.
    deflate: bool = True
    # The origins (https://example.com) whose pages may connect; none: all of them.
    origins: tuple[str, ...] = ()
