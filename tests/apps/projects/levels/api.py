# Levels: a Starlette application with a lifespan and loggers of its own.

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

log = logging.getLogger("levels")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
    log.info("levels: begins")
    yield {"opened": "yes"}
    log.warning("levels: ends")


async def fine(_request: Request) -> JSONResponse:
    log.info("levels: a good request")
    return JSONResponse({"result": "fine"})


async def odd(_request: Request) -> JSONResponse:
    log.warning("levels: an odd request")
    raise HTTPException(418, "odd")


app = Starlette(routes=[Route("/fine", fine), Route("/odd", odd)], lifespan=lifespan)
