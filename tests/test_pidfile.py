# The pid file: the lock decides, nothing is written through links, nobody's file is removed.

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from pathlib import Path

import pytest

from bigtop.errors import AlreadyRunsError, ConfigError
from bigtop.system.files import pidfile, safeopen


@pytest.mark.case("B8")
@pytest.mark.parametrize("text", [f"{os.getppid()}\n", "1\n", "2\n", "nonsense", ""])
def test_a_number_alone_holds_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text(text)
    with pidfile.held(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644 & ~_umask()
    assert list(tmp_path.iterdir()) == []


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


@pytest.mark.case("B8")
def test_a_lock_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pidfile.held(str(path)):
        with (
            pytest.raises(AlreadyRunsError, match=f"already runs as process {os.getpid()}; "),
            pidfile.held(str(path)),
        ):
            pass
        assert path.read_text() == f"{os.getpid()}\n"
    assert AlreadyRunsError.exit_status not in (0, 1, 2, 3, 78)
    with path.open("w") as file:  # locked, and no number yet
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunsError, match=r"\(starting\)"), pidfile.held(str(path)):
            pass


def test_what_somebody_else_put_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pidfile.held(str(path)):
        path.unlink()
        path.write_text("7\n")
    assert path.read_text() == "7\n"


def test_no_device_and_no_missing_folder(tmp_path: Path) -> None:
    before = os.stat("/dev/null").st_rdev
    for path, why in (("/dev/null", "is no regular file"), (str(tmp_path / "no" / "pid"), "No such file")):
        with pytest.raises(ConfigError, match=why), pidfile.held(path):
            pass
    assert os.stat("/dev/null").st_rdev == before


@pytest.mark.case("E14")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has more rights than the folder's owner")
def test_links_lead_nowhere(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "theirs"
    secret.write_text("root's\n")
    folder.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    path, draft = folder / "pid", folder / f"pid.{os.getpid()}"
    draft.symlink_to(secret)
    os.link(secret, path)
    with pidfile.held(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    path.symlink_to(secret)
    with pytest.raises(ConfigError, match="which another user can change"), pidfile.held(str(path)):
        pass
    path.unlink()
    (folder / "run").symlink_to(tmp_path)
    with (
        pytest.raises(ConfigError, match="which another user can change"),
        pidfile.held(str(folder / "run" / "pid")),
    ):
        pass
    with safeopen.place(str(path)) as place:
        path.symlink_to(secret)  # after somebody has looked
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            pidfile._take(str(path), place)
    assert secret.read_text() == "root's\n"
    assert not (tmp_path / "pid").exists()
