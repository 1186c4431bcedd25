# Tab of a browser: one WebSocket with all that its pages look at.
#
# Rules: event loop only. It is sent what it has credits for, and nothing once its lease is over. It can only
# look: actions come by POST. What it sends is small and well-formed, or it is closed.

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from bigtop.record import Record, as_dict
from bigtop.top.watch import clock
from bigtop.web import loglines
from bigtop.web.access.sessions import Person
from bigtop.web.hub import Hub
from bigtop.web.rules.actions import DeclinedError
from bigtop.web.rules.flows import LEASE, MOST_FLOWS, Credits, Lease, Lines, Told

Message = dict[str, Any]
_LONGEST: Final = 16_384  # characters of what it sends
_FLUSH: Final = 0.1  # seconds between two batches of lines
_WRONG, _OVER, _ASLEEP = 4400, 4401, 4408  # why it is closed


class _Flow:
    """One thing that it looks at."""

    def __init__(self, topic: str, said: Mapping[str, Any]) -> None:
        self.topic = topic
        self.said = said
        self.told = Told()
        self.credits = Credits(1)
        self.last: dict[str, Any] | None = None
        self.lines: Lines | None = None
        self.tasks: list[asyncio.Task[None]] = []


class Tab:
    """From run() to its end. `person` returns who looks, None once that is nobody any more."""

    def __init__(
        self,
        hub: Hub,
        person: Callable[[], Person | None],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._person = person
        self._receive = receive
        self._send = send
        self._flows: dict[int, _Flow] = {}
        self._lease = Lease(clock())
        self._more = asyncio.Event()  # a flow, or credits for one

    async def run(self) -> None:
        """Serve it until it leaves."""
        self._hub.look()
        ways = (self._hear, self._tell, self._expire)
        tasks: list[asyncio.Task[int | None]] = [asyncio.create_task(way()) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                code = task.result()
                if code:
                    await self._send({"type": "websocket.close", "code": code})
        except OSError:  # it has left
            pass
        finally:
            ending = [*tasks, *(task for flow in self._flows.values() for task in flow.tasks)]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    # ---- what it says

    async def _hear(self) -> int:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return 0
            text = message.get("text")
            if not isinstance(text, str) or len(text) > _LONGEST:
                return _WRONG
            try:
                said = json.loads(text)
            except (ValueError, RecursionError):
                return _WRONG
            if not isinstance(said, dict) or not self._heed(said):
                return _WRONG

    def _heed(self, said: Message) -> bool:
        """Do what it says; False: it is nothing that we understand."""
        number = said.get("id")
        match said.get("do"):
            case "here":
                self._lease.renew(clock())
                self._hub.look()
                return True
            case "open" if type(number) is int and isinstance(said.get("topic"), str):
                return self._open(number, said)
            case "close" if type(number) is int:
                flow = self._flows.pop(number, None)
                for task in flow.tasks if flow is not None else ():
                    task.cancel()
                return True
            case "more" if type(number) is int and type(said.get("n")) is int:
                if number in self._flows:
                    self._flows[number].credits.grant(said["n"])
                    self._more.set()
                return True
        return False

    def _open(self, number: int, said: Message) -> bool:
        if number in self._flows or len(self._flows) >= MOST_FLOWS:
            return False
        flow = self._flows[number] = _Flow(said["topic"], said)
        if said["topic"] == "logs":
            flow.credits = Credits(0)
            flow.tasks.append(asyncio.create_task(self._follow(number, flow)))
        self._more.set()
        return True

    # ---- what it is told

    async def _tell(self) -> int:
        while True:
            news = self._hub.news
            self._more.clear()
            for number, flow in list(self._flows.items()):
                if flow.topic != "logs" and flow.credits.count:
                    await self._step(number, flow)
            waiting = [asyncio.create_task(news.wait()), asyncio.create_task(self._more.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()

    async def _step(self, number: int, flow: _Flow) -> None:
        person = self._person()
        if person is None:
            return  # _expire() sees it
        try:
            told = flow.told.step(await self._hub.view(flow.topic, flow.said, person))
        except DeclinedError as error:
            told = {"refused": str(error)}
            if told == flow.last:
                return
        flow.last = told
        if told is not None and number in self._flows:
            flow.credits.take(1)
            await self._write({"id": number, **told})

    async def _expire(self) -> int:
        while not self._lease.is_over(clock()):
            if self._person() is None:
                return _OVER
            await asyncio.sleep(LEASE / 10)
        return _ASLEEP

    async def _write(self, message: Message) -> None:
        await self._send({"type": "websocket.send", "text": encoded(message)})

    # ---- lines

    async def _follow(self, number: int, flow: _Flow) -> None:
        flow.lines = Lines()
        there = asyncio.Event()
        try:
            wanted = self._wanted(flow.said)
        except DeclinedError as error:
            await self._write({"id": number, "refused": str(error)})
            return
        for name, names in wanted.items():
            daemon = self._hub.daemon(name)
            flow.tasks.append(asyncio.create_task(loglines.follow(daemon, names, flow.lines, there.set)))
        with contextlib.suppress(OSError):  # it has left
            while True:
                await there.wait()
                there.clear()
                batch, dropped = flow.lines.batch(flow.credits)
                if batch:
                    text = f'{{"id": {number}, "dropped": {dropped}, "lines": [{",".join(batch)}]}}'
                    await self._send({"type": "websocket.send", "text": text})
                if len(flow.lines):
                    there.set()
                await asyncio.sleep(_FLUSH)

    def _wanted(self, said: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return daemon -> watchers. DeclinedError: it is no such thing."""
        found: dict[str, list[str]] = {}
        watchers = said.get("watchers")
        if not isinstance(watchers, list) or not 0 < len(watchers) <= loglines.MOST:
            raise DeclinedError(f"1 to {loglines.MOST} watchers")
        for one in watchers:
            if not (isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one)):
                raise DeclinedError("watchers: [daemon, watcher] each")
            self._hub.daemon(one[0])
            found.setdefault(one[0], []).append(one[1])
        return found


def encoded(message: object) -> str:
    return json.dumps(message, default=_plain, separators=(",", ":"))


def _plain(one: object) -> object:
    if isinstance(one, Record):
        return as_dict(one)
    raise TypeError(f"{one!r} has no form in JSON")
