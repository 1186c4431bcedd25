# Format of reports: what a worker says of itself when it is asked, for who writes and for who reads.
#
# It goes through a pipe that only this worker writes to, beside the text that faulthandler writes there.
# Rule 1: a message is a JSON array between RS (RFC 7464) and a line feed, and no longer than what write(2)
# puts into a pipe in one piece. So it is whole wherever it stands, between two bytes of that text as well.
# Rule 2: who writes may have been taken over. What is no message is dropped, and no text that is read here
# holds a control character. Nothing is kept but the beginning of one message.

from __future__ import annotations

import json
import re
import select
from typing import Any

from bigtop.errors import one_line
from bigtop.record import Record, as_dict, fields

LONGEST = select.PIPE_BUF  # bytes: 4096 on Linux
_RS = b"\x1e"
_JSON_TYPES = {"int": int, "str": str}


class Begun(Record):
    """A report begins, at this monotonic time in nanoseconds."""

    at: int


class Stack(Record):
    """Of a "thread", a "task", a "greenlet" or a "coroutine"; its frames follow, innermost first.

    `tid` is the kernel's number of a thread, 0 if there is none. `request` is what it works for: method, path
    and X-Request-ID, the last one may be "", with a blank before and behind the path; "" if nothing tells.
    `note` is what else there is to say.
    """

    kind: str
    name: str
    tid: int
    request: str
    note: str


class Frame(Record):
    """One frame of the stack before it."""

    function: str
    file: str
    line: int


class Ended(Record):
    """The report is complete but for so many stacks, for which it had no room."""

    left_out: int


class Samples(Record):
    """How often a stack was seen: function names joined by ";", outermost first."""

    count: int
    stack: str


class Sampled(Record):
    """All samples were told of so many looks."""

    looks: int


Message = Begun | Stack | Frame | Ended | Samples | Sampled

_TYPES: dict[str, type[Message]] = {
    cls.__name__: cls for cls in (Begun, Stack, Frame, Ended, Samples, Sampled)
}


def encode(message: Message) -> bytes:
    """Return the message as it is written; texts that are too long lose their ends."""
    values = list(as_dict(message).values())
    while len(data := json.dumps([type(message).__name__, *values]).encode()) > LONGEST - 2:
        texts = [number for number, value in enumerate(values) if isinstance(value, str)]
        longest = max(texts, key=lambda number: len(values[number]))
        values[longest] = values[longest][: len(values[longest]) // 2]
    return _RS + data + b"\n"


def decode(data: bytes) -> Message | None:
    """Return the message between RS and line feed, None for what is none."""
    try:
        name, *values = json.loads(data)
        cls = _TYPES[name]
        words = [one.name for one in fields(cls)]
        if [type(value) for value in values] != [_JSON_TYPES[one.type] for one in fields(cls)]:
            return None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    given: dict[str, Any] = dict(zip(words, values, strict=True))
    texts = {word: one_line(value) for word, value in given.items() if isinstance(value, str)}
    return cls(**(given | texts))


class Reader:
    """Tells messages and the text between them apart, however they are cut."""

    def __init__(self) -> None:
        self._begun = b""  # a message that has not ended

    def feed(self, data: bytes) -> tuple[bytes, list[Message]]:
        """Return the text in `data`, and the messages that end in it."""
        data, self._begun = self._begun + data, b""
        text: list[bytes] = []
        found: list[Message] = []
        at = 0
        while (mark := data.find(_RS, at)) >= 0:
            text.append(data[at:mark])
            end = data.find(b"\n", mark)
            if end < 0:
                at = len(data)
                if at - mark < LONGEST:
                    self._begun = data[mark:]
                break
            at = end + 1
            if end - mark <= LONGEST and (message := decode(data[mark + 1 : end])) is not None:
                found.append(message)
        text.append(data[at:])
        return b"".join(text), found


# ---- what faulthandler writes

_HEADING = re.compile(
    r"(?:Current thread|Thread) 0x[0-9a-f]+(?: \[(?P<name>.*)\])? \(most recent call first\):"
)
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>[0-9]{1,9}|\?\?\?) in (?P<function>.*)')


def stacks_of(text: str) -> list[tuple[Stack, list[Frame]]]:
    """Return the stacks in a text of faulthandler. Lines that it does not write are ignored."""
    found: list[tuple[Stack, list[Frame]]] = []
    for line in text.split("\n"):
        if heading := _HEADING.fullmatch(line):
            found.append((Stack("thread", one_line(heading["name"] or ""), 0, "", ""), []))
        elif found and (frame := _FRAME.fullmatch(line)):
            number = int(frame["line"]) if frame["line"].isdigit() else 0
            found[-1][1].append(Frame(one_line(frame["function"]), one_line(frame["file"]), number))
    return found
