# Admission to the admin listener: who may ask what.
#
# Rules: pure but for the file of the token, which is read for each request, so that a new token needs no
# restart. Where addresses are given, others are told nothing. Probes say no more than one line and need no
# token: who sends them seldom has a place for a secret. The Host field has to name this machine, since a page
# of anybody can have its name lead here, and be shown to a browser that is allowed (DNS rebinding); what is
# asked with a token, no browser asks.

from __future__ import annotations

import hmac
import ipaddress
import re

from bigtop.errors import ConfigError
from bigtop.record import Record

PROBES = ("/livez", "/readyz", "/startupz")
SHORTEST = 16  # characters of a token

_SCHEME = "bearer "


class Admission(Record):
    """`allow` are addresses and networks, or *; none: everybody. `token_file` None: there is no token.
    `hosts` are names of this machine, in small letters, or *; addresses and localhost go without saying."""

    allow: tuple[str, ...] = ()
    token_file: str | None = None
    hosts: tuple[str, ...] = ("*",)

    def knows(self, peer: str) -> bool:
        """Say whether one from that address may ask; "" is the address of a unix socket's clients."""
        if not self.allow or "*" in self.allow or not peer:
            return True
        address = ipaddress.ip_address(peer.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        forms = [address] if mapped is None else [address, mapped]
        return any(form in ipaddress.ip_network(network) for network in self.allow for form in forms)

    def is_meant(self, host: str) -> bool:
        """Say whether a Host field, "" for none, names this machine."""
        if "*" in self.hosts or not host:
            return True
        name = re.sub(r":[0-9]*$", "", host.lower()).rstrip(".")
        if name in self.hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return bool(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
        except ValueError:
            return False

    def lets_in(self, path: str, authorization: str) -> bool:
        """Say whether a request may be answered. ConfigError: there is no token to compare with."""
        if self.token_file is None or path in PROBES:
            return True
        token = read_token(self.token_file)
        given = authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
        return hmac.compare_digest(given.encode("latin-1"), token.encode())


def read_token(path: str) -> str:
    """Return the token in a file; ConfigError says what is wrong with it, and never shows it."""
    try:
        with open(path, "rb") as file:
            text = file.read(4097).strip().decode("ascii")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not (SHORTEST <= len(text) <= 4096 and text.isprintable() and " " not in text):
        raise ConfigError(
            f"{path}: a token is one line of {SHORTEST} or more ASCII characters without blanks"
        )
    return text
