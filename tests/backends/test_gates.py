# Who is let in, on the wire: one server of each kind, in which each path has a gate of its own.

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path

import pytest

from bigtop.backends.native.gates.password_tries import TRIES
from bigtop.backends.serve_options import PathOptions, ServeOptions
from bigtop.http.declarations import Mount
from bigtop.record import replace
from bigtop.system import passwords
from tests.http.test_gates import BCRYPT, SHA256, SHA512
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import UPGRADE, Answer, request

KINDS = {
    "wsgi": "tests.apps.wsgi_basic:app",
    "gevent": "tests.apps.wsgi_basic:app",
    "asgi": "tests.apps.asgi_basic:app",
}
DEAR = "$2b$12$abcdefghijklmnopqrstuuT1Iwu6o8Wx7BoOyIMHfgVJq6JO/IJhW"  # takes half a second


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def by_path(kind: str, whole: ServeOptions, **gates: dict[str, object]) -> BackendServer:
    """A server that has gates below a path of their name."""
    paths = tuple(
        PathOptions(f"/{name}/", replace(whole, gates=replace(whole.gates, **gate)))
        for name, gate in gates.items()
    )
    return BackendServer(KINDS[kind], replace(whole, paths=paths), backend=kind)


def comes_from(address: str) -> str:
    return f"X-Forwarded-For: {address}"


