"""A Starlette application of which an endpoint hangs, behind its own kind of middleware."""

import asyncio

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def fine(_request):
    return PlainTextResponse("ok")


async def wait(_request):
    await asyncio.Event().wait()


async def catching(request, call_next):
    try:
        return await call_next(request)
    except Exception as error:
        return PlainTextResponse(f"caught {error!r}", 500)


app = Starlette(
    routes=[Route("/", fine), Route("/reports/wait", wait)],
    middleware=[Middleware(BaseHTTPMiddleware, dispatch=catching)],
)
