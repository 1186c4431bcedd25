# Applications that send what only a server may, or what is of a wrong type.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.apps import shown

HOPS = [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("Transfer-Encoding", "chunked")]
HOPS += [("Upgrade", "h2c"), ("Trailer", "X-T"), ("Proxy-Connection", "close"), ("X-Own", "kept")]
HEADERS: dict[str, Any] = {
    "/hops": HOPS,
    "/close": [("Connection", "close")],
    "/name": [(5, "a")],
    "/value": [("X-Name", 5)],
    "/pair": [("X-Name",)],
    "/none": None,
    "/bool": [("X-Name", True)],
}
BODIES: dict[str, Any] = {"/body": ["a", b"b"], "/nothing": None}
STATUSES: dict[str, Any] = {"/status": b"200 OK", "/true": True, "/minus": -5, "/huge": 10**30}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    path = environ["PATH_INFO"]
    if path == "/spoilt":  # nobody may count on what an application has had in its hands
        environ.update(dict.fromkeys(("REQUEST_METHOD", "RAW_URI", "REQUEST_URI", "PATH_INFO"), 5))
        environ.update(HTTP_HOST=None, REMOTE_ADDR=None)
    start_response(STATUSES.get(path, "200 OK"), HEADERS.get(path, []))
    return BODIES.get(path, [b"x"])


# No messages at all, in HTTP and on a WebSocket.
NO_MESSAGES: dict[str, Any] = {"/str": "x", "/null": None, "/list": ["x"], "/typeless": {"status": 200}}


# Sent on a WebSocket, the last of them of a wrong type, or not the application's to send.
ACCEPT = {"type": "websocket.accept"}
SOCKETS: dict[str, list[dict[str, Any]]] = {
    "/ws/header": [ACCEPT | {"headers": [("x-app", b"yes")]}],
    "/ws/subprotocol": [ACCEPT | {"subprotocol": b"chat"}],
    "/ws/text": [ACCEPT, {"type": "websocket.send", "text": b"text"}],
    "/ws/bytes": [ACCEPT, {"type": "websocket.send", "bytes": "bytes"}],
    "/ws/bool": [ACCEPT, {"type": "websocket.send", "bytes": True}],
    "/ws/code": [ACCEPT, {"type": "websocket.close", "code": "1000"}],
    "/ws/true": [ACCEPT, {"type": "websocket.close", "code": True}],
    "/ws/reason": [ACCEPT, {"type": "websocket.close", "code": 1000, "reason": b"why"}],
    "/ws/status": [{"type": "websocket.http.response.start", "status": "401", "headers": []}],
    "/ws/hops": [
        {"type": "websocket.http.response.start", "status": 403, "headers": [(b"Keep-Alive", b"timeout=5")]},
        {"type": "websocket.http.response.body"},
    ],
}


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        await shown.asgi(scope, receive, send)
        return
    path = scope["path"]
    if path == "/spoilt":
        scope.update(dict.fromkeys(("method", "path", "raw_path", "query_string"), 5))
    if path.removeprefix("/ws") in NO_MESSAGES:
        await send(NO_MESSAGES[path.removeprefix("/ws")])
    if scope["type"] == "websocket":
        await receive()
        for message in SOCKETS[path]:
            await send(message)
        return
    headers = HEADERS.get(path, [])
    if path in ("/hops", "/close"):
        headers = [(name.encode(), value.encode()) for name, value in headers]
    if path in ("/value", "/bool"):
        headers = [(b"X-Name", headers[0][1])]
    await send({"type": "http.response.start", "status": STATUSES.get(path, 200), "headers": headers})
    body = BODIES.get(path, b"x")
    await send({"type": "http.response.body", "body": body[0] if isinstance(body, list) else body})


mounted = shown.Mounted(wsgi, 1, 1 << 16, None)
