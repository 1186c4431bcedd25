# Options seen at work, in a served site.

from __future__ import annotations

import json
import urllib.request

from tests.support.site import Site

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
