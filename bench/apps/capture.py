# Runs a WSGI application once, without any server, and writes its response as a server would send it.
#
#   python -m bench.apps.capture APP PATH > response
#
# The C floor answers with these bytes: same page, no application.

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any
from wsgiref.util import setup_testing_defaults


def capture(target: str, path: str) -> bytes:
    module, _, attribute = target.partition(":")
    application = vars(import_module(module))[attribute]
    head: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        head[:] = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in headers if k.lower() != "content-length")]

    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    environ |= {"SERVER_NAME": "127.0.0.1", "HTTP_HOST": "127.0.0.1"}
    result = application(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


if __name__ == "__main__":
    sys.stdout.buffer.write(capture(sys.argv[1], sys.argv[2]))
