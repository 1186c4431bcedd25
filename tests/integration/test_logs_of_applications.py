# Bigtop's log beside applications that configure logging and time zones.

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.backends.test_conformance import INSTALLED, features
from tests.support.site import Site
from tests.support.stack import Stack
from tests.support.wire import Client

SILENCERS = {
    "dictConfig": "import logging.config; logging.config.dictConfig({'version': 1})",
    "fileConfig": (
        "import io, logging.config\n"
        "logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n'\n"
        "                                      '[logger_root]\\nhandlers=\\n'))"
    ),
    "disable": "import logging; logging.disable(logging.CRITICAL)",
    "shutdown": "import logging; logging.shutdown()",
    "clear": (
        "import logging\nfor name in list(logging.root.manager.loggerDict):\n"
        "    logging.getLogger(name).handlers.clear(); logging.getLogger(name).disabled = True\n"
        "logging.root.handlers.clear()"
    ),
    "names": (
        "import logging; logging.addLevelName(40, 'Err'); logging.logProcesses = False\n"
        "logging.Formatter.converter = None"
    ),
    "factory": "import logging; logging.setLogRecordFactory(lambda *words, **more: 1 / 0)",
    "class": (
        "import logging\nclass Mute(logging.Logger):\n"
        "    def handle(self, record): pass\nlogging.setLoggerClass(Mute)"
    ),
}
WSGI = "def app(environ, start_response):\n    raise ValueError('the view is broken')\n"
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        raise ValueError("the view is broken")
"""


@pytest.mark.case("A7")
@pytest.mark.parametrize(
    ("silencer", "app", "options"),
    [
        *((silencer, WSGI, []) for silencer in SILENCERS),
        ("dictConfig", ASGI, []),
        ("shutdown", ASGI, []),
        ("dictConfig", WSGI, ["--preload", "off"]),
        ("disable", WSGI, ["--backend", "gevent"]),
    ],
)
def test_the_views_traceback_is_logged(tmp_path: Path, silencer: str, app: str, options: list[str]) -> None:
    (tmp_path / "site_here.py").write_text(f"{SILENCERS[silencer]}\n{app}")
    with Site("site_here:app", "--pythonpath", str(tmp_path), *options) as site:
        with pytest.raises(OSError, match="500"):
            site.get()
        site.wait_for("ValueError: the view is broken")
        assert "[ERROR]" in site.log()
        assert "Logging error" not in site.log()


@pytest.mark.case("A7")
@pytest.mark.parametrize("backend", [name for name in INSTALLED if name not in ("wsgi", "asgi", "gevent")])
def test_a_servers_own_words_are_logged(tmp_path: Path, backend: str) -> None:
    """Most servers have loggers, which an application silences with all the others."""
    view = WSGI if features(backend).interface == "wsgi" else ASGI
    (tmp_path / "site_here.py").write_text(f"{SILENCERS['dictConfig']}\n{SILENCERS['disable']}\n{view}")
    with Site("site_here:app", "--pythonpath", str(tmp_path), "--backend", backend) as site:
        with pytest.raises(OSError, match=r"500|Remote end closed|reset"):
            site.get()
        site.wait_for("ValueError: the view is broken")
        assert "Logging error" not in site.log()


def zones_of(log: str) -> list[str]:
    """Return the time zone of each line that Bigtop wrote, those about requests included."""
    own = re.findall(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.\d{4})\]", log, re.MULTILINE)
    requests = re.findall(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d (.\d{4})\]", log)
    assert len(own) >= 3
    assert len(requests) == 1
    return own + requests


@pytest.mark.case("F7")
@pytest.mark.parametrize(("options", "zone"), [([], "+0545"), (["--log-time-zone", "utc"], "+0000")])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_application_that_changes_its_zone_changes_no_line(
    tmp_path: Path, options: list[str], zone: str, interface: str
) -> None:
    change = "import os, time\nos.environ['TZ'] = 'America/New_York'\ntime.tzset()\n"
    (tmp_path / "site_here.py").write_text(change + (WSGI if interface == "wsgi" else ASGI))
    arguments = ["--pythonpath", str(tmp_path), "-e", "TZ=Asia/Tokyo", "--access-logfile", "-", *options]
    with Site("site_here:app", *arguments, env={"TZ": "Asia/Kathmandu"}) as site:
        with pytest.raises(OSError, match="500"):
            site.get()
        site.wait_for("the view is broken")
        site.wait_for('"GET / HTTP/1.1" 500')
        assert set(zones_of(site.log())) == {zone}


@pytest.mark.case("F7")
def test_applications_of_a_file_have_the_zone_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "site_here.py").write_text(WSGI)
    text = f"""
        [circus]
        log_time_zone = "utc"
        [app.site]
        app = "site_here:app"
        pythonpath = "{tmp_path}"
        access_logfile = "-"
        sockets = "web"
        [socket.web]
        host = "127.0.0.1"
        port = 0
    """
    with Stack(text, env={"TZ": "Asia/Kathmandu"}) as stack:
        stack.wait_for("site: started")
        (port,) = {entry["port"] for entry in stack.asked("listsockets")["sockets"]}
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").status == 500
        stack.wait_for("the view is broken")
        stack.wait_for('"GET / HTTP/1.1" 500')
        assert set(zones_of(stack.log())) == {"+0000"}
