# Archive: a Django site in one file, served as ASGI below a path of its own.

from __future__ import annotations

import json

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="for tests")

import django  # noqa: E402  (setup reads the settings just made)

django.setup()


async def shelf(request: HttpRequest, name: str) -> HttpResponse:
    seen = {
        "name": name,
        "path": request.path,
        "script": request.META.get("SCRIPT_NAME"),
        "body": request.body.decode(),
    }
    return HttpResponse(json.dumps(seen), content_type="application/json")


urlpatterns = [path("shelf/<str:name>/", shelf)]

application = ASGIHandler()
