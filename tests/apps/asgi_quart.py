# The site of asgi_fastapi.py and asgi_litestar.py, as Quart has it.

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, request, websocket

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
notes: list[str] = []


@app.before_serving
async def start() -> None:
    notes.append("started")


@app.get("/told")
async def told() -> Any:
    return notes


@app.get("/hello/<name>")
async def hello(name: str) -> Any:
    return {"hello": name, "times": int(request.args.get("times", 1))}


@app.get("/sync")
def sync() -> str:
    return "from a thread"


@app.post("/upload")
async def upload() -> str:
    return str(len(await request.get_data()))


@app.get("/stream")
async def stream() -> Any:
    async def source() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number

    return source(), {"content-type": "text/plain"}


@app.get("/later")
async def later() -> str:
    async def work() -> None:
        notes.append("worked")

    app.add_background_task(work)
    return "soon"


@app.get("/broken")
async def broken() -> str:
    raise RuntimeError("this view is broken")


@app.websocket("/ws")
async def echo() -> None:
    while True:
        await websocket.send(await websocket.receive())