def test_clients_are_let_in_by_address(kind: str, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    near.write_text("10.0.0.0/8\n")
    far.write_text("# nobody yet\n")
    whole = ServeOptions(static=(Mount("/files/", str(tmp_path)),))
    with (
        by_path(
            kind,
            whole,
            files={"allow": (f"file:{near}", "::1")},
            denied={"deny": ("192.0.2.0/24", f"file:{far}")},
            both={"allow": ("192.0.2.0/24",), "deny": ("192.0.2.7",)},
        ) as subject,
        subject.connect() as client,
    ):

        def status(path: str, address: str) -> int:
            with subject.connect() as one:
                return one.get(path, comes_from(address)).status

        assert status("/", "192.0.2.7") == 200
        assert status("/files/near", "10.1.1.1") == 200
        assert status("/files/near", "::1") == 200
        assert status("/%66iles/near", "11.1.1.1") == 403
        assert [status("/denied/", f"192.0.{third}.7") for third in (1, 2)] == [404, 403]
        assert [status("/both/", f"192.0.2.{last}") for last in (6, 7)] == [404, 403]
        refused = client.get("/files/near")  # the proxy's own address
        assert (refused.status, refused.body) == (403, b"403 Forbidden\nthis address is not let in\n")
        near.write_text("11.0.0.0/8\n")
        eventually(lambda: status("/files/near", "11.1.1.1") == 200, what="the other list")
        assert status("/files/near", "10.1.1.1") == 403
        near.write_text("11.0.0.0/8\nnonsense\n")
        far.unlink()
        eventually(lambda: status("/files/near", "11.1.1.1") == 200 and "near:2: must be" in subject.log())
        eventually(lambda: status("/denied/", "1.1.1.1") == 404 and "cannot be read" in subject.log())
        assert status("/denied/", "192.0.2.7") == 403


def user(name: str, password: str) -> str:
    return "Authorization: Basic " + b64encode(f"{name}:{password}".encode()).decode()


def test_users_are_let_in_by_password(kind: str, tmp_path: Path) -> None:
    if problem := passwords.lacking((BCRYPT, SHA512)):
        pytest.skip(problem)
    users = tmp_path / "users"
    users.write_text(f"anna:{BCRYPT}\nbert:{SHA256}\ncarl:{SHA512}\ndora:{DEAR}\n")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_bytes(b"a file")
    gate = {"users": str(users), "realm": "the shop"}
    mount = Mount("/scope/static/", str(tmp_path / "static"))
    whole = ServeOptions(static=(mount,), access_format="%(U)s %(s)s")
    names = {"scope": gate, "environ": gate, "echo": gate}
    with by_path(kind, whole, **names) as subject, subject.connect() as client:
        for fields in ([], [user("anna", "wrong")], [user("nobody", "secret")], ["Authorization: Basic x"]):
            for path in ("/scope/static/a.txt", "/%73cope/x", "/echo/"):
                refused = client.get(path, *fields)
                assert refused.status == 401
                assert refused["WWW-Authenticate"] == 'Basic realm="the shop", charset="UTF-8"'
        assert client.get("/").status == 200
        for name in ("anna", "bert", "carl"):
            for _ in range(2):
                assert client.get("/scope/static/a.txt", user(name, "secret")).body == b"a file"
            assert who(kind, client.get(shown(kind), user(name, "secret"))) == name
        # What is not known yet costs a request with a body nothing else.
        fields = [user("anna", "wrong again"), "Content-Length: 5", "Expect: 100-continue"]
        client.send(request("/echo/", *fields, method="POST") + b"hello")
        assert client.answer().status in (100, 401)
        ask_while_one_is_tried(subject)
        socket_of_a_stranger(subject)
        users.write_text(f"anna:{SHA256}\n")
        eventually(lambda: asked(subject, "/scope/x", user("bert", "secret")).status == 401)
        users.write_text("anna:plain\n")
        anna = "/scope/static/a.txt", user("anna", "secret")
        eventually(lambda: asked(subject, *anna).status == 200 and "users:1: the password" in subject.log())
        assert asked(subject, *anna).body == b"a file"


def test_an_address_tries_few_wrong_passwords(kind: str, tmp_path: Path) -> None:
    """Each once, whatever the worker; who is known to be right is let in all the same."""
    users = tmp_path / "users"
    users.write_text(f"anna:{SHA256}\n")
    options = ServeOptions(gates=replace(ServeOptions().gates, users=str(users)))
    with BackendServer(KINDS[kind], options, backend=kind) as subject:

        def ask(password: str, address: str) -> Answer:
            return asked(subject, "/", user("anna", password), comes_from(address))

        assert ask("secret", "192.0.2.1").status == 200
        for number in range(TRIES.requests):
            for _ in range(2):
                assert ask(f"guess {number}", "192.0.2.1").status == 401
        refused = ask("another guess", "192.0.2.1")
        assert (refused.status, refused.body) == (
            429, b"429 Too Many Requests\ntoo many wrong passwords from this address\n"
        )  # fmt: skip
        assert 1 <= int(refused["Retry-After"] or 0) <= TRIES.seconds / TRIES.requests
        assert ask("guess 0", "192.0.2.1").status == 401, "this one is known"
        assert ask("secret", "192.0.2.1").status == 200, "and so is this one"
        assert ask("another guess", "192.0.2.2").status == 401, "others are not meant"
        assert subject.log().count("192.0.2.1 has tried too many wrong passwords") == 1
        assert asked(subject, "/", user("anna", "yet another")).status == 401, "nobody knows who that is"


def test_nobody_gets_around_the_question_by_a_broken_body(kind: str, tmp_path: Path) -> None:
    """Where the application is called before the body is here, too."""
    plain = ServeOptions()
    whole = replace(plain, stream_bodies=("/*",), gates=replace(plain.gates, deny=("*",)))
    with BackendServer(KINDS[kind], whole, backend=kind) as subject:
        for chunk in (b"", b"x\r\n", b"1\r\nx\r\nx\r\n", b"1\r\nx\r\n0\r\n\r\n"):
            with subject.connect() as client:
                client.send(request("/", "Transfer-Encoding: chunked", method="POST") + chunk)
                assert client.answer().status in (400, 403)


def asked(subject: BackendServer, path: str, *fields: str) -> Answer:
    with subject.connect() as client:
        return client.get(path, *fields)


def shown(kind: str) -> str:
    return "/scope/" if kind == "asgi" else "/environ/"


def who(kind: str, answer: Answer) -> str | None:
    told = json.loads(answer.body)
    name: str | None = told.get("bigtop.user" if kind == "asgi" else "REMOTE_USER")
    return name


def ask_while_one_is_tried(subject: BackendServer) -> None:
    """Files are sent while a password is tried, which takes half a second."""
    number = 0

    def is_sent_meanwhile() -> bool:
        nonlocal number
        number += 1
        with subject.connect() as slow, subject.connect() as quick:
            slow.send(request(f"/scope/{number}", user("dora", f"wrong {number}")))
            assert quick.get("/scope/static/a.txt", user("anna", "secret")).body == b"a file"
            assert slow.answer().status == 401
        lines = subject.access_lines()
        return lines[-2:] == ["/scope/static/a.txt 200", f"/scope/{number} 401"]

    eventually(is_sent_meanwhile, what="a file that is sent while a password is tried")


def socket_of_a_stranger(subject: BackendServer) -> None:
    """A WebSocket with a password that is not known yet is told to come again."""
    with subject.connect() as client:
        client.send(request("/echo/", user("carl", "not this one"), *UPGRADE))
        assert client.answer().status in (401, 503)

    def status() -> int:
        with subject.connect() as client:
            client.send(request("/echo/", user("carl", "not this one"), *UPGRADE))
            return client.answer().status

    eventually(lambda: status() == 401, what="what was found out about it")


def test_a_file_that_says_nothing_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("anna:secret\n")
    options = ServeOptions(gates=replace(ServeOptions().gates, users=str(path)))
    with (
        pytest.raises(AssertionError, match=f"{path}:1: the password of anna is of no kind"),
        BackendServer(KINDS["wsgi"], options),
    ):
        pass
    os.unlink(path)
    with (
        pytest.raises(AssertionError, match="cannot be read: No such file"),
        BackendServer(KINDS["wsgi"], options),
    ):
        pass


def test_pages_of_errors_and_of_maintenance(kind: str, tmp_path: Path) -> None:
    sorry, down = tmp_path / "sorry.html", tmp_path / "down.html"
    sorry.write_bytes(b"<p>sorry</p>")
    (tmp_path / "files").mkdir()
    pages = tuple((status, str(sorry)) for status in (403, 404, 408, 413, 500, 503))
    plain = ServeOptions()
    whole = replace(
        plain,
        limits=replace(plain.limits, body=5, body_for=(("/echo/", 50),)),
        static=(Mount("/files/", str(tmp_path / "files")),),
        gates=replace(plain.gates, error_pages=pages, maintenance=str(down), canonical=("a.example=test",)),
    )
    gates: dict[str, dict[str, object]] = {
        "health": {"maintenance": ""},
        "denied": {"deny": ("*",)},
        "echo": {},
    }
    with by_path(kind, whole, **gates) as subject:

        def answered(data: bytes) -> tuple[int, str | None, bytes]:
            with subject.connect() as client:
                client.send(data)
                answer = client.answer()
                return answer.status, answer["Content-Type"], answer.body

        shown = "text/html; charset=utf-8", b"<p>sorry</p>"
        too_long = request("/", "Content-Length: 6", method="POST")
        assert answered(request("/denied/")) == (403, *shown)
        assert answered(request("/files/x")) == (404, *shown)
        assert answered(too_long) == (413, *shown)
        assert answered(request("/broken")) == (500, *shown)
        assert answered(request("/nothing"))[0::2] == (404, b"")  # which is the application's
        assert answered(request("/echo/", "Content-Length: 6", method="POST") + b"sixsix")[0::2] == (
            200,
            b"sixsix",
        )
        assert answered(request("/echo/", "Content-Length: 51", method="POST")) == (413, *shown)
        moved = request("/x?y").replace(b"Host: test", b"Host: a.example")
        with subject.connect() as client:
            client.send(moved)
            answer = client.answer()
            assert (answer.status, answer["Location"]) == (308, "http://test/x?y")
        down.write_bytes(b"<p>back soon</p>")
        eventually(lambda: answered(request("/"))[0] == 503, what="maintenance")
        answer = asked(subject, "/files/x")
        assert (answer.status, answer["Retry-After"], answer["Connection"]) == (503, "60", None)
        assert (answer["Content-Type"], answer.body) == ("text/html; charset=utf-8", b"<p>back soon</p>")
        assert asked(subject, "/health/").status == 404
        down.write_bytes(b"")
        eventually(lambda: asked(subject, "/").body == b"<p>sorry</p>", what="the page for 503")
        down.unlink()
        eventually(lambda: answered(request("/"))[0] == 200, what="its end")


def test_what_is_no_file_leads_to_a_page_or_to_the_application(kind: str, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"<div id=app>")
    (tmp_path / "assets" / "a.js").write_bytes(b"let a")
    mounts = (
        Mount("/", str(tmp_path / "assets"), "app"),
        Mount("/spa/", str(tmp_path), "index.html"),
        Mount("/plain/", str(tmp_path)),
    )
    with BackendServer(KINDS[kind], ServeOptions(static=mounts), backend=kind) as subject:
        for path in ("/spa/", "/spa/orders/7", "/spa/orders/7?a.b", "/spa/index.html", "/spa/a/../b"):
            answer = asked(subject, path)
            assert (answer.status, answer.body) == (200, b"<div id=app>")
            assert (answer["Content-Type"], answer["Cache-Control"]) == (
                "text/html; charset=utf-8",
                "no-cache",
            )
        assert asked(subject, "/spa/assets/a.js").body == b"let a"
        assert asked(subject, "/spa/assets/old.js").status == 404
        assert asked(subject, "/plain/orders").status == 404
        assert asked(subject, "/a.js").body == b"let a"
        assert asked(subject, "/").status == 200
        with subject.connect() as client:
            assert client.post("/echo", b"hello").body == b"hello"
            assert client.post("/spa/x", b"").status == 405
