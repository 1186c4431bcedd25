# A Django application behind its ASGI handler: async and sync views, uploads, streams.

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

notes: list[str] = []

settings.configure(SECRET_KEY="only for tests", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()


def sync_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"sync {request.META['REMOTE_ADDR']}")


async def async_view(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.001)
    return HttpResponse("async")


def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"{number}\n".encode()
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(pieces())


async def slow(request: HttpRequest) -> HttpResponse:
    """Django cancels a view whose client has left."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        notes.append("cancelled")
        raise
    return HttpResponse("slow")


def told(request: HttpRequest) -> HttpResponse:
    time.sleep(0)
    return HttpResponse(" ".join(notes))


urlpatterns = [
    path("sync", sync_view),
    path("async", async_view),
    path("upload", upload),
    path("stream", stream),
    path("slow", slow),
    path("told", told),
]
app = get_asgi_application()
