# The control channel of `bigtop serve`: found without being told where, and what can be asked of one site.

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.support.site import Site, until
from tests.support.wire import Client, request

APP = "tests.apps.site:app"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(APP, "--workers", "2", "--name", "shop") as running:
        yield running


def run(site: Site, *words: str, endpoint: str = "shop") -> subprocess.CompletedProcess[str]:
    """Run `bigtop ctl` where the site is found by its name; others may run on this machine."""
    return subprocess.run(
        [sys.executable, "-m", "bigtop", "ctl", *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(site.folder), "BIGTOP_CTL_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        timeout=60,
    )


def ctl(site: Site, *words: str, status: int = 0, endpoint: str = "shop") -> str:
    done = run(site, *words, endpoint=endpoint)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def test_the_only_site_needs_no_name(site: Site) -> None:
    done = run(site, "status", endpoint="")
    if "which supervisor? there are: " in done.stderr:
        pytest.skip("somebody else's Bigtop runs for this user")
    assert done.stdout.split() == ["WATCHER", "STATUS", "shop", "active"]


def test_a_site_is_found_by_its_name(site: Site) -> None:
    assert ctl(site, "--endpoint", "shop", "status", "shop", endpoint="") == "active\n"
    assert "there are: shop" in ctl(site, "--endpoint", "nobody", "status", status=69)


def test_the_socket_is_for_its_user_alone(site: Site) -> None:
    for name in ("shop.ctl", "shop.events"):
        assert stat.S_IMODE(os.stat(site.folder / "bigtop" / name).st_mode) == 0o600


def test_scaling(site: Site) -> None:
    assert json.loads(ctl(site, "--json", "incr", "shop", "--waiting"))["numprocesses"] == 3
    assert len(site.workers()) == 3
    assert json.loads(ctl(site, "--json", "decr", "shop", "--waiting"))["numprocesses"] == 2
    assert "ok" in ctl(site, "set", "shop", "numprocesses", "2")


def test_a_reload(site: Site) -> None:
    before = site.workers()
    changes = json.loads(ctl(site, "--json", "reload", "shop", "--waiting"))["info"]
    assert sorted(changes["stopped"]) == sorted(before)
    assert sorted(changes["started"]) == sorted(site.workers())


def test_the_port_is_listed(site: Site) -> None:
    assert f"127.0.0.1:{site.port}" in ctl(site, "listsockets")


def test_requests_in_progress(site: Site) -> None:
    over = site.folder / "over"
    with Client(("127.0.0.1", site.port), 30) as client:
        client.send(request(f"/until?{over}"))
        until(lambda: "/until" in ctl(site, "requests"), "the request to be listed")
        over.touch()
        assert client.answer().status == 200


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["add", "job", "sleep 1"], "runs one application and nothing else"),
        (["rm", "shop"], "runs one application and nothing else"),
        (["set", "shop", "graceful_timeout", "3"], "told by flags"),
        (["reloadconfig"], "new flags need a new start"),
        (["tail", "shop"], "--error-logfile"),
    ],
)
def test_what_a_single_site_cannot_do(site: Site, words: list[str], reason: str) -> None:
    assert reason in ctl(site, *words, status=1)
    assert "active" in ctl(site, "status", "shop")


def test_stop_start_and_restart_keep_the_port(site: Site) -> None:
    ctl(site, "stop", "--waiting")
    assert "stopped" in ctl(site, "status")
    assert site.workers() == {}
    ctl(site, "start", "--waiting")
    assert site.get("/") != ""
    before = set(site.workers())
    ctl(site, "restart", "--waiting")
    assert before.isdisjoint(site.workers())


def test_quit() -> None:
    with Site(APP, "--name", "shop") as site:
        assert "ok" in ctl(site, "quit", "--waiting")
        assert site.process.wait(30) == 0
        assert list((site.folder / "bigtop").iterdir()) == []


def test_quit_when_everything_is_stopped() -> None:
    with Site(APP, "--name", "shop") as site:
        ctl(site, "stop", "--waiting")
        assert "ok" in ctl(site, "quit", "--waiting")
        assert site.process.wait(30) == 0


def test_a_second_site_of_that_name_serves_without() -> None:
    with Site(APP, "--name", "shop") as first:
        second = Site(APP, "--name", "shop", env={"XDG_RUNTIME_DIR": str(first.folder)})
        with second:
            assert "no control channel" in second.log()
            assert "another supervisor answers there" in second.log()
            assert f"held by process {first.process.pid} (bigtop: supervisor [shop])" in second.log()
            assert "another --name" in second.log()
            assert second.get("/") != ""
        assert "active" in ctl(first, "status")


def test_no_channel() -> None:
    with Site(APP, "--control", "off") as site:
        assert not (site.folder / "bigtop").exists()


def test_a_channel_at_a_path() -> None:
    with tempfile.TemporaryDirectory() as folder:  # short enough for a socket
        place = f"{folder}/here.ctl"
        with Site(APP, "--control", place) as site:
            assert "active" in ctl(site, "--endpoint", place, "status")
            site.process.terminate()
            assert site.process.wait(30) == 0
        assert os.listdir(folder) == []
