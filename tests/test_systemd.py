# The files of examples/systemd/: what systemd and cloud-init are told is true of Bigtop.

from __future__ import annotations

import os
import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bigtop.cli.cluster import command as cluster
from bigtop.cli.root import root
from bigtop.cluster import claims, places
from tests.support.cluster import page
from tests.support.site import ROOT
from tests.support.stack import Stack, free_port

EXAMPLE = ROOT / "examples/systemd"
UNITS = sorted(path.name for path in EXAMPLE.glob("*.service"))
PROGRAM = "/opt/bigtop/bin/bigtop"


def service(text: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return dict(parser["Service"])


def cloud() -> dict[str, Any]:
    text = (EXAMPLE / "cloud-init.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    return dict(yaml.safe_load(text))


def written() -> dict[str, dict[str, Any]]:
    found = cloud()["write_files"]
    assert len({one["path"] for one in found}) == len(found)
    return {one["path"]: one for one in found}


@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_each_unit(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt install systemd")
    for unit in UNITS:
        shutil.copy(EXAMPLE / unit, tmp_path)
    words = ["systemd-analyze", "verify", str(tmp_path / name)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "bigtop" in line]
    # The program need not be on this machine.
    assert [line for line in complaints if "is not executable" not in line] == []


@pytest.mark.parametrize("name", UNITS)
def test_each_command_is_one_that_bigtop_takes(name: str) -> None:
    program, first, *words = service((EXAMPLE / name).read_text())["ExecStart"].split()
    assert program == PROGRAM
    if first == "run":
        assert words == ["%i.toml"]
        return
    assert first == "cluster"
    if words[0] == "--cluster":
        assert words.pop(1) == "%i"
        del words[0]
    kind, *options = words
    assert kind in name
    cluster.commands[kind].make_context(kind, options)  # click.UsageError: it takes no such option


def test_the_template_is_what_init_prints_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text('[watcher.a]\ncmd = "sleep 9"\n')
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(root, ["init", "systemd", "--user", "bigtop", "run", "site.toml"]).stdout
    found, ours = service(printed), service((EXAMPLE / "bigtop@.service").read_text())
    for of_a_machine in ("ExecStart", "WorkingDirectory", "RuntimeDirectory"):
        found[of_a_machine] = ours[of_a_machine]
    assert ours == {**found, "StateDirectory": "bigtop", "StateDirectoryMode": "0700"}


def test_a_machine_gets_the_units_and_a_token_of_its_own() -> None:
    files = written()
    for name in ("bigtop@.service", "bigtop-join.service"):
        assert files[f"/etc/systemd/system/{name}"]["content"] == (EXAMPLE / name).read_text()
    token = files["/etc/bigtop/token"]
    assert (token["content"], token["permissions"], token["defer"]) == ("@TOKEN@\n", "0600", True)
    joining = service((EXAMPLE / "bigtop-join.service").read_text())
    assert joining["StandardInput"] == "file:/etc/bigtop/token"
    last = cloud()["runcmd"][-1]
    assert last == ["systemctl", "enable", "--now", "bigtop-join.service", "bigtop@site.service"]
    assert token["owner"].partition(":")[0] in [
        user["name"] for user in cloud()["users"] if user != "default"
    ]


def test_what_it_runs_serves_before_anything_was_rolled_out(tmp_path: Path) -> None:
    """Its file, its first code and its link, below a folder in place of the root of a machine."""
    files = written()
    code = tmp_path / "opt/site/hello.py"
    code.parent.mkdir(parents=True)
    code.write_text(files["/opt/site/hello.py"]["content"])
    (link,) = (words for words in cloud()["runcmd"] if words[0] == "ln")
    *_, target, where = link
    (tmp_path / where[1:]).parent.mkdir(parents=True)
    os.symlink(tmp_path / target[1:], tmp_path / where[1:])
    made = next(words for words in cloud()["runcmd"] if words[0] == "install")
    assert os.path.dirname(where) in made
    joined(tmp_path / "var/lib/bigtop/node", tmp_path / "authority")
    text = re.sub(r'"(/var/[^"]*)"', rf'"{tmp_path}\1"', files["/etc/bigtop/site.toml"]["content"])
    file = tmp_path / "site.toml"
    file.write_text(text)
    checked = CliRunner().invoke(root, ["check", str(file)])
    assert checked.exit_code == 0, checked.output
    with Stack(text.replace("0.0.0.0:8000", "127.0.0.1:0"), "site.toml") as stack:
        stack.wait_for("site: started")
        url = stack.log().partition("site: listening on ")[2].split()[0]
        assert page(url) == "nothing was rolled out yet"


def joined(node: Path, authority: Path) -> None:
    """Have a node be one of a cluster, whose hub is away."""
    leads = places.found("test", (f"nats://127.0.0.1:{free_port()}",), authority)
    identity = leads.identity("web1", claims.node("test", "web1"))
    places.write_membership(node, places.Membership(leads.cluster, identity))
