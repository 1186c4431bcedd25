# Reads the corpus (corpus/README.md describes the form) and tells what an engine made of some bytes.

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bigtop.http.engine import BODY, HEAD, Engine
from bigtop.http.limits import Limits
from bigtop.http.messages import END, Event, Request

CORPUS = Path(__file__).parent / "corpus"
REPEATED = re.compile(r"\{\{(.+?)\*(\d+)\}\}")


@dataclass
class Case:
    name: str
    data: bytes
    requests: list[str] = field(default_factory=list)
    headers: dict[int, list[str]] = field(default_factory=dict)  # of the request with that index
    statuses: set[int] = field(default_factory=set)  # any of these; empty: no error

    @property
    def keeps(self) -> bool:
        """Whether another request may follow on the connection."""
        return not self.statuses and self.requests != [] and all(" keep" in line for line in self.requests)


def read_case(path: Path) -> Case:
    expected, _, text = path.read_text("utf-8").partition("\n---\n")
    text = REPEATED.sub(lambda match: match[1] * int(match[2]), text.replace("\n", ""))
    case = Case(path.stem, text.encode("ascii").decode("unicode_escape").encode("latin-1"))
    for line in expected.splitlines():
        if line.startswith("= "):
            case.requests.append(line[2:])
        elif line.startswith("  "):
            case.headers.setdefault(len(case.requests) - 1, []).append(line[2:])
        elif line.startswith("! "):
            case.statuses = {int(status) for status in line[2:].split()}
        else:
            assert line.startswith("# "), line
    return case


def read_corpus(room: str) -> list[Case]:
    return [read_case(path) for path in sorted((CORPUS / room).glob("*.http"))]


@dataclass
class Outcome:
    """What came out of an engine; comparable, however the bytes were cut."""

    requests: list[str]
    headers: list[list[tuple[bytes, bytes]]]
    status: int
    mid_message: bool


def run(pieces: Iterable[bytes], limits: Limits = Limits()) -> Outcome:  # noqa: B008 - frozen
    engine = Engine(limits)
    events: list[Event] = []
    for piece in pieces:
        events += engine.feed(piece)
    status = engine.error.status if engine.error else 0
    return Outcome(describe(events), headers_of(events), status, engine.phase in (HEAD, BODY))


def headers_of(events: list[Event]) -> list[list[tuple[bytes, bytes]]]:
    return [event.headers for event in events if isinstance(event, Request)]


def describe(events: list[Event]) -> list[str]:
    """Put each request on a line as the corpus has it; a body shows when it is complete."""
    lines: list[str] = []
    body = b""
    for event in events:
        if isinstance(event, Request):
            keeps = "keep" if event.keep_alive else "close"
            lines.append(f"{event.method} {event.target.decode()} {event.version} {keeps}")
            waits = event.expects_continue
            body = b""
        elif event is END:
            lines[-1] += f" {body!r}" + (" continue" if waits else "")
        else:
            assert event, "an empty piece of a body"
            body += event
    return lines
