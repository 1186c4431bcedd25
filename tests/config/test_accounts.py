# Who a process becomes: users and groups by name and by number, at every place that takes them.

from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop.config.serve import serve, site_preflight
from bigtop.config.serve.arguments import layer
from bigtop.control.commands import watcher_options
from bigtop.control.protocol import RefusedError
from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import Command, WatcherSpec
from bigtop.system import accounts
from bigtop.workers import identity
from bigtop.workers.bootstrap import Identity
from tests.config.files import mistakes
from tests.support.site import ROOT, until
from tests.support.stack import Stack
from tests.workers.test_identity import in_a_child

pytestmark = [pytest.mark.case("E6"), pytest.mark.case("B10")]
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
STRANGER = "54321"  # a number without an entry
ASKS = re.compile(r"54321 is not known on this machine and has no group of its own: add (--group|gid)")
BEYOND = (2**32 - 1, 2**32, 9999999999)  # the first is what setuid(2) takes for "unchanged"


def member() -> tuple[str, set[int]]:
    """Return a user who is in further groups, and all its groups; skips where there is none."""
    for group in grp.getgrall():
        for name in group.gr_mem:
            entry = pwd.getpwnam(name)
            if entry.pw_uid:
                return name, set(os.getgrouplist(name, entry.pw_gid))
    pytest.skip("no user of this machine is in further groups")


@pytest.mark.parametrize("uid", ['"54321"', "54321"])
def test_a_file_asks_for_the_group(tmp_path: Path, uid: str) -> None:
    text = f'[watcher.w]\ncmd = "id"\nuid = {uid}\n[app.a]\napp = "a:b"\nuser = {uid}\n'
    first, second = mistakes(tmp_path, text, "x.toml")
    assert first.startswith("x.toml:3: uid: ")
    assert second.startswith("x.toml:6: user: ")
    assert ASKS.search(first)
    assert ASKS.search(second)
    ini = "[watcher:w]\ncmd = id\nuid = 54321\n[plugin:p]\nuse = a.B\nuid = 54321\n"
    assert [line.partition(" user")[0] for line in mistakes(tmp_path, ini)] == [
        "circus.ini:3: uid:",
        "circus.ini:6: uid:",
    ]


@pytest.mark.parametrize("number", BEYOND)
def test_numbers_that_the_kernel_has_not_are_refused(tmp_path: Path, number: int) -> None:
    text = (
        f'[watcher.w]\ncmd = "id"\nuid = {number}\ngid = {number}\n[socket.s]\npath = "s"\nowner = {number}\n'
    )
    assert [line.partition(" there")[0] for line in mistakes(tmp_path, text, "x.toml")] == [
        *("x.toml:3: uid:", "x.toml:4: gid:", "x.toml:7: owner:")
    ]


def test_user_and_group_in_one_word_are_told_apart(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, '[watcher.w]\ncmd = "id"\nuid = "www:www"\n', "x.toml")
    assert line.endswith("there is no user 'www:www' on this machine; the group is an option of its own")


def test_flags_arguments_and_the_control_channel_ask_for_the_group() -> None:
    config = serve.configure("a:b", {}, layer({"user": 54321}))
    with pytest.raises(ConfigError, match=r"user: user 54321 .*: add --group"):
        site_preflight.check(config, serve.spec(config))
    spec = WatcherSpec("w", Command("id"))
    with pytest.raises(RefusedError, match=r"'uid': user 54321 .*: add gid"):
        watcher_options.changed(spec, {"uid": 54321})
    assert watcher_options.changed(spec, {"uid": 54321, "gid": "54321"}).target.context.group == "54321"  # type: ignore[union-attr]


@needs_root
def test_serve_refuses_before_it_binds() -> None:
    command = [sys.executable, "-m", "bigtop", "serve", "a:b", "--user", STRANGER, "--bind", "127.0.0.1:0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (78, "")
    assert ASKS.search(done.stderr)
    assert "listening" not in done.stderr


@needs_root
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('uid = "54321"\ngid = 54322', "54321 54322 54322"),
        ('uid = "nobody"', None),
        ("gid = 54322", "0 54322 54322"),
    ],
)
def test_a_command_has_no_group_of_root(keys: str, expected: str | None) -> None:
    nobody = pwd.getpwnam("nobody")
    expected = expected or f"{nobody.pw_uid} {nobody.pw_gid} {nobody.pw_gid}"
    text = f"""
        [watcher.w]
        cmd = "sh -c 'echo groups: $(id -u) $(id -g) $(id -G)'"
        respawn = false
        stdout_stream.class = "StdoutStream"
        copy_env = true
        {keys}
        """
    with Stack(text) as stack:
        stack.wait_for("groups: ")
        assert re.search(r"groups: (.*)", stack.log())[1] == expected  # type: ignore[index]


@needs_root
def test_further_groups_are_those_of_the_user() -> None:
    name, groups = member()
    text = f"""
        [watcher.w]
        cmd = "sh -c 'echo groups: $(id -G)'"
        uid = "{name}"
        respawn = false
        copy_env = true
        stdout_stream.class = "StdoutStream"
        """
    with Stack(text) as stack:
        stack.wait_for("groups: ")
        assert {int(word) for word in re.search(r"groups: (.*)", stack.log())[1].split()} == groups  # type: ignore[index]

    def act() -> str:
        os.setgroups([0, 4])
        identity.assume(Identity(user=name))
        return " ".join(map(str, os.getgroups()))

    assert set(map(int, in_a_child(act).split())) == groups


@needs_root
def test_a_user_whose_group_is_ours_still_loses_our_further_groups() -> None:
    def act() -> str:
        os.setgroups([0, 4])
        accounts.become(65534, 0, ())
        return f"{os.getresuid()} {os.getgroups()}"

    assert in_a_child(act) == "(65534, 65534, 65534) []"


@needs_root
def test_the_file_of_a_socket_and_of_an_output_may_belong_to_a_number(tmp_path: Path) -> None:
    text = """
        [socket.s]
        path = "{folder}/s"
        owner = 54321
        [watcher.w]
        cmd = "sh -c 'echo hello; sleep 1000'"
        stdout_stream = { filename = "{folder}/out", owner = "54321", group = "54322" }
        """
    with Stack(text) as stack:
        assert os.stat(stack.folder / "s").st_uid == int(STRANGER)
        out = stack.folder / "out"
        until(lambda: out.exists() and out.read_text() == "hello\n", "the output")
        assert (os.stat(out).st_uid, os.stat(out).st_gid) == (54321, 54322)


def test_only_root_becomes_somebody_else(tmp_path: Path) -> None:
    def act() -> str:
        if os.getuid() == 0:
            accounts.become(65534, 65534, ())
        identity.assume(Identity(user="root"))
        return "became root"

    assert in_a_child(act) == "error: --user/--group: only root may become root"
