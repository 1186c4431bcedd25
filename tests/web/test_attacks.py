# Attacks on the console over plain HTTP and WebSockets, as other sites, other users and programs try them.

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from bigtop.web import app
from bigtop.web.access import attempts
from bigtop.web.access.origins import Asked
from bigtop.web.rules.actions import DeclinedError
from bigtop.web.store import Store
from tests.support.console import Client, Console, Reply
from tests.support.site import DEADLINE, until
from tests.support.stack import Stack

TEXT = """
[watcher.plain]
cmd = "sleep 1000"
[watcher.talker]
cmd = "printf '<img src=x onerror=alert(1)>\\\\n'; sleep 1000"
shell = true
[env]
DATABASE_URL = "postgres://app:hunter2-hunter2@db/app"
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(TEXT) as stack:
        yield stack


@pytest.fixture(scope="module")
def console(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with Console(folder, "-e", f"site={stack.endpoint}") as console:
        console.run("user", "ann", "--role", "operate", said="correct horse battery\n")
        console.run("user", "eve", "--role", "view", said="another long password\n")
        yield console


@pytest.fixture(scope="module")
def ann(console: Console) -> Client:
    client = Client(console.port)
    assert client.enter(name="ann", password="correct horse battery").status == 200
    return client


@pytest.fixture(scope="module")
def eve(console: Console) -> Client:
    client = Client(console.port)
    assert client.enter(name="eve", password="another long password").status == 200
    return client


def pids(stack: Stack) -> list[int]:
    until(lambda: stack.pids("plain"), "the process of plain")
    return stack.pids("plain")


# ---- who is nobody


@pytest.mark.parametrize("path", ["/api/me", "/api/look?topic=front", "/api/look?topic=audit"])
def test_nobody_is_told_nothing(console: Console, path: str) -> None:
    reply = Client(console.port).ask("GET", path)
    assert (reply.status, reply.json) == (401, {"error": "log in first"})


def test_nobody_does_nothing(console: Console, stack: Stack) -> None:
    before = pids(stack)
    client = Client(console.port)
    assert client.act("site", "restart", name="plain").status == 401
    assert client.ask("POST", "/api/logout", {}).status == 401
    client.cookie = f"__Host-bigtop-{console.port}=made-up"
    assert client.act("site", "restart", name="plain").status == 401
    assert pids(stack) == before


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/static/../app.py",
            "/static/..%2fapp.py",
            "/static/%2e%2e/app.py",
            "//etc/passwd",
            "/../../etc/passwd",
        ),
        *(
            "/static/",
            "/static",
            "/static/index.html",
            "/static/app.py",
            "/static/console.css%00.js",
            "/static//main.js",
        ),
        *("/app.py", "/.git/config", "/index.html", "/api", "/api/", "/api/nothing", "/ws"),
        *("/static/..\\app.py", "/static/....//app.py", "/%2fstatic/main.js"),
    ],
)
def test_paths_lead_to_pages_and_nowhere_else(console: Console, path: str) -> None:
    reply = Client(console.port).ask("GET", path)
    assert reply.status in (400, 404)
    assert "root:" not in reply.text
    assert "import" not in reply.text


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/static/console.css", "/static/uplot.js"])
def test_pages_themselves_are_no_secret_and_say_what_browsers_may(console: Console, path: str) -> None:
    reply = Client(console.port).ask("GET", path, fields={"Sec-Fetch-Site": "none"})
    assert reply.status == 200
    assert "require-trusted-types-for 'script'" in reply.headers["content-security-policy"]
    assert reply.headers["x-frame-options"] == "DENY"
    again = Client(console.port).ask("GET", path, fields={"If-None-Match": reply.headers["etag"]})
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_not_known(ann: Client, method: str) -> None:
    reply = ann.ask(method, "/api/action", {"do": "restart", "daemon": "site", "name": "plain"})
    assert reply.status == 405
    assert "access-control-allow-origin" not in reply.headers


# ---- other sites


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Bigtop-Token": None},
        {"X-Bigtop-Token": "guess"},
        {"Content-Type": "text/plain"},
        {"Content-Type": FORM},
        {
            "Origin": "http://evil.example",
            "Content-Type": FORM,
            "X-Bigtop-Token": None,
            "Sec-Fetch-Site": "cross-site",
        },
    ],
)
def test_what_another_site_makes_a_browser_send_does_nothing(
    ann: Client, stack: Stack, fields: dict[str, str | None]
) -> None:
    before = pids(stack)
    assert ann.act("site", "restart", fields, name="plain").status in (400, 403)
    assert pids(stack) == before


def test_nothing_is_done_by_get(ann: Client, stack: Stack) -> None:
    before = pids(stack)
    assert ann.ask("GET", "/api/action?do=restart&daemon=site&name=plain").status == 404
    assert pids(stack) == before


@pytest.mark.parametrize("fields", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_nobody_is_logged_in_by_another_site(console: Console, fields: dict[str, str | None]) -> None:
    said = {"name": "ann", "password": "correct horse battery"}
    reply = Client(console.port).ask("POST", "/api/login", said, fields)
    assert (reply.status, reply.cookie) == (403, "")


@pytest.mark.parametrize("path", ["/", "/api/me", "/api/look?topic=front"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", None])
def test_a_name_that_was_rebound_to_our_address_is_not_ours(
    console: Console, ann: Client, path: str, host: str | None
) -> None:
    host = host and host.format(port=console.port)
    reply = ann.ask("GET", path, fields={"Host": host})
    assert reply.status in (400, 421)
    assert "plain" not in reply.text


def test_another_site_reads_nothing(ann: Client) -> None:
    for path in ("/api/me", "/api/look?topic=front"):
        assert ann.ask("GET", path, fields={"Sec-Fetch-Site": "cross-site"}).status == 403


# ---- WebSockets


def refused(console: Console, origin: str | None, **fields: str) -> int:
    """Return the status that a handshake is refused with."""
    where = f"ws://127.0.0.1:{console.port}/ws"
    with pytest.raises(InvalidStatus) as caught:
        connect(where, origin=origin, additional_headers=fields)  # type: ignore[arg-type]
    return caught.value.response.status_code


def test_a_websocket_of_another_site_is_refused(console: Console, ann: Client) -> None:
    own = f"http://{ann.own}"
    for origin in ("http://evil.example", "null", None, f"{own}.evil.example", f"https://{ann.own}"):
        assert refused(console, origin, Cookie=ann.cookie) == 403
    assert refused(console, own) == 403
    assert refused(console, own, Cookie=ann.cookie, Host="evil.example") in (400, 403)


def opened(ann: Client) -> Any:
    return connect(
        f"ws://{ann.own}/ws",
        origin=f"http://{ann.own}",  # type: ignore[arg-type]
        additional_headers={"Cookie": ann.cookie},
        close_timeout=1,
    )


@pytest.mark.parametrize(
    "said",
    [
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"do": "act"}',
        '{"do": "open", "id": "1", "topic": "front"}',
        '{"do": "open", "id": 1}',
        '{"do": "more", "id": 1, "n": "x"}',
        b"\x00\x01",
        "[" * 10_000,
    ],
)
def test_a_tab_that_says_something_else_is_closed(ann: Client, said: str | bytes) -> None:
    with opened(ann) as tab:
        tab.send(said)
        with pytest.raises(ConnectionClosed):
            tab.recv(timeout=DEADLINE)
        assert tab.close_code == 4400


@pytest.mark.parametrize(
    "said",
    [
        {"topic": "nothing"},
        {"topic": "audit"},  # for administrators
        {"topic": "watcher", "daemon": "other", "watcher": "plain"},
        {"topic": "logs", "watchers": []},
        {"topic": "logs", "watchers": [["other", "plain"]]},
        {"topic": "logs", "watchers": "all"},
        {"topic": "logs", "watchers": [["site"]]},
    ],
)
def test_a_tab_is_told_what_it_may_not_see(ann: Client, said: dict[str, Any]) -> None:
    with opened(ann) as tab:
        tab.send(json.dumps({"do": "open", "id": 7, **said}))
        told = json.loads(tab.recv(timeout=DEADLINE))
        assert told["id"] == 7
        assert told["refused"]


def test_a_tab_is_sent_no_more_than_it_has_credits_for(ann: Client) -> None:
    with opened(ann) as tab:
        tab.send(json.dumps({"do": "open", "id": 1, "topic": "front"}))
        tab.send(json.dumps({"do": "open", "id": 2, "topic": "logs", "watchers": [["site", "talker"]]}))
        first = json.loads(tab.recv(timeout=DEADLINE))
        assert first["id"] == 1
        with pytest.raises(TimeoutError):
            tab.recv(timeout=2.5)  # two looks, at least, and lines that wait
        tab.send(json.dumps({"do": "more", "id": 2, "n": 1}))
        lines = json.loads(tab.recv(timeout=DEADLINE))
        (line,) = lines["lines"]
        assert line[:2] == ["site", "talker"]
        assert line[2]["line"] == "<img src=x onerror=alert(1)>"


# ---- roles


def test_who_may_only_look_changes_nothing(eve: Client, console: Console, stack: Stack) -> None:
    before = pids(stack)
    for do, more in (
        ("restart", {}),
        ("stop", {}),
        ("reload", {}),
        ("scale", {"count": "5"}),
        ("signal", {"pid": before[0], "signum": "KILL"}),
        ("replace", {"pid": before[0]}),
    ):
        assert eve.act("site", do, name="plain", **more).status == 403, do
    assert eve.act("site", "options", name="plain").status == 403
    assert eve.act("site", "plan", dry_run=True).status == 403
    assert eve.ask("GET", "/api/look?topic=audit").status == 400
    assert pids(stack) == before
    assert {"who": "eve", "state": "refused"}.items() <= console.audit()[-1].items()


def test_the_daemon_refuses_what_the_role_does_not_include(stack: Stack) -> None:
    """Were the console mistaken about a role, the daemon is not."""
    import asyncio

    from bigtop.control.client.async_client import AsyncClient
    from bigtop.control.protocol import Errno, RefusedError

    async def tried(role: str, command: str, **properties: object) -> Errno | None:
        async with AsyncClient(stack.endpoint, timeout=DEADLINE, role=role) as client:
            try:
                await client.call(command, **properties)
            except RefusedError as error:
                return error.errno
            return None

    assert asyncio.run(tried("view", "status")) is None
    assert asyncio.run(tried("view", "restart", name="plain")) is Errno.NOT_ALLOWED
    assert asyncio.run(tried("view", "options", name="plain")) is Errno.NOT_ALLOWED
    assert asyncio.run(tried("operate", "options", name="plain")) is None
    assert asyncio.run(tried("operate", "reloadconfig", dry_run=True)) is Errno.NOT_ALLOWED
    assert asyncio.run(tried("admin", "reloadconfig", dry_run=True)) is None
    assert asyncio.run(tried("king", "status")) is Errno.MESSAGE


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"do": "quit", "daemon": "site"},
        {"do": "add", "daemon": "site", "name": "x", "cmd": "true"},
        {"do": "restart", "daemon": "site"},
        {"do": "restart", "daemon": "site", "name": ""},
        {"do": "restart", "daemon": "site", "name": ["plain"]},
        {"do": "restart", "daemon": "site", "name": "plain", "match": "glob"},
        {"do": "restart", "daemon": "other", "name": "plain"},
        {"do": "scale", "daemon": "site", "name": "plain", "count": "many"},
        {"do": "signal", "daemon": "site", "name": "plain", "pid": "1", "signum": "KILL"},
        {"do": "signal", "daemon": "site", "name": "plain", "pid": -1, "signum": "KILL"},
        {"do": "signal", "daemon": "site", "name": "plain", "pid": 1, "signum": "KI LL"},
    ],
)
def test_what_is_no_action_is_refused(ann: Client, stack: Stack, said: dict[str, object]) -> None:
    before = pids(stack)
    assert ann.ask("POST", "/api/action", said).status == 400
    assert pids(stack) == before


@pytest.mark.parametrize("body", ["", "x", "[]", "[" * 9000, '{"do": "restart"', "x" * 20_000])
def test_a_body_that_is_no_object_is_refused(ann: Client, body: str) -> None:
    assert ann.ask("POST", "/api/action", body).status in (400, 413)


def test_who_is_no_process_of_the_watcher_is_not_signalled(ann: Client, console: Console) -> None:
    number = ann.act("site", "signal", name="plain", pid=os.getpid(), signum="KILL").json["number"]
    ended = finished(ann, number)
    assert ended["state"] == "failed"
    assert "not found" in ended["words"]


def finished(client: Client, number: int) -> dict[str, Any]:
    """Return how an action ended."""
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        told = client.look("progress")["news"]["progress"]
        found[:] = [one for one in told if one["number"] == number and one["state"] != "running"]
        return bool(found)

    until(has_ended, f"the end of action {number}")
    return found[0]


def test_an_action_is_done_told_and_audited(ann: Client, console: Console, stack: Stack) -> None:
    before = pids(stack)
    ended = finished(ann, ann.act("site", "restart", name="plain").json["number"])
    assert (ended["state"], ended["who"], ended["what"]) == ("done", "ann", "restart plain")
    assert set(pids(stack)).isdisjoint(before)
    begun, done = (one for one in console.audit()[-2:])
    common = {
        "who": "ann",
        "role": "operate",
        "how": "password",
        "from": "127.0.0.1",
        "what": "restart plain",
    }
    assert common.items() <= begun.items()
    assert common.items() <= done.items()
    assert (begun["state"], done["state"], begun["daemon"]) == ("begun", "done", "site")


def test_a_configuration_is_shown_without_its_secrets(ann: Client) -> None:
    reply = ann.act("site", "options", name="plain")
    assert reply.status == 200
    assert "hunter2" not in reply.text
    assert "db/app" in reply.json["reply"]["options"]["env"]["DATABASE_URL"]


def test_what_cannot_be_audited_is_not_done(ann: Client, console: Console, stack: Stack) -> None:
    before, log = pids(stack), console.state / "audit.log"
    aside = log.with_name("aside.log")
    log.rename(aside)
    log.mkdir()  # even root cannot write to that
    try:
        reply = ann.act("site", "restart", name="plain")
    finally:
        log.rmdir()
        aside.rename(log)
    assert reply.status == 400
    assert "audit log" in reply.json["error"]
    assert pids(stack) == before


# ---- logins


def test_a_session_cannot_be_chosen_for_somebody(console: Console) -> None:
    name = f"__Host-bigtop-{console.port}"
    victim = Client(console.port)
    victim.cookie = f"{name}=chosen-by-the-attacker"
    assert victim.enter(name="eve", password="another long password").status == 200
    assert victim.cookie != f"{name}=chosen-by-the-attacker"
    attacker = Client(console.port)
    attacker.cookie = f"{name}=chosen-by-the-attacker"
    assert attacker.ask("GET", "/api/me").status == 401


def test_a_new_login_ends_the_session_before_and_logging_out_ends_it_here(console: Console) -> None:
    client = Client(console.port)
    assert client.enter(name="eve", password="another long password").status == 200
    before = client.cookie
    assert client.enter(name="eve", password="another long password").status == 200
    old = Client(console.port)
    old.cookie = before
    assert old.ask("GET", "/api/me").status == 401
    reply = client.ask("POST", "/api/logout", {})
    assert reply.status == 200
    assert "Max-Age=0" in reply.headers["set-cookie"]
    assert client.ask("GET", "/api/me").status == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(console: Console) -> None:
    reply = Client(console.port).enter(name="eve", password="another long password")
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(f"__Host-bigtop-{console.port}=")
    assert cookie.partition("; ")[2] == "Path=/; Secure; HttpOnly; SameSite=Strict"


def test_a_password_without_a_form_in_utf_8_is_a_wrong_one(console: Console) -> None:
    before = console.log().count("Traceback")
    assert Client(console.port).enter(name="nobody", password="\ud800" * 12).status == 403
    assert console.log().count("Traceback") == before


def test_a_body_that_does_not_come_is_waited_for_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_PATIENCE", 0.05)
    asked = Asked("POST", "http", {"content-type": "application/json"})

    async def nothing() -> dict[str, Any]:
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(DeclinedError, match="within"):
        asyncio.run(app._body(nothing, asked))


def test_a_link_logs_in_once(console: Console) -> None:
    word = console.link("view").partition("#login=")[2]
    first, second = Client(console.port), Client(console.port)
    assert first.enter(once=word).json["role"] == "view"
    assert second.enter(once=word).status == 403
    assert second.cookie == ""


def test_a_user_who_is_removed_or_changed_is_that_at_once(console: Console) -> None:
    console.run("user", "tim", "--role", "operate", said="a password of tim\n")
    client = Client(console.port)
    assert client.enter(name="tim", password="a password of tim").status == 200
    console.run("user", "tim", "--role", "view", said="a password of tim\n")
    until(lambda: client.ask("GET", "/api/me").json["role"] == "view", "the other role")
    assert client.act("site", "restart", name="plain").status == 403
    console.run("user", "tim", "--role", "view", said="another password of tim\n")
    until(lambda: client.ask("GET", "/api/me").status == 401, "the end of the session of a password that was")
    assert client.enter(name="tim", password="another password of tim").status == 200
    console.run("user", "tim", "--remove")
    until(lambda: client.ask("GET", "/api/me").status == 401, "the end of the session")


def test_a_user_who_was_added_a_moment_ago_comes_in(console: Console) -> None:
    """Users are looked at once a second, and when somebody logs in."""
    known = Client(console.port)
    assert known.enter(name="eve", password="another long password").status == 200
    with closing(Store(str(console.state))) as store:
        for name in ("lou", "max"):
            assert known.ask("GET", "/api/me").status == 200
            store.set_user(name, "view", "a password of theirs")
            assert Client(console.port).enter(name=name, password="a password of theirs").status == 200
            store.remove("users", name)


def test_a_token_is_for_programs_without_a_cookie(console: Console, stack: Stack) -> None:
    token = console.run("token", "ci", "--role", "operate").strip()
    assert token not in "".join(path.read_text() for path in console.state.iterdir() if path.is_file())
    bare: dict[str, str | None] = {"Authorization": f"Bearer {token}", "Sec-Fetch-Site": None, "Origin": None}
    client = Client(console.port)
    assert client.ask("GET", "/api/look?topic=front", fields=bare).status == 200
    assert client.act("site", "restart", bare, name="plain").status == 200
    until(lambda: console.audit()[-1]["state"] == "done", "the restart")
    assert console.audit()[-1]["who"] == "ci"
    wrong = client.ask("GET", "/api/look?topic=front", fields={**bare, "Authorization": f"Bearer {token}x"})
    assert wrong.status == 401
    console.run("token", "ci", "--remove")
    assert client.ask("GET", "/api/look?topic=front", fields=bare).status == 401


def test_what_a_proxy_asks_passwords_for_is_no_token(console: Console, ann: Client, stack: Stack) -> None:
    """Browsers send it with every request, those of other sites among them."""
    before = pids(stack)
    basic: dict[str, str | None] = {"Authorization": "Basic YTpi"}
    assert ann.ask("GET", "/api/look?topic=front", fields=basic).status == 200
    assert Client(console.port).ask("GET", "/api/look?topic=front", fields=basic).status == 401
    foreign = {**basic, "Origin": "http://evil.example", "X-Bigtop-Token": None}
    assert ann.act("site", "restart", foreign, name="plain").status == 403
    assert pids(stack) == before


def test_what_is_kept_is_for_its_owner_alone(console: Console) -> None:
    for path in (console.state, *console.state.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    users = (console.state / "users").read_text()
    assert "ann" in users
    assert "correct horse" not in users


def test_guesses_are_slowed_down(stack: Stack, tmp_path: Path) -> None:
    with Console(tmp_path, "-e", f"site={stack.endpoint}") as console:
        console.run("user", "ann", "--role", "view", said="correct horse battery\n")
        client = Client(console.port)
        replies: list[Reply] = []
        while not replies or replies[-1].status != 429:  # pauses double, however slow this is
            replies.append(client.enter(name="ann", password="not the right one"))
            asked = time.monotonic()
        assert [reply.status for reply in replies[:-1]] == [403] * (len(replies) - 1)
        assert len(replies) > attempts.FREE
        wait = int(replies[-1].headers["retry-after"])
        assert wait >= 1
        right = client.enter(name="ann", password="correct horse battery")
        assert right.status == 429 or time.monotonic() - asked > wait - 1
        # The user comes from elsewhere, and gets in.
        elsewhere = Client(console.port, source="127.0.0.2")
        assert elsewhere.enter(name="ann", password="correct horse battery").status == 200
        kept = (console.state / "sessions").iterdir()
        assert not any(elsewhere.cookie.partition("=")[2] in path.read_text() for path in kept)
        assert not any(
            elsewhere.token in path.read_text() for path in console.state.rglob("*") if path.is_file()
        )


def test_a_foreign_field_does_not_name_another_address(console: Console) -> None:
    """Nobody is believed who a client is: there is no proxy."""
    client = Client(console.port)
    fields: dict[str, str | None] = {"X-Forwarded-For": "10.9.8.7"}
    said = {"name": "eve", "password": "another long password"}
    assert client.ask("POST", "/api/login", said, fields).status == 200
    assert console.audit()[-1]["from"] == "127.0.0.1"
