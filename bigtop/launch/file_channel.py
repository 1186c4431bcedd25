# The control channel of `bigtop run`: where its file says, or where clients would look for it.
#
# Rule: a place that somebody named has to be had. Where nobody named one and none is to be found, the program
# runs without a channel, and a warning says why: it is the program that matters.

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePath

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.control import addresses
from bigtop.control.server.discovery import Discovery
from bigtop.errors import ConfigError
from bigtop.launch import file_preflight
from bigtop.launch.channel import Channel
from bigtop.launch.controlled import Program
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy.helper import told
from bigtop.supervisor.policy.spec import WatcherSpec

logger = get_logger("bigtop.supervisor")


class FileChannel(Channel):
    """Event loop only."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._discovery: Discovery | None = None

    def open_as(self, spec: DaemonSpec) -> None:
        """Let clients in where a file says, or where they would look for it."""
        try:
            pair = _endpoints(spec)
        except ConfigError as error:
            if spec.endpoint or spec.pubsub_endpoint:
                raise
            logger.warning("no control channel: %s (endpoint in the file names a place)", error)
            return
        self.open(*pair, file_preflight.security(spec))
        assert self.places is not None
        endpoint = self.places.endpoint
        logger.info("control channel on %s", endpoint)
        # Others on the network are told where we are if they could reach us there.
        if spec.multicast_endpoint is not None and endpoint.startswith("tcp://"):
            self._discovery = Discovery(spec.multicast_endpoint, endpoint, spec.multicast_allow_ips)

    async def close(self) -> None:
        if self._discovery is not None:
            self._discovery.close()
        await super().close()

    def tell(self, helpers: Iterable[WatcherSpec]) -> list[WatcherSpec]:
        """Return them told where the channel is. Without one there are none: who would need them asks for
        one."""
        if (places := self.places) is None:
            return []
        return [told(each, places.endpoint, places.pubsub_endpoint) for each in helpers]


def _endpoints(spec: DaemonSpec) -> tuple[str, str]:
    """Return those for commands and for events. Events go beside a socket that the file names."""
    if spec.endpoint and spec.pubsub_endpoint:
        return spec.endpoint, spec.pubsub_endpoint
    if spec.endpoint and spec.endpoint.startswith("ipc://"):
        return addresses.at(os.path.abspath(spec.endpoint.removeprefix("ipc://")))
    endpoint, pubsub = addresses.of(PurePath(spec.path).stem)
    return spec.endpoint or endpoint, spec.pubsub_endpoint or pubsub
