# Options by path, on the wire: one server of each kind, in which each path has something else in front of it.

from __future__ import annotations

from pathlib import Path

import pytest

from bigtop.backends.serve_options import PathOptions, ServeOptions
from bigtop.http.declarations import Mount
from bigtop.record import replace
from tests.support.backend_server import BackendServer

KINDS = {
    "wsgi": "tests.apps.wsgi_basic:app",
    "gevent": "tests.apps.wsgi_basic:app",
    "asgi": "tests.apps.asgi_basic:app",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_has_handlers_and_filters_of_its_own(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a file")
    whole = ServeOptions(static=(Mount("/static/", str(tmp_path)),), forwarded_allow_ips=())
    paths = (
        PathOptions("/secure/", replace(whole, tls=replace(whole.tls, redirect=("test",)))),
        PathOptions("/secure/open", whole),
        PathOptions("/named", replace(whole, sendfile_roots=(Mount("/files/", str(tmp_path)),))),
    )
    with (
        BackendServer(KINDS[kind], replace(whole, paths=paths), backend=kind) as subject,
        subject.connect() as client,
    ):
        assert client.get("/static/a.txt").body == b"a file"
        assert client.get("/secure/open/").status == 404
        for target in ("/secure/", "/s%65cure?x", "/secure/opener"):
            answer = client.get(target)
            assert (answer.status, answer["Location"]) == (308, f"https://test{target}")
        assert client.get("/named?accel=/files/a.txt").body == b"a file"
        answer = client.get("/named/../?accel=/files/a.txt")
        assert (answer.status, answer["Connection"]) == (400, "close")
        assert client.at_end()
    with BackendServer(KINDS[kind], whole, backend=kind) as subject, subject.connect() as client:
        assert client.get("/named?accel=/files/a.txt").body != b"a file"
