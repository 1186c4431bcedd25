# Static files without a file system: which file, which type, which encoding, which part, or nothing new.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.answers.conditions import Range, check, parse_date, parse_ranges
from bigtop.http.answers.static import (
    File,
    Headers,
    Plan,
    caching,
    describe,
    encodings,
    media_type,
    path_below,
    path_in,
    plan,
    validated,
    wishes,
)
from bigtop.http.messages import Request

FILE = File(1000, 784111777_000_000_000)  # the date of RFC 9110's examples
ETAG = FILE.etag
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
OLDER, NEWER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"


def asked(*lines: str, method: str = "GET", headers: Headers | None = None, file: File = FILE) -> Plan:
    request = Request()
    request.method = method
    pairs = (line.split(": ", 1) for line in lines)
    request.headers = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    made = validated(headers if headers is not None else [("Content-Type", "text/plain")], file)
    return plan(wishes(request).conditions, file.size, made)


# ---- which file


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/s/a.css", b"a.css"),
        (b"/s/a/b/c.js", b"a/b/c.js"),
        (b"/s/a.css?v=1", b"a.css"),
        (b"/s/a.css?../../b", b"a.css"),
        (b"/s/%61.css", b"a.css"),
        (b"/s/a%20b", b"a b"),
        (b"/s/\xc3\xa4", b"\xc3\xa4"),
        (b"/s/%C3%A4", b"\xc3\xa4"),
        (b"/s/100%", b"100%"),
        (b"/s/a%zz", b"a%zz"),
        (b"/s/%2561", b"%61"),
        (b"/s/a..b", b"a..b"),
        (b"/s/.well-known/x", b".well-known/x"),
    ],
)
def test_targets_that_name_a_file(target: bytes, path: bytes) -> None:
    assert path_in(target, b"/s/") == path


@pytest.mark.parametrize(
    "target",
    [
        b"/s", b"/s/", b"/s/a/", b"/s//a", b"/t/a", b"/S/a", b"s/a",
        b"/s/..", b"/s/../a", b"/s/./a", b"/s/a/../../b", b"/s/a/..", b"/s/...", b"/s/.git/config",
        b"/s/.env",
        b"/s/%2e%2e/a", b"/s/.%2e/a", b"/s/%2E%2e%2fa", b"/s/a%2fb", b"/s/a%2Fb", b"/s/%2f/a",
        b"/s/..%5ca", b"/s/..\\a", b"/s/a\\b", b"/s/a%5cb", b"/s/a%00", b"/s/a\0.css", b"/s/%00", b"/s/?a",
        b"/s/%2e", b"/s/a/%2e%2e", b"/%73/a", b"http://h/s/a", b"*",
    ],
)  # fmt: skip
def test_targets_that_name_none(target: bytes) -> None:
    assert path_in(target, b"/s/") is None


@given(st.binary(max_size=40))
def test_no_target_leads_out(tail: bytes) -> None:
    path = path_in(b"/s/" + tail, b"/s/")
    if path is not None:
        assert not path.startswith(b"/")
        assert all(name not in (b"", b".", b"..") for name in path.split(b"/"))
        assert b"\0" not in path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/srv/a", b"a"),
        (b"/srv/a/b c", b"a/b c"),
        (b"/srv/%61", b"%61"),
        (b"/srv", None),
        (b"/srv/", None),
        (b"/srvx/a", None),
        (b"/srv/../etc/passwd", None),
        (b"/srv/.env", None),
        (b"srv/a", None),
        (b"/etc/passwd", None),
    ],
)
def test_paths_below_a_folder(path: bytes, found: bytes | None) -> None:
    assert path_below(path, b"/srv") == found
    assert path_below(path, b"/srv/") == found


# ---- what it is called


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"a.css", "text/css; charset=utf-8"),
        (b"a.MIN.JS", "text/javascript; charset=utf-8"),
        (b"a.svg", "image/svg+xml"),
        (b"a.woff2", "font/woff2"),
        (b"a.tar.gz", "application/gzip"),
        (b"a.b/README", "application/octet-stream"),
        (b"a.exe", "application/octet-stream"),
        (b"a.\xff", "application/octet-stream"),
        (b"css", "application/octet-stream"),
    ],
)
def test_types(path: bytes, kind: str) -> None:
    assert media_type(path) == kind


