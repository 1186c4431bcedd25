# An application that reads its body in several ways, and says so.

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from bigtop.backends.asgi.calls.wsgi_app import InThreads


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, body = environ["PATH_INFO"], environ["wsgi.input"]
    count = 0
    if path == "/lines":
        for line in body:
            print(f"line {count}: {line!r}", file=sys.stderr, flush=True)
            count += 1
            if count == 3:
                break
    elif path != "/lines/ignored":
        try:
            while piece := body.read1(65536):
                count += len(piece)
        except OSError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            raise
    answer = str(count).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


class Mounted(InThreads):
    """The same below ASGI, which is asked for its start and end there."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": message["type"] + ".complete"})
        else:
            await super().__call__(scope, receive, send)


mounted = Mounted(app, 2, 1 << 16, None, ("/lines*", "/count"))
