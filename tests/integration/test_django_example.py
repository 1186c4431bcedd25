# The example as its README has it served, driven over HTTP by WebTest, which checks every answer on the way.
#
# One site for all tests here, installed as `make demo` installs it, but in a folder of its own.

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from webtest import TestApp as WebClient

from tests.support.site import ROOT, Site, until

EXAMPLE = ROOT / "examples/django_site"
WORKERS = 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = installed(tmp_path_factory.mktemp("site") / "data", tmp_path_factory)
    with Site(
        "mysite.wsgi:application",
        "--chdir",
        str(EXAMPLE),
        "--workers",
        str(WORKERS),
        "--static",
        f"/static={data}/static",
        env={"DJANGO_DATA": str(data)},
    ) as site:
        assert site.url.startswith("http://127.0.0.1:")
        yield site


def installed(data: Path, factory: pytest.TempPathFactory) -> Path:
    """Make `data` the folder of a site with files, tables and a user. That takes seconds, so it is done once
    for all processes of the test run."""
    base = factory.getbasetemp()
    first = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "installed-guestbook"
    first.mkdir(exist_ok=True)
    with first.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not first.with_suffix(".done").exists():
            manage(first, "migrate", "--verbosity", "0")
            manage(first, "collectstatic", "--noinput", "--verbosity", "0")
            manage(first, "createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org")
            first.with_suffix(".done").touch()
    shutil.copytree(first, data)
    return data


def manage(data: Path, *args: str) -> None:
    environ = {**os.environ, "DJANGO_DATA": str(data), "DJANGO_SUPERUSER_PASSWORD": "a-long-password"}
    subprocess.run([sys.executable, "manage.py", *args], cwd=EXAMPLE, env=environ, check=True)


@pytest.fixture
def client(site: Site) -> WebClient:
    # By name: cookie jars do not keep cookies for bare addresses.
    return WebClient(f"http://localhost:{site.port}")


def test_the_import_was_shared_and_the_site_said_so(site: Site) -> None:
    site.wait_for("kill -HUP")
    assert re.search(r"application\s+mysite\.wsgi:application \(WSGI\)", site.log())
    assert re.search(r"preloaded\s+yes", site.log())
    assert {title.rpartition(" ")[2] for title in site.workers().values()} == {"[mysite]"}


def test_the_home_page_and_what_it_links(client: WebClient) -> None:
    page = client.get("/")
    assert page.content_type == "text/html"
    linked = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    kinds = {client.get(link).content_type for link in linked}
    assert {"text/css", "image/svg+xml"} <= kinds
    # The names hold a hash of the content, so they may be kept for ever.
    assert "immutable" in client.get(linked[0]).headers["Cache-Control"]
    assert client.get("/hello/", {"name": "Zoë"}).json["hello"] == "Zoë"


def test_orm_form_and_csrf(client: WebClient) -> None:
    form = client.get("/guestbook/").form
    form["name"] = "Ada"
    form["message"] = "Ünïcödé <b>"
    page = form.submit()
    assert page.status_int == 302
    assert "Ünïcödé &lt;b&gt;" in page.follow().text
    assert "Ada" in client.get("/").text
    client.get("/guestbook/").form.submit(status=422)
    client.post("/guestbook/", {"name": "Eve", "message": "no token"}, status=403)


