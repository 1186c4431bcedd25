# One view for each thing that a server has to get right for Django: the ORM, forms, sessions, uploads,
# streams, slow answers, coroutines, failures.

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator

from asgiref.sync import async_to_sync
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from guestbook.forms import EntryForm
from guestbook.models import Entry

PIECE = 65536
LONGEST = 60.0  # no visitor may hold a worker for longer than this, in seconds


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "guestbook/home.html", {"pid": os.getpid(), "latest": Entry.objects.first()})


@require_safe
def hello(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"hello": request.GET.get("name", "world"), "pid": os.getpid()})


@require_http_methods(["GET", "POST"])
def entries(request: HttpRequest) -> HttpResponseBase:
    form = EntryForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("entries")
    page = Paginator(Entry.objects.all(), 20).get_page(request.GET.get("page"))
    status = 422 if form.errors else 200
    return render(request, "guestbook/entries.html", {"form": form, "page": page}, status=status)


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """The form. Django itself puts a large file on disk before the view is called."""
    file = request.FILES.get("file")
    result = _keep(file.name, file.chunks(PIECE)) if file else None
    return render(request, "guestbook/upload.html", {"result": result})


# No form and no cookie has a part in it, and nothing stays behind: there is nothing to forge.
@csrf_exempt
@require_http_methods(["PUT"])
def upload_raw(request: HttpRequest, name: str) -> JsonResponse:
    """The body is the file: curl -T FILE http://127.0.0.1:8000/upload/"""
    return JsonResponse(_keep(name, iter(lambda: request.read(PIECE), b"")))


def _keep(name: str, pieces: Iterable[bytes]) -> dict[str, str | int]:
    """Put `pieces` on disk as they come, never all in memory, and tell what came."""
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        return {"name": name, "size": file.tell(), "sha256": digest.hexdigest()}


@require_safe
def stream(request: HttpRequest) -> StreamingHttpResponse:
    lines = int(_number(request, "lines", 20, most=1_000_000))
    pause = _number(request, "pause", 0.1, most=LONGEST)
    return StreamingHttpResponse(_count(lines, pause), content_type="text/plain; charset=utf-8")


def _count(lines: int, pause: float) -> Iterator[str]:
    for number in range(1, lines + 1):
        yield f"line {number} of {lines}\n"
        time.sleep(pause)


@require_safe
def slow(request: HttpRequest) -> JsonResponse:
    seconds = _number(request, "seconds", 1.0, most=LONGEST)
    time.sleep(seconds)
    return JsonResponse({"slept": seconds, "pid": os.getpid()})


@require_safe
def visits(request: HttpRequest) -> JsonResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "pid": os.getpid()})


@require_safe
def together(request: HttpRequest) -> JsonResponse:
    """Coroutines inside an ordinary view. Works because no event loop of the server's runs in this thread."""
    began = time.monotonic()
    answers = async_to_sync(_three_questions)()
    return JsonResponse({"answers": answers, "seconds": round(time.monotonic() - began, 3)})


async def _three_questions() -> list[str]:
    async def ask(name: str) -> str:
        await asyncio.sleep(0.1)
        return f"{name} answered"

    return await asyncio.gather(ask("one"), ask("two"), ask("three"))


@require_safe
def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(
        "this view always fails, to show what becomes of it: a 500 here, a traceback in the log"
    )


def _number(request: HttpRequest, name: str, default: float, most: float) -> float:
    """Return the query argument `name` as a number between 0 and `most`, or `default` if it is none."""
    try:
        return min(max(0.0, float(request.GET[name])), most)  # in this order NaN becomes 0
    except (KeyError, ValueError):
        return default
