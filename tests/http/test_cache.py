# What may be kept, for how long, and for whom: the decisions of the response cache (bigtop/http/cache/).

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.http.cache.directives import LONGEST, directives_of, seconds_of
from bigtop.http.cache.kept import (
    SECOND,
    Kept,
    State,
    Varies,
    decode,
    encode,
    encode_varies,
    hit,
    is_purged,
    kept_of,
    renewed,
    reply_of,
    state_of,
    url_of,
    validators,
)
from bigtop.http.cache.keys import Asked, asked_of, mattering, variant_of
from bigtop.http.cache.terms import CODES, Terms, terms_of, vary_of
from bigtop.http.messages import Request
from bigtop.http.response import Headers, http_date

WALL = 1_700_000_000.0
NOW = 5_000 * SECOND


def terms(*fields: tuple[str, str], code: int = 200, accel: bool = False) -> Terms | None:
    return terms_of(code, list(fields), WALL, heeds_accel=accel)


def control(value: str, *fields: tuple[str, str]) -> Terms | None:
    return terms(("Cache-Control", value), *fields)


# ---- directives


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["max-age=60, public"], {"max-age": "60", "public": ""}),
        (["Max-Age = 60", "PRIVATE"], {"max-age": "60", "private": ""}),
        (['private="set-cookie, x", max-age="5"'], {"private": "set-cookie, x", "max-age": "5"}),
        (["max-age=60, max-age=5"], {"max-age": "5"}),
        (["max-age=5, max-age=60"], {"max-age": "5"}),
        (["max-age=5, max-age=x"], {"max-age": "x"}),
        (['x="unclosed, private'], {"x": '"unclosed', "private": ""}),
        ([",,  ,"], {}),
        ([], {}),
    ],
)
def test_directives_are_read(lines: list[str], found: dict[str, str]) -> None:
    assert directives_of(lines) == found


@given(st.text(alphabet=' ,="\\azAZ09-', max_size=40))
def test_nothing_hides_what_forbids(text: str) -> None:
    """Whatever stands before it on a line of its own, or behind a comma outside of closed quotes."""
    assert "private" in directives_of([text, "private"])
    if text.count('"') == 0:
        assert "private" in directives_of([text + ", private"])


def test_seconds_are_bounded() -> None:
    assert seconds_of({"max-age": "9" * 50}, "max-age") == LONGEST
    assert seconds_of({"max-age": "99999999999"}, "max-age") == LONGEST
    assert [seconds_of({"a": text}, "a") for text in ("", "-1", "1.5", "x", "٣", "7")] == [0, 0, 0, 0, 0, 7]


# ---- terms


def test_an_answer_that_says_nothing_is_not_kept() -> None:
    assert terms() is None
    assert terms(("Last-Modified", http_date(WALL - 10**7)), ("ETag", '"a"')) is None
    assert control("public") is None


@pytest.mark.parametrize(
    ("value", "fresh"),
    [
        ("max-age=60", 60),
        ("max-age=60, s-maxage=5", 5),
        ("s-maxage=300, max-age=0", 300),
        ("max-age=0", None),
        ("max-age=never", None),
        ("max-age=60, no-cache", None),
        ('max-age=60, no-cache="x"', None),
        ("max-age=60, private", None),
        ('private="x", max-age=60', None),
        ("max-age=60, no-store", None),
        ("NO-STORE, max-age=60", None),
        ("s-maxage=0, max-age=60", None),
    ],
)
def test_cache_control_says_how_long(value: str, fresh: int | None) -> None:
    found = control(value)
    assert (None if found is None else found.fresh) == fresh


