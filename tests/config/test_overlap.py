# What cannot be bound together is told before anything is bound, exactly as the kernel will see it.

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop.config.file import daemon
from bigtop.config.serve.overlap import overlap, pairs
from bigtop.errors import BindError, ConfigError
from bigtop.record import replace
from bigtop.sockets import SocketSpec, bind
from tests.support.site import ROOT

HOSTS = ("", "0.0.0.0", "127.0.0.1", "127.0.0.2", "localhost", "::", "::1")
APP = "tests.apps.wsgi_basic:app"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def can_be_had_beside(one: SocketSpec, other: SocketSpec) -> tuple[bool, int]:
    """Bind one and try the other at the same port; return what came of it, and the port."""
    first = bind(one)
    port = first[0].spec.port
    try:
        second = bind(replace(other, port=port))
    except BindError:
        return False, port
    else:
        for listener in second:
            listener.close()
        return True, port
    finally:
        for listener in first:
            listener.close()


@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6 on the loopback interface")
@pytest.mark.parametrize("reuse_port", [(False, False), (True, False), (True, True)], ids=str)
@pytest.mark.parametrize("kinds", [("stream", "stream"), ("dgram", "dgram"), ("stream", "dgram")], ids=str)
def test_it_is_as_the_kernel_sees_it(kinds: tuple[str, str], reuse_port: tuple[bool, bool]) -> None:
    for hosts in itertools.product(HOSTS, repeat=2):
        one, other = (
            SocketSpec("x", host, kind=kind, reuse_port=reuse, family="" if host != "localhost" else "inet")
            for host, kind, reuse in zip(hosts, kinds, reuse_port, strict=True)
        )
        for _ in range(5):  # somebody else may have the second one's port in this moment
            can, port = can_be_had_beside(one, other)
            told = overlap(replace(one, port=port), replace(other, port=port))
            if can is not told:
                break
        assert can is not told, hosts


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (SocketSpec("a", "shop", 80), SocketSpec("b", "SHOP", 80), True),
        (SocketSpec("a", "shop", 80), SocketSpec("b", "shop", 81), False),
        (SocketSpec("a", "shop", 80), SocketSpec("b", "10.0.0.1", 80), False),  # who knows
        (SocketSpec("a", "shop", 80), SocketSpec("b", "shop", 80, family="inet"), False),  # who knows
        (SocketSpec("a", "::", 80, dual_stack=True), SocketSpec("b", "10.0.0.1", 80), True),
        (SocketSpec("a", "::1", 80, dual_stack=True), SocketSpec("b", "127.0.0.1", 80), False),
        (SocketSpec("a", "", 80, family="inet"), SocketSpec("b", "::1", 80), False),
        (SocketSpec("a", "localhost", 80, family="inet6"), SocketSpec("b", "::1", 80), True),
        (SocketSpec("a", "0:0::1", 80), SocketSpec("b", "::1", 80), True),
        (SocketSpec("a", "", 0), SocketSpec("b", "", 0), False),
        (SocketSpec("a", "", 80, interface="eth0"), SocketSpec("b", "", 80, interface="lo"), False),
        (SocketSpec("a", "", 80, interface="eth0"), SocketSpec("b", "", 80), True),
        (SocketSpec("a", "", 80, kind="raw"), SocketSpec("b", "", 80, kind="raw"), False),
        (SocketSpec("a", path="/run/x"), SocketSpec("b", path="/run/./x"), True),
        (SocketSpec("a", path="@x"), SocketSpec("b", path="@x"), True),
        (SocketSpec("a", path="@x"), SocketSpec("b", path="@y"), False),
        (SocketSpec("a", path="/run/x"), SocketSpec("b", "127.0.0.1", 80), False),
        (SocketSpec("a", fd=3), SocketSpec("b", fd=3), False),
    ],
)
def test_two_addresses(one: SocketSpec, other: SocketSpec, is_same: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is is_same


def test_each_is_told_once_with_the_first_in_its_way() -> None:
    specs = [SocketSpec("x", host, 80) for host in ("127.0.0.1", "", "127.0.0.2", "::1", "127.0.0.1")]
    assert list(pairs(specs)) == [(0, 1), (1, 2), (1, 3), (0, 4)]
    assert list(pairs([])) == []


SECTIONS = {
    "socket": ("[socket.web]", 'host = "127.0.0.1"', "port = 8123"),
    "app": ("[app.one]", f'app = "{APP}"', 'bind = "127.0.0.1:8123"'),
    "default": ("[app.two]", f'app = "{APP}"', 'bind = ["127.0.0.1:0", "*:8123"]'),
    "admin": ("[admin]", "", 'bind = "localhost:8123"'),
    "web": ("[web]", "", 'bind = "localhost:8123"'),
    "endpoint": ("[bigtop]", "", 'endpoint = "tcp://127.0.0.1:8123"'),
    "pubsub": ("[bigtop]", "", 'pubsub_endpoint = "tcp://127.0.0.1:8123"'),
    "stats": ("[bigtop]", "statsd = true", 'stats_endpoint = "tcp://127.0.0.1:8123"'),
}
HEADERS = {"admin": "admin", "web": "web", "default": "app:two", "app": "app:one", "socket": "socket:web"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pair
        for pair in itertools.combinations(SECTIONS, 2)
        if {SECTIONS[name][0] for name in pair} != {"[bigtop]"}
    ],
)
def test_two_sections_cannot_have_one_address(tmp_path: Path, one: str, other: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text("\n".join(("[watcher.w]", 'cmd = "true"', *SECTIONS[one], *SECTIONS[other])))
    with pytest.raises(ConfigError) as caught:
        daemon.load(str(file))
    (line,) = str(caught.value).splitlines()
    titles = {HEADERS.get(one, "circus"), HEADERS.get(other, "circus")}
    assert all(f"[{title}]" in line for title in titles), line
    assert " has the address of " in line
    assert line.startswith(f"{file}:")


def test_two_endpoints_cannot_have_one_address(tmp_path: Path) -> None:
    file = tmp_path / "x.ini"
    file.write_text(
        "[circus]\nendpoint = tcp://127.0.0.1:8123\npubsub_endpoint = tcp://*:8123\n[watcher:a]\ncmd = true\n"
    )
    with pytest.raises(ConfigError, match=r"x.ini:3: \[circus\] has the address of \[circus\] at .*x.ini:2"):
        daemon.load(str(file))


def test_applications_that_share_a_socket_have_one_address(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        '[socket.web]\nport = 8123\nhost = "127.0.0.1"\n'
        f'[app.one]\napp = "{APP}"\nsockets = "web"\nroutes = "/one"\n'
        f'[app.two]\napp = "{APP}"\nsockets = "web"\n'
    )
    assert len(daemon.load(str(file)).apps) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--bind", "127.0.0.1:8123", "--bind", "*:8123"),
            "--bind: *:8123 cannot be had beside 127.0.0.1:8123: it is the same address",
        ),
        (
            ("--bind", "127.0.0.1:8123", "--admin", "localhost:8123"),
            "--admin: localhost:8123 is an address of --bind",
        ),
        (
            ("--bind", "127.0.0.1:8123", "--tls", "local", "--http-bind", "*:8123"),
            "--http-bind: *:8123 cannot be had beside 127.0.0.1:8123: it is the same address",
        ),
    ],
)
@pytest.mark.parametrize("more", [(), ("--check-config",)], ids=["serve", "check"])
def test_a_site_cannot_have_one_address_twice(
    words: tuple[str, ...], said: str, more: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "bigtop", "serve", APP, *words, *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (78, f"bigtop: {said}\n")