def test_sessions(client: WebClient) -> None:
    assert [client.get("/visits/").json["visits"] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_the_admin_lets_its_user_in(client: WebClient) -> None:
    page = client.get("/admin/")
    assert page.status_int == 302
    form = page.follow().forms["login-form"]
    form["username"], form["password"] = "ada", "wrong"
    assert "errornote" in form.submit().text
    form["password"] = "a-long-password"
    page = form.submit().follow()
    assert "Site administration" in page.text
    assert client.get("/admin/guestbook/entry/").status_int == 200
    styles = re.findall(r'href="(/static/admin/[^"]+\.css)"', page.text)
    assert styles
    assert {client.get(link).content_type for link in styles} == {"text/css"}


def test_coroutines_inside_a_view(client: WebClient) -> None:

    def are_together() -> bool:
        """Who is held up asks again: one after the other, three times 0.1 s are never less."""
        answer = client.get("/together/").json
        assert answer["answers"] == ["one answered", "two answered", "three answered"]
        return bool(answer["seconds"] < 0.29)

    until(are_together, "three coroutines at the same time")


def test_a_stream_comes_piece_by_piece(site: Site) -> None:
    def has_gaps() -> bool:
        """Who is held up finds several lines at once, and asks again: of one piece they all are."""
        with urllib.request.urlopen(f"{site.url}/stream/?lines=3&pause=0.3") as stream:
            came = [(line, time.monotonic()) for line in stream]
        assert [line for line, _ in came] == [b"line %d of 3\n" % number for number in range(1, 4)]
        return min(after - before for (_, before), (_, after) in pairwise(came)) > 0.1

    until(has_gaps, "one line after the other")


def test_uploads_by_form_and_raw(client: WebClient) -> None:
    data = os.urandom(3_000_001)
    digest = hashlib.sha256(data).hexdigest()
    form = client.get("/upload/").form
    form["file"] = ("big.bin", data)
    assert digest in form.submit().text
    answer = client.put("/upload/some/file.bin", data).json
    assert answer == {"name": "some/file.bin", "size": len(data), "sha256": digest}


def test_a_failing_view_is_a_500_and_a_traceback_in_the_log(site: Site, client: WebClient) -> None:
    page = client.get("/crash/", status=500)
    assert "RuntimeError" not in page.text
    site.wait_for("RuntimeError: this view always fails")
    assert client.get("/hello/").status_int == 200


def test_head_and_conditional_requests(client: WebClient) -> None:
    head = client.head("/")
    assert head.body == b""

    def is_as_long() -> bool:
        """The page names its process, and the numbers of two need not be equally long."""
        return int(client.head("/").headers["Content-Length"]) == len(client.get("/").body)

    until(is_as_long, "the length of the page")
    (style, *_) = re.findall(r'href="(/static/[^"]+\.css)"', client.get("/").text)
    modified = client.get(style).headers["Last-Modified"]
    client.get(style, headers={"If-Modified-Since": modified}, status=304)


def test_a_reload_keeps_sessions(site: Site, client: WebClient) -> None:
    assert client.get("/visits/").json["visits"] == 1
    before = set(site.workers())
    done = site.log().count("reloaded, every worker")
    site.send(signal.SIGHUP)
    site.wait_for("reloaded, every worker", done + 1)
    until(lambda: not before & set(site.workers()), "the old workers to be gone")
    assert client.get("/visits/").json["visits"] == 2


def test_a_whole_site_under_the_referee_of_pep_3333(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """wsgiref.validate between the server and Django: it raises, so 500, whoever of the two errs."""
    (tmp_path / "checked.py").write_text(
        "import mysite.wsgi\nfrom wsgiref.validate import validator\n"
        "application = validator(mysite.wsgi.application)\n"
    )
    data = installed(tmp_path / "data", tmp_path_factory)
    with Site(
        "checked:application",
        "--interface",
        "wsgi",  # validator() makes a callable that shows no arguments
        "--chdir",
        str(EXAMPLE),
        "--pythonpath",
        str(tmp_path),
        env={"DJANGO_DATA": str(data)},
    ) as site:
        client = WebClient(f"http://localhost:{site.port}")
        for path in ("/", "/hello/", "/visits/", "/together/", "/stream/?lines=3&pause=0", "/upload/"):
            assert client.get(path).status_int == 200
        assert client.put("/upload/x", b"x" * 100_000).json["size"] == 100_000
        form = client.get("/guestbook/").form
        form["name"], form["message"] = "Ada", "hello"
        assert form.submit().status_int == 302
        assert "AssertionError" not in site.log()
