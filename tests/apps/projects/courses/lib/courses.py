# Courses: a Django site in one file, with a cache and a log of what was done to it.

from __future__ import annotations

import os

from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path


class Cache(LocMemCache):
    closed_in: int = 0

    def close(self, **_: object) -> None:
        Cache.closed_in = os.getpid()


settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[],
    SECRET_KEY="for tests",
    CACHES={"default": {"BACKEND": "courses.Cache"}},
)

import django  # noqa: E402  (setup reads the settings just made)

django.setup()


def course(request: HttpRequest, number: int) -> JsonResponse:
    cache.set("last", number)
    return JsonResponse({"number": number, "last": cache.get("last"), "secure": request.is_secure()})


def closed(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"closed here": Cache.closed_in == os.getpid()})


urlpatterns = [path("course/<int:number>", course), path("closed", closed)]

application = WSGIHandler()
