# The body of one request on its way to the application, and the news that its client has left.
#
# Rule: whatever arrived is told before the end is: a client may send everything, close its side and wait.

from __future__ import annotations

import asyncio
from typing import Any

from bigtop.backends.asgi.loop.waiters import Waiters
from bigtop.backends.native.timeouts import Wait

Message = dict[str, Any]


class BodyQueue:
    """What receive() tells. `ended`: the whole body is here."""

    __slots__ = ("_began", "_came", "_pieces", "_told", "_waiters", "ended", "gone", "size")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, ended: bool) -> None:
        self.ended = ended
        self.gone = False
        self.size = 0
        self._pieces: list[bytes | memoryview] = []
        self._told = False  # the end of the body was
        self._began = 0  # since when the client could send without a pause, and how much has come since
        self._came = 0
        # Several tasks may wait: some listen for the end only.
        self._waiters = Waiters(loop)

    def put(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        self._came += len(piece)
        self._waiters.wake()

    def pause(self) -> None:
        """Nothing is read, or asked for, for a while: that is not the client's fault."""
        self._began = self._came = 0

    def is_too_slow(self, wait: Wait, now: int) -> bool:
        """Whether the client sends less than it has to."""
        self._began = self._began or now
        return wait.is_too_slow(self._came, self._began, now)

    def end(self) -> None:
        self.ended = True
        self._waiters.wake()

    def leave(self) -> None:
        """The client is gone, or was answered."""
        self.gone = True
        self._waiters.wake()

    def take(self) -> Message | None:
        """Return what there is to tell, None for nothing yet."""
        if self._pieces or (self.ended and not self._told and not self.gone):
            body = b"".join(self._pieces)
            self._pieces.clear()
            self.size = 0
            self._told = self.ended
            return {"type": "http.request", "body": body, "more_body": not self.ended}
        return {"type": "http.disconnect"} if self.gone else None

    def drop(self) -> None:
        """Forget what nobody will read."""
        self._pieces.clear()
        self.size = 0

    async def wait(self) -> None:
        """Wait for something to tell."""
        await self._waiters.wait()
