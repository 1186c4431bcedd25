# Words of nginx.conf: directives that nobody misses, and how times are written.

from __future__ import annotations

import re
from typing import Final

_PASSED: Final = "the application is in the same process, or is told by the other server's connection"
_SPEED: Final = "it is done where it helps"
_TLS: Final = "the defaults are those that are recommended"
_WORKERS: Final = "workers says how many processes there are"

NOT_NEEDED: Final = {
    **dict.fromkeys(
        ("proxy_http_version", "proxy_redirect", "proxy_buffering", "proxy_buffers", "proxy_buffer_size",
         "proxy_busy_buffers_size", "proxy_request_buffering", "proxy_send_timeout", "proxy_pass_header",
         "proxy_pass_request_headers", "proxy_next_upstream", "include"),
        _PASSED,
    ),
    **dict.fromkeys(
        ("sendfile", "tcp_nopush", "tcp_nodelay", "types_hash_max_size", "server_names_hash_bucket_size",
         "client_body_buffer_size", "large_client_header_buffers", "client_header_buffer_size",
         "open_file_cache", "aio", "directio", "output_buffers", "reset_timedout_connection"),
        _SPEED,
    ),
    **dict.fromkeys(
        ("ssl_session_cache", "ssl_session_timeout", "ssl_session_tickets", "ssl_prefer_server_ciphers",
         "ssl_dhparam", "ssl_ecdh_curve", "ssl_stapling", "ssl_stapling_verify", "ssl_trusted_certificate",
         "ssl_ciphers", "resolver", "resolver_timeout", "ssl"),
        _TLS,
    ),
    **dict.fromkeys(
        ("worker_processes", "worker_connections", "worker_rlimit_nofile", "events", "user", "pid"),
        _WORKERS,
    ),
    **dict.fromkeys(
        ("gzip_comp_level", "gzip_vary", "gzip_proxied", "gzip_disable", "gzip_buffers", "gzip_http_version",
         "brotli_comp_level", "brotli_types", "brotli_static", "zstd_comp_level", "zstd_types"),
        "compress decides that",
    ),
    "default_type": "types follow from the names of files",
    "types": "types follow from the names of files",
    "charset": "text is UTF-8",
    "expires": "names with a hash are kept for a year, all others are asked for",
    "etag": "files have one",
    "gzip_static": ".gz, .br and .zst beside a file are sent",
    "log_not_found": "a file that is not there is no line of the log",
    "internal": "a folder of sendfile_root is for the application alone",
    "server_tokens": "the Server field has no version",
    "real_ip_header": "X-Forwarded-For of a proxy that is believed counts",
    "real_ip_recursive": "all proxies that are believed are passed over",
    "limit_conn_zone": "limit_address_connections needs no zone",
    "limit_req_status": "it is 429",
    "limit_conn_status": "it is 503",
}  # fmt: skip

# Fields of which the application is told anyway.
TOLD: Final = frozenset(
    ("host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
     "x-forwarded-server", "x-request-id", "upgrade", "connection", "x-scheme", "x-url-scheme")
)  # fmt: skip

_UNITS: Final = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float | None:
    """Return what a time says, such as 90, 75s or 1m; None for none."""
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h|d|)", text)
    return None if match is None else int(match[1]) * _UNITS[match[2]]
