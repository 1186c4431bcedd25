# Files and proxies as a user asks for them: from the command line to the worker.

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.played_server import PlayedServer
from tests.support.site import ROOT, Site
from tests.support.wire import Client, request

APP = "tests.apps.wsgi_basic:app"


def test_static_files_and_private_ones(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a {}")
    mounts = ["--static", f"/static={tmp_path}", "--sendfile-root", f"/private={tmp_path}"]
    with Site(APP, *mounts, "--access-logfile", "-") as site:
        assert site.get("/static/a.css") == "a {}"
        assert site.get("/named?accel=/private/a.css") == "a {}"
        site.wait_for('"GET /static/a.css HTTP/1.1" 200 4')


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_static_files_beside_mounted_applications(tmp_path: Path, interface: str) -> None:
    (tmp_path / "a.css").write_text("a {}")
    mounts = ["--mount", f"/b=tests.apps.mounted:{interface}", "--static", f"/s={tmp_path}"]
    with Site("tests.apps.mounted:wsgi", *mounts) as site:
        assert site.get("/s/a.css") == "a {}"
        assert json.loads(site.get("/b/"))["speaks"] == interface
        assert json.loads(site.get("/"))["speaks"] == "wsgi"


def test_a_relative_folder_counts_from_chdir(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("here")
    with Site(APP, "--chdir", str(tmp_path), env={"BIGTOP_STATIC": "/s=files"}) as site:
        assert site.get("/s/a.txt") == "here"


def test_a_reload_keeps_serving_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("here")
    with Site(APP, "--static", f"/s={tmp_path}") as site:
        site.send(signal.SIGHUP)
        site.wait_for("reloaded")
        assert site.get("/s/a.txt") == "here"


def test_balancers_and_proxies() -> None:
    flags = [
        "--proxy-protocol",
        "v1",
        "--forwarded-allow-ips",
        "203.0.113.0/24",
        "--forwarded-headers",
        "host",
    ]
    with Site(APP, *flags) as site, Client(("127.0.0.1", site.port)) as client:
        client.send(
            b"PROXY TCP4 203.0.113.9 198.51.100.2 1 2\r\n" + request("/environ", "X-Forwarded-Host: b")
        )
        env = json.loads(client.answer().body)
        assert (env["REMOTE_ADDR"], env["HTTP_HOST"]) == ("203.0.113.9", "b")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--static", "/s=/no/such/place"], "--static: there is no directory /no/such/place"),
        (["--static", "s=/usr"], "--static: must be a path and a directory such as /static=var/static"),
        (["--static", "static"], "--static: must be a path and a directory"),
        (["--sendfile-root", "x=/usr"], "--sendfile-root: must be a path and a directory"),
        (["--proxy-protocol=v3"], "--proxy-protocol: must be one of off, v1, v2, auto"),
        (
            ["--forwarded-headers", "from"],
            "--forwarded-headers: must be one of for, proto, host, port, forwarded",
        ),
    ],
)
def test_mistakes_are_named(flags: list[str], message: str) -> None:
    command = [sys.executable, "-m", "bigtop", "serve", "--check-config", *flags, APP]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_another_server_answers_some_paths(interface: str) -> None:
    app = {"wsgi": APP, "asgi": "tests.apps.asgi_basic:app"}[interface]
    with PlayedServer() as other:
        flags = ("--proxy", f"/other/=http://localhost:{other.port}", "--proxy-connections", "1")
        flags += ("--proxy-timeout", "1.5", "--proxy-connect-timeout", "0.3", "--access-logfile", "-")
        with (
            Site(app, *flags) as site,
            Client(("127.0.0.1", site.port)) as first,
            Client(("127.0.0.1", site.port)) as second,
        ):
            first.send(request("/other/a"))
            with other.accept() as asked:
                assert asked.head()[0] == "GET /other/a HTTP/1.1"
                assert second.get("/other/b").status == 503, "one connection, and 0.3 s to wait for it"
                assert first.answer().status == 504
            site.wait_for('"GET /other/a HTTP/1.1" 504')
            site.wait_for("sends nothing, and takes nothing, for 1.5 s")
