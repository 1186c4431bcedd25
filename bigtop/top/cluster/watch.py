# Watch of a cluster: asks its leading controller while somebody looks, and never else.

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from bigtop.cluster import asking
from bigtop.cluster.places import Authority
from bigtop.errors import BigtopError

_EVERY: Final = 2.0  # seconds; a node says something each 5 s

clock = time.monotonic


class ClusterWatch:
    """Of the cluster whose keys are in `authority`. `told` is what the leader told last, `trouble` why it
    tells nothing now. `changed` is called when one of them is another."""

    def __init__(self, authority: Authority, changed: Callable[[], None] = lambda: None) -> None:
        self.told: Mapping[str, Any] = {}
        self.trouble = ""
        self._authority, self._changed = authority, changed
        self._soon = asyncio.Event()

    def ask_soon(self) -> None:
        """Something was asked for: what comes of it is to be seen at once."""
        self._soon.set()

    async def run(self) -> None:
        """Watch until it is cancelled."""
        while True:
            try:
                async with asking.session(self._authority) as ask:
                    while True:
                        began = clock()
                        self.told = await ask("status", {})
                        self.trouble = ""
                        self._changed()
                        self._soon.clear()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(_EVERY - (clock() - began)):
                                await self._soon.wait()
            except BigtopError as error:
                self.trouble = str(error)
            self._changed()
            await asyncio.sleep(_EVERY)
