# What `bigtop convert` writes, as its users go on with it: run, and asked over HTTP, for each kind of file
# and of command line. One Bigtop runs all of them, as a start takes its time.

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import pytest

from bigtop.config.convert.sources import convert, of_command
from tests.support.site import until
from tests.support.stack import Stack, free_port

APP = """
import json, os

NAMES = ("GREETING", "SECRET", "PORT")

def said():
    return json.dumps({name: os.environ[name] for name in NAMES if name in os.environ}).encode()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [said()]

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said()})
"""
BESIDE = """
import sys, time
open(f"ran {''.join(sys.argv[1:])}", "w").close()
time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site_app.py").write_text(APP)
    (tmp_path / "beside.py").write_text(BESIDE)
    return tmp_path


def gunicorn(port: int) -> str:
    lines = ["import os", "os.environ['GREETING'] = 'gunicorn'", "wsgi_app = 'site_app:app'", "threads = 2"]
    lines += [f"bind = ':{port}'", "proc_name = 'of gunicorn'"]
    Path("of_gunicorn.py").write_text("\n".join(lines))
    return convert("of_gunicorn.py", beside="made")


def uwsgi(port: int) -> str:
    lines = ["[uwsgi]", f"http = 127.0.0.1:{port}", "module = site_app:app", "env = GREETING=uwsgi"]
    lines += [
        "processes = 2",
        "procname-prefix = uwsgi",
        f"mule = beside.py\nattach-daemon = {sys.executable} beside.py 1",
    ]
    Path("uwsgi.ini").write_text("\n".join(lines))
    return convert("uwsgi.ini", beside="made")


def procfile(port: int) -> str:
    Path(".env").write_text(f"PORT={port}\nGREETING='procfile'\n")
    Path("Procfile").write_text(f"web: gunicorn site_app:app\nworker: {sys.executable} beside.py $PORT\n")
    return convert("Procfile", beside="made")


def pm2(port: int) -> str:
    site = {"script": "uvicorn", "args": f"site_app:asgi --port {port}", "env": {"GREETING": "pm2"}}
    beside = {"name": "node", "script": "beside.py", "interpreter": sys.executable, "args": ["two words"]}
    Path("ecosystem.json").write_text(json.dumps({"apps": [site, beside]}))
    return convert("ecosystem.json", beside="made")


def script(port: int) -> str:
    line = f"exec gunicorn -n script -e GREETING=script \\\n  -b 127.0.0.1:{port} site_app:app"
    Path("start.sh").write_text(f"#!/bin/sh\n{line}\n")
    return convert("start.sh", beside="made")


def uvicorn(port: int) -> str:
    return of_command(f"GREETING=uvicorn uvicorn site_app:asgi --port {port} --loop asyncio", {}, "made")


def granian(port: int) -> str:
    Path("site.env").write_text("GREETING=granian\n")
    words = f"--interface asgi --port {port} --env-files site.env --process-name granian"
    return of_command(f"granian site_app:asgi {words}", {}, "made")


KINDS = {one.__name__: one for one in (gunicorn, uwsgi, procfile, pm2, script, uvicorn, granian)}


def test_what_was_converted_serves(folder: Path) -> None:
    (folder / "made").mkdir()
    ports = {name: free_port() for name in KINDS}
    for name, write in KINDS.items():
        (folder / "made" / f"{name}.toml").write_text(write(ports[name]))
    with Stack(f'[circus]\ninclude = ["{folder}/made/*.toml"]\n', cwd=folder) as stack:
        stack.wait_for(": started", len(KINDS) + 4, timeout=120)
        for name, port in ports.items():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
                answer = json.loads(response.read())
            assert answer["GREETING"] == name
        seen = {"mule": "", "daemon": "1", "worker": str(ports["procfile"] + 100), "pm2": "two words"}
        until(
            lambda: {path.name for path in folder.glob("ran *")} == {f"ran {word}" for word in seen.values()},
            "all programs",
        )
        assert stack.stop() == 0
