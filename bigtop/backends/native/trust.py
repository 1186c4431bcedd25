# Forwarding of a native server, made of its options: whom it believes, and which requests it lets through.

from __future__ import annotations

from bigtop.backends.serve_options import ServeOptions
from bigtop.http.clients.forwarded import Forwarding, Trust


def forwarding(options: ServeOptions) -> Forwarding:
    return Forwarding(
        Trust(options.forwarded_allow_ips),
        options.forwarded_headers,
        options.secure_scheme_headers,
        options.header_map,
        options.forwarder_headers,
        options.methods,
    )
