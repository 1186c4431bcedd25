# Rates: what a client is told of the requests that it has left.
#
# How much it has used is one number: the time in which its bucket will be full again, which is kept by
# ipc/client_table.py. Times are nanoseconds.

from __future__ import annotations

from typing import Final

from bigtop.http.declarations import Rate
from bigtop.http.response import Headers

SECOND: Final = 1_000_000_000


def price_of(rate: Rate) -> int:
    """Return the time in which a bucket gets room for another request."""
    return rate.seconds * SECOND // rate.requests


def depth_of(rate: Rate) -> int:
    """Return the time in which an empty bucket gets full."""
    return price_of(rate) * rate.requests


def told(rate: Rate, until_full: int) -> Headers:
    """Return the fields that tell a client about its bucket (draft-ietf-httpapi-ratelimit-headers-10)."""
    left = max(0, depth_of(rate) - until_full) // price_of(rate)
    return [
        ("RateLimit-Policy", f'"address";q={rate.requests};w={rate.seconds}'),
        ("RateLimit", f'"address";r={left};t={-(-max(0, until_full) // SECOND)}'),
    ]


def retry_after(rate: Rate, until_full: int) -> str:
    """Return the seconds until the next request is let through."""
    return str(max(1, -(-(until_full + price_of(rate) - depth_of(rate)) // SECOND)))
