# Plugin: the base class of whoever wants one thing more of Bigtop, and the event that it is told of.
#
# Rules: a plugin has a process of its own, and knows the world through its host alone: a running supervisor
# (running.py), or the bench of a test (testing.py). It reads like this:
#
#     class QueueScaler(Plugin):
#         role = "operate"
#         watcher: str
#         per_worker: int = option(100, help="jobs for one worker", minimum=1)
#
#         async def start(self):
#             self.every(5, self.look)

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar, Protocol

from bigtop.control.events import topic_word
from bigtop.plugins import topics
from bigtop.plugins.options import OptionError, options_of, read
from bigtop.record import Record, field

# What is called in turns: a coroutine function, or a function that does not take long.
Turn = Callable[[], Awaitable[object] | object]


class Event(Record):
    """Something that happened to a watcher.

    `watcher` is its name in small letters, with _ for blanks and dots; `kind` one of topics.KINDS. "dropped",
    of no watcher, says how many events a plugin was too slow for, as `payload["count"]`.
    """

    watcher: str
    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        return f"{self.watcher}.{self.kind}"

    def is_of(self, name: str) -> bool:
        """Say whether it is about the watcher of that name, as a file has it."""
        return self.watcher == topic_word(name)

    @property
    def pid(self) -> int | None:
        """The process that it is about, if it is about one."""
        return self.payload.get("process_pid")

    @property
    def status(self) -> int | None:
        """How a process ended: an exit status, or minus the number of a signal."""
        return self.payload.get("exit_code")

    @property
    def time(self) -> float:
        """Seconds since the epoch."""
        return float(self.payload.get("time", 0.0))


class Host(Protocol):
    """What a plugin knows of the world."""

    name: str
    log: logging.Logger
    state: MutableMapping[str, Any]

    def every(self, seconds: float, turn: Turn) -> None: ...

    def background(self, work: Coroutine[Any, Any, object]) -> None: ...

    async def call(self, command: str, properties: Mapping[str, object]) -> dict[str, Any]: ...

    async def cast(self, command: str, properties: Mapping[str, object]) -> None: ...


class Plugin:
    """Base of all plugins. Annotated attributes of a subclass are its options, keys of its section.

    An exception that leaves one of its methods ends its process, which is started again after a pause, as
    that of any watcher.
    """

    role: ClassVar[str] = "view"  # what its commands may do: view, operate or admin; the section may say else
    topics: tuple[str, ...] = ("*",)  # which events it hears, such as "web*.reap"

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def name(self) -> str:
        """The name of its section, such as "plugin:scaler"."""
        return self._host.name

    @property
    def log(self) -> logging.Logger:
        """What it writes here goes to the output of its watcher."""
        return self._host.log

    @property
    def state(self) -> MutableMapping[str, Any]:
        """What it remembers over restarts, a small object of JSON; each change is written at once."""
        return self._host.state

    # ---- what a subclass may say

    async def check(self) -> None:
        """Look whether the options make sense. Called by `bigtop check`, and before start().

        Raise OptionError for one that does not. There is no supervisor to talk to.
        """

    async def start(self) -> None:
        """Begin: the supervisor answers, and events come once this is done."""

    async def on_event(self, event: Event) -> None:
        """Take in an event. The next one comes when this is done."""

    async def stop(self) -> None:
        """End; there are some seconds for it, those of `graceful_timeout`."""

    # ---- what it may do

    def every(self, seconds: float, turn: Turn) -> None:
        """Call `turn` in turns, the first time after so many seconds. Two turns never overlap."""
        self._host.every(seconds, turn)

    def background(self, work: Coroutine[Any, Any, object]) -> None:
        """Have a coroutine run beside everything else, for as long as it likes. What it raises ends the
        process, as what is raised elsewhere."""
        self._host.background(work)

    async def call(self, command: str, /, **properties: object) -> dict[str, Any]:
        """Give a command and return the properties of its reply.

        Raises RefusedError, UnreachableError and NoReplyError of bigtop.control.client.client.
        """
        return await self._host.call(command, properties)

    async def cast(self, command: str, /, **properties: object) -> None:
        """Give a command that is not replied to."""
        await self._host.cast(command, properties)


def configured(
    kind: type[Plugin], given: Mapping[str, Sequence[str]], reserved: Sequence[str] = ()
) -> tuple[dict[str, Any], list[OptionError]]:
    """Return the values of a plugin's options, and what is wrong with what was given."""
    values, problems = read(options_of(kind, Plugin), given, reserved)
    try:
        topics.checked(kind.topics)
    except ValueError as error:
        problems.append(OptionError("topics", str(error)))
    return values, problems


async def called(result: object) -> None:
    """Wait for what a method or a turn returned, if that is to be waited for."""
    if inspect.isawaitable(result):
        await result
