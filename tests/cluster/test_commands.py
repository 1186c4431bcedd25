# `bigtop cluster`, as a person types it: keys, hub and controller, nodes, rollouts, the store.
#
# One hub, one controller and two nodes with a site each go through all of it, in one test: each step begins
# where the one before ended. The hub is open to other machines, so all of it is said by TLS.

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import certificates
from tests.support.cluster import page, said, server, typed
from tests.support.site import DEADLINE, ROOT, until
from tests.support.stack import free_port

SITE = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"WORD"]
"""

NODE = """\
[circus]
endpoint = "ipc://{folder}/{name}.ctl"
pubsub_endpoint = "ipc://{folder}/{name}.events"
[cluster]
folder = "{folder}/{name}"
[stats]
[app.site]
app = "hello:application"
chdir = "{folder}/{name}/apps/site/current"
bind = "127.0.0.1:{port}"
workers = 1
"""


class Console:
    """Somebody at a terminal, whose clusters are in `folder`. All that runs ends with the with statement."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program, self.hub_port = folder, server(), free_port()
        self.env = {**os.environ, "STATE_DIRECTORY": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"tls://localhost:{self.hub_port}"
        self.ports = {name: free_port() for name in ("one", "two")}

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(self.running):
            self.stop(name)

    def start(self, name: str, *words: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            command = [sys.executable, "-P", "-m", "bigtop", *words]
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=self.env)

    def stop(self, name: str) -> int:
        """End a process as Ctrl-C does; return its exit status."""
        process = self.running[name]
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(2 * DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def start_hub(self) -> None:
        files = ("--certfile", str(self.folder / "hub.pem"), "--keyfile", str(self.folder / "hub.key"))
        where = f"0.0.0.0:{self.hub_port}"
        self.start("hub", "cluster", "hub", "--bind", where, "--nats-server", self.program, *files)

    def bigtop(self, *words: str, status: int = 0) -> str:
        """Give a command, without a process for it; return what it printed."""
        found, printed = self.result(*words)
        assert found == status, (words, printed, self.log())
        return printed

    def result(self, *words: str) -> tuple[int, str]:
        return typed(self.env, "cluster", *words)

    def wait(self, is_well: Callable[[Any], bool]) -> dict[str, Any]:
        """Return what `status --json` prints when all is well."""
        limit, told = time.monotonic() + 2 * DEADLINE, ""
        while time.monotonic() < limit:
            status, told = self.result("status", "--json")
            if status == 0 and is_well(found := json.loads(told)):
                return dict(found)
            time.sleep(0.05)
        raise AssertionError(f"{told}\n{self.log()}")

    def phase(self, *wanted: str) -> dict[str, Any]:
        told = self.wait(lambda told: told["apps"]["site"]["rollout"]["phase"] in wanted)
        return dict(told["apps"]["site"]["rollout"])

    def sites(self) -> list[str]:
        return [page(f"http://127.0.0.1:{port}") for port in self.ports.values()]

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def file(self, word: str, **rollout: Any) -> str:
        """Write code that answers with a word, and a file by which it is applied; return the name of that."""
        folder = self.folder / word
        folder.mkdir(exist_ok=True)
        (folder / "hello.py").write_text(SITE.replace("WORD", word))
        path = said(self.folder / f"{word}.toml", {"app": "site", "folder": str(folder)})
        how = {"auto_promote": False, "min_healthy_time": 0.1, **rollout}
        lines = [f"{key} = {json.dumps(value)}" for key, value in how.items()]
        path.write_text("\n".join([path.read_text(), "[rollout]", *lines, ""]))
        return str(path)

    def start_nodes(self) -> None:
        for name, port in self.ports.items():
            token = self.bigtop("token").strip()
            place = str(self.folder / name)
            self.bigtop(
                "join", self.url, "--token", token, "--name", name, "--tags", "web", "--folder", place
            )
            link = self.folder / name / "apps/site/current"
            link.parent.mkdir(parents=True)
            link.symlink_to(self.folder / "first")
            file = self.folder / f"node-{name}.toml"
            file.write_text(NODE.format(folder=self.folder, name=name, port=port))
            self.start(f"node-{name}", "run", str(file))


@pytest.fixture
def console() -> Iterator[Console]:
    named = tempfile.TemporaryDirectory(prefix="bt-", ignore_cleanup_errors=True)
    with named as name, Console(Path(name)) as someone:
        yield someone


def test_a_cluster_from_its_keys_to_its_end(console: Console) -> None:
    console.file("first")
    begin(console)
    look_at_nodes(console)
    look_at_top(console)
    steer(console)
    lose_the_store(console)
    end(console)


def begin(console: Console) -> None:
    assert "no cluster is led from here" in console.bigtop("status", status=78)
    pair, files = certificates.made("localhost"), [console.folder / f"hub.{end}" for end in ("pem", "key")]
    files[0].write_text(pair.certificate)
    files[1].write_text(pair.key)
    words = ("--hub", console.url, "--ca", str(files[0]), "--lease", "8")
    assert "authority.json" in console.bigtop("init", "prod", *words)
    assert "there is a cluster already" in console.bigtop("init", "prod", status=78)
    assert "it needs --certfile" in console.bigtop("hub", "--bind", "0.0.0.0:0", status=78)
    assert console.bigtop("status", status=69)
    console.start_hub()
    console.start("controller", "cluster", "controller", "--name", "a")
    console.wait(lambda told: told["leader"] == "a")
    refuse_strangers(console)
    console.start_nodes()
    console.wait(lambda told: told["count"]["alive"] == 2)
    until(lambda: console.sites() == ["first", "first"], "both sites")


def refuse_strangers(console: Console) -> None:
    """Neither in plain text, nor to a hub with another certificate, is a token shown to anybody."""
    token, place = console.bigtop("token").strip(), console.folder / "stranger"
    words = ("--token", token, "--name", "stranger", "--folder", str(place))
    wrong = console.bigtop("join", f"tls://127.0.0.1:{console.hub_port}", *words, status=69)
    assert "certificate verify failed" in wrong
    assert not (place / "node.json").exists()
    with socket.create_connection(("127.0.0.1", console.hub_port), DEADLINE) as plain:
        told = plain.makefile("rb").readline()
    assert b'"tls_required":true' in told


def look_at_nodes(console: Console) -> None:
    console.bigtop("tags", "one", "web", "rack1")
    nodes = json.loads(console.bigtop("nodes", "--json"))
    assert {name: one["tags"] for name, one in nodes.items()} == {"one": ["web", "rack1"], "two": ["web"]}
    assert "letters, digits" in console.bigtop("tags", "one", "a b", status=1)
    console.bigtop("cordon", "one")
    assert "alive, cordoned" in console.bigtop("nodes")
    assert console.bigtop("apply", console.file("second"), "--dry-run") == "wave 0: two\n"
    console.bigtop("cordon", "one", "--off")
    dry = console.bigtop("apply", console.file("second"), "--dry-run")
    assert sorted(line.split()[2] for line in dry.splitlines()) == ["one", "two"]
    assert console.bigtop("rollouts") == "\n"
    assert "which application" in console.bigtop("pause", status=1)


def look_at_top(console: Console) -> None:
    def looked() -> dict[str, Any]:
        console.sites()
        status, printed = typed(console.env, "top", "--cluster", "prod", "--once", "--json")
        assert status == 0, printed
        return dict(json.loads(printed))

    until(lambda: all(row["rate"] for row in looked()["nodes"]), "figures of both")
    told = looked()
    assert told["verdict"] == {"level": "good", "words": "All is well: 2 nodes"}
    assert [(row["name"], row["state"], row["places"]) for row in told["nodes"]] == [
        ("one", "alive", 1),
        ("two", "alive", 1),
    ]
    assert told["totals"]["rate"] > 0
    assert told["leader"] == "a"
    words = ["top", "--cluster", "prod", "--once", "--sort", "name", "--filter", "two"]
    command = [sys.executable, "-P", "-m", "bigtop", *words]
    table = subprocess.check_output(command, env=console.env, cwd=ROOT, text=True)
    assert "cluster prod: a leads" in table
    assert "two" in table.splitlines()[-1]
    _, refused = typed(console.env, "top", "--cluster", "prod", "--once", "-e", "x")
    assert "not with --cluster" in refused


def steer(console: Console) -> None:
    assert "of revision 1 to 2 nodes" in console.bigtop("apply", console.file("second"))
    assert console.phase("waiting")["wave"] == 1
    assert sorted(console.sites()) == ["first", "second"]
    assert "is waiting, not running" in console.bigtop("pause", status=1)
    console.bigtop("promote")
    console.phase("done")
    assert console.sites() == ["second", "second"]
    assert "is what runs" in console.bigtop("apply", console.file("second"))

    console.bigtop("apply", console.file("third"))
    console.phase("waiting")
    assert "is reverted" in console.bigtop("abort", "--wait")
    assert console.sites() == ["second", "second"]
    assert "is reverted" in console.bigtop("abort", status=1)

    console.bigtop("apply", console.file("fourth", min_healthy_time=50, auto_promote=True))
    console.bigtop("pause")
    assert console.phase("paused")["wave"] == 0
    assert "is paused" in console.bigtop("apply", console.file("second"), status=1)
    console.bigtop("resume", "site")
    console.phase("running")
    assert "is reverted" in console.bigtop("rollback", "--wait"), "that was asked for"
    assert console.sites() == ["second", "second"]
    assert "reverted" in console.bigtop("rollouts")


def lose_the_store(console: Console) -> None:
    kept = console.folder / "kept.json"
    kept.write_text(console.bigtop("export"))
    assert set(json.loads(kept.read_text())["nodes"]) == {"one", "two"}
    assert console.stop("hub") == 0
    shutil.rmtree(console.folder / "cluster/prod/store")
    assert console.sites() == ["second", "second"], "without a hub"
    console.start_hub()
    console.wait(lambda told: told["nodes"] == {})
    (console.folder / "wrong.json").write_text("{}")
    assert "did not print that" in console.bigtop("import", str(console.folder / "wrong.json"), status=78)
    console.bigtop("import", str(kept))
    told = console.wait(lambda told: told["count"]["alive"] == 2)
    assert told["nodes"]["one"]["tags"] == ["web", "rack1"]
    assert "rollout" in console.bigtop("apply", console.file("fifth", auto_promote=True), "--wait")
    assert console.sites() == ["fifth", "fifth"]


def end(console: Console) -> None:
    assert "there is no node nobody" in console.bigtop("leave", "nobody", status=1)
    console.bigtop("leave", "two")
    assert list(json.loads(console.bigtop("nodes", "--json"))) == ["one"]
    assert console.sites() == ["fifth", "fifth"], "what runs there goes on"
    token = console.bigtop("token").strip()
    console.bigtop(
        "join", console.url, "--token", token, "--name", "two", "--folder", str(console.folder / "two")
    )
    console.wait(lambda told: told["count"]["alive"] == 2)
    console.bigtop("leave", "two")
    assert console.stop("controller") == 0
    assert "no controller leads" in console.bigtop("status", status=69)
    assert console.stop("hub") == 0
    assert console.sites() == ["fifth", "fifth"], "with nobody to lead"
