# Forwarded client: who really asked behind a proxy, by X-Forwarded-* and Forwarded (RFC 7239).
#
# Rule 1: only a trusted peer is believed, and of a list only what trusted peers have added: lists are read
# from the right, the end that a client cannot write.
# Rule 2: of the fields only those count that the proxies are known to set (`believed`). A proxy passes on
# what it does not set, so a client could write the others.
# Rule 3: what cannot be understood is not believed, and ends the list. Each field line of Forwarded is read
# by itself: a quotation mark that is not closed in a client's line does not reach into that of a proxy.
# Rule 4: fields that contradict each other about the scheme make the request a 400, as with gunicorn.

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from bigtop.errors import ConfigError, ProtocolError
from bigtop.http.declarations import FIELDS, FORWARDER, SECURE_SCHEMES
from bigtop.http.memo import remember
from bigtop.http.policy import Policy

Fields = Sequence[tuple[bytes, bytes]]

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_.~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(rf'\s*({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*")\s*', re.ASCII)
_QUOTED: Final = re.compile(r"\\(.)")
# What comes before a quotation mark that is not closed; and there, what stands between commas or semicolons.
_CLOSED: Final = re.compile(r'(?:[^"]|"(?:[^"\\]|\\.)*+")*+')
_ELEMENTS: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")++')
_PARTS: Final = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*+")++')


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
        self._known: dict[str, bool] = {}  # see memo.py

    def __contains__(self, address: str) -> bool:
        if self._all or not address:
            return True
        known = self._known.get(address)
        if known is None:
            known = self._looked_up(address)
            remember(self._known, address, known)
        return known

    def _looked_up(self, address: str) -> bool:
        peer = ipaddress.ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)


class Forwarding:
    """How to read what proxies say; `believed` are words of FIELDS, `secure` is like SECURE_SCHEMES. The
    others are as in Policy."""

    def __init__(
        self,
        trust: Trust,
        believed: Sequence[str],
        secure: Sequence[tuple[str, str]] = SECURE_SCHEMES,
        header_map: str = "drop",
        forwarder: Collection[str] = FORWARDER,
        methods: Collection[str] = (),
    ) -> None:
        self.trust = trust
        schemes = {name.lower().encode(): value.lower() for name, value in secure}
        self._secure = schemes if "proto" in believed else {}
        self.names = self._secure.keys() | {FIELDS[word] for word in believed if word != "proto"}
        self._trusted = Policy(
            trusted=True,
            header_map=header_map,
            forwarder=forwarder,
            methods=methods,
            claims=self.names,
            check_scheme=self._scheme if self._secure else None,
        )
        self._others = Policy(
            trusted=False, header_map=header_map, methods=methods, by_proxies=schemes.keys()
        )

    def policy(self, address: str) -> Policy:
        """Return the policy for the requests of a peer."""
        return self._trusted if address in self.trust else self._others

    def origin(self, fields: Fields, peer: Origin) -> Origin:
        """Return where a request with `fields` came from, that a trusted `peer` has passed on."""
        said: dict[bytes, list[str]] = {}
        for name, value in fields:
            field = name.lower()
            if field in self.names:
                said.setdefault(field, []).append(value.decode("latin-1"))
        if FIELDS["forwarded"] in said:
            return self._from_forwarded(said[FIELDS["forwarded"]], peer)
        hops = [_node(hop) for line in said.get(FIELDS["for"], ()) for hop in line.split(",")]
        address, port, _ = self._walk(hops, peer)
        return Origin(
            address,
            port,
            self._scheme(fields) or peer.scheme,
            _matching(_HOST, _last(said, "host")),
            _matching(_PORT, _last(said, "port")),
        )

    def _scheme(self, fields: Fields) -> str:
        """Return what fields about the scheme alone say, "" for nothing. ProtocolError: they contradict each
        other. Where Forwarded counts they say nothing."""
        scheme = ""
        for name, value in fields:
            field = name.lower()
            if field == FIELDS["forwarded"] and field in self.names:
                return ""
            secure = self._secure.get(field)
            if secure is None:
                continue
            last = value.rpartition(b",")[2].strip().decode("latin-1").lower()
            if not last:
                continue
            said = "https" if last == secure or (last == "wss" and secure == "https") else "http"
            if scheme and said != scheme:
                raise ProtocolError(400, "what proxies say about the scheme is contradictory")
            scheme = said
        return scheme

    def _from_forwarded(self, lines: Sequence[str], peer: Origin) -> Origin:
        elements = [_element(part) for line in lines for part in _elements(line)] or [{}]
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
    """Split "192.0.2.1:80", "[2001:db8::1]:80" or "2001:db8::1"; ("", "") for anything else.

    A zone ("fe80::1%eth0") is left out: it means something on the proxy only, and may be any text.
    """
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
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "", ""
    mapped = getattr(known, "ipv4_mapped", None)
    return str(mapped or known), _matching(_PORT, port)


def _elements(line: str) -> list[str]:
    """Divide a line of Forwarded. A quotation mark that is not closed swallows nothing."""
    closed = _CLOSED.match(line)
    end = closed.end() if closed is not None else 0
    rest = line[end:]
    return [*_ELEMENTS.findall(line[:end]), *(rest.split(",") if rest else ())]


def _element(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    if _CLOSED.fullmatch(text) is None:
        return pairs
    for part in _PARTS.findall(text):
        match = _PAIR.fullmatch(part)
        if match is None:
            return {}
        value = match[2]
        if value.startswith('"'):
            value = _QUOTED.sub(r"\1", value[1:-1])
        pairs[match[1].lower()] = value
    return pairs


def _last(said: dict[bytes, list[str]], word: str) -> str:
    lines = said.get(FIELDS[word])
    return lines[-1].rpartition(",")[2].strip() if lines else ""


def _scheme(said: str, otherwise: str) -> str:
    return {"http": "http", "ws": "http", "https": "https", "wss": "https"}.get(said.lower(), otherwise)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""