@pytest.mark.parametrize(
    "name",
    [
        b"style.55e7cbb9ba48.css", b"a/b.min.0123456789ab.js", b"main.8f3b1c2d.js", b"x.8f3b1c2d.chunk.js",
        b"app-0123456789abcdef0123456789abcdef.css", b"index-DiwrgTd4.js", b"index-D_w-gTd4.css",
    ],
)  # fmt: skip
def test_names_with_a_hash_are_for_ever(name: bytes) -> None:
    assert "immutable" in caching(name)


@pytest.mark.parametrize(
    "name",
    [
        b"style.css", b"report.20240131.pdf", b"report-20240131.pdf", b"report.202401311200.pdf",
        b"index-settings.js",
        b"a.deadbeef.js", b"55e7cbb9ba48/style.css", b"55e7cbb9ba48.css", b"a.55e7cbb9ba48", b"v1.2.3.js",
        b"jquery-3.7.1.min.js", b"beach-facade12.css",
    ],
)  # fmt: skip
def test_other_names_are_asked_for_again(name: bytes) -> None:
    assert caching(name) == "no-cache"


@pytest.mark.parametrize(
    ("accept", "names"),
    [
        (b"gzip, deflate, br, zstd", ("br", "zstd", "gzip")),
        (b"gzip", ("gzip",)),
        (b"x-gzip", ("gzip",)),
        (b"GZIP ; Q=0.5", ("gzip",)),
        (b"gzip;q=1.0, br;q=0.8", ("gzip", "br")),
        (b"br;q=0, gzip", ("gzip",)),
        (b"br;q=0.000", ()),
        (b"*", ("br", "zstd", "gzip")),
        (b"*;q=0", ()),
        (b"*;q=0, br", ("br",)),
        (b"identity;q=1, br;q=0.5", ()),
        (b"identity;q=0.5, br;q=0.5", ("br",)),
        (b"", ()),
        (b"br;q=2", ()),
        (b"br;q=x, gzip;q=0.1", ("gzip",)),
        (b"br;level=9", ("br",)),
        (b"compress, deflate", ()),
        (b";;,,=", ()),
    ],
)
def test_encodings(accept: bytes, names: tuple[str, ...]) -> None:
    assert encodings(accept) == names


def test_headers_of_an_encoded_file() -> None:
    headers = dict(describe(b"a.css", File(1, 2, "br"), varies=True))
    assert headers["Content-Encoding"] == "br"
    assert headers["Content-Type"] == "text/css; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding"
    assert "Vary" not in dict(describe(b"a.css", File(1, 2), varies=False))


def test_etags_differ_with_size_time_and_encoding() -> None:
    files = [File(1, 2), File(2, 2), File(1, 3), File(1, 2, "br")]
    assert len({file.etag for file in files}) == len(files)


# ---- the whole, or nothing new


