# The demonstration of a cluster, as its own words say how to try it.

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.support.cluster import demo, page, typed
from tests.support.site import DEADLINE, ROOT, until


class Visitor(threading.Thread):
    """Asks all sites, again and again, and keeps what was no answer."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__(daemon=True)
        self.urls, self.over = urls, threading.Event()
        self.count, self.failed = 0, []  # type: ignore[var-annotated]

    def run(self) -> None:
        while not self.over.wait(0.02):
            for url in self.urls:
                self.count += 1
                try:
                    page(url)
                except OSError as error:
                    self.failed.append(f"{url}: {error}")


def test_the_walk_that_the_demonstration_offers() -> None:
    data = Path(tempfile.mkdtemp(prefix="bt-"))
    with demo(data) as (process, urls, env):
        assert len(urls) == 3

        def bigtop(*words: str) -> tuple[int, str]:
            return typed(env, "cluster", *words)

        told = json.loads(bigtop("status", "--json")[1])
        assert told["count"] == {"alive": 3, "suspect": 0, "lost": 0}
        _, dry = bigtop("apply", str(ROOT / "examples/cluster/good.toml"), "--dry-run")
        assert [line.split(":")[0] for line in dry.splitlines()] == ["wave 0", "wave 1", "wave 2"]

        visitor = Visitor(urls)
        visitor.start()
        command = [
            sys.executable,
            "-m",
            "bigtop",
            "cluster",
            "apply",
            "examples/cluster/broken.toml",
            "--wait",
        ]
        broken = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
        assert broken.returncode == 1, broken
        assert "No module named 'no_such_module_anywhere'" in broken.stderr
        assert [page(url) for url in urls] == ["first"] * 3
        until(lambda: counted(bigtop("status", "--json")[1]), "figures of nodes without a revision")
        status, good = bigtop("apply", str(ROOT / "examples/cluster/good.toml"), "--wait")
        assert status == 0, good
        assert [page(url) for url in urls] == ["good"] * 3
        status, back = bigtop("rollback", "--wait")
        assert status == 0, back
        assert [page(url) for url in urls] == ["first"] * 3
        visitor.over.set()
        visitor.join()
        assert visitor.failed == []
        assert visitor.count > 30

        status, every = typed(env, "ctl", "--cluster", "demo", "--tag", "web", "status", "site")
        assert every == "one:\nactive\nthree:\nactive\ntwo:\nactive\n", every
        status, _ = typed(env, "ctl", "--cluster", "demo", "--tag", "web", "quit")
        assert status == 1, "the role of the nodes is operate"
        assert bigtop("apply", str(ROOT / "examples/cluster/good.toml"))[0] == 0
        assert "rollout" in bigtop("status")[1].lower()
        agent = _agent_of(data / "cluster/demo/one")
        os.kill(agent, signal.SIGKILL)  # supervision does not notice, and there is a new one
        assert bigtop("status")[0] == 0
        assert page(urls[0])

        process.send_signal(signal.SIGINT)
        assert process.wait(2 * DEADLINE) == 0
        assert not (data / "cluster/demo").exists()
        for url in urls:
            assert not _answers(url)


def counted(told: str) -> bool:
    """Whether nodes count that were given nothing: those that were are compared with them."""
    sites = [one["apps"].get("site") for one in json.loads(told)["nodes"].values()]
    return sum(site is not None and site["number"] == 0 < site["figures"]["requests"] for site in sites) == 2


def _answers(url: str) -> bool:
    try:
        page(url)
    except OSError:
        return False
    return True


def _agent_of(folder: Path) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"bigtop.cluster.agent" in words and str(folder).encode() in words:
                return int(entry.name)
    raise AssertionError("no agent runs")
