# A WebSocket over TLS, as the clients of websockets.sync are without: those read in one thread and write in
# another, which objects of OpenSSL do not stand (the ticket of a server that arrives while they write makes
# them hang, once in fifty times). Here one event loop, in a thread of its own, does both.

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from tests.support.tls_client import context

LIMIT = 60.0  # seconds
T = TypeVar("T")


class SecureWebSocket:
    """One connection, open until the block ends; it believes the certificate for localhost."""

    def __init__(self, port: int, path: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._client = self._done(self._opened(f"wss://127.0.0.1:{port}{path}"))
        except BaseException:
            self._end()
            raise

    async def _opened(self, place: str) -> ClientConnection:
        return await connect(
            place, ssl=context(), server_hostname="localhost", proxy=None, open_timeout=LIMIT
        )

    def send(self, message: str | bytes) -> None:
        self._done(self._client.send(message))

    def recv(self, timeout: float = LIMIT) -> str | bytes:
        return self._done(asyncio.wait_for(self._client.recv(), timeout))

    @property
    def close_code(self) -> int | None:
        return self._client.close_code

    def __enter__(self) -> SecureWebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        try:
            self._done(self._client.close())
        finally:
            self._end()

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * LIMIT)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
