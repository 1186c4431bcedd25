# Small mode: --hosts of `bigtop ctl`, `top` and `web`, and what answers in a multicast group.

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bigtop.cli import connection
from bigtop.cli.ctl import ctl_discover
from bigtop.cli.root import root
from bigtop.control import keys
from bigtop.control.client import hosts
from bigtop.control.client.hosts import Host
from bigtop.errors import ConfigError
from bigtop.web import program
from bigtop.web.spec import Target, WebSpec
from tests.support.site import DEADLINE, ROOT, until
from tests.support.stack import Stack, free_port

# ---- pure


def test_a_list_of_hosts() -> None:
    found = hosts.read("web1, db.example:6000,eu=tcp://10.0.0.5:5555,[::1]:7000,")
    assert [(one.name, one.endpoint) for one in found] == [
        ("web1", "tcp://web1:5555"),
        ("db.example", "tcp://db.example:6000"),
        ("eu", "tcp://10.0.0.5:5555"),
        ("::1", "tcp://[::1]:7000"),
    ]
    assert hosts.far(found) == ["web1", "db.example", "eu"]


def test_several_of_one_machine_are_told_apart_by_their_ports() -> None:
    found = hosts.read("localhost:5001,localhost:5002,a")
    assert [one.name for one in found] == ["localhost:5001", "localhost:5002", "a"]


def test_a_file_of_hosts(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# racks\nweb1  # the first\n\nweb2:6000\n")
    assert [one.endpoint for one in hosts.read(str(path))] == ["tcp://web1:5555", "tcp://web2:6000"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "--hosts: names no host"),
        (",,", "--hosts: names no host"),
        ("a b", "--hosts: must be [NAME=]HOST[:PORT], got 'a b'"),
        ("a:0", "--hosts: must be"),
        ("a:70000", "--hosts: must be"),
        ("udp:", "--hosts: must be"),
        ("a,b,a", "--hosts: a:5555 is there twice"),
        (",".join(f"n{number}" for number in range(51)), "--hosts: has 51 hosts, 50 at most"),
        ("/nowhere/hosts", "--hosts: /nowhere/hosts: No such file or directory"),
    ],
)
def test_what_is_no_host_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        hosts.read(text)
    assert str(refused.value).startswith(problem)


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("web1\nweb 2\n")
    with pytest.raises(ConfigError, match="hosts:2: must be"):
        hosts.read(str(path))


def test_keys_of_each_host_are_in_a_folder(tmp_path: Path) -> None:
    two = hosts.read("a,b")
    (tmp_path / "a.key").touch()
    with pytest.raises(ConfigError, match=r"b\.key is missing"):
        hosts.with_keys(two, Path("ann.key_secret"), str(tmp_path))
    (tmp_path / "b.key").touch()
    found = hosts.with_keys(two, Path("ann.key_secret"), str(tmp_path))
    assert [Path(one.identity.server_key).name for one in found if one.identity] == ["a.key", "b.key"]


def options(**given: Any) -> dict[str, Any]:
    return {"endpoint": (), "hosts": "web1", "identity": None, "server_key": None, "ssh": None, **given}


def test_other_machines_take_keys_or_ssh() -> None:
    with pytest.raises(click.UsageError, match="web1: is another machine"):
        connection.hosts(options())
    with pytest.raises(click.UsageError, match="have one of them"):
        connection.hosts(options(endpoint=("a",)))
    with pytest.raises(click.UsageError, match="belong together"):
        connection.hosts(options(identity=Path("x")))
    assert connection.hosts(options(ssh="ops@gate")) == (Host("web1", "tcp://web1:5555"),)
    assert connection.hosts(options(hosts="127.0.0.1")) == (Host("127.0.0.1", "tcp://127.0.0.1:5555"),)
    assert connection.hosts(options(hosts=None)) == ()


@pytest.mark.parametrize(
    ("data", "endpoint"),
    [
        (b'{"endpoint": "tcp://10.0.0.5:5555"}', "tcp://10.0.0.5:5555"),
        (b'{"endpoint": "tcp://0.0.0.0:5555"}', "tcp://10.9.9.9:5555"),
        (b'{"endpoint": "tcp://*:5555"}', "tcp://10.9.9.9:5555"),
        (b'{"endpoint": "ipc:///run/bigtop/a.ctl"}', "ipc:///run/bigtop/a.ctl"),
        (b'{"endpoint": "tcp://a:1\\u001b[2J"}', ""),
        (b'{"endpoint": ["tcp://a:1"]}', ""),
        (b'{"place": 1}', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"[" * 2000, ""),
    ],
)
def test_an_answer_in_the_group_is_data(data: bytes, endpoint: str) -> None:
    assert ctl_discover.told(data, "10.9.9.9") == endpoint


# ---- with daemons

