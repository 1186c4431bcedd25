# The site of asgi_fastapi.py and asgi_quart.py, as Litestar has it.

from __future__ import annotations

from collections.abc import AsyncIterator

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Stream

notes: list[str] = []


async def start() -> None:
    notes.append("started")


async def work() -> None:
    notes.append("worked")


@get("/told")
async def told() -> list[str]:
    return notes


@get("/hello/{name:str}")
async def hello(name: str, times: int = 1) -> dict[str, object]:
    return {"hello": name, "times": times}


@get("/sync", media_type=MediaType.TEXT, sync_to_thread=True)
def sync() -> str:
    return "from a thread"


@post("/upload", media_type=MediaType.TEXT, status_code=200)
async def upload(request: Request) -> str:
    return str(len(await request.body()))


@get("/stream")
async def stream() -> Stream:
    async def source() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return Stream(source(), media_type="text/plain")


@get("/later", media_type=MediaType.TEXT)
async def later() -> Response[str]:
    return Response("soon", background=BackgroundTask(work), media_type=MediaType.TEXT)


@get("/broken")
async def broken() -> None:
    raise RuntimeError("this view is broken")


@websocket("/ws")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass


app = Litestar([told, hello, sync, upload, stream, later, broken, echo], on_startup=[start])
