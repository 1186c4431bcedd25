# What is made of answers on their way out, as a user asks for it: from the command line to the worker.

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.apps.compressible import PAGE
from tests.support.decoding import decoded
from tests.support.site import ROOT, Site
from tests.support.wire import Client

ALL = "Accept-Encoding: gzip, deflate, br, zstd"


def test_what_is_asked_for_arrives_in_the_workers() -> None:
    flags = ["--compress-types", "application/json,text/plain", "--compress-min", "100"]
    flags += [
        "--accel-headers",
        "--security-headers",
        "--add-header",
        "X-A: b",
        "--add-header",
        "Referrer-Policy: no-referrer",
    ]
    mounted = ["--mount", "/b=tests.apps.compressible:asgi"]
    with (
        Site("tests.apps.compressible:wsgi", *flags, *mounted, env={"BIGTOP_COMPRESS": "br,gzip"}) as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        for prefix in ("", "/b"):
            answer = client.get(f"{prefix}/json", ALL)
            assert (answer["Content-Encoding"], decoded("br", answer.body)) == ("br", PAGE)
            assert client.get(f"{prefix}/json", "Accept-Encoding: gzip")["Content-Encoding"] == "gzip"
            assert client.get(f"{prefix}/html", ALL)["Content-Encoding"] is None
            assert client.get(f"{prefix}/small", ALL)["Content-Encoding"] == "br"
            assert (answer["X-A"], answer["Referrer-Policy"]) == ("b", "no-referrer")
            assert answer["X-Content-Type-Options"] == "nosniff"
            accel = client.get(f"{prefix}/accel")
            assert (accel["Content-Type"], accel["X-Accel-Buffering"]) == ("text/html; charset=koi8-r", None)


def test_check_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "bigtop.toml").write_text(
        '[app.a]\napp = "tests.apps.compressible:wsgi"\nbind = ["127.0.0.1:0"]\ncompress = "gzip"\n'
        '[app.a.paths."/json"]\ncompress = "off"\n'
        '[app.a.paths."/small"]\ncompress_min = "100"\ncompress = ["zstd", "gzip"]\n'
    )
    checked = subprocess.run(
        [sys.executable, "-m", "bigtop", "check", str(tmp_path / "bigtop.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert "[app.a] answers are compressed with gzip" in checked.stdout
    command = [sys.executable, "-m", "bigtop", "serve", "--check-config", "--compress", "auto"]
    told = subprocess.run(
        [*command, "tests.apps.compressible:wsgi"], cwd=ROOT, capture_output=True, text=True
    )
    assert "answers are compressed with zstd, br, gzip\n" in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--compress", "br,lzma"], "--compress: there is no lzma; known are zstd, br, gzip"),
        (["--compress-types", "text"], "--compress-types: must be media types such as text/*"),
        (["--compress-min", "-1"], "--compress-min: must be a size of at least 0"),
    ],
)
def test_mistakes_are_named(flags: list[str], message: str) -> None:
    command = [sys.executable, "-m", "bigtop", "serve", "tests.apps.compressible:wsgi", *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 78
    assert message in ended.stderr
