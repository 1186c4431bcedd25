# The application under most tests of the ASGI backend: each path is one habit of real applications.

from __future__ import annotations

import asyncio
import contextvars
import gc
import hashlib
import json
import os
import sys
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.apps import gate

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# What happened in this process, for tests to ask: /events tells.
events: list[str] = []
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class Weight:
    """Something that only the context of a call holds."""


carried: contextvars.ContextVar[Weight] = contextvars.ContextVar("carried")
weights: weakref.WeakSet[Weight] = weakref.WeakSet()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].removeprefix(scope["root_path"]).strip("/").split("/")[0] or "hello"
    views = VIEWS if scope["type"] == "http" else SOCKETS
    await views.get(name, missing)(scope, receive, send)


async def lifespan(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    if os.environ.get("TEST_STARTUP") == "fails":
        await send({"type": "lifespan.startup.failed", "message": "the database is away"})
        return
    if os.environ.get("TEST_STARTUP") == "hangs":
        print("starting up", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    scope["state"]["colour"] = "green"
    scope["state"]["shared"] = []
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shut down", file=sys.stderr, flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def respond(send: Send, body: bytes, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body)), *fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def missing(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, b"", 404)


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, b"Hello World\n")


async def named(scope: Message, receive: Receive, send: Send) -> None:
    """/named?accel=URI or /named?sendfile=PATH: a file that the server is to send instead of the body;
    `yields` and `writes` are other ways to give that."""
    query = parse_qs(scope["query_string"].decode())
    body = b"the application's own"
    headers = [(b"content-type", b"application/x-mine"), (b"content-length", b"%d" % len(body))]
    headers += [(b"x-mine", b"kept")]
    headers += [(b"x-accel-redirect", uri.encode()) for uri in query.get("accel", [])]
    headers += [(b"x-sendfile", path.encode()) for path in query.get("sendfile", [])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while "yields" in query:  # without an end
        await send({"type": "http.response.body", "body": body, "more_body": True})
    if "writes" in query:
        await send({"type": "http.response.pathsend", "path": __file__})
        return
    await send({"type": "http.response.body", "body": body})


async def pid(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, str(os.getpid()).encode())


async def scope_view(scope: Message, receive: Receive, send: Send) -> None:
    plain = {key: value for key, value in scope.items() if key not in ("state", "extensions")}
    plain["extensions"] = sorted(scope["extensions"])
    plain["state"] = scope["state"].get("colour")
    await respond(send, json.dumps(plain, default=lambda value: value.decode("latin-1")).encode())


async def read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RuntimeError("the client left")
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, await read_body(receive))


async def digest(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the number of messages, the length and the hash of the body."""
    sha, size, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        sha.update(message["body"])
        size += len(message["body"])
        more = message["more_body"]
    await respond(send, f"{size} {sha.hexdigest()}".encode())


async def late_reader(scope: Message, receive: Receive, send: Send) -> None:
    """/late-read/SECONDS: begin with the body only then; tell its size."""
    await asyncio.sleep(float(scope["path"].rpartition("/")[2]))
    await respond(send, str(len(await read_body(receive))).encode())


async def slow_reader(scope: Message, receive: Receive, send: Send) -> None:
    """Take the first piece of the body, then nothing until /release was asked for."""
    weight = Weight()
    weights.add(weight)
    carried.set(weight)
    del weight
    await receive()
    events.append("first piece")
    await released.wait()
    await read_body(receive)
    await respond(send, b"read")


async def count_weights(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, str(len(weights)).encode())


async def release(scope: Message, receive: Receive, send: Send) -> None:
    released.set()
    await respond(send, b"ok")


async def unread(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, b"not interested", 403)


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """/stream?n=COUNT&size=BYTES[&length=1]"""
    query = parse_qs(scope["query_string"].decode())
    count, size = int(query["n"][0]), int(query["size"][0])
    headers = [(b"content-length", b"%d" % (count * size))] if "length" in query else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        for _ in range(count):
            await send({"type": "http.response.body", "body": b"s" * size, "more_body": True})
    except OSError:
        events.append("stream broken")
        raise
    finally:
        events.append("stream closed")
    await send({"type": "http.response.body", "body": b""})


async def kept(scope: Message, receive: Receive, send: Send) -> None:
    """Stream without end, and keep the error that ends it in a frame of its own, as Django does."""
    gc.disable()  # which would find that by chance
    errors = []
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        async for piece in _pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except OSError as error:
        errors.append(error)
        raise


async def _pieces() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"piece"
            await asyncio.sleep(0.01)
    finally:
        gc.enable()
        events.append("pieces closed")


async def duplex(scope: Message, receive: Receive, send: Send) -> None:
    """Send each piece of the body back as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def wait(scope: Message, receive: Receive, send: Send) -> None:
    """Wait for the client to leave."""
    await receive()
    events.append("waiting")
    message = await receive()
    events.append(message["type"])
    await respond(send, b"nobody reads this")
    events.append("sent all the same")


async def sleep(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(float(scope["path"].split("/")[2]))
    await respond(send, b"slept")


async def held(scope: Message, receive: Receive, send: Send) -> None:
    """/held/GATE: a call that is as slow as a test wants it; /held-thread/GATE: one in a thread."""
    await gate.awaited(scope["path"].removeprefix("/held"))
    await respond(send, b"slept")


async def held_thread(scope: Message, receive: Receive, send: Send) -> None:
    path = scope["path"].removeprefix("/held-thread")
    await asyncio.get_running_loop().run_in_executor(None, gate.wait, path)
    await respond(send, b"slept")


async def blocked(scope: Message, receive: Receive, send: Send) -> None:
    """/blocked/GATE: one that keeps the event loop."""
    gate.wait(scope["path"].removeprefix("/blocked"))
    await respond(send, b"slept")


async def block(scope: Message, receive: Receive, send: Send) -> None:
    time.sleep(float(scope["path"].split("/")[2]))
    await respond(send, b"blocked")


async def thread(scope: Message, receive: Receive, send: Send) -> None:
    """What frameworks make of a sync view."""
    seconds = float(scope["path"].split("/")[2])
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, seconds)
    await respond(send, b"slept")


async def background(scope: Message, receive: Receive, send: Send) -> None:
    """/background/GATE"""
    await respond(send, b"first")
    await gate.awaited(scope["path"].removeprefix("/background"))
    events.append("background done")
    print("background done", file=sys.stderr, flush=True)


async def broken(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError("this view is broken")


async def half(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the beginning", "more_body": True})
    raise RuntimeError("failed in the middle")


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    pass


async def unfinished(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the beginning", "more_body": True})


async def twice(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, b"once")
    try:
        await send({"type": "http.response.body", "body": b"again"})
    except RuntimeError:
        events.append("refused")


async def injecting(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, b"never", 200, (b"x", b"a\r\nset-cookie: b"))


async def text_body(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": "text"})


async def hop(scope: Message, receive: Receive, send: Send) -> None:
    await respond(
        send, b"ok", 200, (b"transfer-encoding", b"chunked"), (b"keep-alive", b"x"), (b"Connection", b"close")
    )


async def short(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-length", b"10"]]})
    await send({"type": "http.response.body", "body": b"five."})


async def long(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-length", b"5"]]})
    await send({"type": "http.response.body", "body": b"five.and more"})


async def empty(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def pathsend(scope: Message, receive: Receive, send: Send) -> None:
    path = scope["query_string"].decode()
    size = Path(path).stat().st_size
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.pathsend", "path": path})


async def zerocopy(scope: Message, receive: Receive, send: Send) -> None:
    """Two pieces of a file with memory between them; chunked."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with Path(scope["query_string"].decode()).open("rb", buffering=0) as file:
        message = {"type": "http.response.zerocopysend", "file": file, "more_body": True}
        await send({**message, "count": 5})
        await send({"type": "http.response.body", "body": b"|", "more_body": True})
        await send({**message, "offset": 2, "count": 3})
        await send({**message, "more_body": False})


async def trailers(scope: Message, receive: Receive, send: Send) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
    await send({**start, "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-end", b"2")]})


async def hints(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]})
    await send({"type": "http.response.debug", "info": {"template": "x"}})
    await respond(send, b"hinted")


async def context(scope: Message, receive: Receive, send: Send) -> None:
    """What a request sees of a variable that each request changes, before and after it took its body."""
    before = colour.get()
    colour.set("red")
    await read_body(receive)
    await asyncio.sleep(0)
    await respond(send, f"{before} {colour.get()}".encode())


async def events_view(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, json.dumps(events).encode())


released = asyncio.Event()
VIEWS: dict[str, Callable[[Message, Receive, Send], Awaitable[None]]] = {
    "hello": hello,
    "late-read": late_reader,
    "named": named,
    "pid": pid,
    "scope": scope_view,
    "echo": echo,
    "digest": digest,
    "slow-reader": slow_reader,
    "weights": count_weights,
    "release": release,
    "unread": unread,
    "stream": stream,
    "kept": kept,
    "duplex": duplex,
    "wait": wait,
    "held": held,
    "held-thread": held_thread,
    "sleep": sleep,
    "block": block,
    "blocked": blocked,
    "thread": thread,
    "background": background,
    "broken": broken,
    "half": half,
    "silent": silent,
    "unfinished": unfinished,
    "twice": twice,
    "injecting": injecting,
    "text": text_body,
    "hop": hop,
    "short": short,
    "long": long,
    "empty": empty,
    "pathsend": pathsend,
    "zerocopy": zerocopy,
    "trailers": trailers,
    "hints": hints,
    "context": context,
    "events": events_view,
}

# ---- WebSocket


async def ws_echo(scope: Message, receive: Receive, send: Send) -> None:
    """Send back what comes, and note how it ended."""
    await receive()
    chosen = scope["subprotocols"][0] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-app", b"yes")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            events.append(f"closed {message['code']} {message['reason']}".strip())
            return
        await send({**message, "type": "websocket.send"})


async def ws_deny(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def ws_denial(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who are ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"you?"})


async def ws_broken(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    raise RuntimeError("this socket is broken")


async def ws_silent(scope: Message, receive: Receive, send: Send) -> None:
    await receive()


async def ws_close(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
    try:
        await send({"type": "websocket.send", "text": "too late"})
    except OSError:
        events.append("send after close")


async def ws_flood(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    for number in range(400):
        await send({"type": "websocket.send", "bytes": os.urandom(65536)})
        events[:] = [f"sent {number}"]


async def ws_lazy(scope: Message, receive: Receive, send: Send) -> None:
    """Accept, and take nothing until /release was asked for; then tell how many messages came."""
    await receive()
    await send({"type": "websocket.accept"})
    await released.wait()
    count = 0
    while (message := await receive())["type"] == "websocket.receive" and message.get("text") != "end":
        count += 1
    await send({"type": "websocket.send", "text": str(count)})


SOCKETS = {
    "echo": ws_echo,
    "deny": ws_deny,
    "denial": ws_denial,
    "broken": ws_broken,
    "silent": ws_silent,
    "close": ws_close,
    "flood": ws_flood,
    "lazy": ws_lazy,
}
