# --ssh: a real sshd on a port of its own, with keys of its own, and the ssh that is installed.

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bigtop.control.client.client import Client, Tunnel, UnreachableError
from tests.support.controlled import WATCHERS, Controlled
from tests.support.site import until
from tests.support.stack import free_port


@dataclass
class Server:
    port: int
    key: Path

    @property
    def tunnel(self) -> Tunnel:
        return Tunnel(f"127.0.0.1:{self.port}", str(self.key))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    ssh = shutil.which("ssh")
    if sshd is None or ssh is None:
        pytest.skip("there is no sshd")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "ssh").write_text(
        f'#!/bin/sh\nexec {ssh} -F none -o BatchMode=yes -o UserKnownHostsFile={folder}/known "$@"\n'
    )
    (folder / "ssh").chmod(0o755)
    words = [sshd, "-D", "-e", "-f", "/dev/null", "-h", folder / "host", "-p", str(port)]
    for option in (f"AuthorizedKeysFile={folder}/own.pub", "StrictModes=no", "PidFile=none", "UsePAM=no"):
        words += ["-o", option]
    with pytest.MonkeyPatch.context() as patch, open(folder / "log", "wb") as log:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        with subprocess.Popen([*words, "-o", "ListenAddress=127.0.0.1"], stderr=log) as running:
            try:
                until(lambda: running.poll() is not None or b"listening" in _log(folder), "sshd")
                if running.poll() is not None:
                    pytest.skip(f"sshd does not run here: {_log(folder).decode()}")
                yield Server(port, folder / "own")
            finally:
                running.kill()


def _log(folder: Path) -> bytes:
    return (folder / "log").read_bytes()


def _tunnels() -> list[int]:
    return [child.pid for child in psutil.Process().children() if child.name() == "ssh"]


def test_commands_and_events_come_through_and_nothing_is_left(server: Server) -> None:
    with Controlled() as daemon:
        with Client(daemon.endpoint, timeout=20.0, tunnel=server.tunnel) as client:
            assert client.call("numwatchers")["numwatchers"] == WATCHERS
            with client.events("output.", timeout=20.0) as events:
                assert next(events).payload["line"] == "chat"
        del client, events
        assert _tunnels() == []


def test_a_unix_socket_there_is_reached_too(server: Server, tmp_path: Path) -> None:
    places = [f"ipc://{tmp_path}/{name}" for name in ("ctl", "events")]
    with Controlled(*places), Client(places[0], timeout=20.0, tunnel=server.tunnel) as client:
        assert client.call("numwatchers")["numwatchers"] == WATCHERS


def test_what_ssh_says_is_passed_on(server: Server) -> None:
    with pytest.raises(UnreachableError, match="Connection refused"):
        Client("tcp://127.0.0.1:1", tunnel=Tunnel("127.0.0.1:1", str(server.key)))
    with pytest.raises(UnreachableError, match="Permission denied"):
        Client("tcp://127.0.0.1:1", tunnel=Tunnel(f"nobody@127.0.0.1:{server.port}", str(server.key)))
