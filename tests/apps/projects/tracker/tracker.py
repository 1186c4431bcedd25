# Tracker: a Django site in one file, with a page that does not come to an end.

from __future__ import annotations

import json
import time

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from witness import note

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="for tests")

import django  # noqa: E402  (setup reads the settings just made)

django.setup()


def document(request: HttpRequest, name: str) -> HttpResponse:
    seen = {
        "name": name,
        "query": request.GET.dict(),
        "uri": request.build_absolute_uri(),
        "body": len(request.body),
    }
    return HttpResponse(
        json.dumps(seen), content_type="application/json", status=200 if name != "lost" else 404
    )


def stuck(_request: HttpRequest) -> HttpResponse:
    note("stuck")
    while True:
        time.sleep(0.01)


urlpatterns = [path("doc/<str:name>/", document), path("stuck/", stuck)]

application = WSGIHandler()
