# Logs, pid files and sockets in a folder whose owner turns hostile, with a supervisor that runs as root.

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop import log
from bigtop.errors import ConfigError
from bigtop.supervisor.streams.files import Keeping, LogFile, TimedLogFile
from bigtop.system.files import safeopen, unixpaths
from tests.support.nobody import as_nobody
from tests.support.site import Site, until
from tests.support.stack import Stack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has more rights than the folder's owner")

APP = "tests.apps.site:app"
NOON = 1_778_068_800.0


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of nobody's that nobody can reach."""
    folder = Path(tempfile.mkdtemp(prefix="bigtop-theirs-"))
    account = pwd.getpwnam("nobody")
    os.chmod(folder, 0o755)
    os.chown(folder, account.pw_uid, account.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("root's\n")
    path.chmod(0o600)
    return path


def untouched(secret: Path) -> bool:
    status = secret.stat()
    owners = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
    return secret.read_text() == "root's\n" and owners == (0, 0, 0o600)


def lead_astray(path: Path, target: Path) -> None:
    """Put a link in the place of a file, also of one that somebody makes anew meanwhile."""
    os.symlink(target, f"{path}.link")
    if os.path.lexists(path):
        os.rename(path, f"{path}.old")
    os.rename(f"{path}.link", path)


@pytest.mark.case("E2")
def test_a_link_in_the_place_of_the_access_log_gives_nothing_away(theirs: Path, secret: Path) -> None:
    log_path = theirs / "access.log"
    # The group alone: a user may not be able to read this Python, which can be root's own.
    group = pwd.getpwnam("nobody").pw_gid
    arguments = ("--group", str(group), "--access-logfile", str(log_path))
    with Site(APP, *arguments) as site:
        assert site.get("/") == "ok"
        until(lambda: log_path.exists() and log_path.read_text(), "the line")
        assert log_path.stat().st_gid == group
        assert as_nobody(lead_astray, log_path, secret)
        site.send(signal.SIGUSR1)
        site.wait_for("logs reopened")
        site.wait_for("leads over the symbolic link 'access.log'")
        assert untouched(secret)
        assert site.get("/") == "ok"
        # an honest rotation afterwards works as ever
        log_path.unlink()
        site.send(signal.SIGUSR1)
        site.wait_for("logs reopened", times=2)
        until(lambda: log_path.exists(), "the new file")
        assert log_path.stat().st_gid == group
    log_path.unlink()
    assert as_nobody(lead_astray, log_path, secret)
    second = Site(APP, *arguments)
    second.start()
    assert second.wait() == 78
    assert "cannot write the log" in second.log()
    assert untouched(secret)


@pytest.mark.case("E2")
def test_a_secret_that_was_renamed_to_the_log_is_not_given_away(theirs: Path) -> None:
    """Whoever owns a folder may rename root's files in it."""
    key = theirs / "key"
    key.write_text("root's\n")
    key.chmod(0o600)
    assert as_nobody(os.rename, key, theirs / "access.log")
    nobody = pwd.getpwnam("nobody")
    with pytest.raises(ConfigError, match="its owner and mode are not changed"):
        log.give(str(theirs / "access.log"), nobody.pw_uid, nobody.pw_gid)
    for keeping in (Keeping(mode=0o644), Keeping(owner=nobody.pw_uid)):
        with pytest.raises(PermissionError):
            LogFile(str(theirs / "access.log"), keeping).write(b"x\n", NOON)
    assert untouched(theirs / "access.log")


@pytest.mark.case("E2")
@pytest.mark.parametrize("parent", [False, True], ids=["file", "folder"])
def test_links_and_second_names_are_refused_wherever_they_stand(
    theirs: Path, secret: Path, parent: bool
) -> None:
    if parent:
        assert as_nobody(os.symlink, secret.parent, theirs / "logs")
        path = theirs / "logs" / "secret"
    else:
        os.link(secret, theirs / "log")  # fs.protected_hardlinks may be off
        path = theirs / "log"
    file = LogFile(str(path), Keeping())
    with pytest.raises(OSError, match=r"where another user can write|which another user can change"):
        file.write(b"x\n", NOON)
    with pytest.raises(ConfigError):
        log.configure(path=str(path))
    assert untouched(secret)


@pytest.mark.case("E3")
def test_the_supervisors_own_log_is_led_nowhere(theirs: Path, secret: Path) -> None:
    path = theirs / "error.log"
    site = Site(APP, "--error-logfile", str(path))
    site.start()
    try:
        until(lambda: path.exists() and ": started" in path.read_text(), "the start")
        assert as_nobody(lead_astray, path, secret)
        site.send(signal.SIGUSR1)
        until(lambda: "logs reopened" in Path(f"{path}.old").read_text(), "the signal to be heard")
        assert "cannot reopen" in Path(f"{path}.old").read_text()
        assert untouched(secret)
        # nor does a pipe that nobody reads stop it
        path.unlink()
        assert as_nobody(os.mkfifo, path)
        site.send(signal.SIGUSR1)
        until(lambda: Path(f"{path}.old").read_text().count("logs reopened") == 2, "the second signal")
        assert "is no regular file" in Path(f"{path}.old").read_text()
    finally:
        site._end()


@pytest.mark.case("E3")
@pytest.mark.parametrize("kind", ["FileStream", "WatchedFileStream"])
def test_outputs_of_a_hostile_command_stay_in_its_folder(theirs: Path, secret: Path, kind: str) -> None:
    text = f"""
[watcher.evil]
cmd = "while echo 1; do sleep 0.05; done"
shell = true
uid = "nobody"
working_dir = "/"
stdout_stream = {{ class = "{kind}", filename = "{theirs}/out" }}
"""
    with Stack(text) as stack:
        until(lambda: (theirs / "out").exists() and (theirs / "out").read_text(), "a line")
        assert as_nobody(lead_astray, theirs / "out", secret)
        if kind == "FileStream":
            stack.send(signal.SIGUSR1)
        stack.wait_for("cannot be written")
        stack.wait_for("which another user can change")
        assert untouched(secret)


@pytest.mark.case("E3")
@pytest.mark.parametrize("compress", [False, True])
def test_a_rotation_is_led_nowhere(theirs: Path, secret: Path, compress: bool) -> None:
    """The name is exchanged between two lines, for a link to somebody's file."""
    for keeping in (
        Keeping(max_bytes=10),
        Keeping(max_bytes=10, backups=2, compress=compress),
    ):
        path = theirs / f"log{keeping.backups}"
        file = LogFile(str(path), keeping)
        file.write(b"123456789\n", NOON)
        assert as_nobody(lead_astray, path, secret)
        for _ in range(3):
            try:
                file.write(b"123456789\n", NOON)
            except OSError:
                file.close()
        file.close()
        assert untouched(secret)
        assert not secret.with_name("secret.1").exists()
    timed = TimedLogFile(str(theirs / "timed"), Keeping(backups=1, compress=compress), "S")
    timed.write(b"1\n", NOON)
    assert as_nobody(lead_astray, theirs / "timed", secret)
    with pytest.raises(OSError, match="symbolic link"):
        timed.write(b"2\n", NOON + 10**9)
    assert untouched(secret)


@pytest.mark.case("E3")
def test_links_of_operators_are_followed_and_rotated_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "log").symlink_to("disk/log")
    (tmp_path / "folder").symlink_to(tmp_path / "disk")
    for path in (tmp_path / "log", tmp_path / "folder" / "other"):
        file = LogFile(str(path), Keeping(max_bytes=3, backups=1))
        file.write(b"a\n", NOON)
        file.write(b"b\n", NOON)
        file.close()
    assert (tmp_path / "log").is_symlink()
    texts = {path.name: path.read_text() for path in (tmp_path / "disk").iterdir()}
    assert texts == {"log": "b\n", "log.1": "a\n", "other": "b\n", "other.1": "a\n"}


