# What is compressed, and what the head of an answer says then: all by tables, nothing is encoded here.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.answers.codings import CODINGS, taken
from bigtop.http.answers.compression import LARGEST_FILE, Rules
from bigtop.http.declarations import COMPRESSED_LEAST, COMPRESSED_TYPES
from bigtop.http.handlers import Draft, FilePart
from bigtop.http.messages import Request

RULES = Rules(CODINGS, COMPRESSED_TYPES, COMPRESSED_LEAST)
HTML = ("Content-Type", "text/html")
VARY = ("Vary", "Accept-Encoding")


def request(accept: str = "gzip", method: str = "GET", target: bytes = b"/", **fields: str) -> Request:
    made = Request(method, target)
    made.headers = [(b"Accept-Encoding", accept.encode("latin-1"))]
    made.headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return made


def draft(*headers: tuple[str, str], status: str = "200 OK", size: int | None = 5000) -> Draft:
    return Draft(status, list(headers), size)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP;Q=0.5", "gzip"),
        ("*", "zstd"),
        ("*;q=0.1, gzip", "gzip"),
        ("zstd;q=0, *", "br"),
        ("br;q=1.0, zstd;q=0.999", "br"),
        ("gzip;q=0.5, br;q=0.5", "br"),
        ("identity, gzip;q=0.9", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0", ""),
        ("*;q=0", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0.000", ""),
        ("gzip;q=1.5", ""),
        ("gzip;q=-1", ""),
        ("gzip;q=", ""),
        ("gzip;level=9", "gzip"),
        ("gzipped, brotli", ""),
        ("", ""),
        (";;,,=", ""),
        ("gzip\xff, br", "br"),
    ],
)
def test_negotiation(accept: str, coding: str) -> None:
    made = draft(HTML)
    assert RULES.apply(request(accept), made) == coding
    assert made.headers == [HTML, VARY, *([("Content-Encoding", coding)] if coding else [])]


def test_without_a_word_of_the_client_the_body_is_as_it_is() -> None:
    made = draft(HTML)
    assert RULES.apply(Request(), made) == ""
    assert made.headers == [HTML, VARY]


def test_only_what_is_on_offer() -> None:
    assert Rules(("gzip",), ("text/*",), 0).apply(request("br, zstd"), draft(HTML)) == ""
    assert Rules(("gzip", "br"), ("text/*",), 0).apply(request("br, gzip"), draft(HTML)) == "gzip"


WORDS = st.sampled_from([*CODINGS, "identity", "*", "deflate", "x-gzip"])
QUALITIES = st.integers(0, 1000).map(lambda q: f"{q / 1000:.3f}")


@given(st.dictionaries(WORDS, QUALITIES), st.permutations(CODINGS))
def test_the_one_that_a_client_likes_best(weights: dict[str, str], offered: list[str]) -> None:
    accept = ", ".join(f"{name};q={quality}" for name, quality in weights.items()).encode()
    found = taken(accept, tuple(offered))
    numbers = {name: float(quality) for name, quality in weights.items()}
    if "x-gzip" in numbers:
        return  # as it stands: whichever comes last
    liked = [numbers.get(name, numbers.get("*", 0.0)) for name in found]
    assert liked == sorted(liked, reverse=True)
    assert all(weight > 0 and weight >= numbers.get("identity", 0.0) for weight in liked)
    left_out = set(offered) - set(found)
    assert all(
        numbers.get(name, numbers.get("*", 0.0)) < max(numbers.get("identity", 0.0), 0.001)
        for name in left_out
    )


@given(st.binary(max_size=60))
def test_any_bytes_are_an_accept_encoding(accept: bytes) -> None:
    assert set(taken(accept, CODINGS)) <= set(CODINGS)


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [
        ("text/html", True),
        ("TEXT/Plain ; charset=x", True),
        ("text/event-stream", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/vnd.api+json;v=1", True),
        ("application/atom+xml", True),
        ("image/svg+xml", True),
        ("application/wasm", True),
        ("application/octet-stream", False),
        ("application/jsonx", False),
        ("image/png", False),
        ("font/woff2", False),
        ("application/zip", False),
        ("multipart/mixed; boundary=text/html", False),
        ("", False),
        ("text", False),
    ],
)
def test_types(content_type: str, is_taken: bool) -> None:
    for _ in range(2):
        assert RULES.takes(content_type) is is_taken


UNTOUCHED = [
    draft(HTML, size=859),
    draft(HTML, size=0),
    draft(("Content-Type", "image/png")),
    draft(),
    draft(HTML, ("Content-Encoding", "br")),
    draft(HTML, ("Cache-Control", "max-age=5, No-Transform")),
    draft(HTML, ("Content-Length", "5001")),
    draft(status="204 No Content", size=0),
    Draft("200 OK", [HTML], LARGEST_FILE + 1, [FilePart(0, 0, LARGEST_FILE + 1)]),
]


@pytest.mark.parametrize("made", UNTOUCHED, ids=lambda made: f"{made.status} {made.headers} {made.size}")
def test_what_is_the_same_for_everybody(made: Draft) -> None:
    before = made.headers.copy()
    assert RULES.apply(request("*"), made) == ""
    assert made.headers == before


