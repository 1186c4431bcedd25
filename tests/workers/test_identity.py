# Who an application runs as: in real processes, forked for each case, since there is no way back.

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from bigtop.errors import ConfigError
from bigtop.workers import identity
from bigtop.workers.bootstrap import Identity

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def in_a_child(act: Callable[[], str]) -> str:
    """Return what `act` returns, or the error it raises, in a process of its own."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, act().encode())
        except ConfigError as error:
            os.write(write_end, f"error: {error}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


@needs_root
def test_user_brings_its_groups_and_its_home() -> None:
    def act() -> str:
        identity.assume(Identity(user="nobody"))
        return f"{os.getresuid()} {os.getresgid()} {os.environ['HOME']}"

    nobody = pwd.getpwnam("nobody")
    uids, gids = (nobody.pw_uid,) * 3, (nobody.pw_gid,) * 3
    assert in_a_child(act) == f"{uids} {gids} {nobody.pw_dir}"


@needs_root
def test_group_wins_over_the_users_own_and_no_group_of_root_stays() -> None:
    def act() -> str:
        os.setgroups([0, 4])
        identity.assume(Identity(user="nobody", group="daemon"))
        return f"{os.getresgid()} {os.getgroups()}"

    assert in_a_child(act) == "(1, 1, 1) [1]"


@needs_root
def test_numbers_need_no_entry() -> None:
    def act() -> str:
        identity.assume(Identity(user="54321", group="54322"))
        return f"{os.getuid()} {os.getgid()} {os.getgroups()}"

    assert in_a_child(act) == "54321 54322 []"


@needs_root
def test_the_way_back_is_closed() -> None:
    def act() -> str:
        identity.assume(Identity(user="nobody"))
        try:
            os.setuid(0)
        except PermissionError:
            return "closed"
        return "open"

    assert in_a_child(act) == "closed"


def test_unknown_names_are_named() -> None:
    with pytest.raises(ConfigError, match="--user/--group: there is no user 'nosuchuser'"):
        identity.resolve("nosuchuser", None)
    with pytest.raises(ConfigError, match="--user/--group: there is no group 'nosuchgroup'"):
        identity.resolve(None, "nosuchgroup")


def test_folder_umask_path_and_environment(tmp_path: Path) -> None:
    def act() -> str:
        import sys

        wanted = Identity(
            umask=0o27, chdir=str(tmp_path), pythonpath=("/a", "/b"), environ=(("COLOUR", "green"),)
        )
        identity.assume(wanted)
        return f"{os.umask(0):o} {os.getcwd()} {sys.path[:3]} {os.environ['COLOUR']}"

    assert in_a_child(act) == f"27 {tmp_path} ['/a', '/b', '{tmp_path}'] green"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match=f"--chdir {missing}: No such file or directory"):
        identity.assume(Identity(chdir=str(missing)))