def test_what_is_for_one_client_is_never_kept() -> None:
    """Whatever else it says: all combinations."""
    forbidding = [
        ("Set-Cookie", "a=b"),
        ("set-cookie", "a=b; Path=/"),
        ("Cache-Control", "private"),
        ("Cache-Control", "no-store"),
        ("Cache-Control", "no-cache"),
        ("Vary", "*"),
        ("Vary", "Accept, *"),
        ("Content-Range", "bytes 0-1/5"),
        ("X-Accel-Redirect", "/secret"),
        ("X-Sendfile", "/secret"),
    ]
    allowing = [
        ("Cache-Control", "public, s-maxage=60"),
        ("Cache-Control", "max-age=60, stale-while-revalidate=60, stale-if-error=60"),
        ("Expires", http_date(WALL + 60)),
        ("X-Accel-Expires", "60"),
    ]
    for allowed in itertools.chain.from_iterable(itertools.combinations(allowing, n) for n in (1, 2, 3)):
        assert terms(*allowed, accel=True) is not None
        for forbidden in forbidding:
            for order in ((forbidden, *allowed), (*allowed, forbidden)):
                assert terms(*order, accel=True) is None, order


def test_only_some_statuses_are_kept() -> None:
    kept = [code for code in range(100, 600) if terms(("Cache-Control", "max-age=9"), code=code) is not None]
    assert kept == sorted(CODES)
    assert not CODES & {100, 206, 304, 401, 403, 500, 502, 503}


def test_expires_counts_from_date_and_only_without_max_age() -> None:
    date, expires = ("Date", http_date(WALL - 100)), ("Expires", http_date(WALL + 50))
    assert terms(expires) == Terms(50, 0, 0, 0, False)
    assert terms(date, expires) == Terms(150, 0, 0, 0, False)
    assert terms(expires, ("Cache-Control", "max-age=7")) == Terms(7, 0, 0, 0, False)
    assert terms(expires, ("Cache-Control", "max-age=0")) is None
    assert terms(("Expires", "0")) is terms(("Expires", http_date(WALL - 1))) is None
    assert terms(("Expires", "0"), ("Pragma", "no-cache")) is None
    assert terms(expires, ("Pragma", "no-cache")) is None


def test_an_age_is_taken_off() -> None:
    assert control("max-age=60", ("Age", "20")) == Terms(40, 0, 0, 20, False)
    assert control("max-age=60", ("Age", "60")) is None
    assert control("max-age=60", ("Age", "nonsense")) == Terms(60, 0, 0, 0, False)


def test_stale_answers_are_given_where_the_answer_says_so() -> None:
    assert control("max-age=1, stale-while-revalidate=9, stale-if-error=99") == Terms(1, 9, 99, 0, False)
    assert control("max-age=0, stale-while-revalidate=9") == Terms(0, 9, 0, 0, False)
    assert control("max-age=1, stale-while-revalidate=9, must-revalidate") == Terms(1, 0, 0, 0, False)
    assert control("max-age=1, stale-if-error=9, proxy-revalidate") == Terms(1, 0, 0, 0, False)
    assert control("s-maxage=1, stale-while-revalidate=9") == Terms(1, 9, 0, 0, True)


def test_public_is_what_says_so() -> None:
    assert control("public, max-age=1") == control("s-maxage=1") == Terms(1, 0, 0, 0, True)
    assert control("max-age=1, must-revalidate") == Terms(1, 0, 0, 0, False)


@pytest.mark.parametrize(
    ("value", "fresh"),
    [("5", 5), ("0", None), (f"@{WALL + 30:.0f}", 30), ("@0", None), ("off", None), ("-1", None), ("", None)],
)
def test_x_accel_expires_says_how_long(value: str, fresh: int | None) -> None:
    fields = (("Cache-Control", "max-age=60"), ("X-Accel-Expires", value))
    found = terms(*fields, accel=True)
    assert (None if found is None else found.fresh) == fresh
    assert terms(*fields) == Terms(60, 0, 0, 0, False)  # nobody asked for that


FIELDS = st.sampled_from(
    ["Cache-Control", "Set-Cookie", "Vary", "Expires", "Age", "Date", "X-Accel-Expires", "Pragma", "ETag"]
)
VALUES = st.one_of(
    st.sampled_from(["public", "private", "max-age=60", "s-maxage=1", "no-store", "60", "@1", "*", "Cookie"]),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)


