# ASGI without a server: a request becomes a scope (ASGI 3.0, HTTP spec 2.5). Answers are in asgi.py.
#
# Rule 1: no I/O and no event loop.
# Rule 2: who the client is comes from the connection, and from a proxy's fields only where the proxy is
# trusted.

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from bigtop.http.forwarded import Fields, Forwarding, Origin
from bigtop.http.known import LONGEST, remember
from bigtop.http.messages import Request
from bigtop.http.wsgi import Address

Scope = dict[str, Any]

VERSION: Final = {"version": "3.0", "spec_version": "2.5"}

# What a server may offer beyond the specification's core. http.response.debug is understood as well, but
# not offered: frameworks that see it hand over their templates' contexts, which nobody here wants.
_HTTP_EXTENSIONS: Final[dict[str, dict[str, object]]] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.trailers": {},
    "http.response.early_hint": {},
}
_WEBSOCKET_EXTENSIONS: Final[dict[str, dict[str, object]]] = {"websocket.http.response": {}}


class Peer:
    """One connection, as scopes describe it. On a unix socket clients have no address: None, "" in logs.

    `root_path` is where the application is mounted.
    """

    __slots__ = ("address", "client", "forwarding", "label", "root_path", "scope", "server", "trusted")

    def __init__(
        self, server: Address, client: Address, forwarding: Forwarding, scheme: str, root_path: str = ""
    ) -> None:
        self.client = (str(client[0]), int(client[1])) if isinstance(client, tuple) else None
        self.address = self.client[0] if self.client else ""
        self.label = self.address.encode()
        self.server: tuple[str, int | None] = ("", None)
        if isinstance(server, tuple):
            self.server = (str(server[0]), int(server[1]))
        elif server:
            self.server = (server if isinstance(server, str) else server.decode("utf-8", "replace"), None)
        self.forwarding = forwarding
        self.trusted = self.address in forwarding.trust
        self.root_path = root_path
        # What all scopes have in common, and places for the rest: copying a dict costs a tenth of making one,
        # to replace a value a third of adding one.
        self.scope: Scope = {
            "type": "http",
            "asgi": VERSION,
            "http_version": "1.1",
            "scheme": scheme,
            "root_path": root_path,
            "client": self.client,
            "server": self.server,
            "method": "",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "headers": [],
            "state": {},
            "extensions": {},
        }

    def origin(self, fields: Fields) -> Origin:
        """Return where a request with `fields` came from."""
        port = str(self.client[1]) if self.client else ""
        origin = Origin(self.address, port, self.scope["scheme"])
        return self.forwarding.origin(fields, origin) if self.trusted else origin


def http_scope(request: Request, peer: Peer, state: dict[str, Any]) -> Scope:
    """Return the scope of a request. `state` is what the application left there when it started."""
    path, raw_path, query = _split(request.target)
    root = peer.root_path
    scope = peer.scope.copy()
    if request.version != "1.1":
        scope["http_version"] = request.version
    scope["method"] = request.method
    scope["path"] = root + path if root else path
    scope["raw_path"] = root.encode() + raw_path if root else raw_path
    scope["query_string"] = query
    scope["headers"] = _headers(request)
    scope["state"] = state.copy()
    scope["extensions"] = _HTTP_EXTENSIONS.copy()
    if peer.trusted and _is_forwarded(request, scope["headers"], peer.forwarding.names):
        _apply(peer.origin(request.headers), scope)
    return scope


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the header with names in lower case: a list that the application may change."""
    fields = request.fields
    if fields is None:
        return [(name.lower(), value) for name, value in request.headers]
    if (lowered := fields.lowered) is None:
        lowered = fields.lowered = [(name.lower(), value) for name, value in fields.headers]
        fields.names = frozenset(name for name, _value in lowered)
    return lowered.copy()


def _is_forwarded(request: Request, headers: Fields, names: frozenset[bytes]) -> bool:
    """Whether a proxy said something about the client in one of the fields `names`."""
    if request.fields is not None:
        return not names.isdisjoint(request.fields.names)
    return any(name in names for name, _value in headers)


_splits: Final[dict[bytes, tuple[str, bytes, bytes]]] = {}  # see known.py


def _split(target: bytes) -> tuple[str, bytes, bytes]:
    """Return path, raw path and query of a request target."""
    known = _splits.get(target)
    if known is not None:
        return known
    raw_path, _, query = target.partition(b"?")
    if raw_path[:1] != b"/":
        raw_path = _path_of(raw_path)
    made = (_decode(raw_path), raw_path, query)
    if len(target) <= LONGEST:
        remember(_splits, target, made)
    return made


def websocket_scope(request: Request, peer: Peer, state: dict[str, Any], subprotocols: list[str]) -> Scope:
    """Return the scope of a request that asks for a WebSocket."""
    scope = http_scope(request, peer, state)
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    scope["subprotocols"] = subprotocols
    scope["extensions"] = _WEBSOCKET_EXTENSIONS.copy()
    return scope


def _decode(path: bytes) -> str:
    # What is no UTF-8 does not get lost without a trace: raw_path has it.
    return (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace")


def _path_of(target: bytes) -> bytes:
    """Return the path of a target in absolute form ("http://host/path"); that of "*" is empty."""
    _, _, rest = target.partition(b"://")
    _, slash, path = rest.partition(b"/")
    return slash + path if slash or not rest else b"/"


def _apply(origin: Origin, scope: Scope) -> None:
    """Believe what a trusted proxy said."""
    scope["scheme"] = origin.scheme
    if origin.address:
        scope["client"] = (origin.address, int(origin.port or 0))
    if origin.host:
        others = (field for field in scope["headers"] if field[0] != b"host")
        scope["headers"] = [(b"host", origin.host.encode()), *others]
    if origin.server_port:
        scope["server"] = (scope["server"][0], int(origin.server_port))
