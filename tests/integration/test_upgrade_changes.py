# What is configured otherwise at an upgrade than it was at the start: taken, told or refused, each in a line.

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path

import psutil

from bigtop.control import keys
from bigtop.control.client.client import Client
from tests.support.site import Site, until
from tests.support.stack import Stack, free_port

STAYS = "what changed there takes a restart of Bigtop"


def upgraded(site: Site, times: int) -> str:
    """Have it upgrade for the so-manieth time; return what the log says from then on."""
    before = len(site.log())
    site.send(signal.SIGUSR2)
    site.wait_for("has taken over from", times=times)
    return site.log()[before:]


def refused(site: Site, why: str) -> None:
    before = site.log().count("upgrade refused")
    site.send(signal.SIGUSR2)
    site.wait_for("upgrade refused", times=before + 1)
    assert why in site.log().rpartition("upgrade refused")[2]


def settings(**values: object) -> str:
    return "bind = '127.0.0.1:0'\n" + "".join(f"{name} = {value!r}\n" for name, value in values.items())


def test_settings_of_a_site(tmp_path: Path) -> None:
    site = Site("tests.apps.site:app", "--name", "shop")
    where = site.command.index("--bind")
    file, pids = tmp_path / "settings.py", [tmp_path / "a.pid", tmp_path / "b.pid"]
    site.command[where : where + 2] = ["--config", str(file)]
    file.write_text(settings(workers=1, pidfile=str(pids[0]), statsd_host="127.0.0.1:9"))
    with site:
        until(lambda: _stats(site), "the stats process")
        stats = _stats(site)
        file.write_text(settings(workers=2, pidfile=str(pids[1])))
        log = upgraded(site, 1)
        assert f"--statsd-host: {STAYS}" in log
        site.wait_for("--workers: 2 by now")
        until(lambda: len(site.workers()) == 2, "as many workers")
        until(lambda: not pids[0].exists(), "the end of the first pidfile")
        assert int(pids[1].read_text()) == site.pid

        file.write_text(settings(workers=2))
        with Client(f"ipc://{site.folder}/bigtop/shop.ctl") as client:
            client.call("incr", name="shop", waiting=True)
        log = upgraded(site, 2)
        assert f"--statsd-host: {STAYS}" in log
        until(lambda: not pids[1].exists(), "the end of the second one")
        assert _stats(site) == stats
        psutil.Process(stats[0]).kill()
        until(lambda: _stats(site) not in ([], stats), "another stats process, with the same lines")
        assert len(site.workers()) == 3, "the number that somebody asked for stays"
        assert site.log().count("--workers: ") == 1
        assert site.stop() == 0
        assert site.is_gone()


def _stats(site: Site) -> list[int]:
    with Client(f"ipc://{site.folder}/bigtop/shop.ctl") as client:
        found: list[int] = client.call("list", name="circusd-stats")["pids"]
    return found


TEXT = """
[bigtop]
endpoint = "tcp://127.0.0.1:{port}"
pubsub_endpoint = "ipc://{{folder}}/events"
stats_endpoint = "ipc://{{folder}}/figures"
pidfile = "{{folder}}/a.pid"

[stats]

[admin]
bind = "127.0.0.1:0"
token_file = "{{folder}}/token"

[watcher.sleeper]
cmd = "sleep 1000"

[app.web]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
"""


def test_settings_of_a_file(tmp_path: Path) -> None:
    port, group = free_port(), free_port()
    plain = TEXT.format(port=port)
    stack = Stack(plain)
    (stack.folder / "token").write_text("secret-of-many-letters\n")
    with stack:
        stack.wait_for(": started", times=3)
        other = plain.replace("/figures", "/other").replace("/a.pid", "/b.pid").replace("1000", "1001")
        other = other.replace("[stats]", f'multicast_endpoint = "udp://237.219.251.97:{group}"\n[stats]')
        other = other.replace("[stats]", 'endpoint_owner = "0"\n[stats]')
        stack.write(other.replace('token_file = "{folder}/token"\n', ""))
        log = upgraded(stack, 1)
        assert f"stats_endpoint, [admin]: {STAYS}" in log
        assert "endpoint_owner: what changed there takes a restart" in log
        stack.wait_for(f"{stack.file} says something else of sleeper: bigtop ctl reloadconfig takes it")
        until(lambda: not (stack.folder / "a.pid").exists(), "the end of the first pidfile")
        assert int((stack.folder / "b.pid").read_text()) == stack.pid
        with socket.socket(socket.AF_UNIX) as figures:
            figures.connect(str(stack.folder / "figures"))
        _restarted(stack, port)
        _refused(stack, plain, port)
        assert stack.stop() == 0


def _restarted(stack: Stack, port: int) -> None:
    """What answers at the admin listener still asks for the token that it was started with."""
    with Client(f"tcp://127.0.0.1:{port}") as client:
        client.call("restart", name="circusd-stats", waiting=True)
        overview = client.call("overview")
    assert "circusd-stats" in json.dumps(overview)
    address = stack.log().partition("admin listener on http://")[2].split()[0].strip("/,")
    host, _, admin = address.rpartition(":")

    def status() -> int:
        try:
            with socket.create_connection((host, int(admin)), timeout=5) as one:
                one.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return int(one.makefile("rb").readline().split()[1])
        except (OSError, IndexError):
            return 0

    until(status, "an answer")
    assert status() == 401


def _refused(stack: Stack, plain: str, port: int) -> None:
    stack.write(f"{plain}\n[socket.more]\nport = 0\n")
    refused(stack, f"{stack.file} says something else of the sockets of more by now: bigtop ctl reloadconfig")
    stack.write(plain.replace("[app.web]", "[app.other]"))
    refused(stack, f"web runs, and {stack.file} does not name it any more: bigtop ctl reloadconfig")
    stack.write(plain.partition("[app.web]")[0] + '[app.web]\napp = "a:b"\nbind = "127.0.0.1:1"\n')
    refused(stack, f"{stack.file} says something else of the sockets of web by now")


def test_a_channel_on_the_network_does_not_lose_its_keys(tmp_path: Path) -> None:
    keys.generate(tmp_path, "server", "")
    keys.generate(tmp_path, "one", "admin")
    (tmp_path / "clients").mkdir()
    shutil.copy(tmp_path / "one.key", tmp_path / "clients")
    known = f'server_key = "{tmp_path}/server.key_secret"\nclient_keys = "{tmp_path}/clients"\n'
    text = '[bigtop]\nendpoint = "tcp://0.0.0.0:0"\npubsub_endpoint = "ipc://{folder}/events"\n'
    watcher = '[watcher.sleeper]\ncmd = "sleep 1000"\n'
    with Stack(text + known + watcher) as stack:
        stack.wait_for("sleeper: started")
        stack.write("[bigtop]\nendpoint = 'ipc://{folder}/private'\n" + watcher)
        refused(stack, "server_key, client_keys: tcp://0.0.0.0:")
        assert stack.stop() == 0
