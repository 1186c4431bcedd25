# The control channel before its first client.

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from bigtop.control import addresses
from tests.support.site import Site, until


def has_zeromq(site: Site) -> bool:
    return "libzmq" in Path(f"/proc/{site.process.pid}/maps").read_text()


def asked(site: Site, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bigtop", "ctl", "--json", *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(site.folder), "BIGTOP_CTL_ENDPOINT": "shop"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done
    return done.stdout


def test_what_answers_is_imported_when_somebody_asks() -> None:
    with Site("tests.apps.wsgi_basic:app", "--name", "shop") as site:
        path = str(site.folder / "bigtop" / "shop.ctl")
        until(lambda: os.path.exists(path), "the control channel")
        assert site.get("/") != ""
        for _ in range(40):  # who looks whether somebody is here asks nothing
            assert addresses.answers(path)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(path)
            assert not has_zeromq(site)
            assert json.loads(asked(site, "status"))["statuses"] == {"shop": "active"}
            assert has_zeromq(site)
        assert json.loads(asked(site, "incr", "shop", "--waiting"))["numprocesses"] == 2


def test_who_says_nothing_keeps_nobody_waiting() -> None:
    with Site("tests.apps.wsgi_basic:app", "--name", "shop") as site:
        path = str(site.folder / "bigtop" / "shop.ctl")
        until(lambda: os.path.exists(path), "the control channel")
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        try:
            for one in crowd:
                one.connect(path)
            began = time.monotonic()
            assert json.loads(asked(site, "status"))["statuses"] == {"shop": "active"}
            assert time.monotonic() - began < 20
        finally:
            for one in crowd:
                one.close()


def test_a_site_that_nobody_asked_anything_leaves_no_socket() -> None:
    with Site("tests.apps.wsgi_basic:app", "--name", "shop") as site:
        folder = site.folder / "bigtop"
        until(lambda: len(list(folder.glob("shop.*"))) == 2, "the control channel")
        site.process.terminate()
        assert site.process.wait(30) == 0
        assert list(folder.iterdir()) == []
