# The messages of one WebSocket on their way to the application, and why there are no more.

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from bigtop.backends.asgi.loop.waiters import Waiters

Message = dict[str, Any]


class MessageQueue:
    """What receive() tells. `limit`: messages that may wait."""

    __slots__ = ("_last", "_limit", "_messages", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Message] = deque([{"type": "websocket.connect"}])
        self._last: Message | None = None
        self._waiters = Waiters(loop)

    @property
    def is_full(self) -> bool:
        return len(self._messages) >= self._limit

    @property
    def has_words(self) -> bool:
        """Whether the client said something that the application does not know."""
        return bool(self._messages) and self._messages[-1]["type"] == "websocket.receive"

    @property
    def is_closed(self) -> bool:
        return self._last is not None

    def put(self, payload: str | bytes) -> None:
        key = "text" if isinstance(payload, str) else "bytes"
        self._messages.append({"type": "websocket.receive", key: payload})
        self._waiters.wake()

    def close(self, code: int, reason: str) -> None:
        """Tell that it is over when all messages were told. The first reason counts."""
        if self._last is None:
            self._last = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._waiters.wake()

    async def take(self) -> Message:
        """Wait for what comes next."""
        while not self._messages:
            if self._last is not None:
                return self._last
            await self._waiters.wait()
        return self._messages.popleft()
