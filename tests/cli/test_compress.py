# `bigtop compress`: neighbours of files that are whole, of now, and what clients of --static are sent.

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bigtop.cli import precompression
from bigtop.cli.precompression import State, compress, files
from bigtop.http.answers.codings import CODINGS
from tests.support.decoding import decoded
from tests.support.site import ROOT, Site
from tests.support.wire import Client

SUFFIXES = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}
SCRIPT = b"".join(b"function f%d() { return %d }\n" % (n, n) for n in range(2000))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "static"
    (root / "sub").mkdir(parents=True)
    (root / ".hidden").mkdir()
    outside = tmp_path / "outside.js"
    for path in (root / "app.js", root / "sub/a.css", root / ".hidden/a.js", root / ".a.js", outside):
        path.write_bytes(SCRIPT)
    (root / "old.txt").write_bytes(SCRIPT)
    (root / "old.txt.gz").write_bytes(b"made of something else")
    (root / "small.css").write_bytes(b"a {}")
    (root / "a.png").write_bytes(SCRIPT)
    (root / "noise.svg").write_bytes(os.urandom(5000))
    (root / "noise.svg.br").write_bytes(b"of what it was before")
    (root / "link.js").symlink_to("app.js")
    (root / "out.js").symlink_to(outside)
    (root / "gone.js").symlink_to("nowhere")
    return root


@pytest.fixture
def bigtop(tmp_path: Path) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bigtop", "compress", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_neighbours_of_what_gains_by_it(folder: Path, bigtop: Run) -> None:
    before = names(folder)
    dry = json.loads(bigtop("static", "--dry-run", "--json").stdout)
    assert names(folder) == before
    done = bigtop("static")
    assert (done.returncode, done.stderr) == (0, "")
    new = {
        name + suffix
        for name in ("app.js", "link.js", "sub/a.css", "old.txt")
        for suffix in SUFFIXES.values()
    }
    assert names(folder) == (before | new) - {"noise.svg.br"}
    assert dry["wanted"] == 15
    assert "5 files: 12 made, 0 of now, 3 would save nothing" in done.stdout
    for name in ("app.js", "sub/a.css", "old.txt"):
        path = folder / name
        for coding, suffix in SUFFIXES.items():
            neighbour = Path(f"{path}{suffix}")
            assert decoded(coding, neighbour.read_bytes()) == SCRIPT
            assert neighbour.stat().st_mtime_ns == path.stat().st_mtime_ns
            assert neighbour.stat().st_mode == path.stat().st_mode
    with (
        Site("tests.apps.wsgi_basic:app", "--static", f"/s={folder}") as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        for coding in CODINGS:
            answer = client.get("/s/app.js", f"Accept-Encoding: {coding}")
            assert (answer["Content-Encoding"], decoded(coding, answer.body)) == (coding, SCRIPT)


def test_what_is_of_now_is_left_alone(folder: Path, bigtop: Run) -> None:
    assert bigtop("static", "--with", "gzip,br", "--jobs", "2").returncode == 0
    assert not any(name.endswith(".zst") for name in names(folder))
    times = {name: (folder / name).lstat().st_ctime_ns for name in names(folder)}
    said = bigtop("static", "--with", "gzip,br").stdout
    assert "5 files: 0 made, 8 of now, 2 would save nothing" in said
    assert {name: (folder / name).lstat().st_ctime_ns for name in names(folder)} == times
    (folder / "app.js").write_bytes(SCRIPT + b"// new\n")
    os.utime(folder / "app.js", (1, 1))  # older than what is beside it, and another one
    found = json.loads(bigtop("static", "--with", "gzip", "--json").stdout)
    made = [one["path"] for one in found["files"] if one["state"] == "written"]
    assert sorted(made) == ["static/app.js", "static/link.js"]
    assert decoded("gzip", (folder / "app.js.gz").read_bytes()).endswith(b"// new\n")


def test_types_and_sizes(folder: Path) -> None:
    everything = [os.path.relpath(path, folder) for path in files(str(folder), precompression.TYPES, 1)]
    assert everything == ["app.js", "link.js", "noise.svg", "old.txt", "small.css", "sub/a.css"]
    assert [Path(path).name for path in files(str(folder), ("text/css",), 860)] == ["a.css"]


def test_the_same_bytes_each_time(folder: Path) -> None:
    path = folder / "app.js"
    compress(str(path), CODINGS)
    first = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in SUFFIXES.values()}
    os.utime(path, (5, 5))
    assert [one.state for one in compress(str(path), CODINGS)] == [State.WRITTEN] * 3
    assert {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in SUFFIXES.values()} == first


def test_what_cannot_be_written_is_named_and_the_rest_goes_on(folder: Path, bigtop: Run) -> None:
    (folder / "app.js.gz").mkdir()
    (folder / "app.js.gz/x").write_bytes(b"")
    done = bigtop("static", "--with", "gzip")
    assert done.returncode == 1
    assert "bigtop: static/app.js.gz: Is a directory" in done.stderr
    assert decoded("gzip", (folder / "sub/a.css.gz").read_bytes()) == SCRIPT
    assert not [name for name in names(folder) if ".gz." in name], "no piece is left"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["no"], 78, "there is no directory no"),
        ([], 2, "Missing argument 'DIR...'"),
        ([".", "--with", "lzma"], 2, "there is no lzma; known are zstd, br, gzip"),
        ([".", "--with", "off"], 2, "there is no off"),
        ([".", "--types", "text"], 2, "must be media types"),
        ([".", "--min", "x"], 2, "must be a size"),
    ],
)
def test_mistakes_are_named(bigtop: Run, words: list[str], status: int, message: str) -> None:
    done = bigtop(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
