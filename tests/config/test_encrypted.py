# Encrypted sockets of a file: who has certificates for them, and how applications on one are told apart.

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.files import loaded, mistakes
from tests.support.certificates import made, written

SOCKETS = """\
[socket.web]
port = 0
tls = true
[socket.plain]
port = 0
"""


def app(name: str, folder: Path, *lines: str, sockets: str = '["web"]', encrypts: bool = True) -> str:
    tls = [f'tls = ["{written(folder, made("localhost"))}"]'] if encrypts else []
    return "\n".join([f"[app.{name}]", 'app = "a:b"', f"sockets = {sockets}", *tls, *lines, ""])


def test_sockets_that_speak_tls(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    text = SOCKETS + app("one", tmp_path, 'routes = ["a.example"]', sockets='["web", "plain"]')
    text += app("two", tmp_path, 'routes = ["b.example/x"]', sockets='["web", "plain"]')
    daemon = loaded(tmp_path, text, "a.toml")
    assert {spec.name: spec.tls for spec in daemon.sockets} == {"web": True, "plain": False}
    assert all(app.site.options.forwarded_allow_ips == () for app in daemon.apps)


@pytest.mark.parametrize(
    ("routes", "host"),
    [
        (('["/a"]', '["/b"]'), "every other host"),
        (('["a.example/a"]', '["a.example"]'), "a.example"),
        (('["a.example/a"]', "[]"), "a.example"),
    ],
)
def test_paths_tell_nobody_apart_there(tmp_path: Path, routes: tuple[str, str], host: str) -> None:
    text = SOCKETS + app("one", tmp_path, f"routes = {routes[0]}")
    text += app("two", tmp_path, f"routes = {routes[1]}" if routes[1] != "[]" else "")
    assert any(
        f"routes: [socket:web] speaks TLS, so {host} has to be of one application" in line
        for line in mistakes(tmp_path, text, "a.toml")
    )


def test_certificates_and_sockets_belong_together(tmp_path: Path) -> None:
    (without,) = mistakes(tmp_path, SOCKETS + app("one", tmp_path, encrypts=False), "a.toml")
    assert "[app:one] needs tls = files:CERT,KEY: [socket:web] speaks TLS" in without
    (unused,) = mistakes(tmp_path, SOCKETS + app("one", tmp_path, sockets='["plain"]'), "a.toml")
    assert "tls: none of the sockets of [app:one] has tls = yes" in unused
