# Controller of a cluster: `python -m bigtop.cluster.controller FOLDER NAME`, a process that leads, or waits
# until it may.
#
# Rule: one leads, by a key in the store that is written by compare-and-set and is gone when nobody writes it.
# Who lost it knows nothing any more, and begins anew.

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bigtop import log
from bigtop.cluster import claims, link
from bigtop.cluster.desk import Desk
from bigtop.cluster.hubs import Hubs
from bigtop.cluster.leader import Leader
from bigtop.cluster.places import Authority
from bigtop.cluster.store import LostError, Store
from bigtop.control.addresses import UnreachableError
from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

logger = get_logger("bigtop.cluster")


class Controller:
    """Of the cluster whose keys are in `folder`, under the name `name`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._authority = Authority(folder)
        self._name = name
        self._claimer = f"{name} {os.urandom(8).hex()}"
        self._heard = 0  # the highest epoch that a node told of
        self._hubs = Hubs(self._authority, name)
        self._leader: Leader | None = None
        self._why = ""  # it does not lead

    async def run(self, over: asyncio.Event) -> None:
        """Lead, or wait for that, until it is `over`."""
        tasks = [asyncio.create_task(one) for one in (self._live(), self._hubs.follow(), over.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self) -> None:
        """Be connected, also where a hub closes the connection for good."""
        identity = self._authority.identity(f"controller-{self._name}", claims.CONTROLLER)
        while True:
            try:
                client = await link.connected(self._authority.cluster, identity, patient=True)
            except UnreachableError as error:
                logger.warning("controller %s: %s", self._name, error)
                continue
            logger.info("controller %s of cluster %s", self._name, self._authority.cluster.name)
            try:
                await client.subscribe(f"bt.{self._authority.cluster.name}.why", cb=self._tell_why)
                await self._lead(client)
            finally:
                await client.close()

    async def _lead(self, client: Client) -> None:
        """Lead again and again, until the connection is closed for good."""
        store: Store | None = None
        while not client.is_closed:
            try:
                store = await Store.open(client, self._authority)
                at = time.monotonic()
                claim = self._claimer, await store.lead(self._claimer, 0), at
                leader = Leader(client, store, self._authority, self._hubs, claim)
                try:
                    await leader.begin(self._heard)
                    self._leader, self._why = leader, ""
                    await leader.lead(Desk(leader).hear)
                finally:
                    self._leader = None
                    self._heard = max(self._heard, leader.registry.highest_epoch)
            except LostError as error:
                if not self._why:  # once, and not for each try while another one leads
                    logger.info("controller %s does not lead: %s", self._name, error)
                self._why = str(error)
                look = self._authority.cluster.lease / 5
                await asyncio.sleep(look * random.uniform(0.5, 1.5))  # noqa: S311

    async def _tell_why(self, message: Msg) -> None:
        """Answer who asked, and was answered by no leader: one may come, or there are too few hubs."""
        if self._leader is not None:
            return
        here, many = await self._hubs.there(), len(self._authority.cluster.hubs)
        few = "" if here is None or len(here) > many // 2 else f"{len(here)} of {many} hubs are there; "
        said = {"to": message.data.decode(errors="replace")[:64], "name": self._name}
        answer = {**said, "reason": few + (self._why or "it begins")}
        with suppress(Exception):  # the connection is over meanwhile
            await message.respond(self._authority.signer.signed(answer))


async def _main(folder: Path, name: str) -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await Controller(folder, name).run(over)


def main(words: Sequence[str]) -> int:
    """Run until a signal ends it; return the exit status."""
    folder, name = words
    log.configure("info")
    try:
        asyncio.run(_main(Path(folder), name))
    except BigtopError as error:
        logger.critical("%s", error)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
