# Reports of one worker: signals that ask for them go to it, and they come back through a pipe.
#
# Rule 1: Python code in the worker is asked first. It knows names, tasks and greenlets, and it holds the
# interpreter lock, while faulthandler walks through the stacks of threads that run on. That one is asked when
# nothing answers, and then those stand still which matter.
# Rule 2: one question at a time; whoever asks meanwhile gets the same answer. Nobody waits but those.
# Rule 3: a worker may have been taken over, and may write anything at any time. What nobody asked for is
# dropped, but for text, which goes where its standard error goes; what was asked for has limits.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bigtop.errors import CommandError
from bigtop.ipc import reports
from bigtop.ipc.reports import Begun, Ended, Frame, Message, Sampled, Samples, Stack
from bigtop.record import Record, field
from bigtop.supervisor.processes.child import Process
from bigtop.supervisor.streams.reader import LineReader, ReaderState
from bigtop.system.signals import PROFILE_SIGNAL, REPORT_SIGNAL, STACK_SIGNAL

_TO_THE_END = 3.0  # seconds, of a report that has begun
_FIRST_WORD = 0.3  # seconds for a signal's handler in C
_QUIET = 0.15  # seconds after which such a text, whose end nothing tells, is taken to be complete
_MOST_MESSAGES = 20_000  # of one answer
_MOST_TEXT = 1 << 18  # bytes of one answer
_MOST_SAMPLED = 10_000  # different stacks
_REPORTER = "bigtop/workers/reporter.py"
HERTZ = 50
_LATE = 2.0  # seconds for the last samples
_VERY_LATE = 5.0  # for the first, where there were none


class Found(Record):
    stack: Stack
    frames: tuple[Frame, ...]


class Report(Record):
    """`author` is "python", "signal" for faulthandler's, "" where neither answered; `whole` says whether its
    end came."""

    author: str
    stacks: tuple[Found, ...] = ()
    left_out: int = 0
    whole: bool = True


class Profile(Record):
    """How often each stack was seen in so many looks at all threads."""

    looks: int
    counts: dict[str, int]


class _Heard(Record, frozen=False):
    """What has come since a question."""

    since: int  # monotonic nanoseconds
    begun: bool = False
    ended: Ended | None = None
    stacks: list[tuple[Stack, list[Frame]]] = field(default_factory=list)
    messages: int = 0
    text: bytearray = field(default_factory=bytearray)

    def hear(self, message: Message) -> None:
        self.messages += 1
        match message:
            case Begun(at):
                self.begun = at >= self.since  # otherwise it answers an earlier question
                self.ended = None
                self.stacks.clear()
            case _ if not self.begun or self.messages > _MOST_MESSAGES:
                pass
            case Stack():
                self.stacks.append((message, []))
            case Frame() if self.stacks:
                self.stacks[-1][1].append(message)
            case Ended():
                self.ended = message

    def report(self) -> Report:
        stacks, author = self.stacks, "python"
        if not self.begun:
            told = reports.stacks_of(self.text.decode("ascii", "replace"))
            # The thread that would have answered waits for the others as well.
            stacks = [one for one in told if not (one[1] and one[1][-1].file.endswith(_REPORTER))]
            author = "signal" if stacks else ""
        found = tuple(Found(stack, tuple(frames)) for stack, frames in stacks)
        if self.ended is None:
            return Report(author, found, whole=author != "python")
        return Report(author, found, self.ended.left_out)


