# Which pattern of paths a request is for, however it writes its path.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ProtocolError
from bigtop.http.memo import KEPT
from bigtop.http.paths.path_table import REST, PathTable

PATTERNS = ("/api/", "/api/v2", "*.php", "/a b/", "/ä/", "/upload/*/raw", "/")


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        ("/api", "/api/"),
        ("/api/", "/api/"),
        ("/api/users", "/api/"),
        ("/api?x=/api/v2", "/api/"),
        ("/apiary", "/"),
        ("/API/", "/"),
        ("/%61pi/users", "/api/"),
        ("http://elsewhere/api/v2/", "/api/v2"),
        ("http://elsewhere", "/"),
        ("/api/v2", "/api/v2"),
        ("/api/v20", "/api/"),
        ("/x.php", "*.php"),
        ("/api/x.php", "*.php"),  # as long as /api/, and behind it in the file
        ("/x.php5", "/"),
        ("/a%20b/c", "/a b/"),
        ("/%C3%A4/", "/ä/"),
        ("/upload/1/2/raw", "/upload/*/raw"),
        ("/upload/raw", "/"),
        ("/", "/"),
        ("*", "/"),
    ],
)
def test_the_longest_pattern_counts(target: str, pattern: str) -> None:
    patterns = sorted(PATTERNS, key=lambda one: one != pattern)  # of two of one length the first counts
    assert patterns[PathTable(patterns).of(target.encode())] == pattern


def test_what_is_like_none_of_them() -> None:
    table = PathTable(["/api/"])
    assert [table.of(target) for target in (b"/", b"/ap", b"*", b"/x/api/")] == [REST] * 4


@pytest.mark.parametrize(
    "target",
    [
        "/open/../admin/",
        "/open/%2e%2e/admin",
        "/admin/../open/x",
        "/open/./../admin/",
        "//admin/",
        "/.//admin/",
        "http://host//admin",
        "/admin/..",
        "/x/..//admin/x",
    ],
)
def test_a_path_that_leads_elsewhere_than_it_seems_is_refused(target: str) -> None:
    table = PathTable(["/admin/", "/open/"])
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            table.of(target.encode())
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "target", ["/admin//x", "/admin/./x", "/admin/x/..", "/x/../y", "//", "/..", "/a/.b"]
)
def test_one_that_leads_to_the_same_is_not(target: str) -> None:
    assert PathTable(["/admin/"]).of(target.encode()) == (0 if "admin" in target else REST)


SEGMENTS = st.lists(st.sampled_from(["", ".", "..", "admin", "open", "a.b", "%2e%2e", "%2F"]), max_size=6)


@given(SEGMENTS)
def test_who_is_answered_is_for_one_section_however_the_path_is_read(segments: list[str]) -> None:
    target = "/" + "/".join(segments)
    table = PathTable(["/admin/", "/open/"])
    plain: list[str] = []
    for name in "/".join(segments).replace("%2e", ".").replace("%2F", "/").split("/"):
        if name == "..":
            del plain[-1:]
        elif name not in ("", "."):
            plain.append(name)
    seen = {"admin": 0, "open": 1}.get(plain[0] if plain else "", REST)
    try:
        assert table.of(target.encode()) == seen
    except ProtocolError:
        assert any(part in target for part in (".", "%2e", "//", "%2F"))


def test_it_remembers_a_bounded_number_of_paths() -> None:
    table = PathTable(["/a/"])
    for number in range(3 * KEPT):
        assert table.of(b"/a/%d" % number) == 0
    table.of(b"/a/" + b"x" * 10_000)
    assert len(table._known) <= KEPT
    assert max(map(len, table._known)) < 100
