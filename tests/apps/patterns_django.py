"""A Django site with few routes, for both interfaces."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path, re_path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", MIDDLEWARE=[])
django.setup()


def article(_request, number):
    return HttpResponse(f"article {number}")


def fail(_request, number):
    raise RuntimeError(number)


urlpatterns = [
    path("articles/<int:number>/", article),
    path("shop/", include([re_path(r"^items/(?P<number>[0-9]+)$", article)])),
    path("fail/<int:number>", fail),
]
app = get_wsgi_application()
asgi = get_asgi_application()