TEXT = """
[circus]
endpoint = "tcp://127.0.0.1:0"
pubsub_endpoint = "tcp://127.0.0.1:0"
server_key = "{keys}/NAME.key_secret"
client_keys = "{keys}/clients"
multicast_endpoint = "udp://237.219.251.97:PORT"
multicast_allow_ips = "*"
[watcher.NAME]
cmd = "sleep 1000"
"""


class Machines:
    """Two daemons on TCP with keys of their own, and a third one that is away; `keys` has all keys."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.port = folder, free_port()
        keys.generate(folder / "clients", "ann", "view")
        (folder / "clients/ann.key_secret").rename(folder / "ann.key_secret")
        self.stacks: dict[str, Stack] = {}
        for name in ("one", "two", "gone"):
            keys.generate(folder, name, "")

    def text(self, name: str) -> str:
        text = TEXT.replace("NAME", name).replace("{keys}", str(self.keys))
        return text.replace("PORT", str(self.port))

    def hosts(self, *, all_there: bool) -> str:
        there = [f"{name}={self.endpoint(name)}" for name in self.stacks]
        return ",".join([*there, *([] if all_there else [f"gone=127.0.0.1:{free_port()}"])])

    def endpoint(self, name: str) -> str:
        found = re.search(r"control channel on (tcp://\S+)", self.stacks[name].log())
        assert found is not None
        return found[1]

    def words(self, what: str, *, all_there: bool = False) -> list[str]:
        identity = ("--identity", str(self.keys / "ann.key_secret"), "--server-key", str(self.keys))
        return [what, "--hosts", self.hosts(all_there=all_there), *identity]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    machines = Machines(tmp_path_factory.mktemp("keys"))
    with ExitStack() as running:
        for name in ("one", "two"):
            machines.stacks[name] = running.enter_context(Stack(machines.text(name), f"{name}.toml"))
            machines.stacks[name].wait_for(f"{name}: started")
        yield machines


def test_each_host_answers_for_itself_and_the_highest_status_counts(machines: Machines) -> None:
    done = CliRunner().invoke(root, [*machines.words("ctl"), "status"])
    assert done.exit_code == 69
    assert re.findall(r"^(\w+):$", done.output, re.MULTILINE) == ["one", "two"]
    assert "bigtop: gone: tcp://127.0.0.1" in done.output
    told = CliRunner().invoke(root, [*machines.words("ctl", all_there=True), "--json", "list"])
    replies = [json.loads(line) for line in told.output.splitlines()]
    assert [(one["endpoint"], one["watchers"]) for one in replies] == [("one", ["one"]), ("two", ["two"])]
    refused = CliRunner().invoke(root, [*machines.words("ctl", all_there=True), "restart", "one"])
    assert refused.exit_code == 77, "a key that may only look"


def test_a_host_with_another_key_is_not_believed(machines: Machines) -> None:
    wrong = f"two={machines.endpoint('one')}"  # who answers there has the key of another one
    identity = ("--identity", str(machines.keys / "ann.key_secret"), "--server-key", str(machines.keys))
    done = CliRunner().invoke(root, ["ctl", "--hosts", wrong, *identity, "--timeout", "1", "list"])
    assert done.exit_code == 69
    assert "nobody answers, or the key is not accepted" in done.output


def test_top_shows_all_of_them_and_who_is_away(machines: Machines) -> None:
    done = CliRunner().invoke(root, [*machines.words("top"), "--json", "--once"])
    assert done.exit_code == 69
    found = {one["name"]: one["trouble"] for one in json.loads(done.output)["supervisors"]}
    assert (found["one"], found["two"]) == (None, None)
    assert found["gone"]


def test_those_that_are_there_are_listened_to(machines: Machines) -> None:
    command = [sys.executable, "-m", "bigtop", *machines.words("ctl"), "listen", "watcher."]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as listening:
        try:
            assert listening.stderr is not None
            assert "bigtop: gone: " in listening.stderr.readline()  # the last one; the others are heard
            assert listening.poll() is None
        finally:
            listening.kill()


def test_who_answers_in_a_group_is_listed_and_no_more(machines: Machines) -> None:
    group = f"udp://237.219.251.97:{machines.port}"

    def listed() -> list[str]:
        done = CliRunner().invoke(root, ["ctl", "discover", group, "--wait", "1", "--json"])
        if "cannot be asked" in str(done.exception):
            pytest.skip(f"no way to a group from here: {done.exception}")
        return list(json.loads(done.output or "[]"))

    wanted = sorted(machines.endpoint(name) for name in machines.stacks)
    until(lambda: sorted(listed()) == wanted, "both", DEADLINE)


def test_a_console_shows_hosts() -> None:
    spec = WebSpec(targets=tuple(Target(one.endpoint, one.name) for one in hosts.read("a,b=c:6000")))
    assert [daemon.name for daemon in program.daemons(spec)] == ["a", "b"]