@given(st.lists(st.tuples(FIELDS, VALUES), max_size=6), st.integers(100, 599), st.booleans())
@settings(max_examples=300)
def test_any_answer_has_terms_or_none(fields: Headers, code: int, accel: bool) -> None:
    found = terms_of(code, fields, WALL, heeds_accel=accel)
    if found is None:
        return
    assert code in CODES
    assert all(0 <= seconds <= LONGEST for seconds in found[:4])
    assert found.fresh or found.revalidating
    said = directives_of(value for name, value in fields if name.lower() == "cache-control")
    assert not said.keys() & {"private", "no-store", "no-cache"}
    assert not any(name.lower() == "set-cookie" for name, _ in fields)
    assert "*" not in vary_of(fields)


# ---- keys


def asked(
    target: str = "/",
    *fields: tuple[str, str],
    method: str = "GET",
    host: str = "",
    cookies: tuple[str, ...] = (),
) -> Asked:
    request = Request(method, target.encode())
    request.headers = [(b"Host", b"Example.com"), *((a.encode(), b.encode("latin-1")) for a, b in fields)]
    return asked_of(request, "https", host, cookies)


def test_a_key_is_what_people_call_it() -> None:
    found = asked("/a?b=c", ("Accept", "text/html"))
    assert found == Asked("https://example.com/a?b=c", b"https://example.com/a?b=c", "", False, False, {})
    assert asked("http://other/a?b=c").url == "https://example.com/a?b=c"
    assert asked("/a", host="Front.example").url == "https://front.example/a"


def test_keys_differ_where_answers_may() -> None:
    keys = [
        asked(*words).key  # type: ignore[arg-type]
        for words in (
            ("/a",), ("/A",), ("/a?",), ("/a?b",), ("/%61",), ("/a/",), ("//a",),
            ("/a", ("X-Forwarded-Host", "evil")), ("/a", ("X-Forwarded-Proto", "http")),
            ("/a", ("X-Forwarded-Prefix", "evil")),
            ("/a", ("X-Forwarded-Host", "a"), ("X-Forwarded-Host", "b")),
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("field", "passes"),
    [
        (("Range", "bytes=0-"), "request"),
        (("If-Range", '"a"'), "request"),
        (("If-Match", '"a"'), "request"),
        (("If-Unmodified-Since", http_date(WALL)), "request"),
        (("X-Original-URL", "/admin"), "request"),
        (("X-Rewrite-URL", "/admin"), "request"),
        (("X-HTTP-Method-Override", "DELETE"), "request"),
        (("Cache-Control", "no-store"), "request"),
        (("Cache-Control", "no-cache"), ""),  # a reload
        (("Cache-Control", "max-age=0"), ""),
        (("Pragma", "no-cache"), ""),
        (("Accept", "x"), ""),
    ],
)
def test_some_requests_pass_by(field: tuple[str, str], passes: str) -> None:
    assert asked("/", field).passes == passes


def test_only_get_and_head_without_a_body_are_answered() -> None:
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "get")
    assert [asked("/", method=one).passes for one in methods] == ["", "", *["method"] * 8]
    request = Request("GET", b"/")
    request.content_length = 5
    assert asked_of(request, "http", "", ()).passes == "request"
    request.content_length, request.upgrade = 0, b"websocket"
    assert asked_of(request, "http", "", ()).passes == "request"


def test_a_long_key_passes_by() -> None:
    assert asked("/" + "a" * 9000).passes == "request"


def test_who_says_who_it_is_is_private() -> None:
    assert not asked("/").is_private
    assert asked("/", ("Cookie", "a=b")).is_private
    assert asked("/", ("Authorization", "Basic eA==")).is_private
    assert asked("/", ("Authorization", "Basic eA=="), cookies=("a",)).is_private


