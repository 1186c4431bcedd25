# HTTPS by `bigtop serve`: from files of certificates to clients that know nothing of us.

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bigtop.backends.native.timeouts import LAST_REQUEST
from bigtop.control.client.client import Client as Control
from tests.support import procfs
from tests.support.certificates import issued, made, revoking, written
from tests.support.site import DEADLINE, ROOT, Site, until
from tests.support.stack import Stack
from tests.support.tls_client import Relayed, TlsClient, context
from tests.support.wire import Client, Closed, request

APPS = {"wsgi": "tests.apps.tls:wsgi", "asgi": "tests.apps.tls:asgi"}


def client(site: Site, name: str = "localhost", by: ssl.SSLContext | None = None) -> TlsClient:
    return TlsClient(("127.0.0.1", site.port), name=name, by=by)


@pytest.mark.parametrize("kind", APPS)
def test_other_clients(kind: str, tmp_path: Path) -> None:
    pair = made("localhost")
    with Site(APPS[kind], "--tls", written(tmp_path, pair), "--workers", "2") as site:
        assert site.url == f"https://127.0.0.1:{site.port}"
        url = f"https://localhost:{site.port}/"
        with urllib.request.urlopen(url, context=context(pair), timeout=30) as response:
            assert "https" in json.loads(response.read()).values()
        if shutil.which("curl") is None:
            pytest.skip("needs curl (apt install curl)")
        command = ["curl", "-sS", "--cacert", str(tmp_path / "site.pem"), "--max-time", "30", url]
        told = subprocess.run(command, check=True, capture_output=True).stdout
        assert "https" in json.loads(told).values()
        assert site.stop() == 0


