# The control channel of `bigtop run`: where its file says, or where clients would look for it.
#
# Rule: a place that somebody named has to be had. Where nobody named one and none is to be found, the program
# runs without a channel, and a warning says why: it is the program that matters.

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.control import addresses
from bigtop.control.server.discovery import Discovery
from bigtop.errors import ConfigError
from bigtop.launch.control.channel import Channel, ChannelState
from bigtop.launch.control.controlled import Program
from bigtop.launch.run import file_preflight
from bigtop.launch.run.plugin_channels import Key, PluginChannels
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.helper import told
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.streams.formats import Chunk

logger = get_logger("bigtop.supervisor")
PLUGIN = "plugin:"  # what the names of plugins begin with


class FileChannel(Channel):
    """Event loop only."""

    def __init__(
        self,
        program: Program,
        before: ChannelState | None = None,
        plugins_before: Mapping[Key, ChannelState] | None = None,
    ) -> None:
        super().__init__(program, before)
        self._discovery: Discovery | None = None
        self.plugins = PluginChannels(program, plugins_before or {})

    def open_as(self, spec: DaemonSpec) -> None:
        """Let clients in where a file says, or where they would look for it."""
        try:
            pair = _endpoints(spec)
        except ConfigError as error:
            if spec.endpoint or spec.pubsub_endpoint or spec.plugins:
                raise
            logger.warning("no control channel: %s (endpoint in the file names a place)", error)
            return
        self.open(*pair, file_preflight.security(spec), f"endpoint in {spec.path}")
        assert self.places is not None
        self.plugins.settle(spec, self.places.endpoint)
        endpoint = self.places.endpoint
        logger.info("control channel on %s", endpoint)
        # Others on the network are told where we are if they could reach us there.
        if spec.multicast_endpoint is not None and endpoint.startswith("tcp://"):
            self._discovery = Discovery(spec.multicast_endpoint, endpoint, spec.multicast_allow_ips)

    async def close(self) -> None:
        if self._discovery is not None:
            self._discovery.close()
        await self.plugins.close()
        await super().close()

    def tell(self, helpers: Iterable[WatcherSpec]) -> list[WatcherSpec]:
        """Return them told where the channel is, plugins where theirs is. Without one there are none: who
        would need them asks for one."""
        if (places := self.places) is None:
            return []
        common = places.endpoint, places.pubsub_endpoint
        return [
            told(each, *(self.plugins.places(each) if each.name.startswith(PLUGIN) else common))
            for each in helpers
        ]

    # ---- what is told

    def announce(self, status: str, facts: Mapping[str, object] | None = None) -> None:
        super().announce(status, facts)
        for channel in self.plugins.all:
            channel.announce(status, facts)

    def publish(self, name: str, notice: messages.Notice) -> None:
        super().publish(name, notice)
        for channel in self.plugins.all:
            channel.publish(name, notice)
        if isinstance(notice, messages.Removed | messages.Started):
            self.plugins.forget(name)

    def pass_on(self, chunk: Chunk) -> None:
        super().pass_on(chunk)
        for channel in self.plugins.all:
            channel.pass_on(chunk)


def _endpoints(spec: DaemonSpec) -> tuple[str, str]:
    """Return those for commands and for events. Events go beside a socket that the file names."""
    if spec.endpoint and spec.pubsub_endpoint:
        return spec.endpoint, spec.pubsub_endpoint
    if spec.endpoint and spec.endpoint.startswith("ipc://"):
        return addresses.at(os.path.abspath(spec.endpoint.removeprefix("ipc://")))
    endpoint, pubsub = addresses.of(PurePath(spec.path).stem)
    return spec.endpoint or endpoint, spec.pubsub_endpoint or pubsub