@pytest.mark.case("E3")
def test_in_a_folder_for_everybody_only_ones_own_entries_lead_on(secret: Path) -> None:
    """As fs.protected_symlinks has it for /tmp."""
    shared = Path(tempfile.mkdtemp(prefix="bigtop-shared-"))
    shared.chmod(0o1777)
    try:
        (shared / "mine").symlink_to(secret)
        with safeopen.place(str(shared / "mine")) as place:
            assert place.name == "secret"
        assert as_nobody(os.symlink, secret, shared / "theirs")
        with pytest.raises(OSError, match="which another user can change"):
            safeopen.append(str(shared / "theirs"), 0o600)
    finally:
        shutil.rmtree(shared)


@pytest.mark.case("E3")
def test_a_file_in_the_place_of_a_socket_keeps_its_mode(theirs: Path, secret: Path) -> None:
    path = theirs / "app.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        unixpaths.give(str(path), 0o666, None, None)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert as_nobody(lead_astray, path, secret)
        with pytest.raises(OSError, match="symbolic link"):
            unixpaths.give(str(path), 0o666, "nobody", None)
        path.unlink()
        os.link(secret, path)
        with pytest.raises(OSError, match="in the place of our socket"):
            unixpaths.give(str(path), 0o666, "nobody", None)
    assert untouched(secret)


@pytest.mark.case("E2")
def test_devices_and_our_own_descriptors_are_given_to_nobody() -> None:
    before = os.stat("/dev/null")
    log.give("/dev/null", 65534, 65534)
    assert os.stat("/dev/null").st_uid == before.st_uid
