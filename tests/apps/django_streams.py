"""Django's streams without end, of sync and async generators; each says on stderr when it is over."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for tests", MIDDLEWARE=[])
django.setup()


def _lines() -> Iterator[bytes]:
    try:
        while True:
            yield b"line\n"
            time.sleep(0.01)
    finally:
        print("the sync stream is over", file=sys.stderr, flush=True)


async def _async_lines() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"line\n"
            await asyncio.sleep(0.01)
    finally:
        print("the async stream is over", file=sys.stderr, flush=True)


def endless(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_lines())


async def async_endless(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_async_lines())


def short(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"a", b"b"]))


def plain(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


urlpatterns = [
    path("sync", endless),
    path("async", async_endless),
    path("short", short),
    path("", plain),
]
wsgi, asgi = WSGIHandler(), ASGIHandler()
