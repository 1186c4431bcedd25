# `bigtop init systemd`: a unit that systemd can read, and whose command line means what was written.

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.support.site import ROOT


def init(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bigtop", "init", "systemd", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )


def unit(*words: str, cwd: Path = ROOT) -> RawConfigParser:
    done = init(*words, cwd=cwd)
    assert done.returncode == 0, done
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(done.stdout)
    return parser


def test_a_site() -> None:
    service = unit(
        "--user", "www", "serve", "my.wsgi:app", "--workers", "4", "-b", ":8000", "--graceful-timeout", "60"
    )["Service"]
    command = service["ExecStart"].split()
    assert os.path.isabs(command[0])
    assert command[1:5] == ["serve", "my.wsgi:app", "--workers", "4"]
    assert (service["User"], service["WorkingDirectory"]) == ("www", str(ROOT))
    assert (service["Type"], service["TimeoutStopSec"]) == ("notify", "80")
    assert service["RuntimeDirectory"] == "bigtop/my"
    assert "AmbientCapabilities" not in service


def test_a_low_port_needs_a_capability() -> None:
    assert unit("serve", "a:b", "-b", ":80")["Service"]["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"


@pytest.mark.case("B16")
def test_words_that_mean_something_to_systemd() -> None:
    command = unit("serve", "a:b", "-e", 'A=1 $HOME "%h" \\', "-e", "B=\tö")["Service"]["ExecStart"]
    assert command.endswith(r'''-e "A=1 $$HOME \"%%h\" \\" -e "B=\x09ö"''')


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[watcher.a]\ncmd = "sleep 9"\ngraceful_timeout = 300\n')
    service = unit("run", "site.toml", cwd=tmp_path)["Service"]
    assert service["ExecStart"].endswith(" run site.toml")
    assert service["WorkingDirectory"] == str(tmp_path)
    assert service["TimeoutStopSec"] == "320"
    assert service["RuntimeDirectory"] == "bigtop/site"


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["ctl", "status"], 2, "serve APP ..., or run FILE"),
        (["serve", "a:b", "--wokers", "2"], 2, "No such option"),
        (["serve", "a:b", "--workers", "few"], 78, "--workers: must be"),
        (["run", "no-such-file.toml"], 78, "no-such-file.toml"),
        (["run", "--daemon", "examples/stack.toml"], 78, "in the foreground"),
        (["serve", "a:b", "--daemon"], 78, "in the foreground"),
    ],
)
def test_what_would_not_start_is_told_now(words: list[str], status: int, reason: str) -> None:
    done = init(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    file = tmp_path / "shop.service"
    file.write_text(init("--user", "root", "serve", "a:b", "-b", ":80").stdout)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if "shop.service" in line]
    # The command need not be where systemd would look for it on this machine.
    assert [line for line in complaints if "is not executable" not in line] == []


@pytest.mark.case("B16")
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "name", ["plain", "my site", "100%h", 'a "b" c', "it's", "größe", "a\\x20b", "a:b", "$HOME"]
)
def test_systemd_takes_every_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    file = folder / f"{name}.toml"
    file.write_text("[watcher.a]\ncmd = 'sleep 9'\ngraceful_timeout = 10000000\n")
    done = init("--user", "root", "run", file.name, cwd=folder)
    assert done.returncode == 0, done
    written = tmp_path / "written.service"
    written.write_text(done.stdout)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(written)], capture_output=True, text=True, timeout=60
    )
    # Of other units it may have something to say.
    assert verified.returncode == 0, verified
    assert "written.service" not in verified.stderr
    assert f"WorkingDirectory={str(folder).replace('%', '%%')}\n" in done.stdout
    assert "TimeoutStopSec=10000020\n" in done.stdout
    assert f"bigtop ctl -e {shlex.quote(name)}\n" in done.stdout


@pytest.mark.case("B16")
@pytest.mark.parametrize("name", ["a\nb", "a ", "a\\"])
def test_a_folder_that_no_unit_can_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    done = init("serve", "a:b", cwd=folder)
    assert done.returncode == 78
    assert "cannot stand in a unit" in done.stderr
