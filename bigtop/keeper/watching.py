# Watching of a folder of certbot: what is there is published, and what replaces it.

from __future__ import annotations

import asyncio
import os
import time

from bigtop.errors import BigtopError
from bigtop.keeper import certbot, certificates
from bigtop.keeper.certificates import Pair
from bigtop.keeper.publishing.publication import Standing
from bigtop.keeper.publishing.publisher import Publisher
from bigtop.log import logger as get_logger

logger = get_logger("bigtop.keeper")
_PAUSE = 30.0  # seconds between looks


class Watching:
    """Event loop only. The old pair stays until a new one can be served."""

    def __init__(self, folder: str, publisher: Publisher) -> None:
        self._folder = folder
        self._title = os.path.basename(os.path.normpath(folder))
        self._publisher = publisher
        self._stamp: object = None
        self._pair: Pair | None = None
        self._said = ""
        self._woken = asyncio.Event()

    def look(self) -> None:
        """Look now."""
        self._woken.set()

    async def run(self) -> None:
        """Watch until it is cancelled."""
        while True:
            error = await asyncio.to_thread(self._read)
            if error != self._said:
                logger.log(40 if error else 20, "%s: %s", self._folder, error or "can be read again")
            self._said = error
            self._tell(error)
            self._woken.clear()
            try:
                await asyncio.wait_for(self._woken.wait(), _PAUSE)
            except TimeoutError:
                continue

    def _read(self) -> str:
        """Read the folder if it changed; return what is wrong, "" if nothing is. In a thread."""
        try:
            stamp = certbot.stamp(self._folder)
            if stamp == self._stamp:
                return self._said
            pair = certbot.read(self._folder)
        except BigtopError as error:
            return str(error)
        faults = [one.text for one in certificates.check(pair, time.time()) if one.is_fault]
        if not faults:
            self._pair, self._stamp = pair, stamp
            logger.info("%s", certificates.describe(pair, time.time()))
        return faults[0] if faults else ""

    def _tell(self, error: str) -> None:
        pair = self._pair
        if pair is None:
            self._publisher.standing(Standing(self._title, (), "", 0.0, 0.0, error, 0))
            return
        self._publisher.certificate(self._title, pair)
        line = certificates.describe(pair, time.time())
        found = certificates.names(pair.leaf)
        self._publisher.standing(Standing(self._title, found, line, pair.not_after, 0.0, error, 0))
