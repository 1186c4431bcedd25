# A Django site that keeps its connection to the database between requests, and answers with its pid.

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "CONN_MAX_AGE": 600,
        }
    },
    ROOT_URLCONF=__name__,
)
django.setup()


def view(_request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    pid = str(os.getpid())
    return HttpResponse(pid, headers={"Content-Length": str(len(pid))})


urlpatterns = [path("pid", view)]
app = get_wsgi_application()
