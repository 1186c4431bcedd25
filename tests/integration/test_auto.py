# HTTPS with certificates that take care of themselves: `bigtop serve --tls auto:NAMES` and a real CA.

from __future__ import annotations

import json
import os
import pwd
import signal
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from bigtop.control.client.client import Client as Control
from bigtop.keeper.issuers import Issuer
from tests.support.auto import LIMIT, NAME, Ca, keepers, kept, served, shown
from tests.support.certificates import made, written
from tests.support.dns_gate import DnsGate
from tests.support.keeper import Keeper
from tests.support.pebble import needs_pebble
from tests.support.site import halted, lives, until
from tests.support.stack import Stack
from tests.support.users import NOBODY, python_for_nobody
from tests.support.wire import Client

APPS = {"wsgi": "tests.apps.tls:wsgi", "asgi": "tests.apps.tls:asgi"}
NEW = f"there is a new certificate for {NAME}"

pytestmark = needs_pebble


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    found = Ca(tmp_path_factory.mktemp("ca"))
    yield found
    found.close()


def plain(ca: Ca, path: str = "/", host: str = NAME) -> tuple[int, str | None]:
    """Ask without TLS; return the status, and where to go instead."""
    return asked(ca.http.port, path, host)


def asked(port: int, path: str, host: str) -> tuple[int, str | None]:
    with Client(("127.0.0.1", port)) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = client.answer()
        return answer.status, answer["Location"]


@contextmanager
def still_ca(ca: Ca) -> Iterator[ExitStack]:
    """Have the CA answer nobody, before the end of the block or until this is closed."""
    with ExitStack() as stack:
        stack.enter_context(ca.standing_still())
        yield stack


@pytest.mark.parametrize("kind", APPS)
def test_a_site_gets_its_certificate_while_it_serves(kind: str, ca: Ca, tmp_path: Path) -> None:
    with still_ca(ca) as still, ca.site(APPS[kind], tmp_path / "tls", "--workers", "2") as site:
        site.wait_for("site: started")
        site.wait_for(f"there is none for {NAME} yet; one is asked for")
        (row,) = shown(site)
        # Workers are handed the secrets for session tickets that the keeper makes now.
        assert sorted(row["workers"] + row["behind"]) == [1, 2]
        assert (row["names"], row["days"], row["problem"]) == ([NAME], None, "")
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            ca.client()
        assert plain(ca, "/x?y") == (308, f"https://{NAME}/x?y")
        assert plain(ca, host="other.example.com")[0] == 421
        still.close()
        site.wait_for(NEW, timeout=LIMIT)
        served(site)
        with ca.client() as one:
            assert "https" in json.loads(one.get("/").body).values()
        (row,) = shown(site)
        assert row["issuer"].startswith("Pebble Intermediate")
        assert (row["file"], row["error"], row["failures"]) == (f"auto:{NAME}", "", 0)
        assert row["next_try"] > time.time()
        assert site.stop() == 0


@pytest.mark.parametrize("kind", [*APPS, "gevent"])
def test_without_port_80(kind: str, ca: Ca, tmp_path: Path) -> None:
    app = APPS.get(kind, APPS["wsgi"])
    with ca.site(app, tmp_path / "tls", "--workers", "2", "--backend", kind, http="off") as site:
        site.wait_for(NEW, timeout=LIMIT)
        served(site)
        with ca.client() as one:
            assert one.get("/").status == 200


