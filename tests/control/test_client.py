# Our own clients: Client, AsyncClient, events, and how a supervisor is found by name.

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bigtop.control import addresses
from bigtop.control.client import client as client_module
from bigtop.control.client.async_client import AsyncClient
from bigtop.control.client.client import Client, NoReplyError, RefusedError, UnreachableError
from bigtop.control.client.connection import Way, way_to_events
from bigtop.errors import ConfigError
from tests.support.controlled import WATCHERS, Controlled
from tests.support.site import DEADLINE, until


@pytest.fixture(scope="module")
def daemon() -> Iterator[Controlled]:
    with Controlled() as running:
        yield running


def test_a_call_returns_the_reply_or_says_what_is_wrong(daemon: Controlled) -> None:
    with Client(daemon.endpoint, timeout=DEADLINE) as client:
        assert client.call("numwatchers")["numwatchers"] == WATCHERS
        with pytest.raises(RefusedError, match="program nope not found"):
            client.call("status", name="nope")
        client.cast("incr", name="sleeper")
        until(lambda: client.call("numprocesses", name="sleeper")["numprocesses"] == 3, "the cast")


def test_a_reply_that_does_not_come_in_time_is_an_error_and_not_mixed_up(daemon: Controlled) -> None:
    (slow,) = daemon.pids("slow")
    with Client(daemon.endpoint, timeout=DEADLINE) as client:
        client.call("numwatchers")  # somebody is reached
        client.timeout = 0.3
        with pytest.raises(NoReplyError, match=r"no reply within 0\.3 s"):
            client.call("stop", name="slow", waiting=True)
        until(lambda: daemon.call("status", name="slow")["status"] == "stopping", "the stop")
        os.kill(slow, signal.SIGKILL)
        client.timeout = None
        assert client.call("start", name="slow", waiting=True)["info"]["started"] != []
        assert client.call("numwatchers")["numwatchers"] == WATCHERS


def test_nobody_there_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreachableError, match="nobody answers"):
        Client(f"ipc://{tmp_path}/no.ctl")
    # A wait without limit is for a reply, not for somebody to ask.
    monkeypatch.setattr(client_module, "REACHED_WITHIN", 0.2)
    with socket.socket() as taken:  # by somebody who does not listen
        taken.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        for timeout in (0.2, None):
            with Client(endpoint, timeout=timeout) as client, pytest.raises(UnreachableError):
                client.call("stop", waiting=True)

        async def main() -> None:
            async with AsyncClient(endpoint, timeout=None) as client:
                await client.call("stop", waiting=True)

        with pytest.raises(UnreachableError):
            asyncio.run(main())


