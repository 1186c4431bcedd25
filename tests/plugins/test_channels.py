# The channels of plugins: where they are, whose they are, and how long they are there.

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path
from typing import Any

from bigtop.config.file.daemon import load
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.plugins import PluginSpec
from bigtop.control import addresses
from bigtop.launch.run.plugin_channels import PluginChannels
from bigtop.record import replace

# Nobody says anything there, so nobody is asked.
NO_PROGRAM: Any = None
OTHER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def plugin(folder: Path, line: str = "") -> PluginSpec:
    path = folder / "stack.toml"
    path.write_text(f'[plugin.x]\nuse = "a.B"\n{line}')
    (found,) = load(str(path)).plugins
    return replace(found, granted="view")


def test_a_plugin_of_another_user_has_another_socket(tmp_path: Path) -> None:
    mine, theirs = plugin(tmp_path), plugin(tmp_path, f'uid = "{OTHER}"')

    async def tried() -> None:
        channels = PluginChannels(NO_PROGRAM, {})
        channels.settle(DaemonSpec(), f"ipc://{tmp_path}/stack.ctl")
        first, second = (
            [Path(place.removeprefix("ipc://")) for place in channels.places(each.watcher)]
            for each in (mine, theirs)
        )
        try:
            channels.provide([mine])
            channels.provide([mine])
            assert [path.stat().st_uid for path in first] == [os.geteuid()] * 2
            channels.provide([theirs])
            assert [path.stat().st_uid for path in second] == [pwd.getpwnam(OTHER).pw_uid] * 2
            assert {path.stat().st_mode & 0o777 for path in (*first, *second)} == {0o600}
            assert addresses.answers(str(first[0]))  # the old one still runs
            channels.forget("plugin:other")
            channels.forget("plugin:x")
            while first[0].exists():
                await asyncio.sleep(0)
            assert addresses.answers(str(second[0]))
            channels.provide([])
            channels.forget("plugin:x")
        finally:
            await channels.close()
        assert not any(path.exists() for path in (*first, *second))

    asyncio.run(asyncio.wait_for(tried(), 30))


def test_they_lie_where_those_of_supervisors_do_who_have_none(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    channels = PluginChannels(NO_PROGRAM, {})
    for endpoint in (None, "tcp://127.0.0.1:5555"):
        channels.settle(DaemonSpec(path="/etc/shop.ini"), endpoint)
        commands, events = channels.places(plugin(tmp_path).watcher)
        assert commands.startswith(f"ipc://{tmp_path}/bigtop/shop.")
        assert events == f"{commands}-events"
    # A supervisor is not found by the sockets of its plugins.
    assert not commands.endswith(addresses.COMMANDS)
