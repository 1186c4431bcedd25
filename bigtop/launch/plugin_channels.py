# Control channels of plugins: each plugin has one of its own, which lets it do what its role says.
#
# So a plugin needs no key and no open port, it may have another user than the supervisor, and what it does to
# its channel concerns nobody else. Rule: a channel is there before its plugin starts, and for as long as a
# plugin of that name is known.

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Iterable
from pathlib import PurePath

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.plugins import PluginSpec
from bigtop.control import addresses
from bigtop.control.server.endpoint_security import EndpointSecurity
from bigtop.launch.channel import Channel
from bigtop.launch.controlled import Program
from bigtop.supervisor.policy.spec import Command, WatcherSpec

COMMANDS, EVENTS = ".plugin", ".plugin-events"


class PluginChannels:
    """Of `program`. Event loop only."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stem = ""
        self._described: dict[str, EndpointSecurity] = {}
        self._channels: dict[str, Channel] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def settle(self, spec: DaemonSpec, endpoint: str | None) -> None:
        """Decide where they are: beside the unix socket `endpoint` of the supervisor, if it has one. Raises
        ConfigError."""
        if endpoint is None or not endpoint.startswith("ipc://"):
            endpoint, _ = addresses.of(PurePath(spec.path).stem)
        self._stem = os.path.abspath(endpoint.removeprefix("ipc://").removesuffix(addresses.COMMANDS))

    def places(self, name: str) -> tuple[str, str]:
        """Return the endpoints of a plugin, for commands and for events."""
        stem = f"ipc://{self._stem}.{zlib.crc32(name.encode()):08x}"
        return stem + COMMANDS, stem + EVENTS

    def provide(self, plugins: Iterable[PluginSpec]) -> None:
        """Have a channel for each. Raises ConfigError and BindError."""
        self._described = {
            each.watcher.name: EndpointSecurity(owner=_owner(each.watcher), role=each.granted, is_paced=True)
            for each in plugins
        }
        for name, security in self._described.items():
            if name in self._channels:
                self._channels[name].allow(security)
            else:
                channel = self._channels[name] = Channel(self._program)
                channel.open(*self.places(name), security)

    def forget(self, name: str) -> None:
        """A watcher is gone: so is its channel, unless a plugin is to have it again."""
        if name not in self._described and name in self._channels:
            ending = asyncio.get_running_loop().create_task(self._channels.pop(name).close())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._ending)
        while self._channels:
            _, channel = self._channels.popitem()
            await channel.close()

    @property
    def all(self) -> Iterable[Channel]:
        return self._channels.values()


def _owner(spec: WatcherSpec) -> str | None:
    return spec.target.context.user if isinstance(spec.target, Command) else None
