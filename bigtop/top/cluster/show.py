# Showing a cluster: once or each second as a table or JSON, or as a table until somebody ends it.

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bigtop.cluster.places import Authority
from bigtop.control.addresses import UnreachableError
from bigtop.system import terminal
from bigtop.top import ansi, plain
from bigtop.top.cluster import sheet
from bigtop.top.cluster.sheet import View
from bigtop.top.cluster.watch import ClusterWatch
from bigtop.top.screen import Line

_EVERY: Final = 2.0  # seconds
_NO_END: Final = 1_000_000  # lines


@asynccontextmanager
async def _watched(authority: Authority) -> AsyncIterator[tuple[ClusterWatch, asyncio.Task[None]]]:
    watch = ClusterWatch(authority)
    task = asyncio.create_task(watch.run())
    try:
        yield watch, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def table(authority: Authority, view: View) -> int:
    """Show the table until somebody ends it; return the exit status."""
    async with _watched(authority) as (watch, task):

        def draw(view: View, size: tuple[int, int]) -> list[Line]:
            return _lines(watch, view, size)

        await plain.until_ended(draw, view, lambda: task.done() and task.result())
    return 0


async def printed(authority: Authority, view: View, *, as_json: bool, is_once: bool) -> int:
    """Print it each two seconds, or once; return the exit status. UnreachableError: nobody leads."""
    async with _watched(authority) as (watch, task):
        while True:
            while not (watch.told or watch.trouble or task.done()):
                await asyncio.sleep(0.02)
            if task.done():
                task.result()
            if not watch.told:
                raise UnreachableError(watch.trouble)
            print(_as_json(watch, view) if as_json else _as_table(watch, view), flush=True)
            if is_once:
                return 0
            await asyncio.sleep(_EVERY)


def _as_json(watch: ClusterWatch, view: View) -> str:
    return json.dumps({**sheet.report(watch.told, view, time.time()), "trouble": watch.trouble or None})


def _as_table(watch: ClusterWatch, view: View) -> str:
    found = _lines(watch, view, (shutil.get_terminal_size().columns, _NO_END))
    paint = ansi.painter(is_coloured=terminal.shows_colours(sys.stdout.fileno()))
    return "\n".join(paint(line).rstrip() for line in found)


def _lines(watch: ClusterWatch, view: View, size: tuple[int, int]) -> list[Line]:
    """What was told last stays, below what is the matter now."""
    if not watch.told:
        return sheet.nobody(watch.trouble, size)
    if not watch.trouble:
        return sheet.lines(watch.told, view, size)
    below = sheet.lines(watch.told, view, (size[0], size[1] - 1))
    return [*sheet.nobody(f"as it was: {watch.trouble}", size), *below]
