# Answers that ask to be slowed down (X-Accel-Limit-Rate): /whole?SIZE&RATE in one piece, /pieces the same in
# many, /file as a file of the server's choice, and /named from one that is named (X-Accel-Redirect); all else
# is quick. RATE may be "".

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import Any

PIECE = 10_000


def _asked(query: str) -> tuple[int, list[tuple[str, str]]]:
    size, _, rate = query.partition("&")
    return int(size or 0), [("X-Accel-Limit-Rate", rate)] if rate else []


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    size, headers = _asked(environ["QUERY_STRING"])
    path = environ["PATH_INFO"]
    if path == "/named":
        start_response("200 OK", [*headers, ("X-Accel-Redirect", "/files/big")])
        return [b"not this"]
    start_response("200 OK", [*headers, ("Content-Length", str(size))])
    if path == "/pieces":
        return (bytes(PIECE) for _ in range(size // PIECE))
    if path == "/file":
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
        file.write(bytes(size))
        file.seek(0)
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]
    return [bytes(size)]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    size, headers = _asked(scope["query_string"].decode())
    path = scope["path"]
    if path == "/named":
        headers.append(("X-Accel-Redirect", "/files/big"))
    else:
        headers.append(("Content-Length", str(size)))
    fields = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if path == "/pieces":
        for _ in range(size // PIECE):
            await send({"type": "http.response.body", "body": bytes(PIECE), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/file":
        with tempfile.TemporaryFile() as file:
            file.write(bytes(size))
            await send({"type": "http.response.zerocopysend", "file": file, "offset": 0, "count": size})
    else:
        await send({"type": "http.response.body", "body": bytes(size)})