@pytest.mark.parametrize("name", ["Content-Range", "Digest", "Repr-Digest", "Content-Digest", "Content-MD5"])
def test_what_counts_or_signs_the_bytes_keeps_them(name: str) -> None:
    made = draft(HTML, (name, "x"), ("ETag", '"1"'))
    assert RULES.apply(request("*"), made) == ""
    assert made.headers == [HTML, (name, "x"), ("ETag", '"1"'), VARY]


@pytest.mark.parametrize("status", ["205 Reset Content", "206 Partial Content"])
def test_statuses_whose_body_stays(status: str) -> None:
    assert RULES.apply(request("*"), draft(HTML, status=status)) == ""


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ([], ["Accept-Encoding"]),
        (["Cookie"], ["Cookie, Accept-Encoding"]),
        (["accept-encoding, Cookie"], ["accept-encoding, Cookie"]),
        (["*"], ["*"]),
        (["Origin", "Cookie"], ["Origin", "Cookie, Accept-Encoding"]),
        (["Origin", "Accept-Encoding"], ["Origin", "Accept-Encoding"]),
    ],
)
def test_vary(given: list[str], made: list[str]) -> None:
    answer = draft(HTML, *[("Vary", value) for value in given])
    RULES.apply(request(), answer)
    assert [value for name, value in answer.headers if name == "Vary"] == made


def test_a_weak_etag_and_no_ranges() -> None:
    made = draft(HTML, ("etag", '"1"'), ("ACCEPT-RANGES", "bytes"))
    assert RULES.apply(request(), made) == "gzip"
    assert made.headers == [HTML, ("etag", 'W/"1"'), VARY, ("Content-Encoding", "gzip")]
    weak = draft(HTML, ("ETag", 'W/"1"'))
    RULES.apply(request(), weak)
    assert weak.header("etag") == 'W/"1"'


@pytest.mark.parametrize(
    ("method", "status", "asked", "is_known"),
    [
        ("GET", "200 OK", 'W/"1"', True),
        ("HEAD", "200 OK", 'W/"0", W/"1"', True),
        ("GET", "200 OK", '"1"', False),
        ("GET", "200 OK", '"1", W/"0"', True),
        ("GET", "200 OK", 'W/"2"', False),
        ("GET", "200 OK", "*", False),
        ("POST", "200 OK", 'W/"1"', False),
        ("GET", "404 Not Found", 'W/"1"', False),
    ],
)
def test_a_client_that_has_it(method: str, status: str, asked: str, is_known: bool) -> None:
    made = draft(HTML, ("ETag", '"1"'), ("Set-Cookie", "a"), ("Content-Language", "en"), status=status)
    coding = RULES.apply(request("br", method, If_None_Match=asked), made)
    if is_known:
        assert (coding, made.status, made.parts) == ("", "304 Not Modified", [])
        assert made.headers == [("ETag", 'W/"1"'), ("Set-Cookie", "a"), VARY]
    else:
        assert (coding, made.status) == ("br", status)


@pytest.mark.parametrize(
    ("asked", "headers", "target", "made"),
    [
        ('W/"1"', [("ETag", '"1"')], b"/", [("ETag", 'W/"1"'), VARY]),
        ('"1"', [("ETag", '"1"')], b"/", [("ETag", '"1"'), VARY]),
        ('"1", W/"1"', [("ETag", '"1"')], b"/", [("ETag", '"1"'), VARY]),
        ('W/"1"', [("ETag", 'W/"1"')], b"/", [("ETag", 'W/"1"'), VARY]),
        ('W/"1"', [("ETag", '"1"')], b"/a.js?x", [("ETag", 'W/"1"'), VARY]),
        ('W/"1"', [("ETag", '"1"')], b"/a.png?x", [("ETag", '"1"')]),
        ('W/"1"', [("ETag", '"1"'), ("Content-Type", "image/png")], b"/",
         [("ETag", '"1"'), ("Content-Type", "image/png")]),
        ("", [], b"/", [VARY]),
    ],
)  # fmt: skip
def test_a_304_says_what_the_answer_would(
    asked: str, headers: list[tuple[str, str]], target: bytes, made: list[tuple[str, str]]
) -> None:
    answer = draft(*headers, status="304 Not Modified", size=None)
    assert RULES.apply(request("br", "GET", target, If_None_Match=asked), answer) == ""
    assert answer.headers == made


@pytest.mark.parametrize(
    ("fields", "is_encoded"),
    [
        ({"Cookie": "a", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Authorization": "a", "Sec_Fetch_Site": "Cross-Site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, True),
        ({"Cookie": "a", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Cookie": "a", "Sec_Fetch_Site": "none"}, True),
        ({"Cookie": "a"}, True),
    ],
)
def test_nothing_for_other_sites_with_a_clients_secrets(fields: dict[str, str], is_encoded: bool) -> None:
    made = draft(HTML, ("ETag", '"1"'))
    assert bool(RULES.apply(request("br", **fields), made)) is is_encoded
    assert VARY in made.headers
    assert made.header("etag") == ('W/"1"' if is_encoded else '"1"')
