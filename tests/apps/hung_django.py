"""A Django site of which a view hangs, behind middleware that catches errors, for both interfaces."""

import asyncio
import time

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def catching(get_response):
    """As many do: errors become pages."""

    def answer(request):
        try:
            return get_response(request)
        except Exception as error:
            return HttpResponse(f"caught {error!r}", status=500)

    async def aanswer(request):
        try:
            return await get_response(request)
        except Exception as error:
            return HttpResponse(f"caught {error!r}", status=500)

    return aanswer if asyncio.iscoroutinefunction(get_response) else answer


MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    f"{__name__}.catching",
]
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", MIDDLEWARE=MIDDLEWARE)
django.setup()


def hang(_request):
    while True:
        time.sleep(0.01)


async def wait(_request):
    await asyncio.Event().wait()


urlpatterns = [path("hang", hang), path("reports/wait", wait), path("", lambda _request: HttpResponse("ok"))]
app = get_wsgi_application()
asgi = get_asgi_application()
