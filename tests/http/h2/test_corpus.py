# The corpus of HTTP/2, fed in every way.

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.events import StreamEvent
from bigtop.http.h2.frames import GOAWAY, RST_STREAM
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.receiver import ALL
from tests.http.h2.corpus import BLOCKS, FRAMES, HEADS, KINDS, OPENINGS, STREAMS, Case
from tests.http.h2.peers import SECOND, connection, frames_of, told

OPENED = [*FRAMES, *STREAMS, *KINDS, *HEADS, *BLOCKS]
Outcome = tuple[tuple[str, ...], tuple[tuple[int, int], ...], int | None]


def named(case: Case) -> str:
    return f"{case.section} {case.name}"


def words(events: list[StreamEvent]) -> tuple[str, ...]:
    made = []
    for event in told(events):
        match event:
            case ("request", stream, _, _, _, ended):
                made.append(f"request {stream} ended" if ended else f"request {stream}")
            case ("data", stream, bytes(data)):
                made.append(f"data {stream} {len(data)}")
            case ("refused", stream, status, is_open):
                made.append(f"refused {stream} {status}" + ("" if is_open else " reset"))
            case (kind, stream, *_):
                made.append(f"{kind} {stream}")
    return tuple(made)


def outcome(server: Http2Connection, pieces: Iterable[bytes], most: int = ALL) -> Outcome:
    events: list[StreamEvent] = []
    for piece in pieces:
        events += server.feed(piece, SECOND, most)
        while server.has_more:
            events += server.feed(b"", SECOND, most)
    resets, code = [], None
    for kind, _flags, stream, payload in frames_of(server.output(1 << 20)):
        if kind == RST_STREAM:
            resets.append((stream, int.from_bytes(payload, "big")))
        elif kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
    assert (server.error is None) == (code is None)
    return words(events), tuple(resets), code


def tried(case: Case, *, opened: bool) -> None:
    limits = Http2Limits(streams=4)
    wanted = (case.told, case.resets, case.code)
    assert outcome(connection(h2=limits, opened=opened), [case.data]) == wanted
    one_by_one = (case.data[at : at + 1] for at in range(len(case.data)))
    assert outcome(connection(h2=limits, opened=opened), one_by_one) == wanted
    for at in range(1, min(len(case.data), 200)):
        assert outcome(connection(h2=limits, opened=opened), [case.data[:at], case.data[at:]]) == wanted, at
    for most in (1, 9, 20):
        assert outcome(connection(h2=limits, opened=opened), [case.data], most) == wanted, most


@pytest.mark.parametrize("case", OPENINGS, ids=named)
def test_how_a_connection_begins(case: Case) -> None:
    tried(case, opened=False)


@pytest.mark.parametrize("case", OPENED, ids=named)
def test_what_follows(case: Case) -> None:
    tried(case, opened=True)


def test_each_section_of_the_standard_has_cases() -> None:
    sections = {case.section.rpartition(" ")[2].partition(".")[0] for case in [*OPENINGS, *OPENED]}
    assert {"3", "4", "5", "6", "8"} <= sections
