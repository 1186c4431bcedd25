# Deploys as they are done: a symbolic link is switched, then HUP. And what a reload proves.

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.support.site import DEADLINE, ROOT, Site, until
from tests.support.stack import Stack


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    """Return `current`, which leads to the first of two releases."""
    base = tmp_path.resolve()
    for number in "12":
        release = base / "releases" / number
        (release / "static").mkdir(parents=True)
        (release / "lib").mkdir()
        (release / "static/number").write_text(f"static {number}")
        (release / "lib/deployed_lib.py").write_text(f"RELEASE = {number}\n")
        (release / "deployed.py").write_text(
            "import os\nimport deployed_lib\n"
            f"def app(environ, start):\n    start('200 OK', [])\n"
            f"    return [f'{number} {{deployed_lib.RELEASE}} {{os.getcwd()}}'.encode()]\n"
        )
    switch(base / "current", "1")
    return base / "current"


def switch(current: Path, number: str) -> None:
    draft = current.with_name("draft")
    draft.symlink_to(f"releases/{number}")
    draft.rename(current)


def answer(current: Path, number: str) -> str:
    return f"{number} {number} {current.parent}/releases/{number}"


def release(current: Path, number: str) -> Path:
    return current.parent / "releases" / number


def reload(site: Site, times: int = 1) -> None:
    site.send(signal.SIGHUP)
    site.wait_for("reloaded, every worker", times)


PLACES: list[tuple[str, Callable[[Path], tuple[list[str], Path, dict[str, str]]]]] = [
    ("$PWD", lambda current: ([], current, {"PWD": str(current)})),
    ("$PWD of a subfolder", lambda current: (["--chdir", ".."], current / "lib", {"PWD": f"{current}/lib"})),
    ("--chdir", lambda current: (["--chdir", str(current)], ROOT, {})),
    ("relative --chdir", lambda current: (["--chdir", "current"], current.parent, {})),
]


@pytest.mark.case("A5")
@pytest.mark.parametrize("place", [make for _, make in PLACES], ids=[name for name, _ in PLACES])
def test_a_reload_follows_the_link_also_from_a_deleted_release(
    deployed: Path, place: Callable[[Path], tuple[list[str], Path, dict[str, str]]]
) -> None:
    args, cwd, env = place(deployed)
    args += ["--static", "/static=static", "--pythonpath", "lib"]
    with Site("deployed:app", *args, cwd=cwd, env=env) as site:
        site.wait_for(f"deployed: generation 1 is of {release(deployed, '1')}\n")
        assert (site.get(), site.get("/static/number")) == (answer(deployed, "1"), "static 1")
        switch(deployed, "2")
        shutil.rmtree(release(deployed, "1"))
        reload(site)
        site.wait_for(f"deployed: generation 2 is of {release(deployed, '2')}\n")
        until(lambda: len(site.workers()) == 1, "the old worker to be gone")
        assert (site.get(), site.get("/static/number")) == (answer(deployed, "2"), "static 2")


@pytest.mark.case("A5")
def test_relative_names_in_pythonpath_are_of_the_new_release(deployed: Path) -> None:
    env = {"PWD": str(deployed), "PYTHONPATH": f"lib:{ROOT}"}
    with Site("deployed:app", cwd=deployed, env=env) as site:
        switch(deployed, "2")
        reload(site)
        until(lambda: len(site.workers()) == 1, "the old worker to be gone")
        assert site.get() == answer(deployed, "2")


@pytest.mark.case("A5")
def test_a_link_that_leads_nowhere_fails_the_reload_and_the_next_may_succeed(deployed: Path) -> None:
    env = {"PWD": str(deployed)}
    with Site("deployed:app", "--pythonpath", "lib", cwd=deployed, env=env) as site:
        switch(deployed, "3")
        site.send(signal.SIGHUP)
        site.wait_for(f"1 goes on: cannot enter {deployed}: No such file or directory")
        assert site.get() == answer(deployed, "1")
        switch(deployed, "2")
        reload(site)
        until(lambda: len(site.workers()) == 1, "the old worker to be gone")
        assert site.get() == answer(deployed, "2")


@pytest.mark.case("A5")
def test_a_stale_pwd_is_not_believed(deployed: Path) -> None:
    """As of a program that changed its folder after the shell had set $PWD."""
    with Site(
        "deployed:app", "--pythonpath", "lib", cwd=release(deployed, "2"), env={"PWD": str(deployed)}
    ) as site:
        assert site.get() == answer(deployed, "2")
        reload(site)
        assert site.get() == answer(deployed, "2")