def test_of_cookies_those_count_that_matter() -> None:
    one = asked("/", ("Cookie", "_ga=1; session=x"), cookies=("session",))
    other = asked("/", ("Cookie", "session=x; _ga=2"), cookies=("session",))
    assert one.key == other.key
    assert not one.is_private
    assert asked("/", ("Cookie", "session=y"), cookies=("session",)).key != one.key
    assert asked("/", ("Cookie", "_ga=1"), cookies=("session",)).key == asked("/").key
    assert mattering(b"session=x; xsession=y; session=z", ("session",)) == (b"session=x", b"session=z")


def test_conditions_and_only_if_cached_are_seen() -> None:
    found = asked("/", ("If-None-Match", '"a"'), ("Cache-Control", "only-if-cached"))
    assert found.conditions == {b"if-none-match": '"a"'}
    assert found.only_cached
    assert not found.passes


def variant(
    *fields: tuple[str, str], names: tuple[str, ...] = ("accept-language",), mark: bytes = b"1"
) -> bytes:
    request = Request("GET", b"/")
    request.headers = [(a.encode(), b.encode()) for a, b in fields]
    return variant_of(b"key", mark, names, request, ())


def test_answers_that_vary_have_keys_of_their_own() -> None:
    assert variant(("Accept-Language", "de, en")) == variant(("accept-language", "DE,en"), ("X", "y"))
    different = [
        variant(), variant(("Accept-Language", "")), variant(("Accept-Language", "de")),
        variant(("Accept-Language", "en")), variant(("Accept-Language", "de"), mark=b"2"),
        variant(("Accept-Language", "de"), ("Accept-Language", "en")),
        variant(names=("accept-language", "x")),
        variant(("X", "de"), names=("accept-language", "x")), variant(("X", "DE"), names=("x",)),
        variant(("X", "de"), names=("x",)),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_of_a_cookie_that_varies_only_what_matters_counts() -> None:
    def of(cookie: bytes, *cookies: str) -> bytes:
        request = Request("GET", b"/")
        request.headers = [(b"Cookie", cookie)]
        return variant_of(b"key", b"", ("cookie",), request, cookies)

    assert of(b"a=1; b=2") != of(b"a=1; b=3")
    assert of(b"a=1; b=2", "a") == of(b"a=1; b=3", "a") != of(b"a=2; b=2", "a")


def test_vary_is_a_set_of_names() -> None:
    assert vary_of([("Vary", "Accept-Language, Cookie"), ("vary", "cookie,,X")]) == (
        "accept-language",
        "cookie",
        "x",
    )
    assert vary_of([]) == ()


# ---- kept answers


def kept(*fields: tuple[str, str], body: bytes = b"hello", status: str = "200 OK", **seconds: int) -> Kept:
    given = {"fresh": 10, "revalidating": 0, "failing": 0, "age": 0, **seconds}
    return kept_of("http://a/", status, list(fields), body, Terms(**given, is_public=False), NOW)


TEXTS = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20
)
TOKENS = st.text(alphabet="abcXYZ-1", min_size=1, max_size=12)


@given(TEXTS, st.lists(st.tuples(TOKENS, TEXTS), max_size=5), st.binary(max_size=50), st.booleans())
def test_a_record_holds_an_answer(url: str, fields: Headers, body: bytes, public: bool) -> None:
    given = Terms(1, 2, 3, 4, public)
    one = kept_of(url, "200 OK", fields, body, given, NOW)
    assert decode(encode(one)) == one
    assert url_of(encode(one)) == url


def test_a_record_holds_what_answers_vary_by() -> None:
    one = Varies("http://a/", ("accept", "cookie"), b"12345678")
    assert decode(encode_varies(one)) == one
    assert url_of(encode_varies(one)) == "http://a/"


@given(st.binary(max_size=120))
def test_what_is_no_record_is_refused(data: bytes) -> None:
    for record in (data, encode(kept())[: len(data)]):
        url_of(record)
        try:
            decode(record)
        except ValueError:
            continue
        assert record[0] in (1, 2)


