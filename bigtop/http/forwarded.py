# Who really asked, when a proxy stands in between: X-Forwarded-* and Forwarded (RFC 7239).
#
# Rule 1: only a trusted peer is believed, and of a list only what trusted peers have added: lists are read
# from the right, the end that a client cannot write.
# Rule 2: of the fields only those count that the proxies are known to set (`believed`). A proxy passes on
# what it does not set, so a client could write the others.
# Rule 3: what cannot be understood is not believed, and ends the list.

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from bigtop.errors import ConfigError

Fields = Sequence[tuple[bytes, bytes]]

# What a proxy may set, by the words of --forwarded-headers.
FIELDS: Final = {
    "for": b"x-forwarded-for",
    "proto": b"x-forwarded-proto",
    "host": b"x-forwarded-host",
    "port": b"x-forwarded-port",
    "forwarded": b"forwarded",
}

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_.~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(rf'\s*({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*")\s*', re.ASCII)
_QUOTED: Final = re.compile(r"\\(.)")
# What stands between commas, or semicolons, that are not in quotation marks.
_ELEMENTS: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")++')
_PARTS: Final = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*+")++')
_LONGEST: Final = 1024  # characters of Forwarded: splitting takes time that grows with their square


class Origin(NamedTuple):
    """Where a request came from and what it was sent to, as far as it is known: "" where it is not."""

    address: str
    port: str
    scheme: str
    host: str = ""  # instead of that of the Host field
    server_port: str = ""


class Trust:
    """Which peers may speak for others: addresses, networks, or "*" for all.

    A peer on a unix socket is always trusted: the file's mode decides who that can be.
    """

    def __init__(self, peers: Sequence[str]) -> None:
        self._all = "*" in peers
        try:
            self._networks = [ipaddress.ip_network(peer, strict=False) for peer in peers if peer != "*"]
        except ValueError as error:
            raise ConfigError(f"forwarded_allow_ips: {error}; wanted addresses, networks or *") from None

    def __contains__(self, address: str) -> bool:
        if self._all or not address:
            return True
        peer = ipaddress.ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)


class Forwarding:
    """How to read what proxies say; `believed` are words of FIELDS."""

    def __init__(self, trust: Trust, believed: Sequence[str]) -> None:
        self.trust = trust
        self.names = frozenset(FIELDS[word] for word in believed)

    def origin(self, fields: Fields, peer: Origin) -> Origin:
        """Return where a request with `fields` came from, that a trusted `peer` has passed on."""
        said: dict[bytes, str] = {}
        for name, value in fields:
            field = name.lower()
            if field in self.names:
                text = value.decode("latin-1")
                said[field] = f"{said[field]},{text}" if field in said else text
        if FIELDS["forwarded"] in said:
            return self._from_forwarded(said[FIELDS["forwarded"]], peer)
        hops = [_node(hop) for hop in said.get(FIELDS["for"], "").split(",")] if FIELDS["for"] in said else []
        address, port, _ = self._walk(hops, peer)
        return Origin(
            address,
            port,
            _scheme(_last(said, "proto"), peer.scheme),
            _matching(_HOST, _last(said, "host")),
            _matching(_PORT, _last(said, "port")),
        )

    def _from_forwarded(self, text: str, peer: Origin) -> Origin:
        elements = [_element(part) for part in _ELEMENTS.findall(text[-_LONGEST:])] or [{}]
        hops = [_node(element.get("for", "")) for element in elements]
        address, port, index = self._walk(hops, peer)
        # What the outermost trusted proxy saw is in the element that it wrote: the one with the client.
        element = elements[index]
        return Origin(
            address,
            port,
            _scheme(element.get("proto", ""), peer.scheme),
            _matching(_HOST, element.get("host", "")),
        )

    def _walk(self, hops: Sequence[tuple[str, str]], peer: Origin) -> tuple[str, str, int]:
        """Return address and port of the first hop from the right that is not trusted, and its index."""
        found = (peer.address, peer.port, -1)
        for index in reversed(range(len(hops))):
            address, port = hops[index]
            if not address:
                break
            found = (address, port, index)
            if address not in self.trust:
                break
        return found


def _node(text: str) -> tuple[str, str]:
    """Split "192.0.2.1:80", "[2001:db8::1]:80" or "2001:db8::1"; ("", "") for anything else."""
    text = text.strip()
    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        if port and not port.startswith(":"):
            return "", ""
        port = port[1:]
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return "", ""
    mapped = getattr(known, "ipv4_mapped", None)
    return str(mapped or known), _matching(_PORT, port)


def _element(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in _PARTS.findall(text):
        match = _PAIR.fullmatch(part)
        if match is None:
            return {}
        value = match[2]
        if value.startswith('"'):
            value = _QUOTED.sub(r"\1", value[1:-1])
        pairs[match[1].lower()] = value
    return pairs


def _last(said: dict[bytes, str], word: str) -> str:
    return said.get(FIELDS[word], "").rpartition(",")[2].strip()


def _scheme(said: str, otherwise: str) -> str:
    return said.lower() if said.lower() in ("http", "https") else otherwise


def _matching(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""
