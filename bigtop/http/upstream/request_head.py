# Head of a request as an upstream is sent it.
#
# Rule 1: framing and connection are ours: fields of the connection stay here, with those that Connection
# names (RFC 9110, 7.6.1), and how the body is framed is written anew.
# Rule 2: what proxies say of a client (X-Forwarded-*, Forwarded, X-Real-IP, X-Request-ID) is passed on from
# those peers alone that are believed (--forwarded-allow-ips), and the lists among these fields only if such
# proxies set them (--forwarded-headers): others were written by a client. What we know is added behind it.
# Rule 3: the upstream is shown the fields that our application would be shown (policy.py).
# Rule 4: the path that was looked at here is the path that is sent: what needs no encoding has none.

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.messages import Request
from bigtop.http.requestid import NAME as REQUEST_ID
from bigtop.http.requestid import is_id
from bigtop.http.response import HOP_BY_HOP

_OURS: Final = frozenset(name.encode() for name in HOP_BY_HOP) | {
    b"content-length",
    b"expect",  # answered here: the body comes when the upstream takes it
    b"host",
    REQUEST_ID,
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
}
_STAYS: Final = frozenset((b"authorization", b"content-type", b"cookie"))  # whatever Connection names
_NEEDLESS: Final = re.compile(rb"%(?:2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))  # RFC 9110, 9.2.2


def path_of(target: bytes) -> bytes:
    """Return the path of a request target with its query. Characters that mean the same without encoding
    (RFC 3986, 6.2.2.2) have none in the path: whoever writes /%61pi is asked of the server of /api."""
    if target[:1] != b"/":
        rest = target.partition(b"://")[2]
        end = min(at for at in (rest.find(b"/"), rest.find(b"?"), len(rest)) if at >= 0)
        target = rest[end:]
        if target[:1] != b"/":
            target = b"/" + target
    if b"%" not in target:
        return target
    path, mark, query = target.partition(b"?")
    return _NEEDLESS.sub(lambda match: unquote_to_bytes(match[0]), path) + mark + query


def climbs(path: bytes) -> bool:
    """Whether a path has segments "." or "..", in whatever way they are written, also with the parameters
    that Java's servers leave out ("..;a"): an upstream that resolves them would see another path than the
    one that was looked at here."""
    if b"." not in path and b"%" not in path:
        return False
    plain = unquote_to_bytes(path.partition(b"?")[0]).replace(b"\\", b"/")
    return any(segment.partition(b";")[0] in (b".", b"..") for segment in plain.split(b"/"))


def mapped(path: bytes, route: ProxyRoute) -> bytes:
    """Return the path that the upstream of `route` is asked for: where its URL has a path, that takes the
    place of the prefix, as with nginx's proxy_pass."""
    if not route.base:
        return path
    rest = path[len(route.prefix) :]
    base = route.base.encode()
    if base.endswith(b"/") and rest[:1] == b"/":
        rest = rest[1:]
    return base + rest


def id_of(request: Request, peer: BasePeer) -> bytes:
    """Return the id that a request brings, b"" where it brings none that counts."""
    if peer.policy.trusted:
        given = _said(request, REQUEST_ID)
        if is_id(given.decode("latin-1")):
            return given
    return b""


def request_head(request: Request, peer: BasePeer, route: ProxyRoute, request_id: bytes) -> bytes:
    """Return the head for the upstream of `route`."""
    headers = request.headers
    host, named = _looked_at(request)
    lines = [
        b"%s %s HTTP/1.1\r\nHost: %s\r\n"
        % (request.method.encode(), mapped(path_of(request.target), route), host or route.authority.encode())
    ]
    known = peer.policy.names
    for name, value in headers:
        lower = known.get(name)
        if lower is None:
            lower = peer.policy.name_of(name)
        if lower and lower not in _OURS and lower not in named:
            lines.append(b"%s: %s\r\n" % (name, value))
    lines.append(_forwarded(request, peer, host))
    lines.append(b"X-Request-ID: %s\r\n" % request_id)
    if request.upgrade is not None:
        lines.append(b"Connection: Upgrade\r\nUpgrade: %s\r\n" % request.upgrade)
    if request.chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif request.content_length or not request.ended:
        lines.append(b"Content-Length: %d\r\n" % (request.content_length or 0))
    elif request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: 0\r\n")  # RFC 9110, 8.6: such a method expects a body
    lines.append(b"\r\n")
    return b"".join(lines)


def _looked_at(request: Request) -> tuple[bytes, frozenset[bytes]]:
    """Return the Host of a request, and the names in Connection."""
    host = b""
    named: list[bytes] = []
    for name, value in request.headers:
        lower = name.lower()
        if lower == b"host":
            host = value
        elif lower == b"connection":
            named += [one.strip(b" \t") for one in value.lower().split(b",")]
    return host, frozenset(named) - _STAYS


def _believed(request: Request, peer: BasePeer, name: bytes) -> bytes:
    """Return what a field says that the proxies in front of us set, b"" where that may be a client's."""
    return _said(request, name) if name in peer.policy.claims else b""


def _said(request: Request, name: bytes) -> bytes:
    return b", ".join([value for key, value in request.headers if key.lower() == name])


def _forwarded(request: Request, peer: BasePeer, host: bytes) -> bytes:
    """Return the fields that tell who asks, as far as that is believed."""
    origin = peer.origin(request.headers)
    shown = origin.host.encode("latin-1") or host
    address = peer.address.encode()
    hops, elements = _believed(request, peer, b"x-forwarded-for"), _believed(request, peer, b"forwarded")
    hops = b", ".join([one for one in (hops, address) if one])
    element = b"for=%s;proto=%s" % (_node(peer.address), origin.scheme.encode())
    if shown:
        element += b';host="%s"' % shown
    elements = b", ".join([one for one in (elements, element) if one])
    lines = [b"X-Forwarded-Proto: %s\r\nForwarded: %s\r\n" % (origin.scheme.encode(), elements)]
    if hops:
        lines.append(b"X-Forwarded-For: %s\r\n" % hops)
    if origin.address:
        lines.append(b"X-Real-IP: %s\r\n" % origin.address.encode())
    if shown:
        lines.append(b"X-Forwarded-Host: %s\r\n" % shown)
    if origin.server_port:
        lines.append(b"X-Forwarded-Port: %s\r\n" % origin.server_port.encode())
    return b"".join(lines)


def _node(address: str) -> bytes:
    """Return an address as Forwarded writes it (RFC 7239, 6); that of a unix socket is nobody's to know."""
    if not address:
        return b"unknown"
    if ":" in address:
        return b'"[%s]"' % quote(address, safe=":.").encode()
    return address.encode()
