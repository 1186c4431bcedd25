# WebSockets that last as long as their client does, and note how many of them run: /ws/HOW, as WSGI and as
# ASGI.

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import simple_websocket

FRAME = b"\x82\x7e\xff\xff" + b"x" * 65535
notes = {"begun": 0, "closed": 0}
_lock = threading.Lock()


@contextmanager
def _noted() -> Iterator[None]:
    with _lock:
        notes["begun"] += 1
    try:
        yield
    finally:
        with _lock:
            notes["closed"] += 1


# ---- WSGI


def _shake_hands(environ: dict[str, Any]) -> socket.socket:
    client: socket.socket = environ["gunicorn.socket"]
    key = environ["HTTP_SEC_WEBSOCKET_KEY"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    client.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return client


def _send(client: Any) -> None:
    while True:
        client.sendall(FRAME)


def _receive(client: Any) -> None:
    while client.recv(100):
        pass


def _send_beside(client: Any) -> None:
    """A thread, or greenlet, sends while the call receives."""

    def send() -> None:
        with suppress(OSError):
            _send(client)

    threading.Thread(target=send, daemon=True).start()
    _receive(client)


def _send_without_waiting(client: Any) -> None:
    client.settimeout(0.05)
    while True:
        with suppress(TimeoutError):
            client.send(FRAME)


def _send_from_greenlets(client: Any) -> None:
    import gevent

    gevent.joinall([gevent.spawn(_send, client) for _ in range(2)])


WAYS: dict[str, Callable[[Any], None]] = {
    "send": _send,
    "receive": _receive,
    "beside": _send_beside,
    "impatient": _send_without_waiting,
    "copy": lambda client: _send(client.dup()),
    "greenlets": _send_from_greenlets,
}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    way = environ["PATH_INFO"].rpartition("/")[2]
    if not environ["PATH_INFO"].startswith("/ws/"):
        start_response("200 OK", [])
        return [f"{notes['begun']} {notes['closed']}".encode()]
    with _noted():
        if way == "library":
            server = simple_websocket.Server(environ)
            while True:
                server.send(server.receive())
        WAYS[way](_shake_hands(environ))
    return []


# ---- ASGI


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{notes['begun']} {notes['closed']}".encode()})
        return
    if scope["type"] != "websocket":
        raise NotImplementedError
    way = scope["path"].rpartition("/")[2]
    with _noted():
        assert (await receive())["type"] == "websocket.connect"
        if way == "asked":  # it thinks about that for as long as the client does
            assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            return
        if way == "denied":
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
            assert (await receive())["type"] == "websocket.disconnect"
            return
        await send({"type": "websocket.accept"})
        while way == "send" or (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "x" * 4096})
