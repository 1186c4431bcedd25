# What an application sees of its server on the wire: scope, receive(), send(), and clients that come and go.
# Two servers run it, which must not differ. /told?KEY tells what happened in requests with that query.

from __future__ import annotations

import asyncio
import contextvars
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

imported: contextvars.ContextVar[str] = contextvars.ContextVar("imported", default="unset")
started: contextvars.ContextVar[str] = contextvars.ContextVar("started", default="unset")
asked: contextvars.ContextVar[str] = contextvars.ContextVar("asked", default="unset")
imported.set("at import")

notes: defaultdict[str, list[str]] = defaultdict(list)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].removeprefix(scope["root_path"]).strip("/").split("/")[0]
    views = VIEWS if scope["type"] == "http" else SOCKETS
    await views.get(name, scope_view)(scope, receive, send)


async def lifespan(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    started.set("at start")
    scope["state"].update(colour="green", shared=[])
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def noted(scope: Message) -> list[str]:
    return notes[scope["query_string"].decode()]


async def respond(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def told(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, json.dumps(noted(scope)).encode())


async def scope_view(scope: Message, receive: Receive, send: Send) -> None:
    kept = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path")
    seen = {key: scope[key] for key in (*kept, "headers")}
    types = {key: type(value).__name__ for key, value in scope.items() if key in (*kept, "state")}
    seen["types"] = types
    await respond(send, json.dumps(seen, default=lambda value: value.decode("latin-1")).encode())


async def state(scope: Message, receive: Receive, send: Send) -> None:
    """What was put at the start is a copy for each request, and not a deep one."""
    own = scope["state"]
    own["shared"].append(1)
    before = own.get("colour")
    own["colour"], own["mine"] = "red", True
    await respond(send, f"{before} {len(own['shared'])}".encode())


async def contexts(scope: Message, receive: Receive, send: Send) -> None:
    before = f"{imported.get()}, {started.get()}, {asked.get()}"
    asked.set("in a request")
    while (await receive()).get("more_body"):
        await asyncio.sleep(0)
    await respond(send, before.encode())


# ---- receive()


async def left(scope: Message, receive: Receive, send: Send) -> None:
    """Wait for the client to leave, and answer all the same."""
    note = noted(scope).append
    message = await receive()
    note(f"{message['type']} {message['body']!r} {message['more_body']}")
    note((await receive())["type"])
    await respond(send, b"nobody reads this")
    note("sent")
    note((await receive())["type"])


async def left_in_upload(scope: Message, receive: Receive, send: Send) -> None:
    note = noted(scope).append
    size = 0
    while (message := await receive())["type"] == "http.request":
        if not size:
            note("begun")
        size += len(message["body"])
    note(f"{size} {message['type']}")
    await respond(send, b"nobody reads this")
    note("sent")


async def waits(scope: Message, receive: Receive, send: Send) -> None:
    """A receive() behind the end of the body waits until there is an answer."""
    while (await receive())["more_body"]:
        pass
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0.05)
    noted(scope).append("done too early" if task.done() else "waits")
    await respond(send, b"ok")
    noted(scope).append((await task)["type"])
    noted(scope).append((await receive())["type"])


async def impatient(scope: Message, receive: Receive, send: Send) -> None:
    """A receive() that is cancelled takes nothing with it, neither in an upload nor behind one."""
    body, tries, more = b"", 0, True
    while more:
        try:
            async with asyncio.timeout(0.01):
                message = await receive()
        except TimeoutError:
            tries += 1
            if tries == 1:
                noted(scope).append("tried")
            continue
        body += message["body"]
        more = message["more_body"]
    try:
        await asyncio.wait_for(receive(), 0.01)
    except TimeoutError:
        await respond(send, body if tries else b"nobody was impatient")


async def listener(scope: Message, receive: Receive, send: Send) -> None:
    """Stream until a task beside it hears that the client left, as frameworks do."""
    note = noted(scope).append

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        note("heard")
        stream.cancel()

    async def pour() -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        try:
            await asyncio.Event().wait()
        finally:
            note("over")

    stream = asyncio.ensure_future(pour())
    await asyncio.wait((stream, asyncio.ensure_future(listen())))


async def polling(scope: Message, receive: Receive, send: Send) -> None:
    """Ask now and then whether the client is there: by a receive() that is cancelled before it begins."""
    asked_of = Request(scope, receive)
    while not await asked_of.is_disconnected():
        if not noted(scope):
            noted(scope).append("there")
        await asyncio.sleep(0.005)
    noted(scope).append("left")
    await respond(send, b"nobody reads this")


# ---- send()


async def broken(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError("this view is broken")


async def broken_later(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0)
    raise RuntimeError("this view is broken")


async def half(scope: Message, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"100")] if b"length" in scope["query_string"] else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"the beginning", "more_body": True})
    raise RuntimeError("failed in the middle")


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    pass


async def out_of_order(scope: Message, receive: Receive, send: Send) -> None:
    """Messages that do not fit are refused, and cost the answer nothing."""
    note = noted(scope).append
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    for message, what in (
        ({"type": "http.response.body", "body": b"early"}, "body before start"),
        (start, "start"),
        (start, "second start"),
        ({"type": "http.response.body", "body": b"ok"}, "body"),
        ({"type": "http.response.body", "body": b"late"}, "second body"),
    ):
        try:
            await send(message)
        except RuntimeError:
            note(f"{what}: refused")
        else:
            note(f"{what}: taken")


async def slow(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.05)
    await respond(send, b"slow")


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await respond(send, body)


async def unread(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, b"not interested", 403)


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"one ", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


VIEWS: dict[str, Callable[[Message, Receive, Send], Awaitable[None]]] = {
    "told": told,
    "state": state,
    "contexts": contexts,
    "left": left,
    "left-in-upload": left_in_upload,
    "waits": waits,
    "impatient": impatient,
    "listener": listener,
    "polling": polling,
    "broken": broken,
    "broken-later": broken_later,
    "half": half,
    "silent": silent,
    "out-of-order": out_of_order,
    "slow": slow,
    "echo": echo,
    "unread": unread,
    "stream": stream,
}

# ---- WebSocket


async def ws_echo(scope: Message, receive: Receive, send: Send) -> None:
    """Echo; note what came first, how it ended, and what becomes of a send after that."""
    note = noted(scope).append
    note((await receive())["type"])
    note(
        f"{scope['scheme']} {scope['path']} {scope['subprotocols']} {scope['state']['colour']} {asked.get()}"
    )
    asked.set("in a request")
    await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-app", b"yes")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    note(f"{message['type']} {message['code']} {message.get('reason') or ''}".strip())
    try:
        await send({"type": "websocket.send", "text": "nobody reads this"})
    except OSError:
        note("OSError")
    else:
        note("sent")


async def ws_deny(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def ws_denial(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    noted(scope).append(str("websocket.http.response" in scope["extensions"]))
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"12")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who are you?"})


async def ws_close(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "last words"})
    await send({"type": "websocket.close", "code": 4001, "reason": "enough"})


async def ws_broken(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    raise RuntimeError("this socket is broken")


SOCKETS: dict[str, Callable[[Message, Receive, Send], Awaitable[None]]] = {
    "echo": ws_echo,
    "deny": ws_deny,
    "denial": ws_denial,
    "close": ws_close,
    "broken": ws_broken,
}
