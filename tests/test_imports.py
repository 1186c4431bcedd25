# What each process imports, by the names of modules: a start takes as long as that list, and memory with it.
#
# No milliseconds here: bench/ measures those. A name that is missing below costs each start, or each worker.

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import Site

# What neither a fork server nor a worker has any use for.
OTHERS = {
    *("bigtop.cli", "bigtop.config", "bigtop.control", "bigtop.launch", "bigtop.stats", "bigtop.supervisor"),
    *("bigtop.backends.adapters", "click", "cronsim", "dataclasses", "importlib.metadata", "psutil", "zmq"),
    *("gzip", "hashlib", "secrets", "shutil", "tempfile"),
}


def found(modules: set[str], unwanted: set[str]) -> set[str]:
    """Return those of `unwanted` that were imported, or anything in them."""
    packages = {".".join(name.split(".")[:depth]) for name in modules for depth in range(1, 5)}
    return packages & unwanted


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_worker_for_wsgi(preload: str) -> None:
    with Site("tests.apps.imported:wsgi", "--preload", preload) as site:
        modules = set(site.get("/").split())
    assert "bigtop.backends.wsgi.backend" in modules
    assert found(modules, OTHERS | {"asyncio", "ssl", "subprocess", "bigtop.backends.asgi"}) == set()


def test_a_worker_for_asgi() -> None:
    with Site("tests.apps.imported:asgi", "--loop", "asyncio") as site:
        modules = set(site.get("/").split())
    assert "bigtop.backends.asgi.backend" in modules
    assert found(modules, OTHERS | {"bigtop.backends.wsgi"}) == set()


def test_a_supervisor_until_its_application_is_imported_elsewhere() -> None:
    """With its control channel, before anybody asks anything there."""
    code = "import sys, bigtop.cli.serve, bigtop.launch.site, bigtop.launch.channel; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = (
        "click.shell_completion cronsim dataclasses difflib gzip importlib.metadata logging.config psutil"
    )
    http = (
        "access_format",
        "engine",
        "forwarded",
        "head",
        "messages",
        "response",
        "routes",
        "static",
        "wsgi",
    )
    supervisor = ("cron", "socket_activation", "streams.sinks")
    unwanted = {
        *others.split(),
        *("shutil", "tempfile", "zmq", "zoneinfo", "bigtop.control.commands", "bigtop.stats"),
        *(f"bigtop.control.server.{name}" for name in ("acceptor", "auth", "publisher", "server")),
        *(f"bigtop.http.{name}" for name in http),
        *(f"bigtop.supervisor.{name}" for name in supervisor),
    }
    modules = set(done.stdout.split())
    assert "bigtop.supervisor.supervisor" in modules
    assert found(modules, unwanted) == set()


def test_a_supervisor_that_runs() -> None:
    """What it was made of when it answered: no encryption, no ZeroMQ."""
    with Site("tests.apps.wsgi_basic:app") as site:
        assert site.get("/") != ""
        mapped = Path(f"/proc/{site.process.pid}/maps").read_text()
    assert {word for word in ("/_ssl.", "libzmq", "_psutil") if word in mapped} == set()