class Reports:
    """Reads the pipe `fd`, or goes on with one, and owns it; `sink` takes the text that comes. Event loop
    only."""

    def __init__(self, fd: int | ReaderState, sink: Callable[[bytes], None], process: Process) -> None:
        self._process = process
        self._sink = sink
        self._reader = reports.Reader()
        if isinstance(fd, ReaderState):
            self._pipe = LineReader.resumed(fd, self._take)
        else:
            self._pipe = LineReader(fd, self._take)
        self._heard: _Heard | None = None  # while somebody asks
        self._sampled: Profile | None = None
        self._news = asyncio.Event()
        self._asked: asyncio.Task[Report] | None = None

    def _take(self, lines: bytes) -> None:
        text, messages = self._reader.feed(lines)
        if text:
            self._sink(text)
            if self._heard is not None:
                self._heard.text += text[: _MOST_TEXT - len(self._heard.text)]
        for message in messages:
            if self._heard is not None:
                self._heard.hear(message)
            if self._sampled is not None:
                self._sampled = _with(self._sampled, message)
        self._news.set()

    async def ask(self, wait: float) -> Report:
        """Return what every thread does. Python code has `wait` seconds to begin with its answer."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_task(self._ask(wait))
        return await asyncio.shield(self._asked)

    async def _ask(self, wait: float) -> Report:
        heard = self._heard = _Heard(time.monotonic_ns())
        try:
            self._process.send_signal(REPORT_SIGNAL)
            if not await self._until(lambda: heard.begun, wait):
                self._process.send_signal(STACK_SIGNAL)
                await self._until(lambda: heard.begun or bool(heard.text), _FIRST_WORD)
                while not heard.begun and heard.text and len(heard.text) < _MOST_TEXT:
                    size = len(heard.text)
                    if not await self._until(lambda: len(heard.text) > size, _QUIET):  # noqa: B023 - awaited
                        break
            if heard.begun:
                await self._until(lambda: heard.ended is not None, max(wait, _TO_THE_END))
            return heard.report()
        finally:
            self._heard = None

    async def profile(self, seconds: int) -> Profile:
        """Return what was seen of all threads in so many seconds. CommandError: that is being done already,
        or nothing was seen."""
        if self._sampled is not None:
            raise CommandError(f"process {self._process.pid} is being profiled already")
        self._sampled = Profile(0, {})
        try:
            for _ in range(seconds):
                if not self._process.running:
                    break
                self._process.send_signal(PROFILE_SIGNAL)
                await asyncio.sleep(1.0)
            await self._until(lambda: self._looks > 0, _VERY_LATE)
            await self._until(lambda: self._looks >= seconds * HERTZ, _LATE)
            if not self._looks:
                raise CommandError(
                    f"process {self._process.pid} did not answer: no Python code ran in its main thread"
                )
            return self._sampled
        finally:
            self._sampled = None

    @property
    def _looks(self) -> int:
        return 0 if self._sampled is None else self._sampled.looks

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until something that comes makes it true; False when that takes too long, or nothing more can
        come."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0 or not self._process.running:
                return False
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                pass
        return True

    def held(self) -> ReaderState:
        """Return what is needed to go on; what was asked for is answered to nobody any more."""
        return self._pipe.held()

    def close(self) -> None:
        """The worker has ended."""
        self._pipe.catch_up()
        self._pipe.close()
        self._news.set()


def _with(profile: Profile, message: Message) -> Profile:
    match message:
        case Samples(count, stack) if 0 < count < 1 << 20:
            if stack in profile.counts or len(profile.counts) < _MOST_SAMPLED:
                profile.counts[stack] = profile.counts.get(stack, 0) + count
        case Sampled(looks) if 0 < looks < 1 << 20:
            return Profile(profile.looks + looks, profile.counts)
    return profile


def lines_of(report: Report) -> list[str]:
    """Return the report as faulthandler writes one, with all that is known besides."""
    lines = []
    for found in report.stacks:
        stack = found.stack
        name = f"{stack.kind.capitalize()} {stack.name}".rstrip()
        facts = [f"thread {stack.tid}" if stack.tid else "", stack.request, stack.note]
        lines.append(f"{name} ({', '.join(filter(None, [*facts, 'most recent call first']))}):")
        lines += [f'  File "{frame.file}", line {frame.line} in {frame.function}' for frame in found.frames]
    return lines
