# Bench for tests of plugins: feeds events, lets time pass at will, and remembers which commands were given.
#
#     with Bench(QueueScaler, watcher="web", per_worker=10) as bench:
#         bench.pass_time(5)
#         assert bench.calls == [Call("set", {"name": "web", "options": {"numprocesses": 4}})]

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Generic, TypeVar

from bigtop.control.protocol import RefusedError
from bigtop.log import logger as get_logger
from bigtop.plugins import topics
from bigtop.plugins.plugin import Event, Plugin, Turn, called, configured
from bigtop.record import Record

P = TypeVar("P", bound=Plugin)
Reply = Callable[[Mapping[str, object]], Mapping[str, object]]


class Call(Record):
    """A command that a plugin gave, by call() or cast()."""

    command: str
    properties: Mapping[str, object]


class Bench(Generic[P]):
    """Runs a plugin of the class `kind`, in a with statement: check() and start() at its beginning, stop() at
    its end. Its options are given as texts, as in a file, or as values. OptionError: one of them is wrong.
    """

    def __init__(
        self,
        kind: type[P],
        /,
        *,
        name: str = "plugin:test",
        state: dict[str, Any] | None = None,
        **given: object,
    ) -> None:
        self.name = name
        self.log: logging.Logger = get_logger("bigtop")
        self.state: MutableMapping[str, Any] = {} if state is None else state
        self.calls: list[Call] = []
        self.now = 0.0  # seconds since the beginning
        self._replies: dict[str, Reply] = {}
        self._turns: list[tuple[float, float, Turn]] = []  # when it is due, its period
        values, problems = configured(kind, {key: _texts(value) for key, value in given.items()})
        if problems:
            raise problems[0]
        self.plugin = kind(self)
        vars(self.plugin).update(values)
        self._runner = asyncio.Runner()
        self._tasks: list[asyncio.Task[object]] = []  # of background(): they have their turns with others

    def __enter__(self) -> Bench[P]:
        try:
            self._run(self.plugin.check())
            self._run(self.plugin.start())
        except BaseException:  # whatever it was: raised again
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._run(self.plugin.stop())
        finally:
            self._runner.close()

    # ---- what the world does

    def reply(self, command: str, answer: Reply | None = None, /, **properties: object) -> None:
        """Reply so to a command from now on; `answer` makes a reply of the properties of the call."""
        self._replies[command] = answer or (lambda _: properties)

    def refuse(self, command: str, reason: str) -> None:
        """Refuse a command from now on, as a supervisor does."""

        def refused(_: Mapping[str, object]) -> Mapping[str, object]:
            raise RefusedError(reason)

        self._replies[command] = refused

    def feed(self, topic: str, **payload: object) -> bool:
        """Have an event happen, such as "web.reap"; False: the plugin does not want to hear of it."""
        watcher, _, kind = topic.rpartition(".")
        if not topics.chosen(topics.checked(self.plugin.topics), watcher, kind):
            return False
        self._run(self.plugin.on_event(Event(watcher, kind, {"time": self.now, **payload})))
        return True

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and what is called in turns have its turns."""
        end = self.now + seconds
        while due := sorted((turn for turn in self._turns if turn[0] <= end), key=lambda turn: turn[0])[:1]:
            self.now, period, turn = due[0]
            self._turns.remove(due[0])
            self._turns.append((self.now + period, period, turn))
            self._run(turn())
        self.now = end

    # ---- what the plugin does

    def every(self, seconds: float, turn: Turn) -> None:
        self._turns.append((self.now + seconds, seconds, turn))

    def background(self, work: Coroutine[Any, Any, object]) -> None:
        self._tasks.append(self._runner.get_loop().create_task(work))

    async def call(self, command: str, properties: Mapping[str, object]) -> dict[str, Any]:
        self.calls.append(Call(command, dict(properties)))
        answer = self._replies.get(command)
        return {"status": "ok", **({} if answer is None else answer(properties))}

    async def cast(self, command: str, properties: Mapping[str, object]) -> None:
        self.calls.append(Call(command, dict(properties)))

    def _run(self, result: object) -> None:
        self._runner.run(called(result))
        for task in filter(asyncio.Task.done, self._tasks):
            task.result()


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    return ("yes" if value else "no",) if isinstance(value, bool) else (str(value),)
