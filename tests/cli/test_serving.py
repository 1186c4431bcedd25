# Options seen at work, in a served site.

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.site import Site, until
from tests.support.wire import Client

APP = "tests.apps.site:app"


def test_everything_that_a_json_site_writes_is_json() -> None:
    with Site(APP, "--log-json", "--access-logfile", "-") as site:
        url = json.loads(site.log().splitlines()[0])["message"].removeprefix("listening on ")
        with urllib.request.urlopen(f"{url}/quote%22%5C?q=%22", timeout=30):
            site.wait_for("quote")
        assert site.stop() == 0
        entries = [json.loads(line) for line in site.log().splitlines()]
    messages = [entry["message"] for entry in entries if "message" in entry]
    assert any(text.startswith(f"serving: application {APP} (WSGI); ") for text in messages)
    requests = [entry for entry in entries if "path" in entry]
    assert [(entry["path"], entry["query"], entry["status"]) for entry in requests] == [
        ("/quote%22%5C", "q=%22", 200)
    ]


def test_sources_arrive_in_the_workers() -> None:
    environ = {"BIGTOP_CMD_ARGS": "-w 2 --umask 027", "BIGTOP_WORKERS": "9", "BIGTOP_ENV": "COLOUR=red"}
    with Site(APP, "-e", "COLOUR=blue", env=environ) as site:
        assert len(site.workers()) == 2
        _, _, umask, _, colour = site.get("/id").split()
        assert (int(umask), colour) == (0o027, "blue")


def test_several_addresses_at_once(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    with Site(APP, "--bind", "[::1]:0", "--bind", f"unix:{path}") as site:
        said = re.search(
            r"listening on http://127\.0\.0\.1:(\d+), http://\[::1\]:(\d+), unix:(\S+)", site.log()
        )
        assert said, site.log()
        assert said[3] == str(path)
        for address in (("127.0.0.1", int(said[1])), said[3]):
            with Client(address) as client:
                assert client.get("/").body == b"ok"
        with socket.create_connection(("::1", int(said[2]))) as six:
            six.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert six.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_the_access_log_has_what_its_format_asks_for(tmp_path: Path) -> None:
    log = tmp_path / "access"
    shape = '%(h)s %(p)s %(m)s "%(U)s" %(q)s %(H)s %(s)s %(B)s %(D)s %(QD)s %({x-id}i)s %({content-length}o)s'
    with Site(APP, "--access-logfile", str(log), "--access-logformat", shape) as site:
        (worker,) = site.workers()
        with Client(("127.0.0.1", site.port)) as client:
            client.get("/sleep/0.05?a=b", "X-Id: 77")
        until(lambda: log.read_text().endswith("\n"), "the line")
    said = log.read_text().split()
    micros, queued = int(said[8]), int(said[9])
    assert said[:8] == ["127.0.0.1", f"<{worker}>", "GET", '"/sleep/0.05"', "a=b", "HTTP/1.1", "200", said[7]]
    assert micros >= 50_000
    assert 0 <= queued < micros
    assert said[10:] == ["77", str(len(str(worker)))]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("combined", r'127\.0\.0\.1 - - \[.+\] "GET /sleep/0 HTTP/1\.1" 200 \d+ "-" "-"\n'),
        ("$status|$http_x_id|$request_time", r"200\|77\|0\.\d{3}\n"),
        ("caddy", r'\{"level": "info", "ts": .+, "msg": "handled request", .+\}\n'),
    ],
)
def test_a_format_by_name_or_as_nginx_has_it(tmp_path: Path, shape: str, expected: str) -> None:
    log = tmp_path / "access"
    with Site(APP, "--access-logfile", str(log), "--access-logformat", shape) as site:
        with Client(("127.0.0.1", site.port)) as client:
            client.get("/sleep/0", "X-Id: 77")
        until(lambda: log.read_text().endswith("\n"), "the line")
    assert re.fullmatch(expected, log.read_text())


@pytest.mark.parametrize("pattern", ["site.ini", "./*.ini", "**/*.ini"])
def test_a_reload_when_an_extra_file_changes(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "site.ini").write_text("before")
    (tmp_path / "reader.py").write_text(
        "text = open('site.ini', 'rb').read()\n"
        "def app(environ, start_response):\n start_response('200 OK', [])\n return [text]\n"
    )
    with Site("reader:app", "--chdir", str(tmp_path), "--reload", "--reload-extra-file", pattern) as site:
        assert site.get() == "before"
        due = 0.0

        def changed() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + 0.5  # again until the reloader watches, which waits for a pause
                (tmp_path / "new").write_text("after!")
                (tmp_path / "new").replace(tmp_path / "site.ini")
            return "site.ini; reloading" in site.log()

        until(changed, "the change to be noticed")
        until(lambda: site.get() == "after!", "the new text")
