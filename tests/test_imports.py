# What each process imports, by the names of modules: a start takes as long as that list, and memory with it.
#
# No milliseconds here: bench/ measures those. A name that is missing below costs each start, or each worker.

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.site import Site, until

# What neither a fork server nor a worker has any use for.
OTHERS = {
    *("bigtop.cli", "bigtop.config", "bigtop.control", "bigtop.launch", "bigtop.stats", "bigtop.supervisor"),
    *("bigtop.backends.adapters", "click", "cronsim", "dataclasses", "importlib.metadata", "psutil", "zmq"),
    *("gzip", "hashlib", "secrets", "shutil", "tempfile"),
}
# What none of Bigtop's processes needs in order to serve functions. Half of them came in by one line each.
HEAVY = {"ast", "dis", "inspect", "pkgutil", "random"}


def found(modules: set[str], unwanted: set[str]) -> set[str]:
    """Return those of `unwanted` that were imported, or anything in them. Ours must exist."""
    gone = [name for name in unwanted if name.startswith("bigtop.") and find_spec(name) is None]
    assert gone == []
    packages = {
        ".".join(parts[:depth]) for name in modules for parts in [name.split(".")] for depth in range(9)
    }
    return packages & unwanted


def imported(code: str) -> set[str]:
    """Return what a process has imported after `code`; without `site`: editable installs import more."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_worker_for_wsgi(preload: str) -> None:
    with Site("tests.apps.imported:wsgi", "--preload", preload) as site:
        modules = set(site.get("/").split())
    assert "bigtop.backends.wsgi.backend" in modules
    assert found(modules, OTHERS | HEAVY | {"asyncio", "ssl", "subprocess", "bigtop.backends.asgi"}) == set()


def test_a_worker_for_asgi() -> None:
    with Site("tests.apps.imported:asgi", "--loop", "asyncio") as site:
        modules = set(site.get("/").split())
    assert "bigtop.backends.asgi.backend" in modules
    assert found(modules, OTHERS | {"bigtop.backends.wsgi"}) == set()


def test_a_fork_server_before_its_application() -> None:
    code = "import bigtop.workers.head_start, bigtop.workers.forkserver as f; f.registry.load('wsgi')"
    modules = imported(code)
    assert "bigtop.backends.wsgi.backend" in modules
    assert found(modules, OTHERS | HEAVY | {"asyncio", "pathlib", "ssl", "subprocess"}) == set()


def test_what_workers_know_of_a_keeper() -> None:
    modules = imported("import bigtop.keeper.publishing.publication, bigtop.keeper.publishing.questions")
    assert found(modules, OTHERS | {"asyncio", "cryptography", "ssl", "subprocess"}) == set()


def test_a_supervisor_until_its_application_is_imported_elsewhere() -> None:
    """With its control channel, before anybody asks anything there."""
    code = (
        "from bigtop.cli.serve import serve; serve.gathered(['a:b', '--workers', '2']);"
        " serve.import_supervisor(); import bigtop.launch.control.channel"
    )
    others = (
        "click cronsim dataclasses difflib email gzip hashlib http importlib.metadata ipaddress"
        " logging.config platform psutil secrets shutil ssl tempfile urllib uuid zmq zoneinfo"
    )
    unwanted = {
        *others.split(),
        "bigtop.control.commands",
        "bigtop.control.server.auth",
        "bigtop.control.server.client_acceptor",
        "bigtop.control.server.publisher",
        "bigtop.control.server.server",
        "bigtop.http.access_log.access_format",
        "bigtop.http.engine",
        "bigtop.http.clients.forwarded",
        "bigtop.http.head",
        "bigtop.http.messages",
        "bigtop.http.response",
        "bigtop.http.paths.routes",
        "bigtop.http.answers.static",
        "bigtop.http.interfaces.wsgi",
        "bigtop.stats",
        "bigtop.supervisor.cron",
        "bigtop.supervisor.socket_activation",
        "bigtop.supervisor.streams.sinks",
    }
    modules = imported(code)
    assert "bigtop.supervisor.supervisor" in modules
    later = {"locale", "shlex", "subprocess", "asyncio.sslproto"}
    assert found(modules, unwanted | HEAVY | later | {"gettext", "pathlib"}) == set()


LATER = """
import threading
from bigtop.system.imports import import_without
asyncio = import_without("asyncio", absent="ssl", later={"asyncio.sslproto": {}, "inspect": {}})
import sys
assert not {"ssl", "inspect", "asyncio.sslproto"} & set(sys.modules)
async def coroutine(): ...
answers = []
def ask():
    answers.append(asyncio.coroutines.inspect.iscoroutinefunction(coroutine))
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert answers == [True] * 8
import inspect, ssl
assert asyncio.coroutines.inspect.Signature is inspect.Signature
assert asyncio.base_events.sslproto.SSLProtocol.__module__ == "asyncio.sslproto"
try:
    asyncio.coroutines.inspect.nonsense
