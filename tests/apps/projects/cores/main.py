# Cores: a FastAPI application that shows what it is told of a request.

from __future__ import annotations

import os

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/scope")
async def scope(request: Request) -> dict[str, object]:
    told = request.scope
    return {
        **{name: told[name] for name in ("type", "http_version", "method", "scheme", "root_path", "path")},
        "raw_path": told["raw_path"].decode(),
        "query": told["query_string"].decode(),
        "client": told["client"][0],
        "server": told["server"][0],
        "state": "state" in told,
        "headers": sorted(
            (name.decode(), value.decode()) for name, value in told["headers"] if name != b"host"
        ),
    }


@app.post("/items/{number}")
async def item(number: int, body: dict[str, str]) -> dict[str, object]:
    return {"number": number, **body}


@app.get("/pid")
async def pid() -> int:
    return os.getpid()
