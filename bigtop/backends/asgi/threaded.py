# A WSGI application as one for ASGI: each request is read as a whole, then answered in a thread.
#
# Rule 1: the thread of the event loop never runs the application: Django, with reason, refuses to touch its
# database in a thread where one runs.
# Rule 2: the application is held back by its client, and told (OSError) when that has left.

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from bigtop.backends.base import App
from bigtop.http.asgi import Message
from bigtop.http.forwarded import Forwarding, Trust
from bigtop.http.messages import Request
from bigtop.http.scope import Scope
from bigtop.http.wsgi import Environ, ExcInfo, Peer, environ, worker_environ

Send = Callable[[Message], Any]

# What proxies said was taken into the scope before.
_NOBODY = Forwarding(Trust(()), ())


class InThreads:
    """Answers with `app`, in `threads` threads. A body of more than `memory` bytes goes to a file in
    `directory`."""

    def __init__(self, app: App, threads: int, memory: int, directory: str | None) -> None:
        self._app = app
        self._threads = threads
        self._memory = memory
        self._directory = directory
        self._pool: ThreadPoolExecutor | None = None  # made after the fork
        self._environ = worker_environ(sys.stderr, multithread=threads > 1, multiprocess=True)

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close"})
            return
        with SpooledTemporaryFile(max_size=self._memory, dir=self._directory) as body:
            length = await _collect(receive, body)
            if length is None:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="wsgi")
            loop = asyncio.get_running_loop()

            def put(message: Message) -> None:
                asyncio.run_coroutine_threadsafe(send(message), loop).result()

            env = self._environ_of(scope, body, length)
            await loop.run_in_executor(self._pool, copy_context().run, self._answer, env, _Answer(put))

    def _environ_of(self, scope: Scope, body: Any, length: int) -> Environ:
        target: bytes = scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        request = Request(scope["method"], target)
        request.version = scope["http_version"]
        request.headers = scope["headers"]
        request.chunked = any(name == b"transfer-encoding" for name, _value in scope["headers"])
        peer = Peer(self._environ, scope["server"], scope["client"], _NOBODY, scope["scheme"])
        env = environ(request, peer, body, length)
        script = scope["root_path"].encode().decode("latin-1")
        env["SCRIPT_NAME"] = script
        env["PATH_INFO"] = env["PATH_INFO"].removeprefix(script)
        return env

    def _answer(self, env: Environ, answer: _Answer) -> None:
        response = self._app(env, answer.start_response)
        try:
            for piece in response:
                answer.write(piece)
            answer.end()
        finally:
            if hasattr(response, "close"):
                response.close()


async def _collect(receive: Callable[..., Any], body: IO[bytes]) -> int | None:
    """Read the whole body; return its length, None when the client left before."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        length += body.write(message.get("body", b""))
        more = message.get("more_body", False)
    body.seek(0)
    return length


class _Answer:
    """What start_response() and its like come to. In the thread of the application."""

    def __init__(self, put: Callable[[Message], None]) -> None:
        self._put = put
        self._start: Message | None = None
        self._begun = False  # the head is out
        self._last: bytes | None = None  # kept back until it is known whether more follows

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's. Raises what is in `exc_info` when it is too late to answer with anything else."""
        if exc_info and self._begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._start is not None and not exc_info:
            raise AssertionError("start_response() was called a second time without exc_info")
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._start = {"type": "http.response.start", "status": int(status[:3]), "headers": fields}
        self._last = None
        return self.write

    def write(self, piece: bytes) -> None:
        """Take a piece of the body; the one before it is sent."""
        if piece:
            if self._last is not None:
                self._send(self._last, more=True)
            self._last = piece

    def end(self) -> None:
        self._send(self._last or b"", more=False)

    def _send(self, piece: bytes, *, more: bool) -> None:
        if not self._begun:
            if self._start is None:
                raise AssertionError("the application did not call start_response()")
            self._put(self._start)
            self._begun = True
        self._put({"type": "http.response.body", "body": piece, "more_body": more})
