# Applications that do not show what they speak, at every door: refused at once, and served with --interface.

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.site import ROOT, Site
from tests.support.stack import Stack
from tests.support.wire import Client

pytestmark = pytest.mark.case("A19")

HIDDEN = "tests.apps.hidden:asgi"
HINT = "say what it speaks with --interface wsgi or --interface asgi"


def bigtop(*args: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "bigtop", *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("preload", ["on", "off"])
@pytest.mark.parametrize(
    "words", [(HIDDEN,), ("tests.apps.hidden:wsgi",), ("tests.apps.mounted:wsgi", "--mount", f"/b={HIDDEN}")]
)
def test_serve_refuses(words: tuple[str, ...], preload: str) -> None:
    status, said = bigtop("serve", *words, "--bind", "127.0.0.1:0", "--control", "off", "--preload", preload)
    assert status == 3
    assert HINT in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [(HIDDEN,), ("tests.apps.mounted:wsgi", "--mount", f"/b={HIDDEN}")])
def test_check_says_what_serve_says(words: tuple[str, ...]) -> None:
    status, said = bigtop("serve", *words, "--check-config")
    assert status == 3
    assert HINT in said


@pytest.mark.parametrize("interface", ["wsgi", "asgi", "asgi2"])
def test_serve_with_the_option(interface: str) -> None:
    with Site(f"tests.apps.hidden:{interface}", "--interface", interface, "--control", "off") as site:
        assert site.get("/") == interface


def test_the_variable() -> None:
    with Site(HIDDEN, "--control", "off", env={"BIGTOP_INTERFACE": "asgi"}) as site:
        assert site.get("/") == "asgi"


def test_mounts_take_the_option_where_they_show_nothing() -> None:
    mounts = ("--mount", f"/b={HIDDEN}", "--mount", "/c=tests.apps.mounted:wsgi")
    with Site("tests.apps.mounted:asgi", *mounts, "--interface", "asgi", "--control", "off") as site:
        assert site.get("/b/") == "asgi"
        assert json.loads(site.get("/c/"))["speaks"] == "wsgi"


def test_defaults_make_no_asgi_2() -> None:
    with Site("tests.apps.hidden:defaults", "--control", "off") as site:
        assert site.get("/") == "asgi"


def test_run() -> None:
    text = f"""
        [socket.web]
        host = "127.0.0.1"
        port = 0

        [app.silent]
        app = "{HIDDEN}"
        workers = 1

        [app.named]
        app = "{HIDDEN}"
        interface = "asgi"
        sockets = ["web"]
        workers = 1
    """
    with Stack(text) as stack:
        stack.wait_for(HINT)
        stack.wait_for("named: started")
        port = stack.asked("listsockets")["sockets"][0]["port"]
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").body == b"asgi"


def test_a_lone_worker() -> None:
    status, said = bigtop("worker", HIDDEN, "--host", "127.0.0.1", "--port", "0")
    assert (status, HINT in said) == (3, True)


def test_the_library() -> None:
    program = f"""if True:
        import bigtop
        try:
            bigtop.serve({HIDDEN!r}, check_config=True)
        except bigtop.AppError as error:
            print(error)
        bigtop.serve({HIDDEN!r}, check_config=True, interface="asgi")
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    refused, served = done.stdout.splitlines()
    assert HINT in refused
    assert "OK, ASGI" in served
