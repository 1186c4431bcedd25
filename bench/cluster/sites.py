# Real nodes: a `bigtop run` for each, with a small site that is visited all the time, while code that is
# broken, slow and good is rolled out.
#
# Rules: a visitor that is refused, or gets anything but a 200, makes the trial fail. Which verdict each
# revision has to get is written beside it.

from __future__ import annotations

import http.client
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from bench.cluster.processes import PATIENCE, Cluster
from bench.progress import tell
from bench.server import free_port
from bigtop.cluster.policy.strategy import Strategy
from bigtop.cluster.revision import Artifact, Revision, hash_of
from bigtop.record import as_dict

RATE: Final = 10.0  # requests of each site in a second
HOW: Final = Strategy(max_parallel=5, min_healthy_time=8.0, healthy_deadline=120.0, progress_deadline=240.0)

SITE: Final = """\
{top}
def application(environ, start_response):
    {first}
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{word!r}.encode()]
"""
NODE: Final = """\
[circus]
endpoint = "ipc://{folder}/ctl"
pubsub_endpoint = "ipc://{folder}/events"
[cluster]
folder = "{folder}"
[app.site]
app = "hello:application"
chdir = "{folder}/apps/site/current"
bind = "127.0.0.1:{port}"
workers = 1
"""
# What is rolled out, how that ends, and what the reason begins or ends with.
TRIALS: Final = (
    ("broken", "reverted", "no_such_module"),
    ("slow", "reverted", "its p99 is"),
    ("good", "done", ""),
)


class Visitor(threading.Thread):
    """Asks one site, so many times in a second, over a connection that is kept."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.over = port, threading.Event()
        self.said: Counter[str] = Counter()
        self.failed: list[str] = []

    def run(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self.over.wait(1 / RATE):
            try:
                client.request("GET", "/")
                answer = client.getresponse()
                text = answer.read().decode()
                if answer.status == 200:
                    self.said[text] += 1
                else:
                    self.failed.append(f"{answer.status}: {text[:100]}")
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                client.close()
        client.close()


def tried(count: int) -> dict[str, Any]:
    """Return the time that each trial took, and what visitors saw. AssertionError: not what had to be."""
    with tempfile.TemporaryDirectory(prefix="bt-") as name, Cluster(Path(name)) as cluster:
        _write(cluster.folder)
        ports = {f"n{number}": free_port() for number in range(count)}
        for number, (node, port) in enumerate(ports.items()):
            _start(cluster, node, port, f"rack{number % 4}")
        cluster.wait(lambda told: told["count"]["alive"] == count)
        _wait(ports, cluster)
        visitors = [Visitor(port) for port in ports.values()]
        for visitor in visitors:
            visitor.start()
        try:
            found = {word: _trial(cluster, word, *wanted) for word, *wanted in TRIALS}
        finally:
            for visitor in visitors:
                visitor.over.set()
            for visitor in visitors:
                visitor.join()
    failed = [problem for visitor in visitors for problem in visitor.failed]
    requests = sum(sum(visitor.said.values()) for visitor in visitors)
    tell(f"{count} sites, {requests} requests, {len(failed)} failed")
    assert not failed, failed[:10]
    assert {next(reversed(visitor.said)) for visitor in visitors} == {"good"}
    return {"count": count, "requests": requests, "failed": len(failed), "seconds": found}


def _write(folder: Path) -> None:
    for word in ("first", "broken", "slow", "good"):
        (folder / word).mkdir()
        top = "import no_such_module" if word == "broken" else "import time"
        first = "time.sleep(0.1)" if word == "slow" else "pass"
        (folder / word / "hello.py").write_text(SITE.format(top=top, first=first, word=word))


def _start(cluster: Cluster, node: str, port: int, tag: str) -> None:
    cluster.join(node, tags=(tag,))
    folder = cluster.folder / node
    link = folder / "apps/site/current"
    link.parent.mkdir(parents=True)
    link.symlink_to(cluster.folder / "first")
    file = cluster.folder / f"{node}.toml"
    file.write_text(NODE.format(folder=folder, port=port))
    cluster.start(node, sys.executable, "-P", "-m", "bigtop", "run", str(file))


def _wait(ports: dict[str, int], cluster: Cluster) -> None:
    limit = time.monotonic() + 2 * PATIENCE
    for port in ports.values():
        while True:
            visitor = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                visitor.request("GET", "/")
                visitor.getresponse().read()
                break
            except OSError:
                if time.monotonic() > limit:
                    raise AssertionError(f"no site\n{cluster.log()}") from None
                time.sleep(0.05)
            finally:
                visitor.close()


def _trial(cluster: Cluster, word: str, phase: str, reason: str) -> float:
    folder = cluster.folder / word
    what = Revision("site", Artifact("folder", str(folder), hash_of(folder)))
    begun = time.monotonic()
    said = {"revision": as_dict(what), "strategy": as_dict(HOW), "dry_run": False}
    number = cluster.ask("apply", **said)["rollout"]

    def is_over(told: Any) -> bool:
        rollout = told["apps"]["site"]["rollout"]
        return rollout["number"] == number and rollout["phase"] in ("done", "reverted", "stopped")

    rollout = cluster.wait(is_over, 10 * PATIENCE)["apps"]["site"]["rollout"]
    took = time.monotonic() - begun
    tell(f"{word}: {rollout['phase']} after {took:.1f} s {rollout['reason']}")
    assert rollout["phase"] == phase, rollout
    assert reason in rollout["reason"], rollout
    return took
