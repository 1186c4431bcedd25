# Unix sockets for a proxy of another user: who may connect, whose the file is, and names that are no files.

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from bigtop.config.file import daemon
from bigtop.errors import BindError, ConfigError
from bigtop.sockets import SocketSpec, bind, parse_bind
from tests.support.nobody import as_nobody
from tests.support.site import DEADLINE, ROOT, Site
from tests.support.stack import Stack

APP = "tests.apps.site:app"
NOBODY = pwd.getpwnam("nobody")

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="bigtop-sockets-"))
    folder.chmod(0o755)
    yield folder
    rmtree(folder)


def ask(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


GROUP = grp.getgrgid(NOBODY.pw_gid).gr_name
ALLOWED = [
    ([], 0o777, True),
    (["-m", "0"], 0o777, True),
    (["-m", "007"], 0o770, False),
    (["--bind-mode", "600", "--bind-owner", "nobody"], 0o600, True),
    (["--bind-mode", "660", "--bind-group", GROUP], 0o660, True),
    (["--bind-mode", "600", "-m", "0"], 0o600, False),
    (["--group", GROUP, "--umask", "007"], 0o770, True),
]


@root_only
@pytest.mark.case("A3")
@pytest.mark.parametrize(("arguments", "expected", "allowed"), ALLOWED)
def test_a_proxy_of_another_user_may_connect(
    place: Path, arguments: list[str], expected: int, allowed: bool
) -> None:
    path = place / "app.sock"
    with Site(APP, *arguments, bind=f"unix:{path}") as site:
        assert mode(path) == expected
        assert as_nobody(ask, str(path)) is allowed
        control = site.folder / "bigtop" / "tests.ctl"
        assert mode(control) == 0o600


@root_only
@pytest.mark.case("A3")
@pytest.mark.parametrize(
    ("keys", "expected", "allowed"),
    [
        ("", 0o777, True),
        ('umask = "077"', 0o700, False),
        ('bind_mode = "660"\nbind_group = "{group}"', 0o660, True),
    ],
)
def test_sockets_of_applications_in_files(place: Path, keys: str, expected: int, allowed: bool) -> None:
    path = place / "app.sock"
    keys = keys.format(group=GROUP)
    with Stack(f'[app.web]\napp = "{APP}"\nbind = "unix:{path}"\n{keys}\n') as stack:
        stack.wait_for("web: started")
        assert mode(path) == expected
        assert as_nobody(ask, str(path)) is allowed


@root_only
@pytest.mark.case("A3")
def test_sockets_of_files_have_keys_of_their_own(place: Path) -> None:
    path, other = place / "app.sock", place / "other.sock"
    text = f"""
        [socket.web]
        path = "{path}"
        mode = "0600"
        owner = "nobody"
        group = "{GROUP}"
        [socket.other]
        path = "{other}"
        umask = "027"
        [app.site]
        app = "{APP}"
        sockets = "web"
    """
    with Stack(text) as stack:
        stack.wait_for("site: started")
        found = path.stat()
        assert (mode(path), found.st_uid, found.st_gid) == (0o600, NOBODY.pw_uid, NOBODY.pw_gid)
        assert mode(other) == 0o750
        assert as_nobody(ask, str(path))
        stack.write(text.replace("0600", "0660"))
        stack.ctl("reloadconfig")
        assert mode(path) == 0o660


@pytest.mark.case("A3")
def test_keys_that_say_nothing_or_the_same_are_told(place: Path) -> None:
    file = place / "x.toml"
    file.write_text(f'[socket.a]\npath = "{place}/a"\nmode = "0600"\numask = "077"\n')
    with pytest.raises(ConfigError, match=f"^{file}:3: mode says what umask says; give one of them$"):
        daemon.load(str(file))
    file.write_text('[socket.a]\nport = 0\nmode = "0600"\nowner = "nobody"\ngroup = "0"\n')
    told = daemon.load(str(file)).warnings
    for line, key in enumerate(("mode", "owner", "group"), 3):
        assert f"{file}:{line}: {key} does nothing without path" in told


@root_only
@pytest.mark.case("A3")
def test_the_socket_belongs_to_the_user_that_serves() -> None:
    from bigtop.config.serve import serve
    from bigtop.config.serve.arguments import layer

    # A number of Python's is one; in a text it is octal.
    config = serve.configure("x", {}, layer({"bind": "unix:/x", "user": "nobody", "umask": 0o017}))
    (spec,) = serve.spec(config).binds
    assert (spec.mode, spec.owner, spec.group) == (0o760, "nobody", NOBODY.pw_gid)


@pytest.mark.case("A3")
def test_a_name_after_an_at_sign_is_an_abstract_socket(place: Path) -> None:
    name = f"bigtop-test-{os.getpid()}"
    with Site(APP, "--chdir", str(place), "--pythonpath", str(ROOT), bind=f"unix:@{name}") as site:
        site.wait_for(f"listening on unix:@{name}")
        ask(f"\0{name}")
        assert not list(place.iterdir())
        held = subprocess.run(
            [sys.executable, "-m", "bigtop", "serve", APP, "--bind", f"unix:@{name}", "--control", "off"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert held.returncode == 1
        assert f"cannot listen on unix:@{name}: it is held by process " in held.stderr
        assert "[tests])" in held.stderr  # one of the site's processes, all of which hold it
        assert site.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        ask(f"\0{name}")


@pytest.mark.case("A3")
def test_an_abstract_socket_of_a_file(place: Path) -> None:
    name = f"bigtop-test-{os.getpid()}-file"
    with Stack(f'[socket.web]\npath = "@{name}"\n[app.site]\napp = "{APP}"\nsockets = "web"\n') as stack:
        stack.wait_for("site: started")
        ask(f"\0{name}")


@pytest.mark.case("A3")
@pytest.mark.parametrize("backend", ["uvicorn", "waitress", "cheroot", "granian"])
def test_other_servers_take_an_abstract_socket(backend: str) -> None:
    from bigtop.backends import registry

    try:
        interface = registry.load(backend).features.interface
    except ConfigError as error:
        pytest.skip(str(error))
    name = f"bigtop-test-{os.getpid()}-{backend}"
    app = APP if interface == "wsgi" else "tests.apps.asgi_basic:app"
    if not registry.load(backend).features.unix:
        pytest.skip("has no unix sockets")
    with Site(app, "--backend", backend, bind=f"unix:@{name}"):
        ask(f"\0{name}")


@pytest.mark.case("A3")
def test_what_a_dead_server_left_is_taken(place: Path) -> None:
    path = place / "app.sock"
    with Site(APP, bind=f"unix:{path}") as site:
        site._end()
        assert path.exists()
    with Site(APP, bind=f"unix:{path}"):
        ask(str(path))


@pytest.mark.case("A3")
def test_options_of_files_are_refused_where_there_is_none() -> None:
    for bind_to, option in (("127.0.0.1:0", "--bind-mode"), ("unix:@x", "--bind-owner")):
        done = subprocess.run(
            [sys.executable, "-m", "bigtop", "serve", APP, "--bind", bind_to, option, "0"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 78
        assert f"{option}: is for unix sockets, and --bind names none that is a file" in done.stderr


@pytest.mark.case("A3")
def test_an_abstract_socket_has_no_permissions() -> None:
    for options in ({"mode": 0o600}, {"owner": "0"}, {"group": "0"}, {"replace": True}):
        with pytest.raises(ConfigError, match="an abstract socket is no file"):
            SocketSpec("x", path="@x", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a name behind the @"):
        parse_bind("unix:@")
    with pytest.raises(ConfigError, match="107 bytes"):
        bind(parse_bind("unix:@" + "x" * 108))
    longest = "x" * 100 + str(os.getpid()).rjust(7, "0")
    for listener in bind(parse_bind("unix:@" + longest)):
        with pytest.raises(BindError, match="this very process"):
            bind(parse_bind("unix:@" + longest))
        listener.close()
