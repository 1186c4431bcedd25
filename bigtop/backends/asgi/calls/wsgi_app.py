# A WSGI application as one for ASGI: each request is read as a whole, unless its body is wanted as it comes
# (--stream-bodies), then answered in a thread.
#
# Rule 1: the thread of the event loop never runs the application: Django, with reason, refuses to touch its
# database in a thread where one runs.
# Rule 2: the application is held back by its client, and told (OSError) when that has left.

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from io import BufferedReader, RawIOBase
from math import inf
from tempfile import SpooledTemporaryFile
from time import monotonic
from typing import IO, Any, Final

from bigtop.backends.asgi.calls.disconnect import ClientDisconnected
from bigtop.backends.base import App
from bigtop.backends.cutoff import InterruptibleJob
from bigtop.backends.failures import leave_fork
from bigtop.backends.native.handlers.queue_limit import waited_too_long
from bigtop.errors import error_of
from bigtop.http.clients.forwarded import Forwarding, Trust
from bigtop.http.interfaces.asgi import Message
from bigtop.http.interfaces.scope import USER, Scope
from bigtop.http.interfaces.wsgi import Environ, Environs, Peer, environ, joined, worker_environ
from bigtop.http.messages import Request
from bigtop.http.paths.path_patterns import is_like
from bigtop.http.paths.time_limits import NAME
from bigtop.http.response import head_of

Send = Callable[[Message], Any]

PIECE: Final = 65536  # bytes of a body that are read at once
SILENCE: Final = 1.0  # seconds of empty pieces before the head goes out

# The scope holds what an application may be shown, and what proxies said was taken into it.
_AS_IT_IS = Forwarding(Trust(("*",)), (), header_map="dangerous", forwarder=())


class InThreads:
    """Answers with `app`, in `threads` threads. A body of more than `memory` bytes goes to a file in
    `directory`. Where the path of a request is like one in `streamed`, its body is read as it comes. No
    request waits for a thread for more than `max_queue_time` seconds; 0: any does."""

    def __init__(
        self,
        app: App,
        threads: int,
        memory: int,
        directory: str | None,
        streamed: Sequence[str] = (),
        max_queue_time: float = 0,
    ) -> None:
        self._streamed = streamed
        self._max_queue_time = max_queue_time or inf
        self._app = app
        self._threads = threads
        self._memory = memory
        self._directory = directory
        self._pool: ThreadPoolExecutor | None = None  # made after the fork
        self._environs = Environs(worker_environ(sys.stderr, multithread=threads > 1, multiprocess=True))

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close"})
            return
        if is_like(scope["raw_path"], self._streamed):
            body = BufferedReader(_Incoming(receive, asyncio.get_running_loop()), PIECE)
            await self._run(self._environ_of(scope, body, None), send)
            return
        with SpooledTemporaryFile(max_size=self._memory, dir=self._directory) as collected:
            length = await _collect(receive, collected)
            if length is not None:
                await self._run(self._environ_of(scope, collected, length), send)

    async def _run(self, env: Environ, send: Send) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="wsgi")
        loop = asyncio.get_running_loop()

        def put(message: Message) -> None:
            asyncio.run_coroutine_threadsafe(send(message), loop).result()

        began, job = monotonic(), InterruptibleJob()

        def answer() -> None:
            if monotonic() - began > self._max_queue_time:
                _Answer(put).refuse(self._max_queue_time)
            else:
                job.run(lambda: self._answer(env, _Answer(put)))

        try:
            await loop.run_in_executor(self._pool, copy_context().run, answer)
        except asyncio.CancelledError:  # past its time limit, or the worker's: nobody waits for it any more
            job.interrupt()
            raise

    def _environ_of(self, scope: Scope, body: Any, length: int | None) -> Environ:
        target: bytes = scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        request = Request(scope["method"], target)
        request.version = scope["http_version"]
        request.headers = scope["headers"]
        request.chunked = any(name == b"transfer-encoding" for name, _value in scope["headers"])
        peer = Peer(self._environs, scope["server"], scope["client"], _AS_IT_IS, scope["scheme"])
        request.user = scope.get(USER, "")
        env = environ(request, peer, body, length)
        script = scope["root_path"].encode().decode("latin-1")
        env["SCRIPT_NAME"] = script
        env["PATH_INFO"] = env["PATH_INFO"].removeprefix(script)
        if (deadline := scope.get("extensions", {}).get(NAME)) is not None:
            env[NAME] = deadline["extend"].__self__
        return env

    def _answer(self, env: Environ, answer: _Answer) -> None:
        try:
            response = self._app(env, answer.start_response)
            try:
                if isinstance(response, (list, tuple)):
                    answer.whole(joined(response))
                else:
                    for piece in response:
                        answer.put(piece)
                    answer.whole(b"")
            finally:
                if hasattr(response, "close"):
                    response.close()
        except BaseException as error:  # it goes on to the event loop's thread
            leave_fork(error)
            if isinstance(error, StopIteration):
                raise RuntimeError("the application raised StopIteration") from error  # no Future takes that
            raise


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


class _Incoming(RawIOBase):
    """What is left of a body, to be wrapped in a BufferedReader; read in the thread of the application."""

    def __init__(self, receive: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> None:
        self._receive = receive
        self._loop = loop
        self._piece = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._piece and self._more:
            message = asyncio.run_coroutine_threadsafe(self._receive(), self._loop).result()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected("the client left in the middle of the body")
            self._piece = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


class _Answer:
    """What start_response() and its like come to. In the thread of the application."""

    def __init__(self, put: Callable[[Message], None]) -> None:
        self._put = put
        self._start: Message | None = None
        self._begun = False  # the head is out
        self._silent_since = monotonic()

    def start_response(
        self, status: object, headers: object, exc_info: object = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's. Raises what is in `exc_info` when it is too late to answer with anything else."""
        if exc_info:
            error = error_of(exc_info)
            if self._begun:
                raise error
        if self._start is not None and not exc_info:
            raise AssertionError("start_response() was called a second time without exc_info")
        if not isinstance(headers, list):
            raise TypeError(f"start_response(): headers is {type(headers).__name__}, not list")
        head = head_of(status, headers)  # which says what is wrong with them
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._start = {"type": "http.response.start", "status": head.code, "headers": fields}
        return self.write

    def refuse(self, seconds: float) -> None:
        """Answer a request that waited for a thread for more than so many seconds."""
        reply = waited_too_long(seconds)
        self.start_response(reply.head.status, reply.headers)
        self.whole(b"".join(part for part in reply.parts if isinstance(part, bytes)))

    def write(self, piece: bytes) -> None:
        """PEP 3333's: send a piece of the body."""
        if piece:
            self._send(piece, more=True)

    def put(self, piece: bytes) -> None:
        """Send a piece of the body. The head waits for the first that is not empty, within reason: an answer
        of nothing else has to notice, by what is sent, that nobody wants it."""
        if piece or self._begun or monotonic() - self._silent_since > SILENCE:
            self._send(piece, more=True)

    def whole(self, piece: bytes) -> None:
        """Send the rest of the body."""
        self._send(piece, more=False)

    def _send(self, piece: bytes, *, more: bool) -> None:
        if not self._begun:
            if self._start is None:
                raise AssertionError("the application did not call start_response()")
            self._put(self._start)
            self._begun = True
        self._put({"type": "http.response.body", "body": piece, "more_body": more})