@pytest.mark.case("A5")
def test_a_program_that_serves_follows_the_link(deployed: Path) -> None:
    code = "import bigtop; bigtop.serve('deployed:app', bind='127.0.0.1:0', pythonpath='lib')"
    site = Site("-", cwd=deployed, env={"PWD": str(deployed)})
    site.command = [sys.executable, "-c", code]
    with site:
        switch(deployed, "2")
        shutil.rmtree(release(deployed, "1"))
        reload(site)
        until(lambda: len(site.workers()) == 1, "the old worker to be gone")
        assert site.get() == answer(deployed, "2")


FILE = """
[socket.web]
host = "127.0.0.1"
port = 0
[app.deployed]
app = "deployed:app"
sockets = ["web"]
pythonpath = "lib"
static = "/static=static"
[app.named]
app = "deployed:app"
bind = "unix:{folder}/named"
chdir = "CURRENT"
pythonpath = "lib"
[watcher.plain]
cmd = "COMMAND"
[watcher.limited]
cmd = "COMMAND"
rlimit_core = 0
[watcher.placed]
cmd = "COMMAND"
working_dir = "CURRENT/lib"
"""


@pytest.mark.case("A5")
def test_applications_and_commands_of_a_file_follow_the_link(deployed: Path) -> None:
    text = FILE.replace("CURRENT", str(deployed)).replace("COMMAND", "sleep 1000")
    with Stack(text, cwd=deployed, env={"PWD": str(deployed)}) as stack:
        for name in ("deployed", "named", "plain", "limited", "placed"):
            stack.wait_for(f"{name}: started")
        assert folders(stack) == dict(zip(WATCHERS, places(release(deployed, "1")), strict=True))
        switch(deployed, "2")
        shutil.rmtree(release(deployed, "1"))
        stack.send(signal.SIGHUP)
        stack.wait_for("reloaded, every ", len(WATCHERS) + 2)
        until(
            lambda: folders(stack) == dict(zip(WATCHERS, places(release(deployed, "2")), strict=True)),
            "commands in the new release",
        )
        for name in ("deployed", "named"):
            stack.wait_for(f"{name}: generation 2 is of {release(deployed, '2')}\n")
        switch(deployed, "1")
        release(deployed, "2").rename(release(deployed, "1"))
        assert "replace" not in stack.ctl("reloadconfig")


WATCHERS = ("plain", "limited", "placed")


def places(folder: Path) -> tuple[str, str, str]:
    return str(folder), str(folder), f"{folder}/lib"


def folders(stack: Stack) -> dict[str, str]:
    found = {}
    for name in WATCHERS:
        found[name] = ""
        with suppress(IndexError, FileNotFoundError):  # there is none, or it is gone meanwhile
            found[name] = os.readlink(f"/proc/{stack.pids(name)[0]}/cwd")
    return found


@pytest.mark.case("A5")
def test_a_unit_for_systemd_names_the_link(deployed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bigtop", "init", "systemd", "serve", "deployed:app"],
        cwd=deployed,
        env={**os.environ, "PWD": str(deployed), "PYTHONPATH": f"lib:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"WorkingDirectory={deployed}\n" in done.stdout


@pytest.mark.case("F10")
@pytest.mark.parametrize("imported", [True, False])
def test_urls_that_wsgi_py_imports_are_proven_by_a_reload(tmp_path: Path, imported: bool) -> None:
    shutil.copytree(ROOT / "examples/django_site", tmp_path / "site")
    wsgi, urls = tmp_path / "site/mysite/wsgi.py", tmp_path / "site/mysite/urls.py"
    if imported:
        wsgi.write_text(wsgi.read_text() + "\nimport mysite.urls\n")
    env = {"DJANGO_DATA": str(tmp_path)}
    with Site("mysite.wsgi:application", "--chdir", str(tmp_path / "site"), env=env) as site:
        assert "hello" in site.get("/hello/", timeout=DEADLINE)
        urls.write_text("import not_there\n" + urls.read_text())
        if imported:
            site.send(signal.SIGHUP)
            site.wait_for("reload failed, generation 2 cannot run and 1 goes on")
            assert "No module named 'not_there'" in site.log()
            assert "hello" in site.get("/hello/", timeout=DEADLINE)
        else:
            reload(site)
            with pytest.raises(HTTPError, match="500"):
                site.get("/hello/", timeout=DEADLINE)
