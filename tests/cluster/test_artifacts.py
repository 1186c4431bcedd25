# Artifacts that a revision names, as a file says it and as a node has it: images.

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bigtop.cluster import revision
from bigtop.cluster.artifacts import PrepareError, prepared
from bigtop.cluster.policy.strategy import Strategy
from bigtop.cluster.revision import Artifact, Revision
from bigtop.errors import ConfigError
from bigtop.record import as_dict
from tests.support.cluster import Cluster
from tests.support.site import until
from tests.support.stack import Stack

DIGEST = "0f" * 32
NAME = "registry.example:5000/team/shop:1.2"


def read(path: Path, text: str) -> Revision:
    path.write_text(f'app = "shop"\n{text}\n')
    return revision.read(path)[0]


def test_an_image_is_named_by_its_digest(tmp_path: Path) -> None:
    found = read(tmp_path / "shop.toml", f'image = "{NAME}@sha256:{DIGEST}"')
    assert found.artifact == Artifact("image", NAME, DIGEST)
    assert found.artifact.reference == f"{NAME}@sha256:{DIGEST}"
    assert revision.of_plain(as_dict(found)) == found


@pytest.mark.parametrize(
    "image",
    [
        f'"{NAME}"',
        f'"{NAME}@sha256:{DIGEST[1:]}"',
        f'"{NAME}@sha512:{DIGEST}"',
        f'"-{NAME}@sha256:{DIGEST}"',
        f'"a b@sha256:{DIGEST}"',
        f'"$(id)@sha256:{DIGEST}"',
        "7",
    ],
)
def test_what_is_no_image_is_refused(image: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shop\.toml: image: must be NAME@sha256:DIGEST"):
        read(tmp_path / "shop.toml", f"image = {image}")


def test_one_thing_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of these says what runs: folder, git, file, image"):
        read(tmp_path / "shop.toml", f'image = "{NAME}@sha256:{DIGEST}"\nfolder = "."')


def test_a_node_is_told_which_image_and_prepare_fetches_it(tmp_path: Path) -> None:
    one = Revision("shop", Artifact("image", NAME, DIGEST), prepare='echo "pulled $BIGTOP_IMAGE" > pulled')
    asyncio.run(prepared(one, tmp_path / "r1", {}, is_first=False))
    assert (tmp_path / "r1/image").read_text() == f"{NAME}@sha256:{DIGEST}\n"
    assert (tmp_path / "r1/pulled").read_text() == f"pulled {NAME}@sha256:{DIGEST}\n"
    broken = Revision("shop", Artifact("image", NAME, DIGEST), prepare="echo no such image; exit 125")
    with pytest.raises(PrepareError, match="ended with 125: no such image"):
        asyncio.run(prepared(broken, tmp_path / "r2", {}, is_first=False))


AGENT = """
import asyncio, sys
from pathlib import Path
from bigtop.cluster.artifacts import prepared
from bigtop.cluster.revision import Artifact, Revision
one = Revision("shop", Artifact("image", "name", "0f" * 32), prepare=sys.argv[2])
asyncio.run(prepared(one, Path(sys.argv[1]), {}, is_first=False))
"""
LASTING = """
(trap '' TERM HUP; echo $$ > ../pids; sleep 1000 & echo $! >> ../pids; wait) &
while ! test -s ../pids; do sleep 0.01; done; wait
"""


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_what_a_killed_agent_began_has_ended_before_the_next_one_begins(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-c", AGENT, str(tmp_path / "r1"), LASTING]
    pids = tmp_path / "pids"
    with subprocess.Popen(words) as agent:
        until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "prepare to run")
        os.kill(agent.pid, signal.SIGKILL)
    running = list(map(int, pids.read_text().split()))
    look = "".join(f"kill -0 {pid} 2>/dev/null && echo {pid} >> ../left; " for pid in running)
    one = Revision("shop", Artifact("image", NAME, DIGEST), prepare=f"{look} true")
    asyncio.run(prepared(one, tmp_path / "r1", {}, is_first=False))
    assert not (tmp_path / "left").exists()
    assert not any(map(is_there, running))
    assert (tmp_path / "r1/.prepared").exists()


def test_what_prepare_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    one = Revision("shop", Artifact("image", NAME, DIGEST), prepare="sleep 1000 & echo $! > ../pid")
    asyncio.run(prepared(one, tmp_path / "r1", {}, is_first=False))
    assert not is_there(int((tmp_path / "pid").read_text()))


NODE = """
[cluster]
folder = "{folder}"
[watcher.shop]
cmd = "echo $(cat {folder}/apps/shop/current/image) >> {folder}/ran; exec sleep 1000"
shell = true
"""


def test_a_watcher_runs_the_image_that_was_assigned() -> None:
    with tempfile.TemporaryDirectory(prefix="bt-") as name, Cluster(Path(name)) as cluster:
        folder, first = cluster.folder / "one", cluster.folder / "first"
        cluster.join("one")
        first.mkdir()
        (first / "image").write_text("what was there before")
        (folder / "apps/shop").mkdir(parents=True)
        (folder / "apps/shop/current").symlink_to(first)
        with Stack(NODE.replace("{folder}", str(folder)), "node.toml") as stack:
            stack.wait_for("shop: started")
            cluster.wait(lambda told: told["nodes"]["one"]["state"] == "alive")
            one = Revision("shop", Artifact("image", NAME, DIGEST))
            said = {"revision": as_dict(one), "strategy": as_dict(Strategy(min_healthy_time=0.1))}
            cluster.ask("apply", **said, dry_run=False)
            told = cluster.wait(lambda told: told["apps"]["shop"]["rollout"]["phase"] in ("done", "reverted"))
            assert told["apps"]["shop"]["rollout"]["phase"] == "done"
            assert told["apps"]["shop"]["artifact"]["kind"] == "image"
            both = ["what was there before", one.artifact.reference]
            until(lambda: (folder / "ran").read_text().splitlines() == both, "the second one")
