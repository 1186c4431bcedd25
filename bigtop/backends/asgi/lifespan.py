# The lifespan protocol: one call of the application around all others, told of start and end.
#
# Rule: an application may not know it. With "auto" whatever it raises before it has answered means just that;
# with "on" it is a failure. startup.failed always is one: the application knows the protocol and says so.

from __future__ import annotations

import asyncio
import logging
from typing import Any

from bigtop.backends.base import App
from bigtop.errors import AppError
from bigtop.http.asgi import Message

log = logging.getLogger("bigtop.app")


class Lifespan:
    """`mode` is "auto", "on" or "off"; `state` is what the application may fill for its requests."""

    def __init__(self, app: App, mode: str, state: dict[str, Any]) -> None:
        self._app = app
        self._mode = mode
        self._state = state
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Return when the application is ready; AppError says why it will not be."""
        if self._mode == "off":
            return
        self._task = asyncio.create_task(self._run(), name="lifespan")
        answer = await self._ask("startup")
        if answer is None:
            error = self._task.exception()
            self._task = None
            if self._mode == "on":
                raise AppError(
                    f"the application's lifespan ended before it was started: {error!r}"
                ) from error
            log.debug("the application does not know the lifespan protocol: %r", error)
        elif answer["type"] == "lifespan.startup.failed":
            await self._finish()
            # Frameworks put the traceback here; its last line says what is wrong.
            text = str(answer.get("message", "")).strip()
            last = text.splitlines()[-1] if text else "it gives no reason"
            raise AppError(f"the application failed to start: {last}", text if "\n" in text else "")

    async def shutdown(self) -> None:
        """Return when the application is done."""
        if self._task is None:
            return
        if self._task.done():
            log.error("the application's lifespan ended early", exc_info=self._task.exception())
            return
        answer = await self._ask("shutdown")
        if answer is None:
            log.error("the application failed to shut down", exc_info=self._task.exception())
            return
        if answer["type"] == "lifespan.shutdown.failed":
            log.error("the application failed to shut down: %s", answer.get("message", ""))
        await self._finish()

    async def _ask(self, what: str) -> Message | None:
        """Return the answer; None when the application ended without one."""
        assert self._task is not None
        self._inbox.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._told.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return None if self._told.empty() else self._told.get_nowait()

    async def _finish(self) -> None:
        """Let the application's call come to its end; what it raises then was told already."""
        assert self._task is not None
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        await self._app(scope, self._inbox.get, self._send)

    async def _send(self, message: Message) -> None:
        self._told.put_nowait(message)