def test_an_answer_grows_old() -> None:
    one = kept(fresh=10, revalidating=5, failing=20)
    at = [(0, 1), (9, 1), (10, 2), (14, 2), (15, 3), (29, 3), (30, 4), (10**6, 4)]
    assert [(second, state_of(one, NOW + second * SECOND).value) for second, _ in at] == at
    assert state_of(kept(fresh=10), NOW + 10 * SECOND) is State.OVER


def test_a_reply_tells_its_age() -> None:
    one = kept(("Content-Type", "text/plain"), ("Connection", "close"), ("Content-Length", "9"), age=3)
    reply = reply_of(one, {}, hit(one, NOW + 4 * SECOND), NOW + 4 * SECOND)
    assert reply.parts == [b"hello"]
    assert reply.head.status == "200 OK"
    assert reply.headers == [
        ("Content-Type", "text/plain"), ("Age", "7"), ("Cache-Status", "bigtop; hit; ttl=6"),
        ("Content-Length", "5"),
    ]  # fmt: skip


def test_an_empty_body_has_its_length_and_204_has_none() -> None:
    assert ("Content-Length", "0") in reply_of(kept(body=b""), {}, "hit", NOW).headers
    assert not any(
        name == "Content-Length"
        for name, _ in reply_of(kept(body=b"", status="204 No Content"), {}, "hit", NOW).headers
    )


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({}, "200 OK"),
        ({b"if-none-match": '"a"'}, "304 Not Modified"),
        ({b"if-none-match": 'W/"a", "b"'}, "304 Not Modified"),
        ({b"if-none-match": "*"}, "304 Not Modified"),
        ({b"if-none-match": '"b"'}, "200 OK"),
        ({b"if-none-match": '"b"', b"if-modified-since": http_date(WALL)}, "200 OK"),
        ({b"if-modified-since": http_date(WALL)}, "304 Not Modified"),
        ({b"if-modified-since": http_date(WALL - 1)}, "200 OK"),
    ],
)
def test_a_client_that_has_it_is_told_so(conditions: dict[bytes, str], status: str) -> None:
    fields = (("ETag", '"a"'), ("Last-Modified", http_date(WALL)), ("X", "y"), ("Vary", "Accept"))
    reply = reply_of(kept(*fields), conditions, "hit", NOW)
    assert reply.head.status == status
    if status.startswith("304"):
        assert reply.parts == []
        assert reply.headers == [
            ("ETag", '"a"'), ("Vary", "Accept"), ("Age", "0"), ("Cache-Status", "bigtop; hit")
        ]  # fmt: skip


def test_without_validators_nothing_is_confirmed() -> None:
    assert reply_of(kept(), {b"if-none-match": "*"}, "hit", NOW).head.status == "200 OK"
    gone = kept(("ETag", '"a"'), status="404 Not Found")
    assert reply_of(gone, {b"if-none-match": '"a"'}, "hit", NOW).head.status == "404 Not Found"


def test_a_confirmed_answer_is_fresh_again() -> None:
    old = kept(("ETag", '"a"'), ("Cache-Control", "max-age=10"), ("Content-Type", "text/html"))
    assert validators(old) == [(b"If-None-Match", b'"a"')]
    later = NOW + 60 * SECOND
    said = [("ETag", '"a"'), ("Cache-Control", "max-age=99"), ("Content-Type", "x"), ("Content-Length", "0")]
    new = renewed(old, said, Terms(99, 0, 0, 0, True), later)
    assert new.body == b"hello"
    assert new.at == later
    assert new.is_public
    assert sorted(new.headers) == [
        ("Cache-Control", "max-age=99"), ("Content-Type", "text/html"), ("ETag", '"a"')
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("https://a.example/x?y", True),
        ("https://a.example/x", False),
        ("https://a.example/*", True),
        ("https://a.example*", True),
        ("https://b.example/*", False),
        ("/x?y", True),
        ("/x*", True),
        ("/*", True),
        ("/y*", False),
        ("/x", False),
        ("*", True),
        ("", False),
    ],
)
def test_a_purge_means_a_url_or_what_it_begins_with(wanted: str, found: bool) -> None:
    assert is_purged("https://a.example/x?y", wanted) is found
