# Keys: who may connect, and what each may do.

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop.control import keys
from bigtop.control.client.client import Client, Identity, RefusedError, UnreachableError
from bigtop.errors import ConfigError
from tests.support.controlled import WATCHERS, Controlled, run
from tests.support.site import DEADLINE

ROLES = ("view", "operate", "admin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("keys")
    keys.generate(place, "server", "")
    for role in (*ROLES, "stranger"):
        keys.generate(place, role, role)
    (place / "clients").mkdir()
    for role in ROLES:
        shutil.copy(place / f"{role}.key", place / "clients")
    return place


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Controlled]:
    settings = {"server_key": str(folder / "server.key_secret"), "client_keys": str(folder / "clients")}
    with Controlled("tcp://0.0.0.0:0", "tcp://0.0.0.0:0", **settings) as running:
        yield running


def client(daemon: Controlled, folder: Path, name: str, timeout: float = DEADLINE) -> Client:
    endpoint = daemon.endpoint.replace("0.0.0.0", "127.0.0.1")
    identity = Identity(folder / f"{name}.key_secret", str(folder / "server.key"))
    return Client(endpoint, timeout=timeout, identity=identity)


@pytest.mark.parametrize(
    ("command", "properties", "least"),
    [
        ("status", {}, "view"),
        ("overview", {}, "view"),
        ("requests", {}, "view"),
        ("recent", {}, "view"),
        ("certificates", {}, "operate"),
        ("stack", {"target": "one"}, "operate"),
        ("options", {"name": "web"}, "operate"),
        ("restart", {"name": "web"}, "operate"),
        ("add", {"name": "web", "cmd": "true"}, "admin"),
        ("set", {"name": "web", "options": {}}, "admin"),
        ("reloadconfig", {"dry_run": True}, "admin"),
    ],
)
def test_each_role_may_what_it_may(
    daemon: Controlled, folder: Path, command: str, properties: dict[str, object], least: str
) -> None:
    for role in ROLES:
        with client(daemon, folder, role) as talking:
            reason = ""
            try:
                talking.call(command, **properties)
            except RefusedError as error:
                reason = str(error)
            allowed = ROLES.index(role) >= ROLES.index(least)
            assert ("needs a key with the role" in reason) is not allowed


def test_events_need_a_key_too(daemon: Controlled, folder: Path) -> None:
    with client(daemon, folder, "admin") as talking, talking.events("output.", timeout=DEADLINE) as events:
        assert next(events).payload["line"] == "chat"


def test_a_stranger_does_not_get_in_and_a_revoked_key_stops_to_work(daemon: Controlled, folder: Path) -> None:
    with (
        client(daemon, folder, "stranger", timeout=0.5) as talking,
        pytest.raises(UnreachableError, match="key"),
    ):
        talking.call("status")
    authorized = folder / "clients" / "stranger.key"
    authorized.write_text((folder / "stranger.key").read_text().replace('"stranger"', '"view"'))
    with client(daemon, folder, "stranger") as talking:
        assert talking.call("numwatchers")["numwatchers"] == WATCHERS
        authorized.unlink()
        # The server looks at the keys now and then as well, and that may be now.
        with pytest.raises((RefusedError, UnreachableError)):
            talking.call("numwatchers")


def test_without_a_key_nobody_answers(daemon: Controlled) -> None:
    endpoint = daemon.endpoint.replace("0.0.0.0", "127.0.0.1")
    with Client(endpoint, timeout=0.5) as talking, pytest.raises(UnreachableError):
        talking.call("status")


def test_ctl_takes_keys_and_says_what_is_not_allowed(daemon: Controlled, folder: Path) -> None:
    endpoint = daemon.endpoint.replace("0.0.0.0", "127.0.0.1")
    words = ["-m", "bigtop", "ctl", "-e", endpoint, "--identity", str(folder / "view.key_secret")]
    words += ["--server-key", keys.read(folder / "server.key").public]
    assert run(*words, "numwatchers") == (0, f"{WATCHERS}\n", "")
    status, _, said = run(*words, "quit")
    assert (status, said) == (77, "bigtop: quit needs a key with the role admin\n")
    status, _, said = run(*words[:-2], "quit")
    assert status == 2


def test_keygen_keeps_the_secret_and_overwrites_nothing(tmp_path: Path) -> None:
    words = ["-m", "bigtop", "ctl", "keygen", "ann", "--role", "operate", "--folder", str(tmp_path)]
    assert run(*words)[0] == 0
    assert stat.S_IMODE((tmp_path / "ann.key_secret").stat().st_mode) == 0o600
    key, public = keys.read_secret(tmp_path / "ann.key_secret"), keys.read(tmp_path / "ann.key")
    assert (key.public, public.secret, public.role) == (public.public, None, "operate")
    status, _, said = run(*words)
    assert status == 78
    assert "is there already" in said


def test_files_that_hold_no_key_are_errors(tmp_path: Path) -> None:
    keys.generate(tmp_path, "ann", "view")
    with pytest.raises(ConfigError, match="holds a public key only"):
        keys.read_secret(tmp_path / "ann.key")
    broken = tmp_path / "broken.key"
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.read(broken)
    broken.write_text("nothing")
    with pytest.raises(ConfigError, match="no line public-key"):
        keys.read(broken)
    broken.write_text('public-key = "short"')
    with pytest.raises(ConfigError, match="no key of 40 characters"):
        keys.read(broken)
