# What a supervisor tells its workers arrives as it was said.

from __future__ import annotations

from dataclasses import fields, replace

from bigtop.backends.base import ServeOptions
from bigtop.http.limits import WebSocketLimits
from bigtop.http.static import Mount
from bigtop.workers.bootstrap import Bootstrap, Identity

PLAIN = Bootstrap(
    name="web",
    app="a:app",
    factory=False,
    interface=None,
    backend=None,
    preload="auto",
    listeners=(3, 4),
    scoreboard=5,
)


def test_the_least() -> None:
    assert Bootstrap.decode(PLAIN.encode()) == PLAIN


def test_everything() -> None:
    given: dict[str, object] = {
        field.name: ("one", "two")
        for field in fields(ServeOptions)
        if isinstance(getattr(PLAIN.options, field.name), tuple)
    }
    given["static"] = given["sendfile_roots"] = (Mount("/static/", "/srv/static"), Mount("/m/", "/srv/m"))
    options = replace(
        PLAIN.options,
        websocket=WebSocketLimits(origins=("https://one", "https://two")),
        **given,  # type: ignore[arg-type]
    )
    identity = Identity("user", "group", 0o27, "/srv", ("/one", "/two"), (("A", "1"), ("B", "2")))
    whole = replace(PLAIN, options=options, identity=identity, handoff=(6, 7), mounts=(("/m", "b:app"),))
    assert Bootstrap.decode(whole.encode()) == whole
