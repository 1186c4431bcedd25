# Text to value: how answers are compressed, and what is added to them.

from __future__ import annotations

import sys

import pytest

from bigtop.config.serve.options import COMPRESS
from bigtop.config.serve.values.answer_values import added_header, codings, described, media_type
from bigtop.http.answers.codings import CODINGS


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], ()),
        (["off"], ()),
        (["auto"], CODINGS),
        (["AUTO"], CODINGS),
        (["gzip, BR"], ("gzip", "br")),
        (["gzip", "zstd", "gzip"], ("gzip", "zstd")),
        ([""], ()),
    ],
)
def test_codings(texts: list[str], found: tuple[str, ...]) -> None:
    assert COMPRESS.parse(texts) == found


@pytest.mark.parametrize("given", ["deflate", "gzip,lzma", "auto,gzip", "on"])
def test_what_nobody_knows(given: str) -> None:
    with pytest.raises(ValueError, match=r"there is no \w+; known are zstd, br, gzip"):
        codings([given])


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    assert codings(["auto"]) == ("zstd", "gzip")
    assert codings(["gzip"]) == ("gzip",)
    with pytest.raises(ValueError, match=r"^br needs the package brotli: pip install 'bigtop\[compress\]'$"):
        codings(["gzip,br"])


def test_what_is_said_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert described(()) == []
    assert described(("gzip",)) == ["answers are compressed with gzip"]
    monkeypatch.setitem(sys.modules, "brotli", None)
    assert described(codings(["auto"])) == [
        "answers are compressed with zstd, gzip; br would need: pip install 'bigtop[compress]'"
    ]


@pytest.mark.parametrize("given", ["text/*", "application/*+json", "image/svg+xml", "*/*", "Text/HTML"])
def test_media_types(given: str) -> None:
    assert media_type(given) == given.lower()


@pytest.mark.parametrize("given", ["text", "text/", "/html", "text/html; charset=utf-8", "a b/c", ""])
def test_what_is_no_media_type(given: str) -> None:
    with pytest.raises(ValueError, match="must be media types such as text"):
        media_type(given)


def test_added_headers() -> None:
    assert added_header("X-Robots-Tag: noindex") == ("X-Robots-Tag", "noindex")
    assert added_header("Link:</a.css>; rel=preload") == ("Link", "</a.css>; rel=preload")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("X-A=b", "must be a field and a value such as X-Robots-Tag: noindex"),
        ("X-A:", "must be a field and a value"),
        ("X A: b", "must be the name of a header field"),
        ("X-A: b\nc", "must be printable ASCII"),
        ("Content-Length: 5", "Content-Length is the server's own to say"),
        ("vary: Cookie", "vary is the server's own to say"),
        ("Server: x", "Server is the server's own to say"),
    ],
)
def test_what_cannot_be_added(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        added_header(given)