def test_what_was_kept_is_served_at_once_whatever_the_ca_and_the_keeper_do(ca: Ca, tmp_path: Path) -> None:
    pem = kept(tmp_path / "tls", 80, NAME)
    before = ca.orders()
    with ca.standing_still(), ca.site(APPS["wsgi"], tmp_path / "tls") as site:
        with ca.client(by=ca.context(pem)) as one:
            assert one.get("/").status == 200
        until(lambda: keepers(site), "the keeper")
        (keeper,) = keepers(site)
        with halted(keeper), ca.client(by=ca.context(pem)) as one:
            assert one.get("/").status == 200
            assert plain(ca, "/.well-known/acme-challenge/unknown")[0] == 308
        os.kill(keeper, signal.SIGKILL)
        site.wait_for("keeper: process 1 died with signal 9; replaced at once")
        until(lambda: keepers(site) not in ([], [keeper]), "another keeper")
        with ca.client(by=ca.context(pem)) as one:
            assert one.get("/").status == 200
        site.send(signal.SIGHUP)
        site.wait_for("reloaded, every worker is of generation 2")
        with ca.client(by=ca.context(pem)) as one:
            assert one.get("/").status == 200
        last = psutil.Process(keepers(site)[0])
        os.kill(site.pid, signal.SIGKILL)
        until(lambda: not lives(last), "the end of the keeper, whom nobody needs any more")
    assert ca.orders() == before


def test_an_upgrade_of_bigtop_goes_on_with_the_keeper(ca: Ca, tmp_path: Path) -> None:
    trusted = ca.context(kept(tmp_path / "kept", 60, NAME))
    with ca.site("tests.apps.site:app", tmp_path / "kept") as site:
        until(lambda: len(keepers(site)) == 1, "the keeper")
        before = keepers(site)
        for times in (1, 2):
            site.send(signal.SIGUSR2)
            site.wait_for("has taken over from", times=times)
            with ca.client(by=trusted) as client:
                assert client.get("/").status == 200
        assert keepers(site) == before
        os.kill(before[0], signal.SIGKILL)
        until(lambda: keepers(site) not in ([], before), "another keeper")
        assert [row["days"] for row in shown(site)] == [59]
        assert site.stop() == 0
        assert site.is_gone()


