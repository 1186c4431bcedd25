# Fuzzing of HTTP/2 by hand, guided by coverage: `python -m tests.fuzz.http2 --seconds 60`
#
# Rules: whatever bytes come, nothing is raised; what they mean does not depend on how they were cut, nor on
# how much was looked at at once; what we send is frames. The cases of the corpus are what it begins with.

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ABSENT = "atheris is not there; `pip install atheris` brings it, where it has a wheel for this Python"
Outcome = tuple[list[tuple[object, ...]], int | None, list[tuple[int, int, int]]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.http2", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--keep", type=Path, help="a folder for what was found worth keeping")
    options = parser.parse_args(arguments)
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        print(ABSENT, file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["bigtop.http"]):
        from tests.http.h2 import corpus, peers
    with tempfile.TemporaryDirectory() as name:
        seeds = options.keep or Path(name)
        seeds.mkdir(exist_ok=True)
        for number, case in enumerate([*corpus.FRAMES, *corpus.STREAMS, *corpus.KINDS, *corpus.HEADS]):
            (seeds / f"case-{number}").write_bytes(bytes([1, 9]) + case.data)
        for number, case in enumerate(corpus.OPENINGS):
            (seeds / f"opening-{number}").write_bytes(bytes([0, 9]) + case.data)
        atheris.Setup(
            [
                sys.argv[0],
                f"-max_total_time={options.seconds}",
                "-max_len=4096",
                "-print_final_stats=1",
                str(seeds),
            ],
            lambda data: tried(data, peers),
        )
        atheris.Fuzz()
    return 0


def tried(data: bytes, peers: Any) -> None:
    """The first byte says whether the connection is open, the second how what follows is cut."""
    if len(data) < 2:
        return
    opened, size, rest = bool(data[0] & 1), data[1], data[2:]
    whole = outcome(peers, opened, [rest], 1 << 30)
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)] if size else [rest]
    assert outcome(peers, opened, pieces, 1 << 30) == whole, "it depends on the cut"
    assert outcome(peers, opened, [rest], 1 + size % 16) == whole, "it depends on what is looked at at once"


def outcome(peers: Any, opened: bool, pieces: Iterable[bytes], most: int) -> Outcome:
    """Return what was told, the code of the connection's end, and the frames that are no credit."""
    server = peers.connection(opened=opened, websockets=True)
    events: list[Any] = []
    for piece in pieces:
        events += server.feed(piece, peers.SECOND, most)
        while server.has_more:
            events += server.feed(b"", peers.SECOND, most)
    sent = server.output(1 << 20)
    frames = [(kind, flags, stream) for kind, flags, stream, _ in peers.frames_of(sent)]
    for event in events:  # whoever answers them finds nothing that is not in order
        server.head(event.stream, b"\x88")
        server.write(event.stream, b"x", ends=True)
        server.release(event.stream)
    turns = 0
    while list(peers.frames_of(server.output(1 << 20))):
        turns += 1
        assert turns < 10, "there is always more to send"
    return peers.told(events), server.error and server.error.code, frames


if __name__ == "__main__":
    sys.exit(main())
