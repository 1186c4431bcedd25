# Control channels of plugins: each plugin has one of its own, which lets it do what its role says.
#
# So a plugin needs no key and no open port, it may have another user than the supervisor, and what it does to
# its channel concerns nobody else. Rules: a channel is there before its plugin starts, and for as long as a
# plugin of that name is known. It is beside that of the supervisor, unless the plugin's user may not go
# there.

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.plugins import PluginSpec
from bigtop.control import addresses
from bigtop.control.server.endpoint_security import EndpointSecurity
from bigtop.launch.control.channel import Channel, ChannelState
from bigtop.launch.control.controlled import Program
from bigtop.supervisor.policy.spec import Command, WatcherSpec
from bigtop.system import accounts

COMMANDS, EVENTS = ".plugin", ".plugin-events"


Key = tuple[str, str | None]  # the name of a plugin, and its user


class PluginChannels:
    """Of `program`, which goes on where those of another version were `before`. Event loop only."""

    def __init__(self, program: Program, before: Mapping[Key, ChannelState]) -> None:
        self._program = program
        self._before = dict(before)
        self._stem = ""
        self._places: dict[Key, tuple[str, str]] = {}
        self._described: set[Key] = set()
        self._channels: dict[Key, Channel] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def settle(self, spec: DaemonSpec, endpoint: str | None) -> None:
        """Decide where they are: beside the unix socket `endpoint` of the supervisor, if it has one. Raises
        ConfigError."""
        if endpoint is None or not endpoint.startswith("ipc://"):
            endpoint, _ = addresses.of(PurePath(spec.path).stem)
        self._places = {}
        self._stem = os.path.abspath(endpoint.removeprefix("ipc://").removesuffix(addresses.COMMANDS))

    def places(self, spec: WatcherSpec) -> tuple[str, str]:
        """Return the endpoints of a plugin, for commands and for events."""
        key = _key(spec)
        if key not in self._places:
            stem = self._stem_of(spec)
            self._places[key] = stem + COMMANDS, stem + EVENTS
        return self._places[key]

    def _stem_of(self, spec: WatcherSpec) -> str:
        name, user = _key(spec)
        stem, words = self._stem, f"{name} {user}"
        if user is not None and os.geteuid() == 0:
            assert isinstance(spec.target, Command)
            try:
                account = accounts.account(user, spec.target.context.group, "gid")
                if not accounts.may_enter(account, os.path.dirname(stem)):
                    # With our own folder in the name: others have theirs there, too.
                    words = f"{stem} {words}"
                    stem = os.path.join(addresses.for_others(), os.path.basename(stem))
            except (LookupError, OSError):  # the first is told where the plugin is started
                pass
        return f"ipc://{stem}.{zlib.crc32(words.encode()):08x}"

    def provide(self, plugins: Iterable[PluginSpec]) -> None:
        """Have a channel for each. Raises ConfigError and BindError."""
        self._described = {_key(each.watcher) for each in plugins}
        for each in plugins:
            key = _key(each.watcher)
            if key in self._channels:
                self._channels[key].allow(each.granted)
            else:
                channel = self._channels[key] = Channel(self._program, self._before.pop(key, None))
                security = EndpointSecurity(owner=key[1], role=each.granted, is_paced=True)
                channel.open(*self.places(each.watcher), security)

    def held(self) -> dict[Key, ChannelState]:
        """Return where they are."""
        found = {key: channel.held() for key, channel in self._channels.items()}
        return {key: state for key, state in found.items() if state is not None}

    def forget(self, name: str) -> None:
        """A watcher is gone, or has begun anew: channels that it has no more are closed."""
        for key in [key for key in self._channels if key[0] == name and key not in self._described]:
            ending = asyncio.get_running_loop().create_task(self._channels.pop(key).close())
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


def _key(spec: WatcherSpec) -> Key:
    return spec.name, spec.target.context.user if isinstance(spec.target, Command) else None
