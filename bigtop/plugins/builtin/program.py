# Program: a plugin in any language, which hears events on standard input and commands on standard output.
#
# A line each way is an object of JSON. To the program: {"seq", "watcher", "event", "time", "pid", "status",
# "payload"}, and {"reply": ID, ...} for a call. From it: {"ok": SEQ} acknowledges an event, {"call": COMMAND,
# "properties": {...}, "id": ID} gives a command; without an id nothing is replied. {"log": TEXT} is logged.
#
# Rules: what it says wrong is told in the log, a line a second at most, and does nothing. It is never waited
# for: what it does not read stays here, as far as there is room. Events that it did not acknowledge when it
# ended are for the next one.

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from bigtop.errors import BigtopError, one_line
from bigtop.plugins import topics
from bigtop.plugins.options import OptionError, option
from bigtop.plugins.outbox import HungError, Outbox
from bigtop.plugins.plugin import Event, Plugin

_LONGEST: Final = 1 << 20  # bytes of a line
_MOST_CALLS: Final = 100  # not replied to yet
_UNREAD: Final = 1 << 16  # bytes that it has not read, with which it is sent no more
_KEPT: Final = "unacknowledged"


class EndedError(BigtopError):
    """The program ended by itself."""


class Program(Plugin):
    """A program in any language that hears events and gives commands, in lines of JSON."""

    cmd: str = option(help="the program and its arguments", takes="COMMAND")
    events: tuple[str, ...] = option(("*",), help="which events it hears, such as *.reap")
    ack_timeout: float = option(
        10.0, help="seconds until an event that it has not acknowledged is sent again", minimum=0.1
    )
    ack_tries: int = option(3, help="how often an event is sent; then the program counts as hung", minimum=1)
    backlog: int = option(1000, help="events that wait for it; what comes beyond is dropped", minimum=1)

    async def check(self) -> None:
        try:
            self.topics = topics.checked(self.events)
        except ValueError as error:
            raise OptionError("events", str(error)) from None
        try:
            words = shlex.split(self.cmd)
        except ValueError as error:
            raise OptionError("cmd", str(error)) from None
        if not words:
            raise OptionError("cmd", "is empty")
        if shutil.which(words[0]) is None:
            where = "" if "/" in words[0] else f" on its PATH ({os.environ.get('PATH', os.defpath)})"
            raise OptionError(
                "cmd", f"{words[0]}: there is no such program{where}, or it may not be executed"
            )

    async def start(self) -> None:
        self._outbox = Outbox(self.backlog, self.ack_tries, self.ack_timeout)
        for each in self.state.pop(_KEPT, []):
            self._outbox.put(Event(*each))
        self._news = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._is_hung = self._is_over = False
        self._told = 0.0  # when something wrong was told last
        try:
            self._process = await asyncio.create_subprocess_exec(
                *shlex.split(self.cmd), stdin=PIPE, stdout=PIPE, limit=_LONGEST
            )
        except OSError as error:
            raise EndedError(f"cmd: {shlex.split(self.cmd)[0]}: {error.strerror}") from None
        self.background(self._until_its_end(self._process))
        self.background(self._send(self._process))

    async def on_event(self, event: Event) -> None:
        self._outbox.put(event)
        self._news.set()

    async def stop(self) -> None:
        self._is_over = True
        self._keep()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def _keep(self) -> None:
        left = self._outbox.unacknowledged()
        if not left:
            return
        try:
            self.state[_KEPT] = [[each.watcher, each.kind, dict(each.payload)] for each in left]
        except OSError as error:
            self.log.warning("%d events are lost: %s: %s", len(left), error.filename, error.strerror)

    # ---- to the program

    async def _send(self, process: Process) -> None:
        try:
            while True:
                self._news.clear()
                if self._reads:
                    for number, event in self._due():
                        self._write({"seq": number, **shown(event)})
                due = self._outbox.next_due()
                wait = None if due is None else max(0.05, due - time.monotonic())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), wait)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL if self._is_hung else signal.SIGTERM)

    def _due(self) -> list[tuple[int, Event]]:
        try:
            return list(self._outbox.due(time.monotonic()))
        except HungError:
            self._is_hung = True
            self._keep()
            raise

    def _write(self, message: Mapping[str, object]) -> None:
        stdin = self._process.stdin
        if (
            stdin is not None and not stdin.is_closing()
        ):  # else it is about to end, and that is heard otherwise
            stdin.write(json.dumps(message).encode() + b"\n")

    @property
    def _reads(self) -> bool:
        """Whether there is room for more of what it is told."""
        stdin = self._process.stdin
        return stdin is not None and stdin.transport.get_write_buffer_size() < _UNREAD

    # ---- from the program

    async def _until_its_end(self, process: Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                break
            except asyncio.LimitOverrunError as error:
                await process.stdout.readexactly(error.consumed)
                self._complain("a line is too long")
                continue
            self._heard(line)
        status = await process.wait()
        if self._is_over:
            return
        self._keep()
        raise EndedError(f"the program ended with status {status}")

    def _heard(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"ok": int(number)}:
                if not self._outbox.acknowledge(number):
                    self._complain(f"there is no event {number} to acknowledge")
                self._news.set()
            case {"call": str(command), **rest}:
                self._obey(command, rest)
            case {"log": str(text)}:
                self.log.info("%s", one_line(text))
            case _:
                self._complain(f"not understood: {one_line(line[:200].decode(errors='replace').strip())}")

    def _obey(self, command: str, rest: Mapping[Any, Any]) -> None:
        properties = rest.get("properties", {})
        if not isinstance(properties, dict) or "command" in properties:
            self._complain("properties is an object")
        elif len(self._calls) >= _MOST_CALLS or not self._reads:
            self._complain(
                f"{_MOST_CALLS} calls are not finished, or their replies not read: {command} is not made"
            )
        else:
            task = asyncio.create_task(self._call(command, properties, rest.get("id")))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _call(self, command: str, properties: dict[str, Any], call_id: object) -> None:
        try:
            reply = await self.call(command, **properties)
        except BigtopError as error:
            reply = {"status": "error", "reason": str(error)}
            if call_id is None:
                self._complain(f"{command}: {error}")
        if call_id is not None:
            self._write({"reply": call_id, **reply})

    def _complain(self, trouble: str) -> None:
        now = time.monotonic()
        if now - self._told >= 1.0 or not self._told:
            self._told = now
            self.log.warning("%s", trouble)


def shown(event: Event) -> dict[str, object]:
    """Return an event as a program is told of it."""
    told = {"watcher": event.watcher, "event": event.kind, "time": event.time}
    return {**told, "pid": event.pid, "status": event.status, "payload": dict(event.payload)}
