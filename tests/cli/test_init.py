# `bigtop init systemd`: a unit that systemd can read, and whose command line means what was written.

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.support.certificates import made, written
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


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_files_that_the_user_may_not_read_are_copied(shared: Path) -> None:
    for name in ("site.pem", "site.key", "ca.pem", "more"):
        (shared / name).mkdir() if name == "more" else (shared / name).write_text("x")
    (shared / "more/site.key").write_text("x")
    for name in ("site.key", "more/site.key"):
        os.chmod(shared / name, 0o600)
    words = ["--tls", "files:site.pem,site.key", f"--tls=files:{shared}/site.pem,more/site.key"]
    text = init("--user", "nobody", "serve", "a:b", "-b", ":443", *words, cwd=shared).stdout
    command = f"-b :443 --tls files:site.pem,%d/site.key --tls=files:{shared}/site.pem,%d/1-site.key"
    assert f"{command}\n" in text
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in text
    assert f"LoadCredential=site.key:{shared}/site.key\n" in text
    assert f"LoadCredential=1-site.key:{shared}/more/site.key\n" in text
    assert "LoadCredential" not in init("--user", "root", "serve", "a:b", *words, cwd=shared).stdout
    uvicorns = ["--ssl-certfile", "site.pem", "--ssl-keyfile", "site.key"]
    text = init("--user", "nobody", "serve", "a:b", *uvicorns, cwd=shared).stdout
    assert "--certfile=site.pem --keyfile=%d/site.key" in text
    written(shared, made("localhost"))
    (shared / "site.toml").write_text('[app.a]\napp = "a:b"\ntls = ["files:site.pem,site.key"]\n')
    done = init("--user", "nobody", "run", "site.toml", cwd=shared)
    assert "LoadCredential" not in done.stdout
    assert f"nobody may not read {shared}/site.key: give it to a group" in done.stderr


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
    assert (service["KillMode"], service["FileDescriptorStoreMax"]) == ("mixed", "128")


def test_commands_that_are_to_outlive_their_supervisor(tmp_path: Path) -> None:
    many = '[watcher.a]\ncmd = "sleep 9"\nnumprocesses = 99\n[socket.s]\nport = 80\n'
    (tmp_path / "site.toml").write_text(many)
    service = unit("--keep-commands", "run", "site.toml", cwd=tmp_path)["Service"]
    assert (service["KillMode"], service["FileDescriptorStoreMax"]) == ("process", "602")


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["ctl", "status"], 2, "serve APP ..., or run FILE"),
        (["serve", "a:b", "--wokers", "2"], 2, "No such option"),
        (["serve", "a:b", "--workers", "few"], 78, "--workers: must be"),
        (["run", "no-such-file.toml"], 78, "no-such-file.toml"),
        (["run", "--daemon", "examples/stack.toml"], 78, "in the foreground"),
        (["serve", "a:b", "--daemon"], 78, "in the foreground"),
        (["--keep-commands", "serve", "a:b"], 78, "--keep-commands: serve has none"),
    ],
)
def test_what_would_not_start_is_told_now(words: list[str], status: int, reason: str) -> None:
    done = init(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("words", [(), ("--tls", "files:/no/such file.pem,/no/100%.key")])
def test_systemd_understands_it(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "shop.service"
    file.write_text(init("--user", "daemon", "serve", "a:b", "-b", ":80", *words).stdout)
    assert ("LoadCredential=100_.key:/no/100%%.key" in file.read_text()) is bool(words)
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
