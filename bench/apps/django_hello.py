# Django in one file: its request and response objects and URL resolver, no middleware, no database.

from __future__ import annotations

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="only for the bench")

import django  # noqa: E402  (setup reads the settings just made)

django.setup()


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!\n", content_type="text/plain", headers={"Content-Length": "14"})


urlpatterns = [path("", hello)]

app = WSGIHandler()
