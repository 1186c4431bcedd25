# Header fields of all answers: what browsers may do with our pages.
#
# Rule: pure, and the same for each answer. Nothing comes from elsewhere, nothing is framed, no text becomes
# markup (Trusted Types), and nobody else is told where somebody has been.

from __future__ import annotations

from typing import Final

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
ALWAYS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_NOT_KEPT: Final = (b"cache-control", b"no-store")


def of(
    kind: str, length: int, *more: tuple[bytes, bytes], is_kept: bool = False
) -> list[tuple[bytes, bytes]]:
    """Return the fields of an answer of that type and length. `is_kept`: it is the same for everybody and
    may be kept, if it is asked for again each time."""
    keeping = (b"cache-control", b"no-cache") if is_kept else _NOT_KEPT
    told = ((b"content-type", kind.encode()), (b"content-length", str(length).encode()))
    return [*told, keeping, *ALWAYS, *more]


def cookie(name: str, value: str, *, is_over: bool = False) -> tuple[bytes, bytes]:
    """Return the field that sets the cookie of a session, or takes it away."""
    end = "; Max-Age=0" if is_over else ""
    return b"set-cookie", f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{end}".encode()


def cookie_name(port: int | None) -> str:
    """Return the cookie's name: browsers send a cookie to all ports of a host, and there may be two consoles.
    __Host-: it comes from this very host, and over nothing that others can read."""
    return f"__Host-bigtop-{port}" if port else "__Host-bigtop"


def cookie_of(header: str, name: str) -> str:
    """Return the value of a cookie; "" where it is not there, or twice."""
    found = [
        value.strip()
        for part in header.split(";")
        for word, _, value in [part.partition("=")]
        if word.strip() == name
    ]
    return found[0] if len(found) == 1 else ""
