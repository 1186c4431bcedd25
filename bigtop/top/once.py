# Output of `bigtop top --once` and `--json`: for scripts, and for terminals that are none.
#
# Rule: what is printed is whole. It is waited for the second look of the stats process, since a share of the
# CPU is one of the time between two; but not without end.

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final

from bigtop.control.addresses import UnreachableError
from bigtop.system import terminal
from bigtop.top import ansi, screen
from bigtop.top.model import report
from bigtop.top.model.node import Node
from bigtop.top.model.rows import View
from bigtop.top.places import Place
from bigtop.top.watch import clock
from bigtop.top.watching import Watching

_PATIENCE: Final = 30.0  # seconds for figures
_LOOK: Final = 0.05
_EVERY: Final = 1.0
_NO_END: Final = 1_000_000  # lines


async def run(
    places: Sequence[Place], view: View, *, as_json: bool, is_once: bool, needs_all: bool = False
) -> int:
    """Print the state of all supervisors; return the exit status. `needs_all`: it is not 0 if one is away."""
    async with Watching(places) as watching:
        await _until_complete(watching)
        due = clock()
        while True:
            reached = any(node.overview for node in watching.nodes)
            if not (reached or as_json):
                raise UnreachableError("; ".join(f"{node.name}: {node.trouble}" for node in watching.nodes))
            print(_as_json(watching.nodes) if as_json else _as_table(watching.nodes, view), flush=True)
            if is_once:
                is_whole = not (needs_all and any(node.trouble for node in watching.nodes))
                return 0 if reached and is_whole else UnreachableError.exit_status
            due = max(due + _EVERY, clock())
            await asyncio.sleep(due - clock())
            watching.check()


async def _until_complete(watching: Watching) -> None:
    """Wait until all that can be known of each supervisor is, or until there was time enough for it."""
    end = clock() + _PATIENCE
    while clock() < end and not all(node.is_complete() or node.trouble for node in watching.nodes):
        watching.check()
        await asyncio.sleep(_LOOK)


def _as_json(nodes: Sequence[Node]) -> str:
    return json.dumps(report.of(nodes, time.time(), clock()))


def _as_table(nodes: Sequence[Node], view: View) -> str:
    width = shutil.get_terminal_size().columns
    lines = screen.whole(nodes, view, (width, _NO_END), clock())
    paint = ansi.painter(is_coloured=terminal.shows_colours(sys.stdout.fileno()))
    return "\n".join(paint(line).rstrip() for line in lines)
