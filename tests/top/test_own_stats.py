# When top may look for itself, and what it tells its stats process.

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop.control.client.connection import Way
from bigtop.control.client.ssh_tunnel import Tunnel
from bigtop.stats.roster import Group, Listener, Process, Roster, Standing
from bigtop.top import places
from bigtop.top.model import roster
from bigtop.top.own_stats import obstacle
from tests.support.overview import overview, process, watcher

ELSEWHERE = "it runs on another machine, or in a container"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        yield f"ipc://{tmp_path}/s"


def test_a_supervisor_of_this_user_here_may_be_looked_at(listener: str) -> None:
    assert obstacle(Way(listener), os.getpid()) == ""


def test_one_behind_a_socket_has_the_number_that_it_says(listener: str) -> None:
    assert obstacle(Way(listener), os.getppid()) == ELSEWHERE  # as one in a container would


def test_one_on_a_loopback_port_holds_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert obstacle(Way(f"tcp://127.0.0.1:{port}"), os.getpid()) == ""
        assert obstacle(Way(f"tcp://127.0.0.1:{port}"), os.getppid()) == ELSEWHERE


@pytest.mark.parametrize(
    "way",
    [
        Way("tcp://10.0.0.1:5555"),
        Way("tcp://127.0.0.1:none"),
        Way("ipc:///no/such/socket"),
        Way("inproc://x"),
        Way("ipc:///no/such/socket", tunnel=Tunnel("host")),
    ],
)
def test_others_may_not(way: Way) -> None:
    assert obstacle(way, os.getpid()) == ELSEWHERE


def test_a_tunnel_leads_to_another_machine(listener: str) -> None:
    assert obstacle(Way(listener, tunnel=Tunnel("host")), os.getpid()) == ELSEWHERE


def test_the_stats_process_is_told_who_runs() -> None:
    web = watcher("web", [process(11, 1), process(None, 2, "starting")])
    helper = watcher("circusd-stats", [process(2, 1)], "helper")
    assert roster.of(overview(web, helper), 7) == Roster(
        7,
        ((1, "circusd"), (2, "fork server of web")),
        (Group("web", (Process(11, 1),), Standing(True, "active", 2, 1)),),
        (Listener(7, 70, "127.0.0.1:8000", (("web", 0),)),),
    )


# ---- where supervisors are


def test_without_a_name_it_is_everybody_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BIGTOP_CTL_ENDPOINT", "CIRCUSCTL_ENDPOINT", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "bigtop").mkdir()
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for name, server in (("a", one), ("b", other)):
            server.bind(str(tmp_path / "bigtop" / f"{name}.ctl"))
            server.listen()
        assert {place.name for place in places.find([], None, None)} >= {"a", "b"}
        monkeypatch.setenv("BIGTOP_CTL_ENDPOINT", "b")
        assert [place.name for place in places.find([], None, None)] == ["b"]


def test_names_are_short_and_differ() -> None:
    assert places.short("ipc:///run/user/0/bigtop/site.ctl") == "site"
    assert places.short("tcp://10.0.0.1:5555") == "10.0.0.1:5555"
    found = places.find(
        ["ipc:///a/site.ctl", "ipc:///b/site.ctl", "ipc:///a/site.ctl", "/b/mail.ctl"], None, None
    )
    assert [place.name for place in found] == ["ipc:///a/site.ctl", "ipc:///b/site.ctl", "mail"]
