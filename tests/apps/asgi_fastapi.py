# The site of asgi_litestar.py and asgi_quart.py, as FastAPI has it.

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse

notes: list[str] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    notes.append("started")
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/told")
async def told() -> list[str]:
    return notes


@app.get("/hello/{name}")
async def hello(name: str, times: int = 1) -> dict[str, object]:
    return {"hello": name, "times": times}


@app.get("/sync", response_class=PlainTextResponse)
def sync() -> str:
    return "from a thread"


@app.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request) -> str:
    return str(len(await request.body()))


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def source() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(source(), media_type="text/plain")


@app.get("/later", response_class=PlainTextResponse)
async def later(tasks: BackgroundTasks) -> str:
    tasks.add_task(notes.append, "worked")
    return "soon"


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("this view is broken")


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
