# A Starlette application with a bit of everything that leans on its server.

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

notes: list[str] = []
rooms: set[WebSocket] = set()
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"greeting": "hello"}
    notes.append("closed")


async def state(request: Request) -> Response:
    return PlainTextResponse(request.state.greeting)


def sync_view(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {request.query_params['q']}")


async def upload(request: Request) -> Response:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def events(request: Request) -> Response:
    async def source() -> AsyncIterator[str]:
        try:
            for number in range(100_000):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.005)
        finally:
            notes.append("stream over")

    return StreamingResponse(source(), media_type="text/event-stream")


async def later(request: Request) -> Response:
    async def work() -> None:
        await asyncio.sleep(0.1)
        notes.append(f"worked {request.url.query}".strip())

    return PlainTextResponse("soon", background=BackgroundTask(work))


async def coloured(request: Request) -> Response:
    before = colour.get()
    colour.set("set by the view")
    return PlainTextResponse(before)


async def failing(request: Request) -> Response:
    raise ValueError("inside")


async def told(request: Request) -> Response:
    return JSONResponse(notes)


async def chat(websocket: WebSocket) -> None:
    """What is said is heard by everybody."""
    await websocket.accept()
    rooms.add(websocket)
    try:
        async for text in websocket.iter_text():
            for other in rooms:
                await other.send_text(text)
    finally:
        rooms.discard(websocket)


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        colour.set("set by middleware")
        try:
            response: Response = await call_next(request)
        except ValueError as error:
            if request.url.path != "/caught":
                raise
            response = PlainTextResponse(f"caught {error!r}")
        response.headers["x-seen"] = "yes"
        response.headers["x-colour"] = colour.get()
        return response


app = Starlette(
    routes=[
        Route("/state", state),
        Route("/sync", sync_view),
        Route("/upload", upload, methods=["POST"]),
        Route("/events", events),
        Route("/later", later),
        Route("/told", told),
        Route("/coloured", coloured),
        Route("/failing", failing),
        Route("/caught", failing),
        WebSocketRoute("/chat", chat),
        Mount("/static", StaticFiles(directory=os.path.dirname(__file__))),
    ],
    middleware=[Middleware(Stamp)],
    lifespan=lifespan,
)