def test_so_does_one_of_what_runs_a_file(ca: Ca, tmp_path: Path) -> None:
    name = "a.example.com"
    trusted = ca.context(kept(tmp_path / "tls", 60, name))
    places = {"tls": tmp_path / "tls", "directory": ca.pebble.directory, "root": ca.pebble.root_cert}
    text = FILE.format(**places, https=ca.https.port, http=ca.http.port) + ONE.format(name="a", kind="wsgi")
    with Stack(text) as stack:
        until(lambda: len(keepers(stack)) == 1, "the keeper")
        before = keepers(stack)
        for times in (1, 2):
            stack.send(signal.SIGUSR2)
            stack.wait_for("has taken over from", times=times)
            with ca.client(name, by=trusted) as client:
                client.send(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                assert client.answer().status == 200
        assert keepers(stack) == before
        os.kill(before[0], signal.SIGKILL)
        until(lambda: keepers(stack) not in ([], before), "another keeper, of the same lines")
        assert [row["days"] for row in stack.asked("certificates")["certificates"]] == [59]
        written(tmp_path, made(name))
        stack.write(text.replace(f"auto:{name}", f"files:{tmp_path}/site.pem,{tmp_path}/site.key"))
        stack.send(signal.SIGUSR2)
        stack.wait_for("says something else of where certificates come from by now: bigtop ctl reloadconfig")
        stack.ctl("reloadconfig", "--waiting")
        until(lambda: not keepers(stack), "the end of the keeper")
        stack.send(signal.SIGUSR2)
        stack.wait_for("has taken over from", times=3)
        assert stack.stop() == 0


@pytest.mark.parametrize("kind", APPS)
def test_a_renewal_reaches_all_workers_and_fails_no_handshake(kind: str, ca: Ca, tmp_path: Path) -> None:
    both = ca.context(kept(tmp_path / "tls", 10, NAME))
    over, faults, seen = threading.Event(), list[str](), set[str]()

    def ask() -> None:
        while not over.wait(0.02):
            try:
                with ca.client(by=both) as one:
                    certificate = one.tls.getpeercert()
                    assert certificate is not None
                    assert one.get("/").status == 200
                    seen.add(str(certificate["serialNumber"]))
            except Exception as error:
                faults.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    with still_ca(ca) as still, ca.site(APPS[kind], tmp_path / "tls", "--workers", "2") as site:
        site.wait_for("site: started")
        try:
            for thread in threads:
                thread.start()
            until(lambda: seen or faults, "a handshake")
            site.wait_for(f"site: the certificate for {NAME} has 9 days left")
            still.close()
            site.wait_for(NEW, timeout=LIMIT)
            served(site)
            (row,) = shown(site)
            until(lambda: row["serial"] in seen or faults, "the new certificate")
        finally:
            over.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(60)
        assert not faults, faults[:3]
        for _ in range(8):
            with ca.client() as one:
                assert one.get("/").status == 200
        # Who is forked later has it as well.
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("replaced at once")
        until(lambda: len(shown(site)[0]["workers"]) == 2, "two workers")
        for _ in range(8):
            with ca.client() as one:
                assert one.get("/").status == 200


@pytest.mark.parametrize("what", ["the keeper is killed", "the site is reloaded"])
def test_in_the_middle_of_an_order(what: str, ca: Ca, tmp_path: Path) -> None:
    before = ca.orders()
    with DnsGate(tmp_path, ca.pebble) as gate:
        hook = ("--acme-dns-hook", gate.program, "--acme-dns-wait", "0")
        with ca.site(APPS["asgi"], tmp_path / "tls", *hook) as site:
            until(gate.is_asked, "an order", LIMIT)
            if what == "the keeper is killed":
                (keeper,) = keepers(site)
                os.kill(keeper, signal.SIGKILL)
                until(lambda: keepers(site) not in ([], [keeper]), "another keeper")
            else:
                site.send(signal.SIGHUP)
                site.wait_for("reloaded, every worker is of generation 2")
            assert plain(ca)[0] == 308
            gate.open()
            site.wait_for(NEW, timeout=LIMIT)
            served(site)
            with ca.client() as one:
                assert one.get("/").status == 200
    assert ca.orders() == before + 1


def test_what_fails_is_told_everywhere(ca: Ca, tmp_path: Path) -> None:
    """The CA finds nobody at its port 80."""
    with (
        still_ca(ca) as still,
        ca.site(APPS["wsgi"], tmp_path / "tls", http="127.0.0.1:0") as site,
        Control(str(site.folder / "bigtop" / "site.ctl"), timeout=LIMIT) as control,
        control.events("watcher.site.", timeout=LIMIT) as events,
    ):
        site.wait_for("site: started")
        until(lambda: control.call("incr", name="site") and events.socket.poll(1000), "a first event")
        still.close()
        failed = next(event for event in events if event.name == "certificate_failed")
        site.wait_for(f"site: no certificate for {NAME}: ")
        site.wait_for(f"{NAME}: its name cannot be found from here")
        (row,) = shown(site)
        assert (row["failures"], row["days"]) == (1, None)
        assert "onnection refused" in row["error"]
        (hint,) = row["hints"]
        assert hint.startswith(f"{NAME}: its name cannot be found from here")
        said = failed.payload
        assert (said["names"], said["reason"], said["hints"]) == ([NAME], row["error"], [hint])


@pytest.mark.parametrize(("backend", "kind"), [("wsgi", "http-01"), ("gevent", "tls-alpn-01")])
def test_any_machine_of_one_storage_answers_a_ca(backend: str, kind: str, ca: Ca, tmp_path: Path) -> None:
    """Another keeper orders, and the CA comes to workers that know nothing of it."""
    kept(tmp_path / "tls", 80, NAME)
    with ca.site(APPS["wsgi"], tmp_path / "tls", "--workers", "2", "--backend", backend) as site:
        until(lambda: keepers(site), "the keeper")
        other = Keeper(
            tmp_path / "log",
            storage=str(tmp_path / "tls"),
            sites=(("b.example.com",),),
            issuers=(Issuer(ca.pebble.directory, "", root_cert=ca.pebble.root_cert),),
            kinds=(kind,),
        )
        with other:
            other.wait(other.certificates, "a certificate")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody gets into, as into none of pytest's."""
    with tempfile.TemporaryDirectory(prefix="bigtop-test-") as found:
        os.chmod(found, 0o755)
        yield Path(found)


def test_an_account_of_its_own_for_the_keeper(ca: Ca, open_folder: Path) -> None:
    found = python_for_nobody()
    if found is None:
        pytest.skip("needs root, and an interpreter that others can run")
    try:
        pwd.getpwnam("daemon")
    except KeyError:
        pytest.skip("needs a user who is called daemon")
    program, env = found
    root = open_folder / "root.pem"
    root.write_bytes(Path(ca.pebble.root_cert).read_bytes())
    root.chmod(0o644)
    users = (
        "--acme-root-cert",
        str(root),
        "--user",
        str(NOBODY),
        "--group",
        str(NOBODY),
        "--tls-keeper-user",
        "daemon",
    )
    site = ca.site(APPS["wsgi"], open_folder / "tls", *users)
    site.command[0] = program
    site._env.update(env)
    with site:
        site.wait_for(NEW, timeout=LIMIT)
        served(site)
        with ca.client() as one:
            assert one.get("/").status == 200
        (keeper,) = keepers(site)
        owner = os.stat(f"/proc/{keeper}").st_uid
        assert owner not in (0, NOBODY)
        for path in (open_folder / "tls", *(open_folder / "tls").rglob("*")):
            with suppress(FileNotFoundError):  # some come and go
                status = path.stat()
                assert status.st_uid == owner
                assert not status.st_mode & 0o077


FILE = """
[tls]
tls_storage = "{tls}"
tls_storage_ephemeral = true
acme_directory = "{directory}"
acme_root_cert = "{root}"
[socket.web]
host = "127.0.0.1"
port = {https}
so_reuseport = true
tls = true
[socket.plain]
host = "127.0.0.1"
port = {http}
so_reuseport = true
"""
ONE = """
[app.{name}]
app = "tests.apps.tls:{kind}"
sockets = ["web", "plain"]
routes = ["{name}.example.com"]
tls = ["auto:{name}.example.com"]
"""


def test_applications_of_a_file_share_a_keeper(ca: Ca, tmp_path: Path) -> None:
    places = {"tls": tmp_path / "tls", "directory": ca.pebble.directory, "root": ca.pebble.root_cert}
    text = FILE.format(**places, https=ca.https.port, http=ca.http.port)
    text += ONE.format(name="a", kind="wsgi") + ONE.format(name="b", kind="asgi")
    with Stack(text) as stack:
        for name in "ab":
            stack.wait_for(f"{name}: there is a new certificate for {name}.example.com", timeout=LIMIT)
        got = answered(ca, stack, "a", "b")
        assert got == {"a": "wsgi.url_scheme", "b": "scheme"}
        (keeper,) = keepers(stack)
        shown = stack.ctl("certificates")
        assert "auto:a.example.com" in shown
        assert "Pebble" in shown
        # What is added later has its keeper started again with all of them.
        stack.write(text + ONE.format(name="c", kind="wsgi"))
        stack.ctl("reloadconfig", "--waiting")
        stack.wait_for("c: there is a new certificate for c.example.com", timeout=LIMIT)
        assert answered(ca, stack, "a", "b", "c").keys() == {"a", "b", "c"}
        (second,) = keepers(stack)
        assert second != keeper
        stack.write(text)
        stack.ctl("reloadconfig", "--waiting")
        until(lambda: keepers(stack) not in ([], [second]), "a keeper of the others")
        stack.ctl("stop", "*", "--waiting")
        assert keepers(stack), "commands for all pass it over"
        assert stack.stop() == 0


def answered(ca: Ca, stack: Stack, *names: str) -> dict[str, str]:
    """Return which word each application says first, when all its workers have its certificate."""

    def is_there() -> bool:
        rows = stack.asked("certificates")["certificates"]
        return all(row["days"] is not None and not row["behind"] for row in rows)

    until(is_there, "all certificates")
    found = {}
    for name in names:
        with ca.client(f"{name}.example.com") as one:
            one.send(f"GET / HTTP/1.1\r\nHost: {name}.example.com\r\n\r\n".encode())
            found[name] = next(word for word in json.loads(one.answer().body) if "scheme" in word)
    return found
