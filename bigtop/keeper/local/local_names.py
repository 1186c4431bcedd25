# Names that a local CA may make certificates for: those that lead to nobody else's machine.
#
# Rules: pure. localhost and test are reserved (RFC 6761), the addresses are private, of the link or of the
# machine itself. The same list is the name constraint of the root: clients refuse everything else, also from
# somebody who has stolen its key. A star directly below a top-level domain is refused, because clients do:
# for shop.localhost a certificate of that name is made.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

DOMAINS: Final = ("localhost", "test")
_PRIVATE: Final = (
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)
USUAL: Final = ("localhost", "127.0.0.1", "::1")
_NAME: Final = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*([a-z]+)")


def networks() -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks whose addresses may be in a local certificate."""
    from ipaddress import ip_network  # a supervisor asks for the names alone

    return tuple(map(ip_network, _PRIVATE))


def problem(name: str) -> str:
    """Return why there is no local certificate for `name`, "" if there is."""
    import ipaddress

    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        found = _NAME.fullmatch(name.lower()) if len(name) <= 253 else None
        if found is not None and found[1] in DOMAINS:
            is_wide = name.startswith("*.") and name.count(".") == 1
            return f"{name}: no client takes that; name the hosts" if is_wide else ""
        return f"{name!r} may be somebody else's: local certificates are for {_ALLOWED}"
    if any(address in network for network in networks()):
        return ""
    return f"{name} is a public address: local certificates are for {_ALLOWED}"


_ALLOWED: Final = "localhost, names below .localhost and .test, and private addresses"
