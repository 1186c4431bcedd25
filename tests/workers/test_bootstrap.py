# What a supervisor tells its workers arrives as it was said.

from __future__ import annotations

from bigtop.backends.serve_options import AnswerPolicy, Gates, PathOptions, ServeOptions
from bigtop.http.declarations import Mount, Rate
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.record import fields, replace
from bigtop.workers.bootstrap import Bootstrap, Identity, Routing

PLAIN = Bootstrap(
    name="web",
    app="a:app",
    factory=False,
    interface=None,
    backend=None,
    preload="auto",
    listeners=(3, 4),
    seats=5,
)


def test_the_least() -> None:
    assert Bootstrap.decode(PLAIN.encode()) == PLAIN


def test_everything() -> None:
    given: dict[str, object] = {
        field.name: ("one", "two")
        for field in fields(ServeOptions)
        if isinstance(getattr(PLAIN.options, field.name), tuple)
    }
    given["secure_scheme_headers"] = (("X-ONE", "https"), ("X-TWO", "on"))
    given["static"] = given["sendfile_roots"] = (Mount("/static/", "/srv/static"), Mount("/m/", "/srv/m"))
    given["gates"] = Gates(
        rate=Rate(10, 60),
        allow=("10.0.0.0/8",),
        deny=("*",),
        canonical=("a.example", "b=a.example"),
        error_pages=((502, "/sorry"), (503, "/sorry")),
    )
    given["answers"] = AnswerPolicy(("br", "gzip"), ("text/*",), add_headers=(("X-A", "1"), ("X-B", "2")))
    given["paths"] = (PathOptions("/x/*", replace(PLAIN.options, threads=3, gates=given["gates"])),)
    options = replace(
        PLAIN.options,
        websocket=WebSocketLimits(origins=("https://one", "https://two")),
        limits=Limits(timeout_for=(("/one/*", 2.5), ("/two", 0.0)), http2=Http2Limits(streams=50)),
        **given,  # type: ignore[arg-type]
    )
    identity = Identity("user", "group", 0o27, "/srv", ("/one", "/two"), (("A", "1"), ("B", "2")))
    whole = replace(PLAIN, options=options, identity=identity, handoff=(6, 7), mounts=(("/m", "b:app"),))
    assert Bootstrap.decode(whole.encode()) == whole


def test_other_descriptors() -> None:
    routed = replace(PLAIN, handoff=(6, 7), routing=Routing(0, (("h", "/", 0),), (8, 9, 10)))
    assert routed.descriptors() == (3, 4, 5, 6, 7, 8, 9, 10)
    moved = routed.with_descriptors(range(13, 21))
    assert moved.descriptors() == (13, 14, 15, 16, 17, 18, 19, 20)
    assert moved.with_descriptors(routed.descriptors()) == routed
    assert PLAIN.with_descriptors((7, 8, 9)) == replace(PLAIN, listeners=(7, 8), seats=9)
