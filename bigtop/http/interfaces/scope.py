# ASGI without a server: a request becomes a scope (ASGI 3.0, HTTP spec 2.5). Answers are in asgi.py.
#
# Rule 1: no I/O and no event loop.
# Rule 2: who the client is comes from the connection, and from a proxy's fields only where the proxy is
# trusted.

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from bigtop.http.clients.forwarded import Fields, Forwarding, Origin
from bigtop.http.clients.peer import Address, BasePeer
from bigtop.http.clients.tls_session import TlsSession, tls_extension
from bigtop.http.memo import LONGEST, remember
from bigtop.http.messages import Request, Shown
from bigtop.http.paths.paths import Root, is_below
from bigtop.http.policy import SCRIPT_NAME, Policy
from bigtop.http.requestid import NAME, RequestIds, is_id

Scope = dict[str, Any]

NOWHERE: Final = Root("", "", b"")
USER: Final = "bigtop.user"  # in a scope: who Basic auth has let in (--basic-auth)
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


class Peer(BasePeer):
    """One connection, as scopes describe it. On a unix socket clients have no address: None, "" in logs.

    `root` is where the application is mounted; `ids` makes an X-Request-ID where no trusted peer gave one.
    """

    __slots__ = ("client", "ids", "root", "scope", "tls")

    def __init__(
        self,
        server: Address,
        client: Address,
        forwarding: Forwarding,
        scheme: str,
        root: Root = NOWHERE,
        ids: RequestIds | None = None,
    ) -> None:
        BasePeer.__init__(self, client, forwarding, scheme)
        self.client = (str(client[0]), int(client[1])) if isinstance(client, tuple) else None
        self.root = root
        self.ids = ids or RequestIds("")
        self.scope = _commons.get((server, scheme, root)) or _common(server, scheme, root)
        self.tls: dict[str, object] | None = None  # the extension

    def encrypted(self, session: TlsSession) -> None:
        """Take in what was agreed on with the client: the extension `tls`."""
        self.session = session
        self.tls = _extensions.get(session)
        if self.tls is None:
            self.tls = tls_extension(session)
            remember(_extensions, session, self.tls)

    def extensions(self, of_all: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
        """Return what one scope has of them: the application may change it."""
        found = of_all.copy()
        if self.tls is not None:
            found["tls"] = self.tls.copy()
        return found


# Of many connections; nobody changes them. See memo.py.
_commons: Final[dict[tuple[Address, str, Root], Scope]] = {}
_extensions: Final[dict[TlsSession, dict[str, object]]] = {}


def _common(server: Address, scheme: str, root: Root) -> Scope:
    """Return what scopes have in common, and places for the rest: copying a dict costs a tenth of making one,
    to replace a value a third of adding one."""
    place: tuple[str, int | None] = ("", None)
    if isinstance(server, tuple):
        place = (str(server[0]), int(server[1]))
    elif server:
        place = (server if isinstance(server, str) else server.decode("utf-8", "replace"), None)
    made: Scope = {
        "type": "http",
        "asgi": VERSION,
        "http_version": "1.1",
        "scheme": scheme,
        "root_path": root.text,
        "client": None,
        "server": place,
        "method": "",
        "path": "",
        "raw_path": b"",
        "query_string": b"",
        "headers": [],
        "state": {},
        "extensions": {},
    }
    remember(_commons, (server, scheme, root), made)
    return made


def http_scope(request: Request, shown: Shown, peer: Peer, state: dict[str, Any], request_id: bytes) -> Scope:
    """Return the scope of a request. `state` is what the application left there when it started;
    `request_id` is that of `shown`, or a new one."""
    path, raw_path, query = _splits.get(request.target) or _split(request.target)
    headers = shown.headers.copy()  # the application may change it
    if not shown.request_id:
        headers[-1] = (NAME, request_id)
    scope = peer.scope.copy()
    scope["client"] = peer.client
    if request.version != "1.1":
        scope["http_version"] = request.version
    scope["method"] = request.method
    if shown.script_name:
        scope["root_path"] = shown.script_name
    root = scope["root_path"]
    if root and not is_below(path, root):  # a proxy took it off; the path is that of the URL
        path = root + path
        raw_path = (shown.script_name.encode() or peer.root.raw) + raw_path
    scope["path"] = path
    scope["raw_path"] = raw_path
    scope["query_string"] = query
    scope["headers"] = headers
    scope["state"] = state.copy()
    scope["extensions"] = peer.extensions(_HTTP_EXTENSIONS)
    if request.user:
        scope[USER] = request.user
    if shown.is_forwarded:
        _apply(peer.origin(request.headers), scope)
    return scope


class Peers:
    """Makes the Peers of a worker."""

    def __init__(self, forwarding: Forwarding, root: Root, ids: RequestIds) -> None:
        self._forwarding = forwarding
        self._root = root
        self._ids = ids

    def peer(self, server: Address, client: Address, scheme: str = "http") -> Peer:
        return Peer(server, client, self._forwarding, scheme, self._root, self._ids)


def shown_of(request: Request, policy: Policy) -> Shown:
    """Return what an application is shown of a request's header, made now or before."""
    fields = request.fields
    shown = None if fields is None else fields.shown.get(policy)
    if shown is None:
        shown = _made(request.headers, policy)
        if fields is not None:
            fields.shown[policy] = shown
    return shown


def _made(headers: Fields, policy: Policy) -> Shown:
    pairs: list[tuple[bytes, bytes]] = []
    known, names = policy.names, set()
    for name, value in headers:
        lower = known.get(name)
        if lower is None:
            lower = policy.name_of(name)
        if lower:
            pairs.append((lower, value))
            names.add(lower)
    ids = [value for name, value in pairs if name == NAME] if NAME in names else []
    request_id = ids[0] if len(ids) == 1 and is_id(ids[0].decode("latin-1")) else b""
    if not request_id:
        pairs = [pair for pair in pairs if pair[0] != NAME] if ids else pairs
        pairs.append((NAME, b""))
    script_name = policy.script_name(headers) if SCRIPT_NAME in names else ""
    return Shown(pairs, request_id, script_name, not policy.claims.isdisjoint(names))


_splits: Final[dict[bytes, tuple[str, bytes, bytes]]] = {}  # see memo.py


def _split(target: bytes) -> tuple[str, bytes, bytes]:
    """Return path, raw path and query of a request target."""
    raw_path, _, query = target.partition(b"?")
    if raw_path[:1] != b"/":
        raw_path = _path_of(raw_path)
    made = (_decode(raw_path), raw_path, query)
    if len(target) <= LONGEST:
        remember(_splits, target, made)
    return made


def websocket_scope(
    request: Request,
    shown: Shown,
    peer: Peer,
    state: dict[str, Any],
    request_id: bytes,
    subprotocols: list[str],
) -> Scope:
    """Return the scope of a request that asks for a WebSocket."""
    scope = http_scope(request, shown, peer, state, request_id)
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    scope["subprotocols"] = subprotocols
    scope["extensions"] = peer.extensions(_WEBSOCKET_EXTENSIONS)
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