except AttributeError as error:
    print(error)
"""


def test_what_is_imported_later_is_there_for_whoever_uses_it() -> None:
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("module 'inspect' has no attribute 'nonsense'\n", "")


def test_a_supervisor_whose_asyncio_starts_a_process() -> None:
    code = """
from bigtop.cli.serve import serve; serve.import_supervisor()
import asyncio, sys
assert "subprocess" not in sys.modules
async def echo():
    process = await asyncio.create_subprocess_exec("echo", "said", stdout=asyncio.subprocess.PIPE)
    return await process.communicate()
print(asyncio.run(echo()))
import subprocess
for name in ("PIPE", "STDOUT", "DEVNULL"):
    assert getattr(asyncio.subprocess, name) == getattr(subprocess, name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(b'said\\n', None)\n", "")


def test_a_client_of_the_control_channel() -> None:
    modules = imported("import bigtop.cli.root, bigtop.cli.ctl.ctl, bigtop.cli.ctl.ctl_show")
    others = "asyncio dataclasses email importlib.metadata logging psutil shutil ssl subprocess tempfile"
    ours = (
        "bigtop.config bigtop.control.server bigtop.launch bigtop.stats bigtop.supervisor.processes"
        " bigtop.supervisor.hooks bigtop.top bigtop.workers"
    )
    assert "bigtop.control.client.client" in modules
    assert found(modules, {*others.split(), *ours.split()}) == set()


def test_a_table_for_scripts_and_plain_terminals() -> None:
    modules = imported("import bigtop.cli.root, bigtop.cli.top, bigtop.top.plain")
    ours = (
        "bigtop.config bigtop.launch bigtop.supervisor.processes bigtop.supervisor.hooks bigtop.top.app"
        " bigtop.workers"
    )
    assert "bigtop.top.watch" in modules
    assert found(modules, {"rich", "textual", *ours.split()}) == set()


def test_help_is_that_of_click_alone() -> None:
    modules = imported("import bigtop.__main__, bigtop.cli.root")
    assert found(modules, {"asyncio", "email", "importlib.metadata", "logging", "socket", "ssl"}) == set()


def test_what_had_a_head_start_imports_what_others_do() -> None:
    with Site("tests.apps.imported:wsgi", "--workers", "1") as site:
        first = set(site.get("/").split())
        site.process.send_signal(signal.SIGHUP)
        site.wait_for(": reloaded")
        until(lambda: len(site.workers()) == 1, "the end of the old worker")
        later = set(site.get("/").split())
    program = "bigtop.workers.forkserver"  # __main__, where it was executed
    assert first ^ later == {"bigtop.system.descriptors", "bigtop.workers.head_start", program}


def test_a_supervisor_that_runs() -> None:
    """What it was made of when it answered: no encryption, no ZeroMQ, and nothing late that is heavy."""
    with Site("tests.apps.imported:wsgi", env={"PYTHONPROFILEIMPORTTIME": "1"}) as site:
        assert site.get("/") != ""
        mapped = Path(f"/proc/{site.process.pid}/maps").read_text()
        lines = site.log().partition("bigtop.errors\n")[2].splitlines()
    assert {word for word in ("/_hashlib.", "/_ssl.", "libzmq", "_psutil") if word in mapped} == set()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "bigtop.launch.control.channel" in modules
    assert found(modules, HEAVY | {"hashlib", "secrets", "tempfile"}) == set()


def test_what_a_supervisor_knows_of_the_web_console() -> None:
    """Where a file asks for one, and with which orders: nothing that serves it."""
    modules = imported("import bigtop.launch.run.daemon")
    known = {name for name in modules if name.startswith("bigtop.web")}
    assert known <= {"bigtop.web", "bigtop.web.spec", "bigtop.web.access", "bigtop.web.access.origins"}
    assert found(modules, {"bigtop.top", "hmac", "secrets"}) == set()
    site = imported("from bigtop.cli.serve import serve; serve.gathered(['a:b']); serve.import_supervisor()")
    assert found(site, {"bigtop.web"}) == set()
