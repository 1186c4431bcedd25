# Issuers: the CAs that are asked, and how.
#
# Rule: pure. A directory is an https address; a name is one that a CA could certify.

from __future__ import annotations

import re
from typing import Final

from bigtop.record import Record

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING: Final = "https://acme-staging-v02.api.letsencrypt.org/directory"
_NAME: Final = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_LOCAL: Final = ("localhost", "test", "example", "invalid", "local", "internal")


class Issuer(Record):
    """A CA. `staging` is where it lets people rehearse, without its limits, for certificates that nobody
    trusts; "" if it has no such place. `binding` is what it gave for accounts of its own: key id, secret."""

    directory: str = LETS_ENCRYPT
    staging: str = LETS_ENCRYPT_STAGING
    email: str = ""
    profile: str = ""
    binding: tuple[str, str] | None = None
    root_cert: str = ""  # a PEM file: what its own HTTPS is trusted by, instead of the system's roots


def problem(name: str, *, is_public: bool = True) -> str:
    """Return why no CA certifies `name`, "" if one may; one that is not public may certify what it likes."""
    import ipaddress  # few sites ask a CA for anything

    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if len(name) > 253 or _NAME.fullmatch(name) is None:
            return f"{name!r} is no name of a host; others than ASCII are written as xn--..."
        if is_public and name.rpartition(".")[2] in _LOCAL:
            return f"{name}: no public CA certifies names below .{name.rpartition('.')[2]}"
        return ""
    return (
        ""
        if address.is_global or not is_public
        else f"{name}: no public CA certifies an address that is not public"
    )