def test_the_local_ca(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": ""}
    words = ("--tls", "local:shop.test", "--tls", "local", "--name", "site")
    command = [sys.executable, "-m", "bigtop", "serve", APPS["wsgi"], *words, "--check-config"]
    checked = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, check=True, capture_output=True, text=True
    )
    assert "certificate of the local CA: shop.test localhost 127.0.0.1 ::1; " in checked.stdout
    assert list(tmp_path.iterdir()) == []
    with Site(APPS["wsgi"], *words, env=env) as site:
        root = tmp_path / ".local/share/bigtop/ca/root.pem"
        site.wait_for(f"by the local CA {root}; `bigtop ca trust`")
        by = ssl.create_default_context(cafile=str(root))
        for name in ("localhost", "127.0.0.1", "shop.test"):
            with client(site, name, by) as one:
                assert json.loads(one.get("/").body)["wsgi.url_scheme"] == "https"
        with pytest.raises(ssl.SSLCertVerificationError):
            client(site, "other.test", by)
        (shown,) = ctl(site)
        assert (shown["file"], shown["days"] in (6, 7)) == ("local CA", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("local:example.com", "--tls: 'example.com' may be somebody else's: local certificates are for "),
        ("local:8.8.8.8", "--tls: 8.8.8.8 is a public address: local certificates are for "),
        ("file:x", "--tls: must be auto:NAMES, files:CERT,KEY or local[:NAMES], got 'file:x'"),
        ("local", "--tls: local: {home} is no directory"),
    ],
)
def test_what_the_local_ca_refuses(words: str, said: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.touch()
    env = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": ""}
    for more in ((), ("--check-config",)):
        command = [sys.executable, "-m", "bigtop", "serve", APPS["wsgi"], "--tls", words, *more]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 78
        assert done.stderr.startswith(f"bigtop: {said.format(home=home)}")


def test_gunicorns_flags(tmp_path: Path) -> None:
    written(tmp_path, made("localhost"))
    flags = ("--certfile", str(tmp_path / "site.pem"), "--keyfile", str(tmp_path / "site.key"))
    old = context(version="1.2")
    with Site(APPS["wsgi"], *flags, "--ciphers", "ECDHE+CHACHA20") as site, client(site, by=old) as one:
        told = json.loads(one.get("/", "X-Forwarded-Proto: http").body)
        assert "CHACHA20" in told["SSL_CIPHER"]
        assert told["wsgi.url_scheme"] == "https", "where TLS ends here, nobody speaks for others"


def test_what_is_agreed_on(tmp_path: Path) -> None:
    strict = ("--tls-min", "1.3", "--tls-unknown-name", "refuse")
    shop = made("shop.example")
    sources = ("--tls", written(tmp_path, made("localhost")), "--tls", written(tmp_path, shop, "shop"))
    with Site(APPS["wsgi"], *sources, *strict) as site:
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            client(site, by=context(version="1.2"))
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            client(site, "other.example")
        with client(site, "shop.example", context(shop)) as one:
            assert json.loads(one.get("/").body)["SSL_TLS_SNI"] == "shop.example"
            with client(site) as other:
                assert other.get("/").status == 200


def test_the_time_of_a_handshake(tmp_path: Path) -> None:
    flags = ("--tls", written(tmp_path, made("localhost")), "--handshake-timeout", "0.5")
    with (
        Site(APPS["wsgi"], *flags) as site,
        # Less than the ten seconds that a handshake has otherwise.
        Client(("127.0.0.1", site.port), timeout=8) as half,
        suppress(ConnectionResetError),
    ):
        half.send(Relayed().hello()[:50])
        assert half.at_end(), "or a reset, which is its end as well"


def test_keys_are_read_once_and_shown_to_nobody(tmp_path: Path) -> None:
    """Workers may run as who cannot read them: they are handed to every process that is to come."""
    source = written(tmp_path, made("localhost"))
    with Site(APPS["wsgi"], "--tls", source) as site:
        for name in ("site.pem", "site.key"):
            (tmp_path / name).unlink()
        (worker,) = site.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: site.workers() and worker not in site.workers(), "a successor")
        with client(site) as one:
            assert one.get("/").status == 200
        for process in site.family():
            assert not any("PRIVATE" in word for word in procfs.words(process))
            assert b"PRIVATE" not in Path(f"/proc/{process.pid}/environ").read_bytes()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("other key", "site.pem: the key does not belong to the certificate"),
        ("no key", "site.key: No such file or directory"),
        ("encrypted", "site.pem: the key is encrypted"),
        ("nonsense", "site.pem: it has no certificate (PEM)"),
        ("broken", "site.pem: its certificate cannot be read"),
        ("ciphers", "--tls-ciphers: OpenSSL knows none of 'nonsense'"),
        ("backend", "'waitress' does not support TLS (--tls)"),
        ("proxy", "--tls: cannot be had with --proxy-protocol"),
    ],
)
def test_what_cannot_be_served_with_is_told_first(change: str, problem: str, tmp_path: Path) -> None:
    source = written(tmp_path, made("localhost"))
    flags = []
    match change:
        case "other key":
            (tmp_path / "site.key").write_text(made("other.example").key)
        case "no key":
            (tmp_path / "site.key").unlink()
        case "encrypted":
            text = (tmp_path / "site.key").read_text().replace("PRIVATE", "ENCRYPTED PRIVATE")
            (tmp_path / "site.key").write_text(text)
        case "nonsense":
            (tmp_path / "site.pem").write_text("nonsense")
        case "broken":
            text = (tmp_path / "site.pem").read_text().replace("MII", "MIA", 1)
            (tmp_path / "site.pem").write_text(text)
        case "ciphers":
            flags = ["--tls-ciphers", "nonsense"]
        case "backend":
            flags = ["--backend", "waitress"]
        case "proxy":
            flags = ["--proxy-protocol"]
    for check in ([], ["--check-config"]):
        command = [sys.executable, "-m", "bigtop", "serve", APPS["wsgi"], "--bind", "127.0.0.1:0"]
        tried = subprocess.run(
            [*command, "--tls", source, *flags, *check], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert tried.returncode == 78
        assert problem in tried.stderr
        assert len(tried.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed_by_every_worker(version: str, tmp_path: Path) -> None:
    by = context(version=version)
    with Site(APPS["wsgi"], "--tls", written(tmp_path, made("localhost")), "--workers", "4") as site:
        session: ssl.SSLSession | None = None

        def resumed(times: int) -> int:
            nonlocal session
            count = 0
            for _ in range(times):
                with TlsClient(("127.0.0.1", site.port), by=by, session=session) as one:
                    told = json.loads(one.get("/").body)
                    assert (told["SSL_SESSION_RESUMED"] == "Resumed") is one.tls.session_reused
                    count += bool(one.tls.session_reused)
                    session = one.tls.session
            return count

        assert resumed(1) == 0
        assert resumed(20) == 20
        before = set(site.workers())
        site.send(signal.SIGHUP)
        site.wait_for("reloaded, every worker")
        until(lambda: not before & set(site.workers()), "the end of the old workers")
        if "also behind a reload" in site.log():
            assert resumed(20) == 20
        else:
            assert resumed(21) >= 20


@pytest.mark.parametrize("kind", APPS)
def test_a_reload_and_an_end_lose_no_request(kind: str, tmp_path: Path) -> None:
    """No connection ends but with an answer that says so, or idle and announced."""
    source = written(tmp_path, made("localhost"))
    with Site(APPS[kind], "--tls", source, "--workers", "2") as site:
        over = threading.Event()
        answered, wrong = [0], []
        trust = context()

        def ask() -> None:
            before = asked = time.monotonic()
            while not over.is_set() and not wrong:
                try:
                    one = client(site, by=trust)
                except (OSError, Closed) as error:
                    if not over.is_set():
                        wrong.append(error)
                    return
                with one:
                    try:
                        answer = None
                        while (answer is None or answer["Connection"] != "close") and not over.is_set():
                            answered[0] += answer is not None
                            one.send(request("/"))
                            before, asked = asked, time.monotonic()
                            answer = one.answer()
                    except (Closed, OSError) as error:
                        if asked - before < LAST_REQUEST:  # who was kept from asking proves nothing
                            wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: answered[0] > 50, "requests before the reload")
            with client(site, by=trust) as idle:
                assert idle.get("/").status == 200
                site.send(signal.SIGHUP)
                site.wait_for("reloaded, every worker")
                assert idle.at_end(), "and that was announced"
            before = answered[0]
            until(lambda: wrong or answered[0] > before + 50, "requests behind it")
        finally:
            over.set()
            for thread in threads:
                thread.join(60)
        assert wrong == []
        with client(site, by=trust) as last:
            assert last.get("/").status == 200
            site.send(signal.SIGTERM)
            site.wait_for("stopping when open requests are answered")
            assert last.at_end(), "and that was announced"
        assert site.wait() == 0


def test_the_access_log_tells_what_was_agreed_on(tmp_path: Path) -> None:
    log = tmp_path / "access"
    text = "%(ssl_protocol)s %(ssl_server_name)s %(ssl_session_reused)s"
    flags = ("--access-logfile", str(log), "--access-logformat", text)
    for kind in APPS:
        with Site(APPS[kind], "--tls", written(tmp_path, made("localhost")), *flags) as site:
            with client(site) as one:
                assert one.get("/").status == 200
            until(lambda: log.read_text().endswith("TLSv1.3 localhost .\n"), "the line")
        log.unlink()


# ---- other certificates


def ctl(site: Site, do: str = "show") -> list[dict[str, Any]]:
    with Control(str(site.folder / "bigtop" / "site.ctl"), timeout=4 * DEADLINE) as control:
        found: list[dict[str, Any]] = control.call("certificates", do=do)["certificates"]
    return found


def serial(site: Site, by: ssl.SSLContext) -> str:
    with client(site, by=by) as one:
        certificate = one.tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


@pytest.mark.parametrize("kind", APPS)
def test_other_certificates_reach_every_worker(kind: str, tmp_path: Path) -> None:
    """By HUP, by `ctl certificates reload`, and by themselves; new connections have them, open ones stay."""
    first, second, third = (made("localhost", f"{number}.example") for number in range(3))
    source = written(tmp_path, first)
    trust = context(first, second, third)
    flags = ("--workers", "3", "--name", "site")
    with Site(APPS[kind], "--tls", source, *flags) as site:
        with client(site, by=trust) as early:
            old = serial(site, trust)
            written(tmp_path, second)
            (shown,) = ctl(site, "reload")
            assert shown["names"] == ["localhost", "1.example"]
            until(lambda: sorted(ctl(site)[0]["workers"]) == [1, 2, 3], "all to say so")
            new = serial(site, trust)
            assert new != old
            assert {serial(site, trust) for _ in range(12)} == {new}
            assert early.get("/").status == 200
            (worker, *_) = site.workers()
            os.kill(worker, signal.SIGKILL)
            until(lambda: len(site.workers().keys() - {worker}) == 3, "a successor")
            until(lambda: sorted(ctl(site)[0]["workers"]) == [1, 2, 3], "all of them")
            assert {serial(site, trust) for _ in range(12)} == {new}, "its fork server was told as well"
        written(tmp_path, third)
        site.wait_for("workers serve with other ones from now on", times=2)
        until(lambda: {serial(site, trust) for _ in range(9)}.isdisjoint({old, new}), "the third one")
        assert site.stop() == 0


def test_what_does_not_belong_together_is_never_served(tmp_path: Path) -> None:
    pair, other = made("localhost"), made("other.example")
    source = written(tmp_path, pair)
    with Site(APPS["wsgi"], "--tls", source, "--name", "site") as site:
        (tmp_path / "site.key").write_text(other.key)
        site.send(signal.SIGHUP)
        site.wait_for("the key does not belong to the certificate; those that were read before are served")
        site.wait_for("reloaded, every worker")
        (shown,) = ctl(site)
        assert shown["problem"].endswith("site.pem: the key does not belong to the certificate")
        with client(site) as one:
            assert one.get("/").status == 200
        (tmp_path / "site.pem").write_text(other.certificate)
        site.wait_for("workers serve with other ones from now on")
        until(lambda: not ctl(site)[0]["behind"], "the worker to say so")
        trust = context(other)
        with client(site, "other.example", trust) as one:
            assert one.get("/").status == 200


def test_no_handshake_fails_while_certificates_change(tmp_path: Path) -> None:
    pairs = [made("localhost", f"{number}.example") for number in range(2)]
    source = written(tmp_path, pairs[0])
    trust = context(*pairs)
    flags = ("--workers", "2", "--name", "site")
    with Site(APPS["wsgi"], "--tls", source, *flags) as site:
        over = threading.Event()
        serials: list[str] = []
        wrong: list[Exception] = []

        def shake_hands() -> None:
            while not over.is_set():
                try:
                    serials.append(serial(site, trust))
                except (OSError, AssertionError) as error:
                    wrong.append(error)
                    return

        thread = threading.Thread(target=shake_hands)
        thread.start()
        try:
            for number in range(6):
                written(tmp_path, pairs[(number + 1) % 2])
                ctl(site, "reload")
                before = len(serials)
                until(lambda: wrong or len(serials) > before + 30, "handshakes")  # noqa: B023
        finally:
            over.set()
            thread.join(60)
        assert wrong == []
        assert len(set(serials)) == 2


@pytest.mark.parametrize("kind", APPS)
def test_http_beside_it(kind: str, tmp_path: Path) -> None:
    flags = ("--http-bind", "127.0.0.2:0", "--https-redirect", "localhost:8443", "--hsts", "1y,subdomains")
    with Site(APPS[kind], "--tls", written(tmp_path, made("localhost")), "--workers", "2", *flags) as site:
        (port,) = re.findall(r", http://127.0.0.2:(\d+)", site.log())
        for _ in range(4):
            with Client(("127.0.0.2", int(port))) as plain:
                plain.send(b"GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = plain.answer()
                assert answer.status == 308
                assert answer["Location"] == "https://localhost:8443/a?b"
                assert answer["Strict-Transport-Security"] is None
                assert plain.get("/").status == 421
            with client(site) as one:
                answer = one.get("/")
                assert answer.status == 200
                assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_certificates_of_clients(tmp_path: Path) -> None:
    authority = made("authority.example")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    flags = ("--client-ca", str(tmp_path / "ca.pem"), "--client-auth", "optional")
    with Site(APPS["wsgi"], "--tls", written(tmp_path, made("localhost")), *flags) as site:
        with client(site) as one:
            assert json.loads(one.get("/").body)["SSL_CLIENT_VERIFY"] == "NONE"
        with client(site, by=context(own=issued(authority, "/CN=one"))) as one:
            assert json.loads(one.get("/").body)["SSL_CLIENT_S_DN"] == "CN=one"


def test_revoked_certificates_of_clients(tmp_path: Path) -> None:
    """A list that changes is read anew; no session gets around it."""
    authority = made("authority.example")
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_text(authority.certificate)
    crl.write_text(revoking(authority))
    good, bad = (issued(authority, f"/CN={name}") for name in ("good", "bad"))
    flags = ("--client-ca", str(ca), "--client-crl", str(crl), "--name", "site")
    with Site(APPS["wsgi"], "--tls", written(tmp_path, made("localhost")), *flags) as site:
        sessions = {}
        for pair in (good, bad):
            by = context(own=pair)
            with client(site, by=by) as one:
                assert json.loads(one.get("/").body)["SSL_CLIENT_VERIFY"] == "SUCCESS"
                sessions[pair] = by, one.tls.session
        crl.write_text(revoking(authority, bad))
        ctl(site, "reload")
        until(lambda: not ctl(site)[0]["behind"], "the worker to say so")
        for by, session in (sessions[bad], (context(own=bad), None)):
            with (
                pytest.raises((ssl.SSLError, OSError, Closed)),
                TlsClient(("127.0.0.1", site.port), by=by, session=session) as one,
            ):
                one.get("/")
        by, session = sessions[good]
        with TlsClient(("127.0.0.1", site.port), by=by, session=session) as one:
            assert json.loads(one.get("/").body)["SSL_CLIENT_S_DN_CN"] == "good"
        ended = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z")
        crl.write_text(revoking(authority, more=ended))
        site.wait_for("its list ended at 2020-01-02 00:00 UTC")
        with client(site, by=context(own=good)) as one:
            assert one.get("/").status == 200, "the list of before is kept"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "--client-crl: it has no list of revoked certificates (PEM; openssl crl"),
        ("-----BEGIN X509 CRL-----\nMII=\n-----END X509 CRL-----\n", "no list of revoked certificates"),
    ],
)
def test_a_list_that_is_none_is_told_first(text: str, problem: str, tmp_path: Path) -> None:
    pair = made("localhost")
    (tmp_path / "ca.pem").write_text(pair.certificate)
    (tmp_path / "crl.pem").write_text(text)
    command = [sys.executable, "-m", "bigtop", "serve", APPS["wsgi"], "--check-config"]
    flags = ["--client-ca", str(tmp_path / "ca.pem"), "--client-crl", str(tmp_path / "crl.pem")]
    tried = subprocess.run(
        [*command, "--tls", written(tmp_path, pair), *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert tried.returncode == 78
    assert problem in tried.stderr
    assert len(tried.stderr.strip().splitlines()) == 1


def test_applications_on_one_encrypted_socket(tmp_path: Path) -> None:
    """The name in the first message decides who shakes hands, and with which certificate."""
    pairs = {name: made(f"{name}.example") for name in ("one", "two")}
    text = '[socket.web]\nhost = "127.0.0.1"\nport = 0\ntls = true\n'
    for (name, pair), kind in zip(pairs.items(), APPS.values(), strict=True):
        text += f'[app.{name}]\napp = "{kind}"\nsockets = ["web"]\nworkers = 2\n'
        text += f'routes = ["{name}.example"]\ntls = ["{written(tmp_path, pair, name)}"]\n'
    with Stack(text) as stack:
        for name in pairs:
            stack.wait_for(f"{name}: started")
        port = stack.asked("listsockets")["sockets"][0]["port"]
        for _ in range(8):
            for name, pair in pairs.items():
                by = context(pair)
                with TlsClient(("127.0.0.1", port), name=f"{name}.example", by=by) as one:
                    for _ in range(2):
                        one.send(f"GET / HTTP/1.1\r\nHost: {name}.example\r\n\r\n".encode())
                        told = json.loads(one.answer().body)
                        assert ("tls" in told) is (name == "two")
        shown = stack.asked("certificates")["certificates"]
        assert [(one["watcher"], one["names"]) for one in shown] == [
            ("one", ["one.example"]),
            ("two", ["two.example"]),
        ]
        path = tmp_path / "stack.toml"
        path.write_text(text)
        command = [sys.executable, "-m", "bigtop", "check", str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        line = r"^certificate \S+/one.pem: one.example; EC key fits; 1 in its chain; 8\d days left$"
        assert re.search(line, done.stdout, re.MULTILINE)
