# The lifespan protocol: one call of the application around all others, told of start and end.
#
# Rule: an application may not know it. With "auto" whatever it raises before it asks what there is, by
# receive(), means just that. One that has taken the message and raises knows the protocol and fails, as does
# one that answers with startup.failed. With "on" everything but startup.complete is a failure.

from __future__ import annotations

import asyncio
from typing import Any

from bigtop.backends.base import App
from bigtop.backends.cutoff import CutOff
from bigtop.errors import AppError
from bigtop.http.interfaces.asgi import Message, no_message
from bigtop.loader import failure
from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")


class Lifespan:
    """`mode` is "auto", "on" or "off"; `state` is what the application may fill for its requests."""

    def __init__(self, app: App, mode: str, state: dict[str, Any]) -> None:
        self._app = app
        self._mode = mode
        self._state = state
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._heard = False  # the application has taken a message
        self._asked = ""  # "startup" or "shutdown", until it is answered
        self._error: BaseException | None = None  # that it raised

    async def startup(self) -> None:
        """Return when the application is ready; AppError says why it will not be."""
        if self._mode == "off":
            return
        self._task = asyncio.create_task(self._run(), name="lifespan")
        answer = await self._ask("startup")
        if answer is None:
            error, self._task = self._error, None
            if error is not None and (self._heard or isinstance(error, SystemExit)):
                raise failure("the application failed to start", error) from error
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
            log.error("the application's lifespan ended early", exc_info=self._error)
            return
        answer = await self._ask("shutdown")
        if answer is None:
            log.error("the application failed to shut down", exc_info=self._error)
            return
        if answer["type"] == "lifespan.shutdown.failed":
            log.error("the application failed to shut down: %s", answer.get("message", ""))
        await self._finish()
        if self._error is not None and answer["type"] != "lifespan.shutdown.failed":
            log.error("the application failed after it had shut down", exc_info=self._error)

    async def _ask(self, what: str) -> Message | None:
        """Return the answer; None when the application ended without one."""
        assert self._task is not None
        self._asked = what
        self._inbox.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._told.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return None if self._told.empty() else self._told.get_nowait()

    async def _finish(self) -> None:
        """Let the application's call come to its end."""
        assert self._task is not None
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except (Exception, SystemExit, CutOff) as error:
            # Whatever it is, it is the end of this call only; who waits for it says what follows.
            self._error = error

    async def _receive(self) -> Message:
        message = await self._inbox.get()
        self._heard = True
        return message

    async def _send(self, message: Message) -> None:
        try:
            kind = message["type"]
        except (TypeError, KeyError, IndexError):
            raise no_message(message) from None
        if not str(kind).startswith("lifespan."):
            self._heard = False  # it answers whatever it is called for, so this protocol is not known to it
            raise RuntimeError(f"{kind!r} was sent to the lifespan protocol")
        expected = [f"lifespan.{self._asked}.{end}" for end in ("complete", "failed")]
        if not self._asked:
            raise RuntimeError(f"{kind!r} was sent when nothing was asked")
        if kind not in expected:
            raise RuntimeError(f"{kind!r} was sent, not {' or '.join(expected)}")
        self._asked = ""
        self._told.put_nowait(message)