def test_a_plain_get() -> None:
    answer = asked()
    assert answer.status == "200 OK"
    assert answer.pieces == [Range(0, 1000)]
    assert dict(answer.headers) == {
        "Content-Type": "text/plain", "ETag": ETAG, "Last-Modified": DATE, "Accept-Ranges": "bytes"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"If-None-Match: {ETAG}"], 304),
        ([f"if-none-match: W/{ETAG}"], 304),  # weak comparison (RFC 9110, 13.1.2)
        ([f'If-None-Match: "x", {ETAG}'], 304),
        (['If-None-Match: "x"', f"If-None-Match: {ETAG}"], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "x"'], 200),
        (['If-None-Match: "x"', f"If-Modified-Since: {NEWER}"], 200),  # the tag decides alone
        ([f"If-Modified-Since: {DATE}"], 304),
        ([f"If-Modified-Since: {NEWER}"], 304),
        ([f"If-Modified-Since: {OLDER}"], 200),
        (["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], 304),
        (["If-Modified-Since: Sun Nov  6 08:49:37 1994"], 304),
        (["If-Modified-Since: yesterday"], 200),
        (["If-Modified-Since: Sun, 31 Feb 1994 08:49:37 GMT"], 200),
        ([f"If-Match: {ETAG}"], 200),
        (["If-Match: *"], 200),
        (['If-Match: "x"'], 412),
        ([f"If-Match: W/{ETAG}"], 412),  # strong comparison (RFC 9110, 13.1.1)
        ([f"If-Unmodified-Since: {DATE}"], 200),
        ([f"If-Unmodified-Since: {OLDER}"], 412),
        ([f"If-Match: {ETAG}", f"If-Unmodified-Since: {OLDER}"], 200),
        ([f"If-Match: {ETAG}", f"If-None-Match: {ETAG}"], 304),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(lines: list[str], status: int, method: str) -> None:
    answer = asked(*lines, method=method)
    assert int(answer.status[:3]) == status
    if status == 304:
        assert answer.pieces == []
        assert [name for name, _ in answer.headers] == ["ETag", "Last-Modified"]


def test_validators_of_an_application_stay() -> None:
    headers = [("etag", '"mine"'), ("Last-Modified", OLDER)]
    answer = asked(headers=headers)
    assert answer.headers[:2] == headers
    assert [name for name, _ in answer.headers] == ["etag", "Last-Modified", "Accept-Ranges"]
    assert asked('If-None-Match: "mine"', headers=headers).status == "304 Not Modified"
    assert asked(f"If-Modified-Since: {OLDER}", headers=headers).status == "304 Not Modified"


def test_a_post_is_answered_with_the_whole() -> None:
    answer = asked(f"If-None-Match: {ETAG}", "Range: bytes=0-1", method="POST")
    assert (answer.status, answer.pieces) == ("200 OK", [Range(0, 1000)])


# ---- parts


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-999", [(0, 1000)]),
        ("bytes=0-", [(0, 1000)]),
        ("bytes=999-", [(999, 1)]),
        ("bytes=990-2000", [(990, 10)]),
        ("bytes=-1", [(999, 1)]),
        ("bytes=-5000", [(0, 1000)]),
        ("bytes=1000-", []),
        ("bytes=1000-1001", []),
        ("bytes=-0", []),
        ("bytes=5000-, 0-0", [(0, 1)]),
        ("Bytes = 0-0", [(0, 1)]),
        ("bytes=0-0, -1", [(0, 1), (999, 1)]),
        ("bytes=5-6,1-2", [(5, 2), (1, 2)]),
        ("bytes=1-0", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-0,", None),
        ("bytes=+1-2", None),
        ("bytes=0x1-2", None),
        ("bytes", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 30 + "-", None),
        ("bytes=0-999,0-999", None),  # more than there is
        ("bytes=" + ",".join(["0-0"] * 16), [(0, 1)] * 16),
        ("bytes=" + ",".join(["0-0"] * 17), None),
    ],
)
def test_ranges(text: str, ranges: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(text, "", 1000, ETAG, DATE) == ranges


@given(text=st.text(max_size=60), size=st.integers(0, 1000))
def test_any_range_lies_within_the_file(text: str, size: int) -> None:
    for part in parse_ranges("bytes=" + text, "", size, ETAG, DATE) or []:
        assert 0 <= part.offset < part.offset + part.length <= size


def test_one_part() -> None:
    answer = asked("Range: bytes=10-19")
    assert (answer.status, answer.pieces) == ("206 Partial Content", [Range(10, 10)])
    assert dict(answer.headers)["Content-Range"] == "bytes 10-19/1000"


def test_no_part() -> None:
    answer = asked("Range: bytes=1000-")
    assert answer.status == "416 Range Not Satisfiable"
    assert dict(answer.headers)["Content-Range"] == "bytes */1000"


def test_several_parts() -> None:
    answer = asked("Range: bytes=0-1,-2")
    headers = dict(answer.headers)
    kind, _, boundary = headers["Content-Type"].partition("; boundary=")
    assert (answer.status, kind) == ("206 Partial Content", "multipart/byteranges")
    assert "Content-Range" not in headers
    first, second = (f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes ", "/1000\r\n\r\n")
    assert answer.pieces == [
        f"{first}0-1{second}".encode(), Range(0, 2),
        f"\r\n{first}998-999{second}".encode(), Range(998, 2),
        f"\r\n--{boundary}--\r\n".encode(),
    ]  # fmt: skip


def test_a_head_has_no_parts() -> None:
    assert asked("Range: bytes=0-1", method="HEAD").status == "200 OK"


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), ('"x"', 200), (f"W/{ETAG}", 200), (DATE, 206), (OLDER, 200), (NEWER, 200)],
)
def test_if_range(condition: str, status: int) -> None:
    assert int(asked("Range: bytes=0-1", f"If-Range: {condition}").status[:3]) == status


def test_a_condition_goes_before_a_range() -> None:
    assert asked("Range: bytes=0-1", f"If-None-Match: {ETAG}").status == "304 Not Modified"


@given(st.text(max_size=40))
def test_any_date_is_one_or_none(text: str) -> None:
    assert parse_date(text) is None or text.strip()


@given(
    st.dictionaries(
        st.sampled_from([b"if-match", b"if-none-match", b"if-modified-since"]), st.text(max_size=30)
    )
)
def test_any_condition_has_a_verdict(fields: dict[bytes, str]) -> None:
    assert check(fields, ETAG, DATE) in (0, 304, 412)