def test_a_broken_connection_ends_a_wait_without_limit() -> None:
    with (
        Controlled() as daemon,
        Client(daemon.endpoint, timeout=None) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        waiting = thread.submit(client.call, "stop", name="slow", waiting=True)
        until(lambda: daemon.call("status", name="slow")["status"] == "stopping", "the stop")
        daemon.kill()
        with pytest.raises(UnreachableError, match="the connection broke"):
            waiting.result(DEADLINE)


def test_events_are_iterated_over(daemon: Controlled) -> None:
    with (
        Client(daemon.endpoint, timeout=DEADLINE) as client,
        client.events("watcher.web.", timeout=DEADLINE) as events,
    ):
        with client.events("output.chatty", timeout=DEADLINE) as output:
            first = next(output)
        assert (first.watcher, first.name, first.payload["line"]) == ("chatty", "", "chat")

        numbers = itertools.count(1)

        def arrives() -> bool:  # a subscription needs a moment to get there
            client.call("set", name="web", options={"max_retry": next(numbers)})
            return bool(events.socket.poll(50))

        until(arrives, "a first event")
        client.call("restart", name="web", waiting=True)
        names = {next(events).name}
        while not {"spawn", "reap"} <= names:
            names.add(next(events).name)
        with client.events("nothing", timeout=0.05) as silent:
            assert list(silent) == []


def test_the_async_client_does_the_same(daemon: Controlled) -> None:
    async def main() -> None:
        async with AsyncClient(daemon.endpoint, timeout=DEADLINE) as client:
            slow = asyncio.create_task(client.call("restart", name="one", waiting=True))
            assert (await client.call("numwatchers"))["numwatchers"] == WATCHERS
            assert len((await slow)["info"]["started"]) == 1
            with pytest.raises(RefusedError):
                await client.call("nope")
            async for event in client.events("output."):
                assert event.payload["line"] == "chat"
                break
            client.timeout = 0.2
            with pytest.raises(NoReplyError):
                await client.call("stop", name="slow", waiting=True)

    asyncio.run(main())


# ---- names


def test_a_name_leads_to_a_socket_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "SYSTEM", str(tmp_path / "none"))  # others may run on this machine
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    commands, events = addresses.of("shop", environ)
    assert (commands, events) == (
        f"ipc://{tmp_path}/bigtop/shop.ctl",
        f"ipc://{tmp_path}/bigtop/shop.events",
    )
    assert (tmp_path / "bigtop").stat().st_mode & 0o777 == 0o700
    assert addresses.running(environ) == {}
    with Controlled(commands, events), Controlled(*addresses.of("blog", environ)) as blog:
        assert addresses.running(environ) == {
            "blog": f"ipc://{tmp_path}/bigtop/blog.ctl",
            "shop": commands,
        }
        assert addresses.resolve("shop", environ) == commands
        with pytest.raises(UnreachableError, match="there are: blog, shop"):
            addresses.resolve(None, environ)
        with pytest.raises(UnreachableError, match="no supervisor named 'nope'"):
            addresses.resolve("nope", environ)
        # A killed supervisor leaves its file, but does not answer.
        blog.kill()
        assert addresses.resolve(None, environ) == commands


@pytest.mark.case("B6")
def test_without_a_home_the_socket_is_in_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "SYSTEM", "/proc/none")  # nobody can make that, not even root
    private = tmp_path / f"bigtop-{os.geteuid()}"
    environ = {"HOME": "/proc/none", "XDG_RUNTIME_DIR": "/proc/none", "TMPDIR": str(tmp_path)}
    commands, events = addresses.of("shop", environ)
    assert commands == f"ipc://{private}/shop.ctl"
    assert private.stat().st_mode & 0o777 == 0o700
    with Controlled(commands, events):
        assert addresses.resolve("shop", environ) == commands
    # Whoever else could write there could be asked instead.
    private.chmod(0o777)
    with pytest.raises(ConfigError, match="somebody else made it"):
        addresses.of("shop", environ)
    private.rename(tmp_path / "theirs")
    private.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=r"somebody else made it|exists"):
        addresses.of("shop", environ)


@pytest.mark.case("B6")
def test_a_path_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "SYSTEM", str(tmp_path / "none"))  # root would make that of the machine
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / ("x" * 100)), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    commands, _ = addresses.of("shop", environ)
    assert "xxx" not in commands


def test_endpoints_paths_and_variables_are_understood(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "CIRCUSCTL_ENDPOINT": "tcp://127.0.0.1:5555"}
    assert addresses.resolve("tcp://host:1", environ) == "tcp://host:1"
    assert addresses.resolve("/a/b.ctl", environ) == "ipc:///a/b.ctl"
    assert addresses.resolve(None, environ) == "tcp://127.0.0.1:5555"
    assert addresses.resolve(None, {**environ, "BIGTOP_CTL_ENDPOINT": "/x"}) == "ipc:///x"
    assert addresses.folder({"XDG_RUNTIME_DIR": "/run/user/7"}) == "/run/user/7/bigtop"


def test_events_of_one_that_listens_everywhere_are_where_its_commands_are() -> None:
    assert way_to_events(Way("tcp://host:1"), "tcp://0.0.0.0:2").endpoint == "tcp://host:2"
    assert way_to_events(Way("tcp://host:1"), "tcp://10.0.0.1:2").endpoint == "tcp://10.0.0.1:2"
    assert way_to_events(Way("ipc:///a.ctl"), "ipc:///a.events").endpoint == "ipc:///a.events"
