# The web console of `bigtop run`: a helper watcher, with TLS, behind a proxy, with keys.

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from bigtop.control import keys
from bigtop.web.store import Store
from tests.support import certificates
from tests.support.console import Client, Reply
from tests.support.site import DEADLINE, until
from tests.support.stack import Stack
from tests.web.test_attacks import finished


def port_of(stack: Stack) -> int:
    found = re.compile(r"web console on https?://\S+?:(\d+);")
    until(lambda: found.search(stack.log()), "the console")
    stack.wait_for("serving bigtop.web")
    match = found.search(stack.log())
    assert match is not None
    return int(match[1])


def entered(stack: Stack, port: int, role: str) -> Client:
    """Return a client that has logged in by a link."""
    words = [
        sys.executable,
        "-m",
        "bigtop",
        "web",
        "--state",
        f"{stack.folder}/state",
        "login-url",
        "--role",
        role,
    ]
    link = subprocess.run(words, capture_output=True, text=True, env=stack.env, check=True).stdout
    client = Client(port)
    assert client.enter(once=link.strip().partition("#login=")[2]).status == 200
    return client


def test_a_file_has_a_console(tmp_path: Path) -> None:
    pair = certificates.made("console.example")
    certificates.written(tmp_path, pair)
    text = f"""
    [web]
    bind = "127.0.0.1:0"
    state = "{tmp_path}/state"
    hosts = ["console.example"]
    trusted_proxies = ["127.0.0.1"]
    certfile = "{tmp_path}/site.pem"
    keyfile = "{tmp_path}/site.key"
    [watcher.plain]
    cmd = "sleep 1000"
    """
    Store(str(tmp_path / "state")).set_user("ann", "view", "correct horse battery")
    with Stack(text) as stack:
        stack.wait_for("serving bigtop.web")
        found = re.search(r"serving bigtop.web on \('127.0.0.1', (\d+)\)", stack.log())
        assert found is not None
        context = ssl.create_default_context(cadata=pair.certificate)
        context.check_hostname = False

        def ask(method: str, path: str, body: Any = None, **fields: str) -> Reply:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", int(found[1]), timeout=DEADLINE, context=context
            )
            said = {"Host": "console.example", "Content-Type": "application/json", **fields}
            with closing(connection):
                connection.request(method, path, None if body is None else json.dumps(body), said)
                return Reply(connection.getresponse())

        assert ask("GET", "/", Host="other.example").status == 421
        assert ask("GET", "/").status == 200
        said = {"name": "ann", "password": "correct horse battery"}
        own = {
            "Origin": "https://console.example",
            "X-Forwarded-For": "10.9.8.7",
            "X-Forwarded-Proto": "https",
        }
        reply = ask("POST", "/api/login", said, **own)
        assert reply.status == 200
        cookie = reply.cookie
        assert reply.json["daemons"] == ["stack"]
        audit = [json.loads(line) for line in (tmp_path / "state/audit.log").read_text().splitlines()]
        assert (audit[-1]["who"], audit[-1]["from"]) == ("ann", "10.9.8.7")

        def told() -> Any:
            return ask("GET", "/api/look?topic=front", Cookie=cookie).json

        until(lambda: "stack\nplain" in told()["tables"]["watchers"], "what the daemon runs")
        # It is a helper: commands for all watchers leave it alone, and it is restarted when it dies.
        assert stack.status("circushttpd") == "active"
        assert stack.status("circusd-stats") == "active"
        before = stack.pids("circushttpd")
        stack.ctl("restart", "--waiting")
        assert stack.pids("circushttpd") == before


def test_a_daemon_with_keys_lets_the_console_do_what_its_keys_may(tmp_path: Path) -> None:
    """Whatever the console thinks: it has no key for more."""
    server, _ = keys.generate(tmp_path / "server", "server", "")
    clients, own = tmp_path / "clients", tmp_path / "keys"
    for role in ("view", "operate"):
        _public, secret = keys.generate(clients, role, role)
        own.mkdir(exist_ok=True)
        secret.rename(own / secret.name)
    (own / "server.key").write_text(server.read_text())
    guarded = f"""
    [circus]
    endpoint = "tcp://127.0.0.1:0"
    pubsub_endpoint = "tcp://127.0.0.1:0"
    server_key = "{tmp_path}/server/server.key_secret"
    client_keys = "{clients}"
    [watcher.far]
    cmd = "sleep 1000"
    """
    with Stack(guarded, "far.toml") as far:
        endpoint = re.search(r"control channel on (tcp://\S+)", far.log())
        assert endpoint is not None
        text = f"""
        [web]
        bind = "127.0.0.1:0"
        state = "{{folder}}/state"
        keys = "{own}"
        endpoints = ["far={endpoint[1]}"]
        [watcher.near]
        cmd = "sleep 1000"
        """
        with Stack(text) as stack:
            port = port_of(stack)
            admin = entered(stack, port, "admin")
            until(lambda: len(admin.look("front")["tables"]["watchers"]) >= 2, "both daemons")
            assert {"stack\nnear", "far\nfar"} <= admin.look("front")["tables"]["watchers"].keys()
            refused = admin.act("far", "plan", dry_run=True)
            assert refused.status == 502
            assert "no key of the role admin" in refused.json["error"]
            operator = entered(stack, port, "operate")
            assert (
                finished(operator, operator.act("far", "restart", name="far").json["number"])["state"]
                == "done"
            )
            # A key that is taken away counts at once.
            (clients / "operate.key").unlink()
            ended = finished(operator, operator.act("far", "restart", name="far").json["number"])
            assert ended["state"] == "failed"
